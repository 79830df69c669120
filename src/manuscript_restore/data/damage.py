"""How training items become a damaged batch."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import default_collate

from manuscript_restore.data.sources import stable_hash
from manuscript_restore.data.surround import lay_surround
from manuscript_restore.images.tensors import to_float, to_uint8


class DamagedBatch:
    """Stacks training items and damages them, in the process that read them: one core for each process.

    Damage is hundreds of small steps for each page: on a GPU as many launches, while it could train and the cores
    have nothing to do.

    Args:
        degradation: ``degradation(clean, seed=int) -> degraded``, both (B, 3, S, S) in [0, 1].
        surround: Share of the pages that get a surround.
    """

    def __init__(self, degradation: nn.Module, *, surround: float = 0.0) -> None:
        self.degradation, self.surround = degradation, surround

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """``clean`` and ``degraded``, uint8 (B, 3, S, S), and ``ink``, uint8 (B, 1, S, S)."""
        clean, ink = (to_float(torch.stack([item[part] for item in items])) for part in ("clean", "ink"))
        seed = items[0]["seed"]  # of the whole batch
        with torch.no_grad():
            degraded = self.degradation(clean, seed=seed)
        # Of another seed: else its first numbers would be those that the damage's severity is drawn from.
        lay_surround(degraded, clean, ink, p=self.surround, seed=stable_hash("surround", seed))
        pictures = {"clean": clean, "degraded": degraded, "ink": ink}
        # default_collate stacks into a worker's shared memory. Where that is full it raises here; what the queue
        # moves there later is lost without a word, and the training waits for it for ever.
        return {part: default_collate(list(to_uint8(batch))) for part, batch in pictures.items()}
