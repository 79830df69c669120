"""Several kinds of damage, one after the other."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from manuscript_restore.degradation.base import Degradation
from manuscript_restore.errors import UserError


class DegradationPipeline(nn.Module):
    """Applies transforms in the order of the config: (B, 3, H, W) in [0, 1] to the same shape and range.

    The damage is a pure function of pages and seed; the caller's random state is left alone. Parameters are drawn
    on the CPU and kept in `params`; `replay` repeats them on any device.

    Args:
        transforms: Name → `Degradation`, or any augmentation of Kornia's that keeps the shape.
        severity: Scales all strengths: 0 leaves the page as it is. For an augmentation of Kornia's, which knows no
            severity, the result is blended with what came in (and not strengthened above 1).

    Raises:
        UserError: A negative severity, or a transform that is no module.
    """

    def __init__(self, transforms: Mapping[str, nn.Module] | None = None, severity: float = 1.0) -> None:
        super().__init__()
        if not isinstance(severity, int | float) or not severity >= 0:
            raise UserError(f"degradation.severity={severity}: must be a number of at least 0")
        for name, transform in (transforms or {}).items():
            if not isinstance(transform, nn.Module):
                raise UserError(
                    f"degradation.transforms.{name}: needs a _target_ that is a transform, and its values"
                )
            if isinstance(transform, Degradation):
                transform.severity = severity
        self.transforms: Mapping[str, Any] = nn.ModuleDict(transforms or {})  # type: ignore[assignment]
        self.severity = severity
        self.params: dict[str, Any] = {}

    @torch.no_grad()
    def forward(self, clean: Tensor, *, seed: int) -> Tensor:
        """Damage a batch; the same pages and seed give the same result."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.params = {
                name: transform.forward_parameters(clean.shape) for name, transform in self.transforms.items()
            }
            return self.replay(clean, self.params)

    @torch.no_grad()
    def replay(self, clean: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Damage a batch with the `params` of an earlier call."""
        degraded = clean.float().clone()
        with torch.autocast(clean.device.type, enabled=False):
            for name, transform in self.transforms.items():
                if isinstance(transform, Degradation):
                    degraded = transform.damage_chosen(degraded, params[name])
                else:
                    degraded = torch.lerp(
                        degraded, transform(degraded, params=params[name]), min(self.severity, 1.0)
                    )
        return degraded.clamp_(0, 1)
