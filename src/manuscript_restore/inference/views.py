"""How the network sees a tile: flipped and shifted, as one of several views, or turned upright."""

from collections.abc import Callable

import torch
from torch import Tensor

VIEW_SHIFT = 8
"""Pixels by which each view of an ensemble is shifted: half a patch, so that the patches fall elsewhere."""
FLIPS = ((-1,), (-2,), (-1, -2))
"""Axes of the views beside the tile itself."""


def as_view(restore: Callable[[Tensor], Tensor], tiles: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Restore flipped and shifted tiles, and bring the result back."""
    flipped = tiles.flip(axes)
    shift = (VIEW_SHIFT * (-1 in axes), 0, VIEW_SHIFT * (-2 in axes), 0)  # left, right, top, bottom
    restored = restore(torch.nn.functional.pad(flipped, shift, mode="replicate"))
    return restored[..., shift[2] :, shift[0] :].flip(axes)


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


def turned(restore: Callable[[Tensor], Tensor], orientation: int) -> Callable[[Tensor], Tensor]:
    """``restore`` for tiles that are stored turned: it sees them upright."""
    rows, columns, transpose = _UPRIGHT.get(orientation, _UPRIGHT[1])
    axes = [axis for axis, flipped in ((-2, rows), (-1, columns)) if flipped]

    def restore_turned(tiles: Tensor) -> Tensor:
        upright = tiles.flip(axes)
        if not transpose:
            return restore(upright).flip(axes)
        return restore(upright.transpose(-1, -2)).transpose(-1, -2).flip(axes)

    return restore_turned
