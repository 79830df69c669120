"""Blocks of rows of any height, regrouped."""

from collections.abc import Iterable, Iterator

import numpy as np

from manuscript_restore.archive.page import PageDescription, Pixels


def bands(page: PageDescription, blocks: Iterable[Pixels], height: int) -> Iterator[Pixels]:
    """Regroup a page's blocks of rows into bands of one height; the last may be lower.

    Raises:
        ValueError: The blocks are not of the page's width, channels or type, or not as many rows as it has.
    """
    expected = (page.width, page.channels)
    band, filled, done = np.empty((min(height, page.height), *expected), page.dtype), 0, 0
    for block in blocks:
        if block.shape[1:] != expected or block.dtype != page.dtype or done + filled + len(block) > page.height:
            raise ValueError(
                f"rows {block.shape} {block.dtype} at {done + filled}: page of {page.height}×{expected}"
            )
        start = 0
        while start < len(block):
            taken = min(len(band) - filled, len(block) - start)
            band[filled : filled + taken] = block[start : start + taken]
            start, filled = start + taken, filled + taken
            if filled == len(band):
                yield band
                done, filled = done + filled, 0
                band = np.empty((min(height, page.height - done), *expected), page.dtype)
                if done == page.height and start < len(block):
                    break
    if done != page.height:
        raise ValueError(f"{done + filled} rows of a page of {page.height}")


def whole(page: PageDescription, blocks: Iterable[Pixels]) -> Pixels:
    """All rows of a page in one array."""
    return next(bands(page, blocks, page.height))
