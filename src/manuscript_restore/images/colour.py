"""How different two colours look: sRGB → CIELAB → CIEDE2000. All on the last three axes (3, H, W), in NumPy."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Linear sRGB → XYZ, relative to the D65 white (IEC 61966-2-1).
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L
_FROM_CHROMA = np.array([[0.644, 0.114], [-0.356, 0.114], [0.144, -0.886]])
"""RGB of a red − green and of a yellow − blue of 1, at a luma of 0: the inverse of both and `_LUMA`."""

PAINTED = (0.10, 0.22)
"""Distances of chroma from the paper's, of [0, 1], from which a place is painted: perhaps, and surely."""
STRONGER = 1.3
"""How much stronger than on the page a colour may become, beside its lightness."""
ASIDE = 0.015
"""How far a colour may leave the way between the page's and the paper's, of [0, 1]; noise does."""


def to_grey(images: Floats) -> Floats:
    """(…, 3, H, W) in [0, 1] → luma (…, 1, H, W), weighted as ITU-R BT.601 does."""
    grey: Floats = np.einsum("c,...chw->...hw", _LUMA.astype(images.dtype), images)
    return grey[..., None, :, :]


def to_lab(images: Floats) -> Floats:
    """sRGB (…, 3, H, W) in [0, 1] → CIELAB: L in [0, 100], a and b about ±100; white D65.

    Source: CIE 15:2004; sRGB after IEC 61966-2-1.
    """
    linear = np.where(images > 0.04045, ((images + 0.055) / 1.055).clip(0) ** 2.4, images / 12.92)
    to_xyz = (_TO_XYZ / _WHITE[:, None]).astype(images.dtype)
    xyz = np.einsum("ij,...jhw->...ihw", to_xyz, linear)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -3, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-3)


