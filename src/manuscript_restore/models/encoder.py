"""timm Vision Transformers as encoders: an image in, feature maps from several depths out."""

from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed
from timm.models import VisionTransformer, load_state_dict
from torch import Tensor, nn

from manuscript_restore.errors import UserError

HUB = "hub"


class Encoder(nn.Module):
    """A plain (single-scale) ViT of timm's registry without its classifier.

    Class tokens are dropped where the architecture allows it; other prefix tokens (registers) stay inside
    and never reach the feature maps.

    Args:
        name: timm model name, e.g. ``vit_base_patch16_224``.
        image_size: Training size in pixels; any multiple of the patch size works afterwards, with the
            learnt positions resampled.
        num_features: Number of feature maps, taken at even depths; the last is always the final block's.
        weights: None for random initialisation, a path to a timm checkpoint, or ``"hub"`` to let timm
            download the published weights.
        drop_path_rate: Stochastic depth rate in [0, 1).

    Raises:
        UserError: The name is unknown or not a ViT, or the weights cannot be found or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        *,
        image_size: int,
        num_features: int = 1,
        weights: str | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.vit = _create_vit(name, image_size=image_size, drop_path_rate=drop_path_rate)
        depth = len(self.vit.blocks)
        if not 1 <= num_features <= depth:
            raise UserError(f"num_features={num_features}: {name} has {depth} blocks; use 1 to {depth}")
        self.indices = [depth * (i + 1) // num_features - 1 for i in range(num_features)]
        self.dim: int = self.vit.embed_dim
        self.patch_size: int = self.vit.patch_embed.patch_size[0]
        config = self.vit.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1), persistent=False)
        if weights is not None:
            self._load(name, weights)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Encode (B, 3, H, W) images in [0, 1]; H and W are multiples of the patch size.

        Returns:
            ``num_features`` maps of shape (B, dim, H / patch, W / patch), final norm applied to each.
        """
        normalised = (images - self.mean) / self.std
        features: list[Tensor] = self.vit.forward_intermediates(
            normalised, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return features

    def _load(self, name: str, weights: str) -> None:
        state = _hub_state(name) if weights == HUB else _file_state(weights)
        own = self.vit.state_dict()
        state = {key: value for key, value in state.items() if key in own}
        if "pos_embed" in own and "pos_embed" in state:
            state["pos_embed"] = _fit_positions(state["pos_embed"], self.vit)
        wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
        if wrong:
            raise UserError(
                f"model.encoder_weights={weights}: not weights of {name} "
                f"({len(wrong)} of {len(own)} tensors are missing or of another shape, e.g. {wrong[0]}); "
                "choose the encoder that the file was made with"
            )
        self.vit.load_state_dict(state)


def _create_vit(name: str, *, image_size: int, drop_path_rate: float) -> Any:
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:8])
        raise UserError(f"model.encoder={name}: timm has no such model; near ones: {close or 'none'}")
    options: dict[str, Any] = {"num_classes": 0, "global_pool": "", "dynamic_img_size": True}
    try:
        with torch.device("meta"):  # the shape of the model decides the options, its numbers do not
            probe = timm.create_model(name, **options)
    except (TypeError, AssertionError):  # not an option of this architecture
        probe = None
    plain = isinstance(getattr(probe, "patch_embed", None), PatchEmbed)  # else a ConvNet makes the patches
    if not (plain and hasattr(probe, "forward_intermediates") and hasattr(probe, "num_prefix_tokens")):
        raise UserError(
            f"model.encoder={name}: not a plain Vision Transformer of timm; use e.g. vit_base_patch16_224"
        )
    if type(probe) is VisionTransformer:
        options["class_token"] = False
    patch_size = probe.patch_embed.patch_size[0]
    if image_size % patch_size:
        near = max(1, round(image_size / patch_size)) * patch_size
        raise UserError(f"image_size={image_size}: not a multiple of the patch size {patch_size}; use {near}")
    return timm.create_model(name, img_size=image_size, drop_path_rate=drop_path_rate, **options)


def _file_state(path: str) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise UserError(f"model.encoder_weights={path}: no such file; give a timm checkpoint, 'hub' or null")
    try:
        state: dict[str, Tensor] = load_state_dict(path)
    except Exception as error:  # pickle, zip and safetensors raise kinds of their own
        raise UserError(f"model.encoder_weights={path}: damaged, or not a checkpoint ({error})") from error
    return state


def _hub_state(name: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub client raises many kinds, all of which mean the same to the user
        raise UserError(
            f"model.encoder_weights=hub: the weights of {name} could not be downloaded ({error}); "
            "give a local file, or null to train from scratch"
        ) from error
    return state


def _fit_positions(positions: Tensor, vit: Any) -> Tensor:
    """Drop the positions of prefix tokens and resample the rest to the grid of ``vit``."""
    num_tokens = positions.shape[1]
    num_prefix = num_tokens - int(num_tokens**0.5) ** 2
    own_prefix = vit.pos_embed.shape[1] - vit.patch_embed.num_patches
    fitted: Tensor = resample_abs_pos_embed(
        positions if own_prefix else positions[:, num_prefix:],
        new_size=list(vit.patch_embed.grid_size),
        num_prefix_tokens=own_prefix,
    )
    return fitted
