"""The order of an epoch, on one device or many."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, DistributedSampler

Indexes = NDArray[np.int64]


class EpochSampler(DistributedSampler[Any]):
    """Yields (epoch, index): the epoch travels to the workers with the index, however far they read ahead.

    Every item comes once, on one device; a few come twice where their number does not divide by the devices'. The
    order is a function of (seed, epoch, devices): neither workers nor a resume change it.

    Args:
        data: The items.
        num_replicas: Devices.
        rank: This device.
        seed: Another seed, another order.
        shards: Where the shards of the items begin, and the number of items: then a device takes whole shards, in
            random order, and shuffles the items of ``window`` of them at a time. None: all items are shuffled.
        window: Shards that are open at the same time.
    """

    def __init__(
        self,
        data: Dataset[Any],
        num_replicas: int,
        rank: int,
        *,
        seed: int,
        shards: Indexes | None = None,
        window: int = 4,
    ) -> None:
        super().__init__(data, num_replicas, rank, seed=seed)
        self.shards, self.window = shards, window

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Positions of this epoch, in an order drawn from (seed, epoch)."""
        order = self._shuffled() if self.shards is None else self._shard_by_shard(self.shards)
        for start in range(0, len(order), 1024):  # never a list of millions
            for index in order[start : start + 1024].tolist():
                yield self.epoch, index

    def _shuffled(self) -> Indexes:
        # The order of DistributedSampler, in an array.
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order: Indexes = torch.randperm(len(self.dataset), generator=generator).numpy()  # type: ignore[arg-type]
        return np.resize(order, self.total_size)[self.rank :: self.num_replicas]

    def _shard_by_shard(self, shards: Indexes) -> Indexes:
        rng = np.random.default_rng((self.seed, self.epoch))
        spans = [np.arange(shards[i], shards[i + 1]) for i in rng.permutation(len(shards) - 1)]
        order = np.resize(np.concatenate(spans), self.total_size)
        mine = order[self.rank * self.num_samples :][: self.num_samples]
        rng = np.random.default_rng((self.seed, self.epoch, self.rank))
        span = -(-self.window * len(order) // len(spans))  # items in a window of average shards
        parts = [rng.permutation(mine[start : start + span]) for start in range(0, len(mine), span)]
        return np.concatenate(parts)
