"""Labelled sheets of pictures, at their own resolution."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from manuscript_restore.images.pixels import as_floats, to_picture

GAP = 8
CAPTION_HEIGHT = 22
FONT_SIZE = 13
INK, FALSE_INK, MISSED_INK = (40, 36, 32), (200, 60, 40), (70, 120, 200)


def contact_sheet(
    rows: Sequence[Sequence[Any]], captions: Sequence[Sequence[str]], *, min_side: int = 256
) -> Image.Image:
    """Rows of (3, H, W) arrays or tensors in [0, 1], all of one size, each with its caption above.

    Args:
        rows: The pictures; every row has as many.
        captions: A caption for each picture, same layout.
        min_side: Smaller pictures are enlarged by a whole factor, pixels kept, so that captions fit.
    """
    font = ImageFont.load_default(size=FONT_SIZE)
    height, width = rows[0][0].shape[-2:]
    scale = max(1, -(-min_side // min(height, width)))
    height, width = height * scale, width * scale
    pitch_x, pitch_y = width + GAP, height + CAPTION_HEIGHT + GAP
    sheet = Image.new("RGB", (GAP + pitch_x * len(rows[0]), GAP + pitch_y * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for r, (row, texts) in enumerate(zip(rows, captions, strict=True)):
        for c, (picture, text) in enumerate(zip(row, texts, strict=True)):
            left, top = GAP + c * pitch_x, GAP + r * pitch_y
            draw.text((left, top), text, fill="black", font=font)
            tile = Image.fromarray(to_picture(picture))
            tile = tile.resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, top + CAPTION_HEIGHT))
    return sheet


def ink_errors(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Two masks (H, W), True is ink, as a picture (3, H, W) in [0, 1]: true ink black, false red, missed blue."""
    picture = np.full((*truth.shape, 3), 255, np.float32)
    for mask, colour in ((found & truth, INK), (found & ~truth, FALSE_INK), (truth & ~found, MISSED_INK)):
        picture[mask] = colour
    picture /= 255
    return picture.transpose(2, 0, 1)


def error_map(restored: Any, clean: Any, *, limit: float = 0.25) -> NDArray[np.float32]:
    """Mean absolute error over channels as a picture, black (0) to bright (``limit`` and above).

    Args:
        restored: Array or tensor (3, H, W) in [0, 1].
        clean: The same.
        limit: Error that gets the brightest colour.

    Returns:
        (3, H, W) in [0, 1].
    """
    from matplotlib import colormaps  # slow to import, and restoring a page has no need of it

    error = np.abs(as_floats(restored) - as_floats(clean)).mean(axis=0) / limit
    rgb: NDArray[np.float32] = colormaps["inferno"](error.clip(0, 1))[..., :3].astype(np.float32)
    return rgb.transpose(2, 0, 1)
