"""Decoders: from the encoder's feature maps and the page itself back to pixels.

Every decoder is called as ``decoder(images, features)`` with images (B, 3, H, W) in [0, 1] and feature maps
(B, dim, H / patch, W / patch), and returns (B, 3, H, W), unbounded. ``num_features`` says how many maps it wants.
A decoder with ``maps`` returns (B, 5, H, W): the logits of damage and of ink as well (`models.network`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.models.layers import zero_init


class ReferenceDecoder(nn.Module):
    """The reference system's head: a token becomes its patch of pixels; a 1×1 convolution merges the input.

    590,592 + 21 parameters at dim 768, patch 16.
    """

    num_features = 1
    memory_format = torch.contiguous_format
    """No convolution of its would gain by another; the tokens and the loss would lose (a tenth, on a CPU)."""

    def __init__(self, *, dim: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.to_pixels = nn.Linear(dim, 3 * patch_size**2)
        self.merge = nn.Conv2d(6, 3, kernel_size=1)

    def forward(self, images: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Decode the last feature map; see the module's docstring for shapes."""
        tokens = features[-1].permute(0, 2, 3, 1)  # (b, c, gh, gw) -> (b, gh, gw, c)
        pixels = self.to_pixels(tokens).permute(0, 3, 1, 2)  # (b, 3·p·p, gh, gw)
        pixels = F.pixel_shuffle(pixels, self.patch_size)  # (b, 3, h, w)
        merged: Tensor = self.merge(torch.cat([pixels, images], dim=1))
        return merged


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a GELU, added to the input: (B, C, H, W) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x``."""
        refined: Tensor = x + self.body(x)
        return refined


class PhaseConv2d(nn.Conv2d):
    """A 3×3 convolution whose output comes in phases: (B, C, H, W) → (B, 4·O, H/2, W/2), H and W even.

    A phase is what every other pixel of every other row makes, so that `F.pixel_shuffle` of the output is what
    `nn.Conv2d` gives, from the same weights. Thin layers at full size take the time of moving them about; as four
    times the channels at half the size they take less.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x``."""
        assert self.bias is not None
        return F.conv2d(x, _in_phases(self.weight), self.bias.repeat_interleave(4), stride=2, padding=1)


def _in_phases(weight: Tensor, margin: int = 0) -> Tensor:
    """The kernel at each pixel of a 2×2 square: (O, C, 3, 3) → (4·O, C, side, side), side 4 + 2·margin."""
    before, behind = margin, margin + 1
    shifted = [F.pad(weight, (before + x, behind - x, before + y, behind - y)) for y in (0, 1) for x in (0, 1)]
    return torch.stack(shifted, dim=1).flatten(0, 1)


def _conv_of_both(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0) -> Tensor:
    """What a convolution makes of the two joined, without joining them."""
    border = first.shape[1]
    of_first = F.conv2d(first, weight[:, :border], bias, padding=padding)
    return of_first + F.conv2d(second, weight[:, border:], padding=padding)


def _paint(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3×3 convolution of the two joined, which come in phases, (B, 4·C, H/2, W/2) each → (B, O, H, W)."""
    at_half = F.pixel_unshuffle(_in_phases(weight, margin=1), 2)  # (4·O, 4·2·C, 3, 3)
    return F.pixel_shuffle(_conv_of_both(first, second, at_half, bias.repeat_interleave(4), padding=1), 2)


