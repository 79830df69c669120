"""Several kinds of damage, one after the other."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from kornia.augmentation.base import _BasicAugmentationBase
from kornia.augmentation.random_generator import RandomGeneratorBase
from torch import Tensor, nn

from manuscript_restore.degradation.base import Degradation
from manuscript_restore.errors import UserError


class DegradationPipeline(nn.Module):
    """Applies transforms in the order of the config: (B, 3, H, W) in [0, 1] to the same shape and range.

    The damage is a pure function of pages and seed; the caller's random state is left alone. Parameters are drawn
    on the CPU and kept in `params`; `replay` repeats them on any device.

    Args:
        transforms: Name → `Degradation`, or any augmentation or container of Kornia's that keeps the shape.
        severity: Scales all strengths: 0 leaves the page as it is. For an augmentation of Kornia's, which knows no
            severity, the result is blended with what came in (and not strengthened above 1).

    Raises:
        UserError: A severity that is negative or infinite, or a transform that is no augmentation.
    """

    def __init__(self, transforms: Mapping[str, nn.Module] | None = None, severity: float = 1.0) -> None:
        super().__init__()
        if not isinstance(severity, int | float) or not 0 <= severity < math.inf:
            raise UserError(f"degradation.severity={severity}: must be a number of at least 0")
        for name, transform in (transforms or {}).items():
            if not isinstance(transform, nn.Module):
                raise UserError(
                    f"degradation.transforms.{name}: needs a _target_ that is a transform, and its values"
                )
            if not hasattr(transform, "forward_parameters"):
                raise UserError(
                    f"degradation.transforms.{name}: {type(transform).__name__} is no Kornia augmentation; put it "
                    "into a kornia.augmentation.ImageSequential"
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
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the caller's CUDA
            self.params = {
                name: transform.forward_parameters(clean.shape) for name, transform in self.transforms.items()
            }
            return self.replay(clean, self.params)

    @torch.no_grad()
    def replay(self, clean: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Damage a batch with the `params` of an earlier call.

        Raises:
            UserError: A transform changes the shape.
        """
        degraded = clean.float().clone(memory_format=torch.contiguous_format)
        with torch.autocast(clean.device.type, enabled=False):
            for name, transform in self.transforms.items():
                if isinstance(transform, Degradation):
                    degraded = transform.damage_chosen(degraded, params[name])
                else:
                    changed = transform(degraded, params=params[name])
                    if changed.shape != degraded.shape:
                        raise UserError(
                            f"degradation.transforms.{name}: makes {(*changed.shape,)} of {(*degraded.shape,)}; "
                            "use augmentations that keep the shape"
                        )
                    degraded = torch.lerp(degraded, changed.float(), min(self.severity, 1.0)).contiguous()
        return degraded.clamp_(0, 1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move what has weights, but keep drawing on the CPU in float32: draws must not depend on the device."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module in self.modules():
            if isinstance(module, _BasicAugmentationBase | RandomGeneratorBase):
                module.set_rng_device_and_dtype(torch.device("cpu"), torch.float32)
        return self
