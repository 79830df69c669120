"""Generated manuscript pages, whose exact text and ink are known."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis.generator import GeneratedPage, PageGenerator

__all__ = ["GeneratedPage", "PageGenerator", "generate_page"]


def generate_page(seed: int, index: int, *, height: int = 768, width: int = 1152) -> NDArray[np.uint8]:
    """Draw the picture of page ``index`` of the default generator's sequence ``seed``; uint8 (H, W, 3)."""
    return _generator(height, width).page(seed, index).image


@lru_cache(maxsize=4)
def _generator(height: int, width: int) -> PageGenerator:
    return PageGenerator(size=(height, width))
