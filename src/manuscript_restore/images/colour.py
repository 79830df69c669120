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
    coarse = images
    for axis, side in ((-2, height), (-1, width)):
        starts = np.arange(0, side, 4)
        counts = np.minimum(4, side - starts).astype(images.dtype)
        coarse = np.add.reduceat(coarse, starts, axis=axis) / (counts[:, None] if axis == -2 else counts)
    brightest = coarse
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
