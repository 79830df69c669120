"""Any page through a network of small views: overlapping tiles, faded into each other, row by row.

Memory is bounded by the page's width: one row of tiles is held, whatever the height. The page comes in and goes
out in bands of rows, so that neither has to fit into memory.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Floats

ReadRows = Callable[[int, int], Floats]
"""(top, bottom) → (C, bottom − top, W)."""
STEP = 16
"""Sides of tiles that are made smaller are multiples of this, as the patches of networks are."""
RestoreTiles = Callable[[Floats], Floats]
"""(B, C, h, w) → (B, C', h, w)."""


@dataclass(frozen=True)
class Tiling:
    """How a page is cut.

    Args:
        tile: Side of a tile in pixels; pages with a shorter side have one tile across it.
        overlap: Pixels that neighbouring tiles share at least, over which they fade into each other.
        batch: Tiles restored at once.
    """

    tile: int
    overlap: int
    batch: int = 1

    def __post_init__(self) -> None:
        if self.tile < 16:
            raise UserError(f"tile={self.tile}: must be at least 16 pixels")
        if not 0 <= self.overlap <= self.tile // 2:
            raise UserError(f"overlap={self.overlap}: must be between 0 and half the tile, {self.tile // 2}")
        if self.batch < 1:
            raise UserError(f"batch={self.batch}: must be at least 1")


@dataclass(frozen=True)
class Span:
    """One tile along one axis: its first pixel and its weight at each of its pixels."""

    start: int
    weights: Floats

    @property
    def stop(self) -> int:
        """One past its last pixel."""
        return self.start + len(self.weights)


def spans(length: int, *, tile: int, overlap: int) -> list[Span]:
    """Cut an axis into evenly spaced tiles whose weights sum to one at every pixel.

    Neighbours overlap by ``overlap`` or a little more (never a sliver at the end); the weights are raised
    cosines over the whole of what two tiles share, so the first derivative too is continuous. Tiles are made
    smaller, to three quarters of ``tile`` at least, where as many of them suffice: less is computed twice.

    >>> [(span.start, span.stop) for span in spans(1000, tile=256, overlap=32)]
    [(0, 240), (190, 430), (380, 620), (570, 810), (760, 1000)]
    """
    tile = min(tile, length)
    count = 1 if length == tile else -(-(length - overlap) // (tile - overlap))
    if count > 1:
        suffices = -(-(length + (count - 1) * overlap) // count)
        tile = min(tile, max(-(-suffices // STEP) * STEP, 3 * tile // 4))
    starts = [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]
    windows = np.ones((count, tile), np.float32)
    for i in range(1, count):
        rise = _rise(starts[i - 1] + tile - starts[i])
        windows[i, : len(rise)] *= rise
        windows[i - 1, tile - len(rise) :] *= 1 - rise
    total = np.zeros(length, np.float32)  # one already, but for the pixels that three tiles share
    for start, window in zip(starts, windows, strict=True):
        total[start : start + tile] += window
    return [
        Span(start, window / total[start : start + tile]) for start, window in zip(starts, windows, strict=True)
    ]


def restore_rows(
    read: ReadRows,
    restore: RestoreTiles,
    *,
    height: int,
    width: int,
    tiling: Tiling,
    pool: Executor,
    ahead: int = 2,
) -> Iterator[tuple[int, Floats, Floats]]:
    """Restore a page from top to bottom.

    Args:
        read: The page's rows; called downwards, each call overlaps the one before.
        restore: What is done to a batch of tiles; may return any number of channels.
        height, width: Of the page, pixels.
        tiling: How it is cut.
        pool: Runs ``restore``.
        ahead: Batches that are in work while another is waited for.

    Yields:
        (top, read, restored): rows (C, n, W) as they were read and (C', n, W) as they are restored, from row
        ``top`` on; together they are the whole page.
    """
    across = spans(width, tile=tiling.tile, overlap=tiling.overlap)
    down = spans(height, tile=tiling.tile, overlap=tiling.overlap)
    batches = [across[first : first + tiling.batch] for first in range(0, len(across), tiling.batch)]
    pending: Floats | None = None  # rows that the next tiles will still add to
    with closing(_restored_tiles(read, restore, down, batches, pool, ahead)) as tiles:
        for i, span in enumerate(down):
            rows, band = _faded(tiles, batches)
            band *= span.weights[:, None]
            if pending is not None:
                band[:, : pending.shape[1]] += pending
            end = down[i + 1].start if i + 1 < len(down) else height
            finished = end - span.start
            pending = band[:, finished:].copy()
            ready = [(rows[:, :finished], band[:, :finished])]
            del rows, band  # only who asked for them holds them while the next are made: they are large
            yield span.start, *ready.pop()


def _restored_tiles(
    read: ReadRows, restore: RestoreTiles, down: list[Span], batches: list[list[Span]], pool: Executor, ahead: int
) -> Generator[tuple[Floats, Floats]]:
    """(rows (C, h, W), tiles (b, C', h, w)) batch by batch; ``ahead`` of them are in work behind each."""
    waiting: deque[tuple[Floats, Future[Floats]]] = deque()

    def first_of_all() -> tuple[Floats, Floats]:
        rows, coming = waiting.popleft()
        return rows, coming.result()

    try:
        for span in down:
            rows = read(span.start, span.stop)
            for columns in batches:
                tiles = np.stack([rows[:, :, column.start : column.stop] for column in columns])  # (b, c, h, w)
                waiting.append((rows, pool.submit(restore, tiles)))
                if len(waiting) > ahead:
                    yield first_of_all()
            del rows
        while waiting:
            yield first_of_all()
    finally:
        for _, coming in waiting:
            coming.cancel()


def _faded(tiles: Iterator[tuple[Floats, Floats]], batches: list[list[Span]]) -> tuple[Floats, Floats]:
    """One row of tiles, faded into each other from left to right: rows (C, h, W) and their band (C', h, W)."""
    band: Floats | None = None
    for columns in batches:
        rows, restored = next(tiles)
        for column, tile in zip(columns, restored, strict=True):
            if band is None:
                band = np.zeros((tile.shape[0], *rows.shape[1:]), np.float32)
            band[:, :, column.start : column.stop] += tile * column.weights
    assert band is not None  # a page has at least one column
    return rows, band


def _rise(length: int) -> Floats:
    """Raised cosine from 0 to 1; mirrored, it sums with itself to one."""
    position = (np.arange(length, dtype=np.float32) + 0.5) / length
    return ((1 - np.cos(np.pi * position)) / 2).astype(np.float32)
