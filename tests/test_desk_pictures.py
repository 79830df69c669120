"""Tiles of pictures of every kind and size, against Pillow's own reading and turning of the file."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from manuscript_restore.desk import pictures
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.pictures import TILE, Picture, Pictures, num_levels, tile_of
from manuscript_restore.errors import UserError

HEIGHT, WIDTH = 1309, 1187


def smooth(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A picture of which no part is like another, and means of blocks tell where they are from."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, array: NDArray[np.uint8], orientation: int = 1) -> Path:
    extra = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, array, rowsperstrip=37, compression="zlib", extratags=extra)
    return path


def stitched(picture: Picture, width: int, height: int, level: int) -> NDArray[np.uint8]:
    """All tiles of a level side by side."""
    rows: list[NDArray[np.uint8]] = []
    while (first := tile_of(picture, width, height, level, 0, len(rows))) is not None:
        row = [first]
        while (tile := tile_of(picture, width, height, level, len(row), len(rows))) is not None:
            row.append(tile)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


@pytest.mark.parametrize("held", [0, 10**9])  # read in bands, or held whole
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_level_is_upright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, held: int
) -> None:
    monkeypatch.setattr(pictures, "HELD", held)
    monkeypatch.setattr(pictures, "CHUNK", 50 * WIDTH)
    path = save(tmp_path / "page.tif", smooth(), orientation)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image)
    picture = Pictures(tmp_path, threading.Event()).of(path)
    assert (picture.width, picture.height) == expected.size
    levels = num_levels(*expected.size)
    assert levels == 3
    for level in range(levels):
        scale = 2 ** (levels - 1 - level)
        found = stitched(picture, picture.width, picture.height, level)
        reference = np.asarray(expected.reduce(scale))
        assert found.shape == reference.shape
        # Halves of halves are rounded twice.
        assert np.abs(found.astype(int) - reference).max() <= (0 if scale == 1 else 2)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing is left lying about


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((20, 30), 65535 // 4, np.uint16), 64),
        (np.full((20, 30), 200, np.uint8), 200),
        (np.dstack([np.full((20, 30, 3), 100, np.uint8), np.full((20, 30, 1), 0, np.uint8)]), 255),
        (np.full((20, 30), 0.5, np.float32), 128),
    ],
    ids=["16 bits", "grey", "transparent", "floats"],
)
def test_every_kind_is_shown_in_8_bits(tmp_path: Path, array: NDArray[np.uint8], expected: int) -> None:
    path = tmp_path / "page.tif"
    tifffile.imwrite(path, array, extrasamples=["unassalpha"] if array.ndim == 3 else None)
    picture = Pictures(tmp_path, threading.Event()).of(path)
    tile = tile_of(picture, 30, 20, 0, 0, 0)
    assert tile is not None
    assert tile.shape[:2] == (20, 30)
    assert np.abs(tile.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_map_of_a_smaller_scale_covers_the_page(tmp_path: Path, orientation: int) -> None:
    """Its pixels are means of blocks of 3 by 3, and it is stored as the page is."""
    values = np.random.default_rng(0).integers(0, 256, (-(-HEIGHT // 3), -(-WIDTH // 3)), dtype=np.uint8)
    path = tmp_path / "map.png"
    Image.fromarray(values).save(path)
    blocks = np.repeat(np.repeat(values, 3, axis=0), 3, axis=1)[:HEIGHT, :WIDTH]
    if orientation == 6:
        blocks = np.rot90(blocks, -1)
    picture = Pictures(tmp_path, threading.Event()).of(path, orientation)
    width, height = (HEIGHT, WIDTH) if orientation == 6 else (WIDTH, HEIGHT)
    found = stitched(picture, width, height, num_levels(width, height) - 1)[..., 0]
    assert found.shape == (height, width)
    np.testing.assert_array_equal(found, blocks)


def test_there_are_no_tiles_beyond_the_edge(tmp_path: Path) -> None:
    picture = Pictures(tmp_path, threading.Event()).of(save(tmp_path / "page.tif", smooth()))
    for level, x, y in [(3, 0, 0), (2, 3, 0), (2, 0, 3), (-1, 0, 0), (2, -1, 0), (0, 1, 0)]:
        assert tile_of(picture, WIDTH, HEIGHT, level, x, y) is None


@pytest.mark.parametrize(("side", "levels"), [(1, 1), (TILE, 1), (TILE + 1, 2), (2 * TILE, 2), (2 * TILE + 1, 3)])
def test_the_smallest_level_is_one_tile(side: int, levels: int) -> None:
    assert num_levels(side, 1) == num_levels(1, side) == levels


def test_who_waits_for_the_same_thing_gets_it_once() -> None:
    made: list[int] = []
    kept: Kept[object] = Kept(10)

    def make() -> tuple[object, int]:
        time.sleep(0.05)
        made.append(1)
        return object(), 1

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("page", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(map(id, found))) == 1


def test_what_was_used_last_is_kept() -> None:
    kept: Kept[str] = Kept(10)
    for name in ("a", "b", "a", "c"):
        kept.get(name, lambda name=name: (name, 5))  # type: ignore[misc]
    assert kept.get("a", lambda: ("again", 5)) == "a"
    assert kept.get("b", lambda: ("again", 5)) == "again"


def test_what_could_not_be_made_is_tried_again() -> None:
    kept: Kept[str] = Kept(10)

    def fail() -> tuple[str, int]:
        raise UserError("truncated")

    with pytest.raises(UserError, match="truncated"):
        kept.get("a", fail)
    assert kept.get("a", lambda: ("mended", 1)) == "mended"
