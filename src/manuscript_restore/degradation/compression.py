"""Compression of the file: JPEG."""

import math
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity, per_page
from manuscript_restore.degradation.fields import exact_type

# ITU-T T.81, tables K.1 and K.2
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
SLOPE = 16  # of the ramp that stands for a step of rounding


class JPEG(Degradation):
    """JPEG at a low quality: 8×8 blocks, ringing at strokes, colours at half the resolution (4:2:0).

    The quantisation tables of ITU-T T.81, scaled as libjpeg scales them. Entropy coding loses nothing and is left
    out.
    Rounding has short ramps for steps, so that the last bit of a device's arithmetic is not amplified, and so that
    gradients pass.

    Args:
        quality: Range of libjpeg's quality, 1–100. The severity scales the quantisation steps.
        p: Probability per page.
    """

    def __init__(self, *, quality: Sequence[float] = (15, 70), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"quality": quality}, high=100)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Compress in place."""
        height, width = pages[0].shape[-2:]
        device = pages[0].device
        dct, luminance, chrominance, to_ycbcr, to_rgb = _constants(device)
        drawn = zip(params["quality"].tolist(), per_page(severity, len(pages)), strict=True)
        for page, (quality, strength) in zip(pages, drawn, strict=True):
            scale = (50 / max(quality, 1.0) if quality < 50 else 2 - quality / 50) * strength / 255
            padded = page.to(dct.dtype, copy=True)
            if width % 16 or height % 16:
                padded = F.pad(padded[None], (0, -width % 16, 0, -height % 16), mode="replicate")[0]
            ycbcr = (to_ycbcr @ padded.flatten(1)).view_as(padded)
            light, colours = ycbcr[:1], ycbcr[1:]
            light = _quantise(light - 0.5, dct, (luminance * scale).clamp(min=1e-6)) + 0.5
            half = F.interpolate(colours[None], scale_factor=0.5, mode="bilinear")[0]  # the mean of 2×2
            half = _quantise(half, dct, (chrominance * scale).clamp(min=1e-6))
            full = F.interpolate(half[None], scale_factor=2, mode="bilinear")[0]
            # At a severity near 0 the halved colours must vanish too.
            colours = torch.lerp(colours, full, min(1.0, 20 * scale * 255))
            restored = (to_rgb @ torch.cat([light, colours]).flatten(1)).view_as(padded)
            page.copy_(restored[:, :height, :width]).clamp_(0, 1)


def _quantise(channels: Tensor, dct: Tensor, steps: Tensor) -> Tensor:
    """Transform 8×8 blocks, round the coefficients to multiples of their steps, and transform back."""
    num, height, width = channels.shape
    rows = dct @ channels.reshape(num, height // 8, 8, width)
    steps = steps.repeat(1, width // 8)
    levels = (rows.view(-1, 8) @ dct.T).view_as(rows) / steps
    whole = levels.floor()
    ramp = levels.sub_(whole).sub_(0.5).mul_(SLOPE).add_(0.5).clamp_(0, 1)
    rows = (whole.add_(ramp).mul_(steps).view(-1, 8) @ dct).view_as(rows)
    return (dct.T @ rows).view(num, height, width)


@cache
@torch.inference_mode(False)
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    index = torch.arange(8, dtype=torch.float64)
    dct = torch.cos((2 * index + 1) * index[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    to_ycbcr = torch.tensor(TO_YCBCR, dtype=torch.float64)
    tensors = (dct, torch.tensor(LUMINANCE), torch.tensor(CHROMINANCE), to_ycbcr, to_ycbcr.inverse())
    a, b, c, d, e = (tensor.to(device, exact_type(device)) for tensor in tensors)
    return a, b, c, d, e
