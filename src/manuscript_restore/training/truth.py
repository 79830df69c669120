"""What the damage map is taught: where a pair of pages differs visibly."""

import torch
import torch.nn.functional as F
from torch import Tensor

VISIBLE = (1 / 255, 7 / 255)
"""Mean change of a neighbourhood that nobody sees, and one that everybody sees."""
NEIGHBOURHOOD = 9
"""Its side in pixels: a hair's scratch counts, and noise has no holes."""


@torch.no_grad()
def damage_of(degraded: Tensor, clean: Tensor) -> Tensor:
    """How visibly a page is damaged about each pixel: (B, 3, H, W) in [0, 1] twice → (B, 1, H, W) in [0, 1].

    Whatever the damage was, it is the change of the pixels that a reader sees: 0 up to one grey level in the mean
    of a neighbourhood, 1 from seven on.
    """
    change = (degraded - clean).abs().amax(dim=1, keepdim=True)
    near = F.avg_pool2d(change, NEIGHBOURHOOD, stride=1, padding=NEIGHBOURHOOD // 2, count_include_pad=False)
    return ((near - VISIBLE[0]) / (VISIBLE[1] - VISIBLE[0])).clamp(0, 1)
