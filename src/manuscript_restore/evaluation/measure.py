"""The measurement itself: every method on every pair."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manuscript_restore import metrics
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.pairs import Pair, Task
from manuscript_restore.evaluation.scores import NO_HARM, UNTOUCHED_SHARE, Judge, describe
from manuscript_restore.evaluation.statistics import Row
from manuscript_restore.images.tensors import quantize
from manuscript_restore.inference import Backend, Restorer, Settings
from manuscript_restore.inference.evidence import INK


class Outcome(NamedTuple):
    """What a method makes of a picture: the restored one (3, H, W) in [0, 1], and perhaps its ink, bool (H, W)."""

    picture: Tensor
    ink: NDArray[np.bool_] | None = None


Method = Callable[[Tensor, Pair], Outcome]
"""Restores a picture (3, H, W) in [0, 1] of a pair, its degraded page or its clean one."""
UNTOUCHED, CLEAN = "none", "clean page"
"""Methods of every table: the degraded page as it is, and what can be read on the clean one."""


@dataclass(frozen=True)
class Model:
    """A trained network among the methods: whole pages go through it in tiles, as in restoring files."""

    backend: Backend

    def method(self, task: Task) -> Method:
        """Restore pictures of the task; a crop that it was trained on is never cut."""

        def restore(picture: Tensor, pair: Pair) -> Outcome:
            restorer = Restorer(self.backend, settings=Settings(tile=task.tile, like=pair.look))
            if pair.ink is None or not self.backend.has_maps:
                return Outcome(restorer.restore(picture))
            found = restorer.restore_with_evidence(picture)
            return Outcome(found.image, None if found.ink is None else (found.ink > INK).numpy())

        return restore


def methods_of(
    task: Task, models: Mapping[str, Model], peers: Mapping[str, Callable[[Tensor], Tensor]]
) -> dict[str, Method]:
    """All methods of a task by name: the models first."""
    return {name: model.method(task) for name, model in models.items()} | {
        name: (lambda picture, _, peer=peer: Outcome(peer(picture))) for name, peer in peers.items()
    }


def measure(
    task: Task,
    methods: Mapping[str, Method],
    judge: Judge,
    *,
    no_harm: bool,
    groups: Mapping[str, re.Pattern[str]] | None = None,
) -> Iterator[list[Row]]:
    """Score every method on every pair, a list of rows for each pair.

    Args:
        task: The pairs.
        methods: By name.
        judge: Scores pictures.
        no_harm: Restore the clean pages too, and score how little changes.
        groups: Name → what is to be found in the names of its pages.

    Raises:
        UserError: None of the task's pages can be read.
    """
    any_readable = False
    for index in range(len(task)):
        pair = task.pair(index)
        if pair is not None:
            any_readable = True
            member = tuple(name for name, pattern in (groups or {}).items() if pattern.search(pair.name))
            rows = _measure_pair(task.name, pair, methods, judge, no_harm=no_harm)
            yield [replace(row, index=index, groups=member) for row in rows]
    if not any_readable:
        raise UserError(f"{task.name}: none of its {len(task)} pages can be read; see the warnings")


def _measure_pair(
    task: str, pair: Pair, methods: Mapping[str, Method], judge: Judge, *, no_harm: bool
) -> list[Row]:
    def rows(method: str, scores: Mapping[str, float]) -> list[Row]:
        return [
            Row(
                *(task, pair.name, pair.page, pair.damage, method, score, value),
                input_value=before.get(score, np.nan),
                gain=_gain(score, before.get(score, np.nan), value),
            )
            for score, value in scores.items()
        ]

    before = judge.scores(pair.degraded, pair)
    found = rows(UNTOUCHED, before)
    for name, method in methods.items():
        restored = method(pair.degraded, pair)
        scores = judge.scores(quantize(restored.picture), pair, restored.ink)
        if no_harm and pair.clean is not None:
            again = quantize(method(pair.clean, pair).picture)
            scores[NO_HARM] = metrics.psnr(again[None], pair.clean[None]).item()
            scores[UNTOUCHED_SHARE] = 100.0 * torch.equal(again, pair.clean)
        found += rows(name, scores)
    if pair.text is not None and pair.clean is not None:
        found += rows(CLEAN, judge.reading(pair.clean, pair.text))
    return found


def _gain(score: str, before: float, after: float) -> float:
    return after - before if describe(score).higher_is_better else before - after
