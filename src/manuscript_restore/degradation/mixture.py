"""Training on several presets at once."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from manuscript_restore.degradation.pipeline import DegradationPipeline
from manuscript_restore.errors import UserError


class Mixture(nn.Module):
    """Damages each page by one of several pipelines, drawn from the seed: (B, 3, H, W) in [0, 1] to the same.

    Drawn by the page, not by the batch: a batch that is sound as a whole teaches a network that all is sound, and
    the next one that all is damaged; only side by side they teach it the difference.

    Args:
        pipelines: By name; None leaves one out.
        weights: How often each pipeline is drawn, relative to the others; 1 where nothing is given.

    Raises:
        UserError: No pipeline, an unknown name, or a weight that is negative; no weight above 0.
    """

    def __init__(
        self, pipelines: Mapping[str, DegradationPipeline | None], weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        kept = {name: pipeline for name, pipeline in pipelines.items() if pipeline is not None}
        weights = weights or {}
        if unknown := weights.keys() - pipelines.keys():
            raise UserError(
                f"degradation.weights.{min(unknown)}: no such pipeline; there are {', '.join(pipelines) or 'none'}"
            )
        self.weights = torch.tensor([float(weights.get(name, 1.0)) for name in kept])
        if not (self.weights >= 0).all() or not self.weights.sum() > 0:
            raise UserError("degradation: a mixture needs a pipeline with a weight above 0, and none below 0")
        self.pipelines = nn.ModuleDict(kept)

    @property
    def kinds(self) -> list[str]:
        """Names of the transforms that a page may get, sorted."""
        drawn = zip(self.pipelines.values(), self.weights.tolist(), strict=True)
        return sorted({kind for pipeline, weight in drawn if weight for kind in cast(Any, pipeline).kinds})

    @torch.no_grad()
    def forward(self, clean: Tensor, *, seed: int) -> Tensor:
        """Damage a batch; the same pages and seed give the same result."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(self.weights, len(clean), replacement=True, generator=generator)
        degraded = torch.empty_like(clean, dtype=torch.float32, memory_format=torch.contiguous_format)
        for number, pipeline in enumerate(self.pipelines.values()):
            pages = (chosen == number).nonzero().flatten().to(clean.device)
            if len(pages):
                degraded[pages] = pipeline(clean[pages], seed=seed)
        return degraded
