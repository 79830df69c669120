"""How the network sees a tile: flipped and shifted, as one of several views, or turned upright."""

from collections.abc import Callable

import numpy as np

from manuscript_restore.inference.backends import Floats

VIEW_SHIFT = 8
"""Pixels by which each view of an ensemble is shifted: half a patch, so that the patches fall elsewhere."""
FLIPS = ((-1,), (-2,), (-1, -2))
"""Axes of the views beside the tile itself."""


def as_view(restore: Callable[[Floats], Floats], tiles: Floats, axes: tuple[int, ...]) -> Floats:
    """Restore flipped and shifted tiles, and bring the result back."""
    top, left = (VIEW_SHIFT * (axis in axes) for axis in (-2, -1))
    shifted = np.pad(np.flip(tiles, axes), ((0, 0), (0, 0), (top, 0), (left, 0)), mode="edge")
    return np.flip(restore(shifted)[..., top:, left:], axes)


# EXIF orientation → (flip of rows, flip of columns, transpose), applied in this order to what is stored.
_UPRIGHT = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


def turned(restore: Callable[[Floats], Floats], orientation: int) -> Callable[[Floats], Floats]:
    """``restore`` for tiles that are stored turned: it sees them upright."""
    rows, columns, transpose = _UPRIGHT.get(orientation, _UPRIGHT[1])
    axes = tuple(axis for axis, flipped in ((-2, rows), (-1, columns)) if flipped)

    def restore_turned(tiles: Floats) -> Floats:
        upright = np.flip(tiles, axes)
        if not transpose:
            return np.flip(restore(upright), axes)
        return np.flip(restore(upright.swapaxes(-1, -2)).swapaxes(-1, -2), axes)

    return restore_turned
