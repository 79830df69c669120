"""Whether a picture as a whole is damaged, judged from statistics: noise, blur, compression, light, tone."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.models.colour_head import NUM_STATISTICS, colour_statistics, thinned
from manuscript_restore.models.layers import zero_init

LEVELS = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
SCALES = ((3, 8), (5, 16), (9, 24))
"""Sides in pixels of the means that are taken away, and of the blocks whose deviation is measured."""
PEAKS = (0.5, 0.9, 0.99, 0.999)
FLAT = 1e-4
"""Deviation that counts as none."""
GRID = 8
"""Side of JPEG's blocks, pixels."""
MIN_SIDE = 32
"""Smaller pictures are continued by their edge."""
NUM_TEXTURE = len(SCALES) * 3 * len(LEVELS) + len(PEAKS) + 2


class SoundnessHead(nn.Module):
    """One logit of damage per picture, from statistics that noise, blur, compression and tone change.

    Which quantile of the local deviations is noise and which is strokes, a perceptron learns from a few thousand
    pictures; a network that looks at pixels needs far more. Starts at 0.

    Args:
        width: Size of the two hidden layers.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(NUM_STATISTICS + NUM_TEXTURE, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            zero_init(nn.Linear(width, 1)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 1)."""
        down, right = (max(0, MIN_SIDE - side) for side in images.shape[-2:])
        images = F.pad(images, (0, right, 0, down), mode="replicate") if down or right else images
        logits: Tensor = self.mlp(torch.cat([colour_statistics(images), texture_statistics(images)], dim=1))
        return logits


@torch.no_grad()
def texture_statistics(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1], sides of at least `MIN_SIDE`, to (B, 69), of unit order.

    At each of `SCALES` the logarithm of the local deviation of grey and of two colour differences, by quantiles
    over blocks; quantiles of the finest detail (`PEAKS`); and how much steps at the boundaries of JPEG's blocks
    stand out, across and down.
    """
    images = images.float().contiguous()  # channels last, means take twice the time
    red, green, blue = images.chunk(3, dim=1)
    grey = images.mean(dim=1, keepdim=True)
    planes = torch.cat([grey, red - green, blue - green], dim=1)
    levels, peaks = (torch.tensor(values, device=images.device) for values in (LEVELS, PEAKS))
    statistics = []
    for window, block in SCALES:
        detail = planes - _means(planes, window)
        # Not 1e-8 added to the variance: exporters take so small a number for zero.
        variance = F.avg_pool2d((detail / FLAT).square(), block) + 1
        deviation = variance.log() / 2 + math.log(FLAT)  # of σ
        quantiles = deviation.flatten(2).quantile(levels, dim=2)  # (levels, b, 3)
        statistics.append(quantiles.permute(1, 2, 0).flatten(1) / 2 + 1.5)
    detail = (grey - _means(grey, 3)).abs().flatten(1)
    detail = thinned(detail, 1, 2**16)  # quantiles need no more
    statistics.append((detail.quantile(peaks, dim=1).T + 1e-4).log() / 2 + 1.5)
    across, down = (grey.diff(dim=axis).abs().mean(dim=(1, other)) for axis, other in ((3, 2), (2, 3)))
    statistics += [_blockiness(across), _blockiness(down)]
    return torch.cat(statistics, dim=1)


def _means(planes: Tensor, side: int) -> Tensor:
    """Means over squares, at the border over what is there of them: first down, then across."""
    columns = F.avg_pool2d(planes, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(columns, (1, side), 1, (0, side // 2), count_include_pad=False)


def _blockiness(steps: Tensor) -> Tensor:
    """Mean steps (B, n) between neighbours → (B, 1): log of the largest of the eight phases over their mean."""
    whole = torch.arange(steps.shape[1] // GRID * GRID, device=steps.device)
    phases = steps.index_select(1, whole).reshape(steps.shape[0], -1, GRID).mean(dim=1)
    prominence: Tensor = phases.amax(dim=1, keepdim=True) / (phases.mean(dim=1, keepdim=True) + 1e-5)
    return (prominence + 1e-5).log()
