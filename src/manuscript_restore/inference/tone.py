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

SAMPLES = (4, 3)
"""Tiles down and across that a page is looked at in first."""
STEP = 3
"""Every so many-th row and column has a say in a tile's shift; odd: networks leave patterns of 2, 4, 8 pixels."""
SURE = 0.5
"""Damage above which a pixel has a say in the page's tone."""


@dataclass(frozen=True)
class Tone:
    """What the network makes of a page's colours: gain and offset, both (3, 1, 1)."""

    gain: Tensor
    offset: Tensor

    def __call__(self, original: Tensor) -> Tensor:
        """(B, 3, H, W) → the same, not clamped."""
        return original * self.gain + self.offset


def fit_tone(original: Tensor, restored: Tensor, damage: Tensor) -> Tone | None:
    """Least squares over the damaged pixels of tiles and their restorations, a line per channel.

    Args:
        original: (B, 3, H, W).
        restored: The same.
        damage: (B, 1, H, W) in [0, 1]: the weights; pixels up to `SURE` have none.

    Returns:
        None if there is no damage.
    """
    w = (damage * (damage > SURE)).flatten().double()
    if (total := w.sum()) == 0:
        return None
    x, y = (tiles.transpose(0, 1).flatten(1).double() for tiles in (original, restored))  # (3, n)
    mean_x, mean_y = (x @ w / total, y @ w / total)
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    weak = 1e-6 * total  # draws the gain of pages of a single colour to 1
    gain = ((dx * dy) @ w + weak) / (dx.square() @ w + weak)
    offset = mean_y - gain * mean_x
    return Tone(gain.float()[:, None, None], offset.float()[:, None, None])


def follow(tone: Tone, restored: Tensor, original: Tensor, damage: Tensor) -> Tensor:
    """Shift restored tiles so that the median of their difference to the page's tone is 0.

    Only damaged pixels vote, and the shift is weighted by the damage, that of the pixel and that of the tile: a
    tile with much that is sound has the page's tone before its eyes.

    Args:
        tone: Of the page.
        restored: (B, 3, H, W), and the result.
        original: The same.
        damage: (B, 1, H, W) in [0, 1].
    """
    sure = damage > SURE
    voters, before, say = (tiles[..., ::STEP, ::STEP] for tiles in (restored, original, sure))
    differences = (voters - tone(before)).masked_fill(~say, torch.nan)
    shift = differences.flatten(2).nanmedian(dim=2).values.nan_to_num()[..., None, None]  # (b, 3, 1, 1)
    share = sure.float().mean(dim=(2, 3), keepdim=True)
    lightness = (restored.mean(dim=1, keepdim=True) / DARK).clamp(0, 1)
    return restored.lerp((restored - shift * share * lightness).clamp(0, 1), damage)


def sample_starts(length: int, *, tile: int, count: int) -> list[int]:
    """First pixels of at most ``count`` tiles spread over an axis without overlap."""
    count = max(1, min(count, length // tile))
    return (
        torch.linspace(0, max(0, length - tile), count).long().tolist()
        if count > 1
        else [max(0, length - tile) // 2]
    )
