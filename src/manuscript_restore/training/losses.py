"""The training loss: L1 + perceptual + (1 − SSIM) − PSNR, each with its weight."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.metrics import ssim
from manuscript_restore.training.perceptual import IMAGENET_MEAN, IMAGENET_STD, build_features

PSNR_FLOOR = 1e-4
"""Squared error of 40 dB."""


class PerceptualLoss(nn.Module):
    """Distance of two images in the features of a frozen ImageNet network.

    Per layer the mean absolute difference, relative to the mean magnitude of the clean page's features, so that
    networks of any scale share one weight; then the mean over layers. Runs in float32.

    Source: Johnson et al. 2016, eq. 2, with L1 in place of the squared norm.

    Args:
        network: ``efficientnet_lite0`` (weights in a package) or ``vgg16``; see `training.perceptual`.
        options: The network's own options.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: str, **options: Any) -> None:
        super().__init__()
        # In a tuple and so not a submodule: frozen weights have no place in checkpoints, EMA or DDP's buckets.
        self._frozen = (build_features(network, options),)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "PerceptualLoss":
        self._frozen[0]._apply(fn)  # type: ignore[no-untyped-call]  # the frozen network moves with the loss
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Scalar distance of two (B, 3, H, W) batches in [0, 1]."""
        network = self._frozen[0]
        with torch.no_grad():
            targets = network((clean - self.mean) / self.std)
        features = network((restored - self.mean) / self.std)
        distances = [
            (f - t).abs().mean() / (t.abs().mean() + 1e-6) for f, t in zip(features, targets, strict=True)
        ]
        return torch.stack(distances).mean()


class CombinedLoss(nn.Module):
    """``l1.weight`` · L1 + ``perceptual.weight`` · perceptual + ``ssim.weight`` · (1 − SSIM)
    − ``psnr.weight`` · PSNR.

    A term of weight zero is not computed, and its network is not built. PSNR is the mean over the pictures, in dB,
    flattened towards 40 dB: it makes the last small error of a page that is nearly right as worth mending as a
    large one of a bad page.

    Source: of the PSNR term, Chen et al. 2021 (HINet).

    Args:
        l1: ``{"weight": float}``.
        ssim: ``{"weight": float}``.
        perceptual: ``{"weight": float, "network": str, ...}``; see `PerceptualLoss`.
        psnr: ``{"weight": float}``.
    """

    def __init__(
        self,
        *,
        l1: Mapping[str, Any],
        ssim: Mapping[str, Any],
        perceptual: Mapping[str, Any],
        psnr: Mapping[str, Any] = {"weight": 0},  # read only; runs of older configs have none
    ) -> None:
        super().__init__()
        sections = {"l1": dict(l1), "ssim": dict(ssim), "perceptual": dict(perceptual), "psnr": dict(psnr)}
        self.weights = {name: _weight(name, section) for name, section in sections.items()}
        if not any(self.weights.values()):
            raise UserError("loss: all weights are 0; give at least one of l1, ssim, perceptual and psnr a weight")
        for name in ("l1", "ssim", "psnr"):
            check_keys(_no_options, sections[name], f"loss.{name}")
        self.perceptual = PerceptualLoss(**sections["perceptual"]) if self.weights["perceptual"] else None

    def forward(self, restored: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """Scalar terms, unweighted, under their names (``psnr`` negative), and their weighted sum under ``loss``.

        Args:
            restored: (B, 3, H, W) in [0, 1].
            clean: The target, same shape and range.
        """
        with torch.autocast(restored.device.type, enabled=False):  # SSIM loses its digits in bf16
            restored, clean = restored.float(), clean.float()
            terms: dict[str, Tensor] = {}
            if self.weights["l1"]:
                terms["l1"] = F.l1_loss(restored, clean)
            if self.weights["ssim"]:
                terms["ssim"] = 1 - ssim(restored, clean).mean()
            if self.perceptual is not None:
                terms["perceptual"] = self.perceptual(restored, clean)
            if self.weights["psnr"]:
                errors = (restored - clean).square().mean(dim=(1, 2, 3))  # (b,)
                terms["psnr"] = 10 * torch.log10(errors + PSNR_FLOOR).mean()
            total = sum((self.weights[name] * term for name, term in terms.items()), restored.new_zeros(()))
        return {**terms, "loss": total}


def _no_options() -> None:
    """Signature of a section that holds nothing but its weight."""


def _weight(name: str, section: dict[str, Any]) -> float:
    weight = section.pop("weight", None)
    if not isinstance(weight, int | float) or weight < 0:
        raise UserError(f"loss.{name}.weight={weight}: must be a number of at least 0")
    return float(weight)
