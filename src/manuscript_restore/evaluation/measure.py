"""The measurement itself: every method on every pair."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from manuscript_restore import metrics
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.pairs import Pair, Task
from manuscript_restore.evaluation.scores import NO_HARM, Judge, describe
from manuscript_restore.evaluation.statistics import Row
from manuscript_restore.images import quantize
from manuscript_restore.inference import Backend, Restorer, Settings

Method = Callable[[Tensor], Tensor]
"""(3, H, W) in [0, 1] → the same."""
UNTOUCHED, CLEAN = "none", "clean page"
"""Methods of every table: the degraded page as it is, and what can be read on the clean one."""


@dataclass(frozen=True)
class Model:
    """A trained network among the methods: whole pages go through it in tiles, as in restoring files."""

    backend: Backend

    def method(self, task: Task) -> Method:
        """Restore pictures of the task; a crop that it was trained on is never cut."""
        return Restorer(self.backend, settings=Settings(tile=task.tile)).restore


def methods_of(task: Task, models: Mapping[str, Model], peers: Mapping[str, Method]) -> dict[str, Method]:
    """All methods of a task by name: the models first."""
    return {name: model.method(task) for name, model in models.items()} | dict(peers)


def measure(task: Task, methods: Mapping[str, Method], judge: Judge, *, no_harm: bool) -> Iterator[list[Row]]:
    """Score every method on every pair, a list of rows for each pair.

    Args:
        task: The pairs.
        methods: By name.
        judge: Scores pictures.
        no_harm: Restore the clean pages too, and score how little changes.

    Raises:
        UserError: None of the task's pages can be read.
    """
    any_readable = False
    for index in range(len(task)):
        pair = task.pair(index)
        if pair is not None:
            any_readable = True
            yield _measure_pair(task.name, index, pair, methods, judge, no_harm=no_harm)
    if not any_readable:
        raise UserError(f"{task.name}: none of its {len(task)} pages can be read; see the warnings")


def _measure_pair(
    task: str, index: int, pair: Pair, methods: Mapping[str, Method], judge: Judge, *, no_harm: bool
) -> list[Row]:
    def rows(method: str, scores: Mapping[str, float]) -> list[Row]:
        return [
            Row(
                *(task, pair.name, pair.page, pair.damage, method, score, value),
                input_value=before.get(score, np.nan),
                gain=_gain(score, before.get(score, np.nan), value),
                index=index,
            )
            for score, value in scores.items()
        ]

    before = judge.scores(pair.degraded, pair)
    found = rows(UNTOUCHED, before)
    for name, method in methods.items():
        scores = judge.scores(quantize(method(pair.degraded)), pair)
        if no_harm and pair.clean is not None:
            scores[NO_HARM] = metrics.psnr(quantize(method(pair.clean))[None], pair.clean[None]).item()
        found += rows(name, scores)
    if pair.text is not None and pair.clean is not None:
        found += rows(CLEAN, judge.reading(pair.clean, pair.text))
    return found


def _gain(score: str, before: float, after: float) -> float:
    return after - before if describe(score).higher_is_better else before - after