def delta_e_2000(first: Floats, second: Floats) -> Floats:
    """CIEDE2000 colour difference of two sRGB pictures: (…, 3, H, W) in [0, 1] → (…, H, W), ≥ 0.

    About 1 is just visible side by side, 100 is black against white.

    Source: Sharma, Wu & Dalal 2005, eq. 2–22, with k_L = k_C = k_H = 1.
    """
    l1, a1, b1 = np.moveaxis(to_lab(first), -3, 0)
    l2, a2, b2 = np.moveaxis(to_lab(second), -3, 0)
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(c7 / (c7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.arctan2(b1, a1), np.arctan2(b2, a2)

    turn = np.remainder(h2 - h1 + np.pi, 2 * np.pi) - np.pi  # the shorter way round
    grey = c1 * c2 == 0  # a grey has no hue
    turn = np.where(grey, 0, turn)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = np.where(grey, h1 + h2, h1 + turn / 2)

    t = (
        1
        - 0.17 * np.cos(hue - np.pi / 6)
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + np.pi / 30)
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )
    centred = (lightness - 50) ** 2
    s_l = 1 + 0.015 * centred / np.sqrt(20 + centred)
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    degrees = np.remainder(np.rad2deg(hue), 360)
    rotation = np.deg2rad(60 * np.exp(-(((degrees - 275) / 25) ** 2)))
    c7 = chroma**7
    r_t = -2 * np.sqrt(c7 / (c7 + 25.0**7)) * np.sin(rotation)
    dl, dc, dh = dl / s_l, dc / s_c, dh / s_h
    difference: Floats = np.sqrt((dl**2 + dc**2 + dh**2 + r_t * dc * dh).clip(0))
    return difference


def support_colour(images: Floats, *, block: int = 32) -> Floats:
    """The colour of the writing support at each pixel, as if nothing were written: (B, 3, H, W) → the same.

    Ink is darker than what it lies on: the support is the brightest of the 4×4 means in each ``block``, smoothed.
    Stains larger than a block belong to it.
    """
    height, width = images.shape[-2:]
    brightest = block_means(images)
    for axis in (-2, -1):
        brightest = np.maximum.reduceat(brightest, np.arange(0, brightest.shape[axis], block // 4), axis=axis)
    smooth = brightest
    for axis in (-2, -1):
        edge = [(0, 0)] * smooth.ndim
        edge[axis] = (1, 1)
        padded = np.moveaxis(np.pad(smooth, edge, mode="edge"), axis, 0)
        smooth = np.moveaxis((padded[:-2] + padded[1:-1] + padded[2:]) / 3, 0, axis)
    return _enlarged(_enlarged(smooth, height, axis=-2), width, axis=-1)


def keep_support_colour(restored: Floats, original: Floats) -> Floats:
    """Lay the restored ink on the original's own support: (B, 3, H, W) in [0, 1], both and the result.

    Per channel, ``restored`` is scaled by the ratio of the two support colours: support becomes the original's,
    ink, which is near black, hardly changes.
    """
    ratio = support_colour(original).clip(1e-3) / support_colour(restored).clip(1e-3)
    kept: Floats = (restored * ratio.clip(0.25, 4)).clip(0, 1)
    return kept


def paper_colour(images: Floats) -> Floats:
    """The colour of whatever most of the pictures show: (B, 3, H, W) in [0, 1] → (3, 1, 1), medians of blocks."""
    median: Floats = np.median(block_means(images), axis=(0, 2, 3))
    return median.astype(images.dtype)[:, None, None]


def settle_colours(restored: Floats, original: Floats, papers: tuple[Floats, Floats]) -> Floats:
    """Hold restored colours between those of the page and those of its paper: (B, 3, H, W) in [0, 1].

    A stain's or a tint's colour may go towards the paper's, or come back a little stronger after fading, but none
    turns into a third: blue does not become teal, a grey shadow not green. What is surely painted (rubrics,
    miniatures, colour targets) keeps its own whole. Lightness and what is finer than a block stay as restored.

    Args:
        restored: The network's picture.
        original: The page's.
        papers: `paper_colour` of the page, and of what the network makes of it.
    """
    own, found = block_means(original), block_means(restored)
    lightness = to_grey(found)
    before, after = (_chroma(paper[None]) / to_grey(paper[None]).clip(0.05) for paper in papers)
    # Shade and fading scale the strength of colours as they scale lightness.
    gain = (lightness / to_grey(own).clip(0.02)).clip(0.5, 2.5)
    from_paper = _chroma(own) * gain - after * lightness
    from_found = _chroma(found) - after * lightness
    distance = _norm(_chroma(own) - before * to_grey(own))
    painted = ((distance - PAINTED[0]) / (PAINTED[1] - PAINTED[0])).clip(0, 1)
    along = (from_found * from_paper).sum(1, keepdims=True) / (from_paper**2).sum(1, keepdims=True).clip(1e-6)
    aside = np.maximum(along.clip(0, STRONGER), painted) * from_paper - from_found
    size = _norm(aside)
    aside *= np.maximum(painted, (size - ASIDE).clip(0) / size.clip(1e-6))
    height, width = original.shape[-2:]
    shift = np.einsum("cd,bdhw->bchw", _FROM_CHROMA.astype(aside.dtype), aside)
    settled: Floats = (restored + _enlarged(_enlarged(shift, height, axis=-2), width, axis=-1)).clip(0, 1)
    return settled


def hold_lightness(restored: Floats, original: Floats, lightest: float) -> Floats:
    """Keep a support that was restored in places from getting lighter than all about it: (B, 3, H, W) in [0, 1].

    A stain may go, up to the lightness of the page's paper; but a place that is lighter than it was and lighter
    than the paper would show as a blotch. Ink becomes darker with its support.

    Args:
        restored: The network's picture.
        original: The page's.
        lightest: Of the page's paper, in [0, 1].
    """
    before, after = (support_colour(images).mean(axis=1, keepdims=True) for images in (original, restored))
    held: Floats = restored * (np.maximum(before, lightest) / after.clip(1e-3)).clip(0, 1).astype(restored.dtype)
    return held


def block_means(images: Floats, block: int = 4) -> Floats:
    """Means of blocks of pixels, the last of them smaller: (…, H, W) → (…, ⌈H / block⌉, ⌈W / block⌉)."""
    for axis in (-2, -1):
        side = images.shape[axis]
        starts = np.arange(0, side, block)
        counts = np.minimum(block, side - starts).astype(images.dtype)
        images = np.add.reduceat(images, starts, axis=axis) / (counts[:, None] if axis == -2 else counts)
    return images


def _chroma(images: Floats) -> Floats:
    """(B, 3, H, W) → red − green and yellow − blue, (B, 2, H, W)."""
    red, green, blue = np.moveaxis(images, 1, 0)
    return np.stack([red - green, (red + green) / 2 - blue], axis=1)


def _norm(vectors: Floats) -> Floats:
    """Euclidean length of (B, 2, H, W): (B, 1, H, W)."""
    return np.hypot(vectors[:, :1], vectors[:, 1:])


def _enlarged(images: Floats, size: int, *, axis: int) -> Floats:
    """Linear interpolation along one axis, between the middles of pixels."""
    length = images.shape[axis]
    position = ((np.arange(size) + 0.5) * length / size - 0.5).clip(0, length - 1)
    below = np.floor(position).astype(int)
    share = (position - below).astype(images.dtype)
    if axis == -2:
        share = share[:, None]
    low, high = images.take(below, axis), images.take(np.minimum(below + 1, length - 1), axis)
    between: Floats = low + share * (high - low)
    return between
