"""Correction of a whole page's colours: undoes fading and yellowing, judged from statistics."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.models.layers import zero_init

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
POOL = 4
"""Side in pixels of the means that the quantiles are taken of: noise and the shapes of letters stay out."""
MAX_SIDE = 256
"""Larger maps of means are thinned out: quantiles need no more."""
NUM_STATISTICS = 3 * len(LEVELS) + 3


class ColourHead(nn.Module):
    """One gain and offset per picture and channel, from the quantiles of its colours and its roughness.

    Damage to tone is global, and most of what can be known about it is in the histogram. A small perceptron learns
    it from a few thousand pictures; a network that looks at pixels needs far more. Starts as the identity.

    Args:
        width: Size of the two hidden layers.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(NUM_STATISTICS, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            zero_init(nn.Linear(width, 6)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Correct (B, 3, H, W) in [0, 1], H and W at least 4; the result is unbounded."""
        log_gain, offset = (
            self.mlp(colour_statistics(images)).view(-1, 6, 1, 1).chunk(2, dim=1)
        )  # (b, 3, 1, 1) each
        corrected: Tensor = images * log_gain.exp() + offset
        return corrected


@torch.no_grad()
def colour_statistics(images: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 30), of unit order: quantiles of the local means, mean departure from 3×3 means."""
    images = images.float()  # in bf16 quantiles of dark pages would be coarse
    means = F.avg_pool2d(images, POOL)
    for axis in (2, 3):
        means = thinned(means, axis, MAX_SIDE)
    levels = torch.tensor(LEVELS, device=images.device)
    quantiles = means.flatten(2).quantile(levels, dim=2)  # (levels, b, 3)
    colours = 4 * (quantiles.permute(1, 2, 0).flatten(1) - 0.5)
    roughness = (images - _means(images)).abs().mean(dim=(2, 3))
    return torch.cat([colours, 50 * roughness], dim=1)


def _means(images: Tensor) -> Tensor:
    """Means over 3×3, with zeros around; as sums, because engines pool windows that overlap one by one."""
    padded = F.pad(images, (1, 1, 1, 1))
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def thinned(values: Tensor, axis: int, most: int) -> Tensor:
    """Every so-manieth along an axis, so that ``most`` are left at most."""
    size = values.shape[axis]
    step = (size + most - 1) // most
    # Not a slice: the exporter of graphs for any size would settle whether it leaves all as they are.
    return values[(slice(None),) * axis + (torch.arange(0, size, step, device=values.device),)]
