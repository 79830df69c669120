"""Labelled sheets of pictures, at their own resolution."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from manuscript_restore.images import from_array, to_array, to_float, to_uint8

GAP = 8
CAPTION_HEIGHT = 22
FONT_SIZE = 13
INK, FALSE_INK, MISSED_INK = (40, 36, 32), (200, 60, 40), (70, 120, 200)


def contact_sheet(
    rows: Sequence[Sequence[Tensor]], captions: Sequence[Sequence[str]], *, min_side: int = 256
) -> Image.Image:
    """Rows of (3, H, W) pictures in [0, 1], all of one size, each with its caption above.

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
            tile = Image.fromarray(to_array(to_uint8(picture.detach().cpu().float())))
            tile = tile.resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(tile, (left, top + CAPTION_HEIGHT))
    return sheet


def ink_errors(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Tensor:
    """Two masks (H, W), True is ink, as a picture (3, H, W) in [0, 1]: true ink black, false red, missed blue."""
    picture = np.full((*truth.shape, 3), 255, np.uint8)
    for mask, colour in ((found & truth, INK), (found & ~truth, FALSE_INK), (truth & ~found, MISSED_INK)):
        picture[mask] = colour
    return to_float(from_array(picture))


def error_map(restored: Tensor, clean: Tensor, *, limit: float = 0.25) -> Tensor:
    """Mean absolute error over channels as a picture, black (0) to bright (``limit`` and above).

    Args:
        restored: (3, H, W) in [0, 1].
        clean: (3, H, W) in [0, 1].
        limit: Error that gets the brightest colour.

    Returns:
        (3, H, W) in [0, 1].
    """
    from matplotlib import colormaps  # slow to import, and restoring a page has no need of it

    error = (restored - clean).abs().mean(dim=0) / limit
    rgb = colormaps["inferno"](error.clamp(0, 1).cpu().numpy())[..., :3]
    return torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)