class Upsample(nn.Module):
    """Pixel-shuffle up, join the pyramid's skip of that scale, refine."""

    def __init__(self, width_in: int, width_out: int, *, factor: int, num_blocks: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(width_in, width_out * factor**2, 1), nn.PixelShuffle(factor))
        self.join = nn.Conv2d(2 * width_out, width_out, 1)
        self.refine = nn.Sequential(*(ResidualBlock(width_out) for _ in range(num_blocks)))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Bring ``x`` to the shape of ``skip`` and merge the two."""
        merged: Tensor = self.refine(_conv_of_both(self.up(x), skip, self.join.weight, self.join.bias))
        return merged


class Maps(nn.Module):
    """Logits of the damage, from features at a quarter of the page's size, and of the ink, from full-size ones.

    Damage has no fine outlines, and a coarse map costs next to nothing. It starts as "all is damaged", so that a
    network whose colours are trained already goes on from there.

    Args:
        quarter: Channels at a quarter of the size.
        full: Channels at full size.
    """

    SHARPNESS = 10.0
    """Factor on all logits: an optimiser moves every weight by its rate, and certainty needs large logits."""

    def __init__(self, quarter: int, full: int) -> None:
        super().__init__()
        self.damage = zero_init(nn.Conv2d(quarter, 1, 1))
        self.ink = zero_init(nn.Conv2d(full, 1, 3, padding=1))
        nn.init.constant_(self.damage.bias, 3.0 / self.SHARPNESS)  # type: ignore[arg-type]

    def forward(self, quarter: Tensor, full: tuple[Tensor, Tensor], residual: nn.Conv2d) -> Tensor:
        """(B, C, H/4, W/4) and, in phases, 2 × (B, 2·C', H/2, W/2) → (B, 5, H, W): residual, damage, ink.

        ``residual`` and the ink's convolution run as one: so thin, they take the time of reading their input.
        """
        assert residual.bias is not None
        assert self.ink.bias is not None
        weight = torch.cat([residual.weight, self.ink.weight])
        painted = _paint(*full, weight, torch.cat([residual.bias, self.ink.bias]))
        damage = F.interpolate(self.damage(quarter), painted.shape[-2:], mode="bilinear")
        return torch.cat([painted[:, :3], self.SHARPNESS * damage, self.SHARPNESS * painted[:, 3:]], dim=1)


class ProgressiveDecoder(nn.Module):
    """Upsampling step by step, with a skip from a light convolutional pyramid of the page at every scale.

    The pyramid (1/1, 1/2, 1/4, 1/8) carries the strokes, the ViT's maps the context. The output starts as the
    input itself, because the last convolution and the colour head are initialised to zero. The network learns a
    residual, plus one gain and offset per page and channel: fading and tint are global, and this undoes them
    cheaply.

    Sources: skips and final 3×3 convolution, U-ViT (Bao et al. 2023); pixel shuffle, ESPCN (Shi et al. 2016);
    working at half resolution and below, because thin full-resolution layers are the slow ones.

    Args:
        dim: Channels of the feature maps.
        patch_size: Pixels a token stands for, a multiple of 8.
        num_features: Number of encoder depths that are merged.
        widths: Channels at scales 1/1, 1/2, 1/4, 1/8 and in the merged ViT features.
        num_blocks: Residual blocks per scale, in the pyramid and in the decoder each.
        maps: Give the damage, judged at 1/4, and the ink, at 1/1, as well.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        *,
        dim: int,
        patch_size: int,
        num_features: int = 4,
        widths: Sequence[int] = (16, 32, 48, 64, 128),
        num_blocks: int = 1,
        maps: bool = False,
    ) -> None:
        super().__init__()
        if patch_size % 8:
            raise UserError(f"decoder=progressive needs a patch size that is a multiple of 8, not {patch_size}")
        if len(widths) != 5:
            raise UserError(f"model.decoder.widths={list(widths)}: five widths are needed (1/1 to 1/8, ViT)")
        full, half, quarter, eighth, context = widths
        self.num_features = num_features

        def refine(width: int) -> nn.Sequential:
            return nn.Sequential(*(ResidualBlock(width) for _ in range(num_blocks)))

        self.stem = nn.Sequential(PhaseConv2d(3, full, 3), nn.GELU())
        self.to_half = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, half, 3, padding=1), refine(half))
        self.to_quarter = nn.Sequential(nn.Conv2d(half, quarter, 2, stride=2), refine(quarter))
        self.to_eighth = nn.Sequential(nn.Conv2d(quarter, eighth, 2, stride=2), refine(eighth))

        self.merge_depths = nn.Conv2d(num_features * dim, context, 1)
        self.up_eighth = Upsample(context, eighth, factor=patch_size // 8, num_blocks=num_blocks)
        self.up_quarter = Upsample(eighth, quarter, factor=2, num_blocks=num_blocks)
        self.up_half = Upsample(quarter, half, factor=2, num_blocks=num_blocks)
        self.up_full = nn.Sequential(nn.Conv2d(half, 4 * full, 1), nn.GELU())  # in phases
        self.to_residual = zero_init(nn.Conv2d(2 * full, 3, 3, padding=1))
        self.to_colour = zero_init(nn.Linear(dim, 6))
        self.to_maps = Maps(quarter, 2 * full) if maps else None

    def forward(self, images: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Decode all feature maps; see the module's docstring for shapes."""
        centred = images - 0.5
        full = self.stem(centred)
        half = self.to_half(centred)
        quarter = self.to_quarter(half)
        eighth = self.to_eighth(quarter)

        x = self.merge_depths(torch.cat(list(features), dim=1))
        x = self.up_eighth(x, eighth)
        context = self.up_quarter(x, quarter)
        x = self.up_half(context, half)
        strokes = self.up_full(x), full
        if self.to_maps is None:
            assert self.to_residual.bias is not None
            residual, maps = _paint(*strokes, self.to_residual.weight, self.to_residual.bias), None
        else:
            residual, maps = self.to_maps(context, strokes, self.to_residual).split((3, 2), dim=1)

        colour = self.to_colour(features[-1].mean(dim=(2, 3)))  # (b, 6)
        gain, offset = colour.view(-1, 6, 1, 1).chunk(2, dim=1)  # (b, 3, 1, 1) each
        restored: Tensor = images * (1 + gain) + offset + residual
        return restored if maps is None else torch.cat([restored, maps], dim=1)
