"""One decision on a page's tone: tiles that judge fading and tint each for itself would show as patches.

A first look at a few tiles says how the network changes this page's colours as a whole, as one gain and offset per
channel. Every tile is then shifted so that most of its pixels follow that; what differs within a tile (a stain
that was taken away, strokes) stays as the network made it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

DARK = 0.25
"""Mean of the colours below which pixels follow the shift less and less: black stays black."""


@dataclass(frozen=True)
class Tone:
    """What the network makes of a page's colours: gain and offset, both (3, 1, 1)."""

    gain: Tensor
    offset: Tensor

    def __call__(self, original: Tensor) -> Tensor:
        """(B, 3, H, W) → the same, not clamped."""
        return original * self.gain + self.offset


def fit_tone(original: Tensor, restored: Tensor) -> Tone:
    """Least squares over all pixels of (B, 3, H, W) tiles and their restorations, a line per channel."""
    x, y = (tiles.transpose(0, 1).flatten(1).double() for tiles in (original, restored))  # (3, n)
    dx, dy = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    weak = 1e-6 * x.shape[1]  # draws the gain of pages of a single colour to 1
    gain = ((dx * dy).sum(dim=1) + weak) / (dx.square().sum(dim=1) + weak)
    offset = y.mean(dim=1) - gain * x.mean(dim=1)
    return Tone(gain.float()[:, None, None], offset.float()[:, None, None])


def follow(tone: Tone, restored: Tensor, original: Tensor) -> Tensor:
    """Shift each restored tile so that the median of its difference to the page's tone is 0: (B, 3, H, W)."""
    shift = (restored - tone(original)).flatten(2).median(dim=2).values[..., None, None]  # (b, 3, 1, 1)
    share = (restored.mean(dim=1, keepdim=True) / DARK).clamp(0, 1)
    return (restored - shift * share).clamp(0, 1)


def sample_starts(length: int, *, tile: int, count: int) -> list[int]:
    """First pixels of at most ``count`` tiles spread over an axis without overlap."""
    count = max(1, min(count, length // tile))
    return (
        torch.linspace(0, max(0, length - tile), count).long().tolist()
        if count > 1
        else [max(0, length - tile) // 2]
    )
