"""What a training and a validation sample are."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.ink import find_ink, split_ink
from manuscript_restore.data.sources import PageSource, stable_hash
from manuscript_restore.data.views import View
from manuscript_restore.errors import UserError
from manuscript_restore.images.tensors import from_array, to_float, to_uint8

REDRAWS = 8
"""Of the damage of a fixed pair that left the page as it was."""


class TrainingPages(Dataset[dict[str, Any]]):
    """Augmented clean pages, each with the seed of its damage.

    An item is a pure function of (seed, epoch, index): neither workers nor the order of access matter. It
    holds ``clean``, uint8 (3, S, S), ``ink``, uint8 (1, S, S), 255 where there is ink, and ``seed``, int in
    [0, 2**63).

    Args:
        pages: The pages.
        view: Their view.
        seed: Another seed, other views and damage.
        num_items: Of an epoch, dealt to the pages in turn; None: one of each page.
    """

    def __init__(self, pages: PageCache, view: View, *, seed: int, num_items: int | None = None) -> None:
        self.pages, self.view, self.seed = pages, view, seed
        self.num_items = len(pages) if num_items is None else num_items

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, position: tuple[int, int] | int) -> dict[str, Any]:
        """Item of (epoch, index); an index alone, as Lightning's ``overfit_batches`` asks, means epoch 0.

        In place of a page that cannot be read comes the next one that can.
        """
        epoch, index = position if isinstance(position, tuple) else (0, position)
        self._make_ahead(epoch, index)
        key = (self.seed, epoch, index)
        for slot in range(index, index + len(self.pages)):
            page = self.pages.read(self.pages.source.at(epoch, slot % len(self.pages)))
            if page is not None:
                clean, ink = split_ink(self.view.train(page, key))
                ink = find_ink(clean) if ink is None else ink
                pictures = {"clean": from_array(clean), "ink": from_array(ink[..., None])}
                return {**pictures, "seed": stable_hash("damage", *key)}
        raise UserError("none of the training pages can be read; see the warnings")

    def _make_ahead(self, epoch: int, index: int) -> None:
        # Each page of the next epoch falls to one item of this one: no page is made twice, and no worker waits.
        coming = self.pages.source.coming(epoch)
        if coming:
            number, rest = divmod(index, max(1, self.num_items // len(coming)))
            if rest == 0 and number < len(coming):
                self.pages.make(coming[number])


class MixedPages(Dataset[dict[str, Any]]):
    """The items of several data sets, one after the other."""

    def __init__(self, parts: list[TrainingPages]) -> None:
        self.parts = parts
        self.ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, position: tuple[int, int] | int) -> dict[str, Any]:
        """Item of (epoch, index)."""
        epoch, index = position if isinstance(position, tuple) else (0, position)
        part = bisect_right(self.ends, index)
        return self.parts[part][epoch, index - (self.ends[part - 1] if part else 0)]


def training_items(
    pages: Mapping[str, PageCache], view: View, *, seed: int, views_per_page: int, generated_share: float
) -> TrainingPages | MixedPages:
    """What an epoch trains on: items of ``real`` pages, of ``generated`` ones, or of both.

    Args:
        pages: By kind.
        view: Their view.
        seed: Of views and damage.
        views_per_page: Items of each page; mixed, of each real page.
        generated_share: Share of the items that are of generated pages, where there are both kinds.
    """
    if len(pages) == 1:
        (only,) = pages.values()
        return TrainingPages(only, view, seed=seed, num_items=len(only) * views_per_page)
    num_real = len(pages["real"]) * views_per_page
    num_generated = max(1, round(num_real * generated_share / (1 - generated_share)))
    real = TrainingPages(pages["real"], view, seed=seed, num_items=num_real)
    # Of another seed: else the crops of both kinds would lie in the same places.
    seed = stable_hash("generated", seed)
    return MixedPages([real, TrainingPages(pages["generated"], view, seed=seed, num_items=num_generated)])


class FixedPairs(Dataset[dict[str, Any]]):
    """Clean pages with a damage that never changes, made once and kept in memory.

    The pair depends on the seed, the page's content and its name: not on the other pages, the batch size or
    the device. An item holds ``clean`` and ``degraded``, uint8 (3, S, S), and ``name``. Unreadable pages are
    left out with a warning each.

    Args:
        pages: The pages.
        view: Their view.
        degradation: Called as ``degradation(clean, seed=int)``, (1, 3, S, S) in [0, 1] on the CPU.
        seed: Another seed, another damage.
        key: Config key that named the pages, for the message.
        max_pages: Take so many of them, picked by the hash of their names.
        views_per_page: Pairs made of each page; all pages' first come first.
    """

    def __init__(
        self,
        pages: PageCache,
        view: View,
        degradation: nn.Module,
        *,
        seed: int,
        key: str,
        max_pages: int | None = None,
        views_per_page: int = 1,
    ) -> None:
        rounds: list[list[dict[str, Any]]] = [[] for _ in range(views_per_page)]
        for index in pick_pages(pages.source, max_pages):
            page = pages.read(index)  # once for all its views
            if page is None:
                continue
            for number, items in enumerate(rounds):
                name = view_name(pages.source.name(index), number)
                clean, degraded = fixed_pair(page, name, view, degradation, seed=seed)
                items.append({"clean": clean, "degraded": degraded, "name": name})
        self._items = [item for items in rounds for item in items]
        if not self._items:
            raise UserError(f"{key}: none of its {len(pages)} pages can be read; see the warnings")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Item of the index."""
        return self._items[index]

    @property
    def names(self) -> list[str]:
        """Names of the pages, in order."""
        return [item["name"] for item in self._items]


def fixed_pair(
    page: NDArray[np.uint8], name: str, view: View, degradation: nn.Module, *, seed: int
) -> tuple[Tensor, Tensor]:
    """The view of a prepared page and its lasting damage, uint8 (3, H, W) each: a function of page, name, seed.

    A view that the draw leaves undamaged is drawn again, `REDRAWS` times at most: the PSNR of equal pictures is
    infinite, and a single such pair would outweigh all others in a mean.

    Args:
        page: uint8 (H, W, 3 or 4), as ``view.prepare`` gives it.
        name: Of the view, as `view_name` gives it.
        view: Has the method ``fixed``.
        degradation: Called as ``degradation(clean, seed=int)``, (1, 3, H, W) in [0, 1] on the CPU.
        seed: Another seed, another view and damage.
    """
    picture, _ = split_ink(view.fixed(page, (stable_hash("view", seed, name),)))
    clean = from_array(picture)
    degraded = clean
    for attempt in range(1 + REDRAWS):
        key = (name, attempt) if attempt else (name,)
        with torch.no_grad():
            degraded = to_uint8(degradation(to_float(clean[None]), seed=stable_hash("damage", seed, *key)))[0]
        if not torch.equal(degraded, clean):
            break
    return clean, degraded


def view_name(page: str, number: int) -> str:
    """Name of a page's view: the page's own for the first, ``page#1`` for the second."""
    return f"{page}#{number}" if number else page


def pick_pages(source: PageSource, max_pages: int | None) -> Sequence[int]:
    """Indexes of so many pages, by the hash of their names, or of all."""
    every = range(len(source))
    if max_pages is None:
        return every
    return sorted(nsmallest(max_pages, every, key=lambda index: stable_hash("pick", source.name(index))))
