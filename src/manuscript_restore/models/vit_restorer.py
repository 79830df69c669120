"""The restorer: everything between a degraded page and a restored one, for any page size."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.models.decoders import ProgressiveDecoder, ReferenceDecoder
from manuscript_restore.models.encoder import Encoder

DECODERS: dict[str, type[ReferenceDecoder | ProgressiveDecoder]] = {
    "reference": ReferenceDecoder,
    "progressive": ProgressiveDecoder,
}


class ViTRestorer(nn.Module):
    """ViT encoder and pixel decoder: (B, 3, H, W) in [0, 1] to the same shape and range, for any H and W ≥ 1.

    Padding, normalisation and cropping live here, so that training, evaluation and restoration cannot disagree.

    Args:
        encoder: timm name of the ViT.
        decoder: ``{"name": "reference" | "progressive", ...}`` with the decoder's own options.
        image_size: Size in pixels of the training views.
        encoder_weights: None, a timm checkpoint, or ``"hub"``; see `Encoder`.
        drop_path_rate: Stochastic depth rate of the encoder.

    Raises:
        UserError: An unknown name or option.
    """

    def __init__(
        self,
        *,
        encoder: str,
        decoder: Mapping[str, Any],
        image_size: int = 256,
        encoder_weights: str | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        options = dict(decoder)
        name = options.pop("name", None)
        if name not in DECODERS:
            raise UserError(f"model.decoder.name={name}: unknown; use one of {', '.join(DECODERS)}")
        kind = DECODERS[name]
        if own := {"dim", "patch_size"} & options.keys():
            raise UserError(f"model.decoder.{min(own)}: follows from the encoder; remove it")
        check_keys(kind, options, "model.decoder")
        num_features = options.get("num_features", getattr(kind, "num_features", 4))
        self.encoder = Encoder(
            encoder,
            image_size=image_size,
            num_features=num_features,
            weights=encoder_weights,
            drop_path_rate=drop_path_rate,
        )
        self.decoder = kind(dim=self.encoder.dim, patch_size=self.encoder.patch_size, **options)

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore a batch of pages or crops; the output is clamped to [0, 1]."""
        height, width = degraded.shape[-2:]
        padded = _pad_to_multiple(degraded, self.encoder.patch_size)
        restored: Tensor = self.decoder(padded, self.encoder(padded))[..., :height, :width]
        clamped = restored.clamp(0, 1)
        if self.training:  # a plain clamp has no gradient outside [0, 1]: such pixels would never come back
            return restored + (clamped - restored).detach()
        return clamped


def _pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Pad at the right and bottom by replication (reflection fails on pages smaller than the padding)."""
    height, width = images.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images
