"""The training loss: L1 + perceptual + (1 − SSIM) − PSNR, and cross entropy of the maps, each with its weight."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.metrics import ssim, ssim_of_crops
from manuscript_restore.metrics.pictures import SSIM_WINDOW, fit_colours
from manuscript_restore.models.network import Prediction
from manuscript_restore.training.perceptual import IMAGENET_MEAN, IMAGENET_STD, build_features
from manuscript_restore.training.truth import damage_of

NONE: Mapping[str, Any] = {"weight": 0}

PSNR_FLOOR = 1e-4
"""Squared error of 40 dB."""
LARGEST_CROP = 512
"""Side up to which `ssim_of_crops` is the faster one."""
COLOURFUL = 0.1
"""Distance from a page's mean opponent colour from which on a place stands out by its colour."""


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
    − ``psnr.weight`` · PSNR − ``colour_fit.weight`` · PSNR after a colour fit + ``colours.weight`` · colour error
    + ``damage.weight`` and ``ink.weight`` · cross entropy of the network's maps.

    A term of weight zero is not computed, and its network is not built. PSNR is the mean over the pictures, in dB,
    flattened towards 40 dB: it makes the last small error of a page that is nearly right as worth mending as a
    large one of a bad page. The colour fit is that of `metrics.psnr_after_colour_fit`: it judges strokes and
    stains where the page's tone cannot be known. The colour error judges only what stands out by its colour: red
    ink is so rare that a network pales it without losing much in any other term. The truth of the damage map is
    `damage_of`.

    Source: of the PSNR term, Chen et al. 2021 (HINet).

    Args:
        l1: ``{"weight": float}``.
        ssim: ``{"weight": float}``.
        perceptual: ``{"weight": float, "network": str, ...}``; see `PerceptualLoss`.
        psnr: ``{"weight": float}``.
        colour_fit: ``{"weight": float}``.
        colours: ``{"weight": float}``.
        damage: ``{"weight": float}``; nothing for a network without maps.
        ink: ``{"weight": float}``; nothing for such a network, and for pages whose ink is not known.
    """

    def __init__(
        self,
        *,
        l1: Mapping[str, Any],
        ssim: Mapping[str, Any],
        perceptual: Mapping[str, Any],
        psnr: Mapping[str, Any] = NONE,  # runs of older configs have none of these
        colour_fit: Mapping[str, Any] = NONE,
        colours: Mapping[str, Any] = NONE,
        damage: Mapping[str, Any] = NONE,
        ink: Mapping[str, Any] = NONE,
    ) -> None:
        super().__init__()
        pictures = {"l1": l1, "ssim": ssim, "perceptual": perceptual, "psnr": psnr}
        pictures |= {"colour_fit": colour_fit, "colours": colours}
        sections = {name: dict(section) for name, section in {**pictures, "damage": damage, "ink": ink}.items()}
        self.weights = {name: _weight(name, section) for name, section in sections.items()}
        if not any(self.weights[name] for name in pictures):
            raise UserError(f"loss: no term of the picture has a weight; give one of {', '.join(pictures)} one")
        for name in sections.keys() - {"perceptual"}:
            check_keys(_no_options, sections[name], f"loss.{name}")
        self.perceptual = PerceptualLoss(**sections["perceptual"]) if self.weights["perceptual"] else None

    def forward(self, prediction: Prediction, pages: Mapping[str, Any]) -> dict[str, Tensor]:
        """Scalar terms, unweighted, under their names (PSNRs negative), and their weighted sum under ``loss``.

        Args:
            prediction: What the network makes of ``pages["degraded"]``.
            pages: ``degraded`` and ``clean``, (B, 3, H, W) in [0, 1]; ``ink``, (B, 1, H, W), where it is known.
        """
        with torch.autocast(prediction.image.device.type, enabled=False):  # SSIM loses its digits in bf16
            restored, clean = prediction.image.float(), pages["clean"].float()
            terms: dict[str, Tensor] = {}
            if self.weights["l1"]:
                terms["l1"] = F.l1_loss(restored, clean)
            if self.weights["ssim"]:
                terms["ssim"] = 1 - _ssim(restored, clean).mean()
            if self.perceptual is not None:
                terms["perceptual"] = self.perceptual(restored, clean)
            if self.weights["psnr"]:
                terms["psnr"] = _minus_psnr(restored, clean)
            if self.weights["colour_fit"]:
                terms["colour_fit"] = _minus_psnr(fit_colours(restored, clean, clamp=False), clean)
            if self.weights["colours"]:
                terms["colours"] = _colour_error(restored, clean)
            if self.weights["damage"] and prediction.damage is not None:
                terms["damage"] = _cross_entropy(prediction.damage, damage_of(pages["degraded"], pages["clean"]))
            if self.weights["ink"] and prediction.ink is not None and "ink" in pages:
                terms["ink"] = _cross_entropy(prediction.ink, pages["ink"])
            total = sum((self.weights[name] * term for name, term in terms.items()), restored.new_zeros(()))
        return {**terms, "loss": total}


def _ssim(restored: Tensor, clean: Tensor) -> Tensor:
    sides = clean.shape[-2:]
    dense = min(sides) >= SSIM_WINDOW and max(sides) <= LARGEST_CROP
    return ssim_of_crops(restored, clean) if dense else ssim(restored, clean)


def _minus_psnr(restored: Tensor, clean: Tensor) -> Tensor:
    errors = (restored - clean).square().mean(dim=(1, 2, 3))  # (b,)
    return 10 * torch.log10(errors + PSNR_FLOOR).mean()


def _colour_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Error of the opponent colours, weighted by how far the clean ones are from the mean of their page."""
    colours, truth = _opponents(restored), _opponents(clean)
    distance = (truth - truth.mean(dim=(2, 3), keepdim=True)).norm(dim=1, keepdim=True)
    weight = (distance - COLOURFUL).clamp(min=0)
    error: Tensor = (weight * (colours - truth).abs()).sum() / (weight.sum() + 1)
    return error


def _opponents(pictures: Tensor) -> Tensor:
    """Red against green, and yellow against blue: (B, 3, H, W) → (B, 2, H, W) in [−1, 1]."""
    red, green, blue = pictures.unbind(dim=1)
    return torch.stack([red - green, (red + green) / 2 - blue], dim=1)


def _cross_entropy(probability: Tensor, truth: Tensor) -> Tensor:
    probability = probability.float()
    # Not below a thousandth: there is noise in the truth, and one pixel must not outweigh a page. A plain clamp
    # has no gradient there: what is surely wrong would never come back.
    limited = probability + (probability.clamp(1e-3, 1 - 1e-3) - probability).detach()
    # PyTorch stops at NaN here, on a GPU for good. The other terms tell of it, and `Diverged` keeps the batch.
    return F.binary_cross_entropy(limited.nan_to_num(nan=0.5), truth.float())


def _no_options() -> None:
    """Signature of a section that holds nothing but its weight."""


def _weight(name: str, section: dict[str, Any]) -> float:
    weight = section.pop("weight", None)
    if not isinstance(weight, int | float) or weight < 0:
        raise UserError(f"loss.{name}.weight={weight}: must be a number of at least 0")
    return float(weight)
