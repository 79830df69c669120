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

    No item comes twice; where their number does not divide by the devices', a few wait for another epoch. The
    order is a function of (seed, epoch, devices): neither workers nor a resume, within an epoch too, change it.

    Args:
        data: The items.
        num_replicas: Devices.
        rank: This device.
        seed: Another seed, another order.
    """

    def __init__(self, data: Dataset[Any], num_replicas: int, rank: int, *, seed: int) -> None:
        super().__init__(data, num_replicas, rank, seed=seed, drop_last=True)
        self._done: dict[int, int] = {}

    def go_on(self, epoch: int, *, num_done: int) -> None:
        """Leave out the items of an epoch that this device has had."""
        self._done = {epoch: num_done}

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Positions of this epoch, in an order drawn from (seed, epoch)."""
        order = self._shuffled()[self._done.get(self.epoch, 0) :]
        for start in range(0, len(order), 1024):  # never a list of millions
            for index in order[start : start + 1024].tolist():
                yield self.epoch, index

    def _shuffled(self) -> Indexes:
        # The order of DistributedSampler, in an array.
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order: Indexes = torch.randperm(len(self.dataset), generator=generator).numpy()  # type: ignore[arg-type]
        return np.resize(order, self.total_size)[self.rank :: self.num_replicas]
