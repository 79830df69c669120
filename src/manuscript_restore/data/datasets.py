"""What a training and a validation sample are, and the order of an epoch."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.sources import stable_hash
from manuscript_restore.data.views import View
from manuscript_restore.errors import UserError
from manuscript_restore.images import from_array, to_float, to_uint8


class TrainingPages(Dataset[dict[str, Any]]):
    """Augmented clean pages, each with the seed of its damage.

    An item is a pure function of (seed, epoch, index): neither workers nor the order of access matter. It
    holds ``clean``, uint8 (3, S, S), and ``seed``, int in [0, 2**63).

    Args:
        pages: The pages.
        view: Their view.
        seed: Another seed, other views and damage.
        views_per_page: Items that an epoch takes from each page.
    """

    def __init__(self, pages: PageCache, view: View, *, seed: int, views_per_page: int = 1) -> None:
        self.pages, self.view, self.seed, self.views_per_page = pages, view, seed, views_per_page

    def __len__(self) -> int:
        return len(self.pages) * self.views_per_page

    def __getitem__(self, position: tuple[int, int] | int) -> dict[str, Any]:
        """Item of (epoch, index); an index alone, as Lightning's ``overfit_batches`` asks, means epoch 0.

        In place of a page that cannot be read comes the next one that can.
        """
        epoch, index = position if isinstance(position, tuple) else (0, position)
        key = (self.seed, epoch, index)
        for candidate in range(index, index + len(self.pages)):
            page = self.pages.read(candidate % len(self.pages))
            if page is not None:
                clean = from_array(self.view.train(page, key))
                return {"clean": clean, "seed": stable_hash("damage", *key)}
        raise UserError("none of the training pages can be read; see the warnings")


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
        picked = sorted(range(len(pages)), key=lambda index: stable_hash("pick", pages.source.name(index)))
        for index in sorted(picked[:max_pages]):
            page = pages.read(index)  # once for all its views
            if page is None:
                continue
            for number, items in enumerate(rounds):
                name = pages.source.name(index) + (f"#{number}" if number else "")
                clean = from_array(view.fixed(page, (stable_hash("view", seed, name),)))
                with torch.no_grad():
                    degraded = degradation(to_float(clean[None]), seed=stable_hash("damage", seed, name))
                items.append({"clean": clean, "degraded": to_uint8(degraded)[0], "name": name})
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


class EpochSampler(DistributedSampler[Any]):
    """Yields (epoch, index): the epoch travels to the workers with the index, however far they read ahead."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Positions of this epoch, in an order drawn from (seed, epoch)."""
        return ((self.epoch, index) for index in super().__iter__())
