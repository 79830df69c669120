"""What sound pages of a manuscript look like, so that restored ones can be given the same tone.

Whether a page is faded, or of dark paper, cannot be seen from it alone; its neighbours say it. One gain per
channel takes the paper of the restored page to theirs: black stays black, and colours keep their saturation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.descriptor import TILE
from manuscript_restore.errors import UserError
from manuscript_restore.files import sha256
from manuscript_restore.images import find_images, read
from manuscript_restore.inference.tone import SAMPLES, sample_starts

BLOCK = 32
"""Side in pixels of the blocks that each have a paper of their own."""
LIGHT = 90
"""Percentile of a block's pixels that is its paper: ink is darker than what it lies on."""
MAX_GAIN = 2.0
"""How much lighter or, the other way round, darker a page is made at most."""


@dataclass(frozen=True)
class Look:
    """Colours of some pages: ``paper``, in [0, 1]; ``pages`` are their names and hashes, for the record."""

    paper: tuple[float, float, float]
    pages: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(cls, paths: str | Path | Sequence[str | Path]) -> Self:
        """The look of a few sound pages of one manuscript: files, and folders with all below them; one or several.

        Raises:
            UserError: There is no image, or one cannot be read.
        """
        named = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        files = [file for path in named for file in (find_images(path, key="like") if path.is_dir() else [path])]
        if not files:
            raise UserError("like: no pages; name some, or a folder of them")
        red, green, blue = np.median([paper_of(read(file)) for file in files], axis=0).tolist()
        return cls((red, green, blue), tuple({"file": file.name, "sha256": sha256(file)} for file in files))

    def gain(self, tiles: NDArray[np.float32], damage: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What the colours of a page are multiplied by to look like this, (3,); None if nothing of it is damaged.

        A page of which only a part is damaged has most of its tone by itself: it is taken there by that part.

        Args:
            tiles: Of the restored page, (n, 3, h, w) in [0, 1].
            damage: Of them, (n, 1, h, w) in [0, 1].
        """
        sure = _blocks(damage).mean(axis=2)[:, 0] > 0.5
        colours = _papers(tiles)
        is_page = _is_page(colours)
        if not (sure & is_page).any():
            return None
        own = np.median(colours[sure & is_page], axis=0)
        share = sure[is_page].mean()
        gain: NDArray[np.float32] = (np.array(self.paper) / own.clip(1e-3)).clip(1 / MAX_GAIN, MAX_GAIN) ** share
        return gain.astype(np.float32)


def paper_of(page: NDArray[np.uint8]) -> NDArray[Any]:
    """The colour of the paper of a page (H, W, 3) in [0, 1], (3,): the median over blocks of a few tiles."""
    height, width, _ = page.shape
    tiles = [
        page[top : top + TILE, left : left + TILE].transpose(2, 0, 1)[None] / np.float32(255)
        for top in sample_starts(height, tile=TILE, count=SAMPLES[0])
        for left in sample_starts(width, tile=TILE, count=SAMPLES[1])
    ]
    colours = np.concatenate([_papers(tile) for tile in tiles])
    median: NDArray[Any] = np.median(colours[_is_page(colours)], axis=0)
    return median


def lightness_of(tiles: NDArray[Any]) -> float:
    """Lightness of the paper in tiles (n, 3, h, w), [0, 1], where it is lighter than in three quarters of them."""
    colours = _papers(tiles)
    return float(np.percentile(colours[_is_page(colours)].mean(axis=1), 75))


def _papers(tiles: NDArray[Any]) -> NDArray[Any]:
    """The paper of every block of (n, 3, h, w): (blocks, 3)."""
    papers: NDArray[Any] = np.percentile(_blocks(tiles), LIGHT, axis=2)
    return papers


def _is_page(colours: NDArray[Any]) -> NDArray[np.bool_]:
    """Which blocks are no dark surround, by the colours of their paper."""
    lightness = colours.mean(axis=1)
    is_page: NDArray[np.bool_] = lightness >= np.percentile(lightness, 75) / 2
    return is_page


def _blocks(tiles: NDArray[Any]) -> NDArray[Any]:
    """(n, C, h, w) → (blocks, C, pixels); what does not fill a block at the right and bottom is left out."""
    number, channels, height, width = tiles.shape
    side = min(BLOCK, height, width)
    down, across = height // side, width // side
    cut = tiles[..., : down * side, : across * side].reshape(number, channels, down, side, across, side)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(number * down * across, channels, side * side)
