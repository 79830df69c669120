"""Where there is ink on a clean page: known of generated pages, found by a threshold on scans."""

import cv2
import numpy as np
from numpy.typing import NDArray

Page = NDArray[np.uint8]

STROKE, BACKGROUND = 15, 51
"""Sides in pixels of what a dilation takes strokes out with, and of the median that smooths what is left."""
LEVELS = (0.5, 0.85)
"""Shares of the background between which the threshold lies: without ink, the valley is in the grain."""


def split_ink(view: Page) -> tuple[Page, Page | None]:
    """Of a picture uint8 (H, W, 3 or 4) the colours (H, W, 3) and, of four channels, the ink (H, W), 255."""
    return view[..., :3], view[..., 3] if view.shape[2] == 4 else None


def find_ink(page: Page) -> Page:
    """The ink of a clean page, uint8 (H, W, 3) → (H, W), 255 is ink: one threshold on page over background.

    Source: of the threshold, Otsu 1979; of the background, dilation and median as in document binarisation since
    Gatos, Pratikakis & Perantonis 2006.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_RGB2GRAY)
    background = cv2.medianBlur(cv2.dilate(grey, np.ones((STROKE, STROKE), np.uint8)), BACKGROUND)
    flat = cv2.divide(grey, background, scale=255)
    level, _ = cv2.threshold(flat, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    low, high = (255 * share for share in LEVELS)
    ink: Page = np.where(flat <= np.clip(level, low, high), 255, 0).astype(np.uint8)
    return ink
