"""Where there is ink on a clean page: known of generated pages, found by a threshold on scans."""

import cv2
import numpy as np
from numpy.typing import NDArray

Page = NDArray[np.uint8]

STROKE, WINDOW = 15, 51
"""Sides in pixels of what a dilation takes strokes out with, and of the median that smooths what is left."""
LEVELS = (0.5, 0.85)
"""Shares of the background between which the threshold lies: without ink, the valley is in the grain."""
DARKEST = 48
"""Grey level of a background below which there is no page: no leaf is as dark as black cloth or a film's frame."""


def split_ink(view: Page) -> tuple[Page, Page | None]:
    """Of a picture uint8 (H, W, 3 or 4) the colours (H, W, 3) and, of four channels, the ink (H, W), 255."""
    return view[..., :3], view[..., 3] if view.shape[2] == 4 else None


def background_of(page: Page, *, stroke: int = STROKE, window: int = WINDOW) -> Page:
    """A page without its writing, uint8 (H, W) or (H, W, 3): a dilation closes strokes, a median smooths it.

    Source: in document binarisation since Gatos, Pratikakis & Perantonis 2006.

    Args:
        page: The page.
        stroke: Side of the dilation's square, pixels: wider than a stroke of the pen.
        window: Side of the median's square, pixels, odd.
    """
    return np.asarray(cv2.medianBlur(cv2.dilate(page, np.ones((stroke, stroke), np.uint8)), window), np.uint8)


def find_ink(page: Page) -> Page:
    """The ink of a clean page, uint8 (H, W, 3) → (H, W), 255 is ink: one threshold on page over background.

    Source: of the threshold, Otsu 1979.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_RGB2GRAY)
    background = background_of(grey)
    is_page = background >= DARKEST
    if not is_page.any():
        return np.zeros_like(grey)
    flat = cv2.divide(grey, background, scale=255)
    level, _ = cv2.threshold(flat[is_page], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    low, high = (255 * share for share in LEVELS)
    ink: Page = np.where(is_page & (flat <= np.clip(level, low, high)), 255, 0).astype(np.uint8)
    return ink
