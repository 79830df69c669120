"""The restorer: everything between a degraded page and a restored one, for any page size."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.models.decoders import ProgressiveDecoder, ReferenceDecoder
from manuscript_restore.models.encoder import Encoder
from manuscript_restore.models.network import RestorationNetwork

DECODERS: dict[str, type[ReferenceDecoder | ProgressiveDecoder]] = {
    "reference": ReferenceDecoder,
    "progressive": ProgressiveDecoder,
}


class ViTRestorer(RestorationNetwork):
    """ViT encoder and pixel decoder: (B, 3, H, W) in [0, 1] to the same shape and range, for any H and W ≥ 1.

    Args:
        encoder: timm name of the ViT.
        decoder: ``{"name": "reference" | "progressive", ...}`` with the decoder's own options.
        image_size: Size in pixels of the training views.
        encoder_weights: None, a timm checkpoint, or ``"hub"``; see `Encoder`.
        drop_path_rate: Stochastic depth rate of the encoder.
        colour_head: Correct the colours as a whole first; see `ColourHead`.

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
        colour_head: bool = False,
    ) -> None:
        options = dict(decoder)
        name = options.pop("name", None)
        if name not in DECODERS:
            raise UserError(f"model.decoder.name={name}: unknown; use one of {', '.join(DECODERS)}")
        kind = DECODERS[name]
        if own := {"dim", "patch_size"} & options.keys():
            raise UserError(f"model.decoder.{min(own)}: follows from the encoder; remove it")
        check_keys(kind, options, "model.decoder")
        num_features = options.get("num_features", getattr(kind, "num_features", 4))
        network = Encoder(
            encoder,
            image_size=image_size,
            num_features=num_features,
            weights=encoder_weights,
            drop_path_rate=drop_path_rate,
        )
        super().__init__(
            multiple=network.patch_size,
            image_size=image_size,
            colour_head=colour_head,
            maps=bool(options.get("maps")),
        )
        self.encoder = network
        self.decoder = kind(dim=network.dim, patch_size=network.patch_size, **options)
        self.memory_format = kind.memory_format

    def set_image_size(self, image_size: int) -> None:
        """Change the side of the views, in pixels; the learnt positions are resampled."""
        super().set_image_size(image_size)
        self.encoder.vit.set_input_size(img_size=(image_size, image_size))

    def restore(self, padded: Tensor) -> Tensor:
        """Encode and decode."""
        restored: Tensor = self.decoder(padded, self.encoder(padded))
        return restored
