"""One decision on a page's tone: tiles that judge fading and tint each for itself would show as patches.

A first look at a few tiles says how the network changes this page's colours as a whole, as one gain and offset per
channel. Every tile is then shifted so that most of its pixels follow that; what differs within a tile (a stain
that was taken away, strokes) stays as the network made it.
"""

from dataclasses import dataclass

import numpy as np

from manuscript_restore.inference.backends import Floats

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

    gain: Floats
    offset: Floats

    def __call__(self, original: Floats) -> Floats:
        """(B, 3, H, W) → the same, not clamped."""
        return original * self.gain + self.offset


def fit_tone(original: Floats, restored: Floats, damage: Floats) -> Tone | None:
    """Least squares over the damaged pixels of tiles and their restorations, a line per channel.

    Args:
        original: (B, 3, H, W).
        restored: The same.
        damage: (B, 1, H, W) in [0, 1]: the weights; pixels up to `SURE` have none.

    Returns:
        None if there is no damage.
    """
    sure = damage[:, 0] > SURE
    w = damage[:, 0][sure].astype(np.float64)
    if (total := w.sum()) == 0:
        return None
    weak = 1e-6 * total  # draws the gain of pages of a single colour to 1
    lines = np.empty((2, 3, 1, 1), np.float32)
    for channel in range(3):  # one at a time: they are large
        x, y = (tiles[:, channel][sure].astype(np.float64) for tiles in (original, restored))
        mean_x, mean_y = x @ w / total, y @ w / total
        x -= mean_x
        y -= mean_y
        gain = ((x * y) @ w + weak) / ((x * x) @ w + weak)
        lines[:, channel, 0, 0] = gain, mean_y - gain * mean_x
    return Tone(*lines)


def follow(tone: Tone, restored: Floats, original: Floats, damage: Floats) -> Floats:
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
    say = sure[..., ::STEP, ::STEP]
    differences = restored[..., ::STEP, ::STEP] - tone(original[..., ::STEP, ::STEP])
    shift = np.zeros((*restored.shape[:2], 1, 1), np.float32)  # (b, 3, 1, 1)
    for i in range(len(restored)):
        if say[i].any():
            shift[i, :, 0, 0] = np.median(differences[i][:, say[i, 0]], axis=1)
    share = sure.mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    lightness = (restored.mean(axis=1, keepdims=True) / DARK).clip(0, 1)
    return blend(restored, (restored - shift * share * lightness).clip(0, 1), damage)


def blend(first: Floats, second: Floats, share: Floats) -> Floats:
    """From the first to the second by their share; where that is 0, the first to the bit."""
    return first + share * (second - first)


def sample_starts(length: int, *, tile: int, count: int) -> list[int]:
    """First pixels of at most ``count`` tiles spread over an axis without overlap."""
    count = max(1, min(count, length // tile))
    last = max(0, length - tile)
    return [last // 2] if count == 1 else [last * i // (count - 1) for i in range(count)]
