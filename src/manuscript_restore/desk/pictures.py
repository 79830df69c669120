"""Pictures of any size for looking at: upright, 8 bits, whole and at each half of their size.

Up to `HELD` pixels a picture is decoded into memory. Larger ones go through a file without a name in the output
folder, which ends with the process. Of TIFFs that are read in bands, that file has a quarter of the size and
less; what is looked at closer is read from the TIFF itself. So memory does not grow with the page.
"""

import contextlib
import io
import itertools
import math
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manuscript_restore.archive import Document, Page, open_document
from manuscript_restore.archive.tiff_rows import StreamedPage
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.wish import StoppedError
from manuscript_restore.errors import UserError
from manuscript_restore.images import shown, upright

TILE = 512
"""Side of a tile, pixels: the smallest level has one."""
HELD = 24_000_000
"""Pixels of the largest picture that is held in memory."""
ROOM = 256_000_000
"""Bytes of the pictures, and as many of the bands, that are held in memory."""
ROOM_ON_DISK = 8_000_000_000
CHUNK = 2_000_000
"""Pixels that are converted at once."""
AT_ONCE = 2
"""Pictures that are decoded at a time."""
BAND = 512
"""Rows of a TIFF that are kept together."""
FIRST_HALVINGS = 2
"""How often a picture that is read in bands is halved in its file."""

Bytes = NDArray[np.uint8]
Crop = Callable[[int, int, int, int], Bytes]
"""(left, top, right, bottom) → upright pixels (h, w, 3 or 1)."""


@contextlib.contextmanager
def looked_at(path: Path) -> Iterator[Document]:
    """A file to look at, also one that is refused as its copy would lose something.

    Raises:
        UserError: It cannot be looked at.
    """
    with contextlib.ExitStack() as stack:
        try:
            document = stack.enter_context(open_document(path))
        except UserError:
            document = stack.enter_context(open_document(path, lossy=True))
        yield document


@contextlib.contextmanager
def first_page(path: Path) -> Iterator[Page]:
    """The first page of a file that is `looked_at`.

    Raises:
        UserError: It cannot be looked at.
    """
    with looked_at(path) as document:
        yield document.pages[0]


def num_levels(width: int, height: int) -> int:
    """How many sizes a picture has, each twice the one before, from one tile to all of it."""
    return 1 + max(0, math.ceil(math.log2(max(width, height) / TILE)))


def reduced(pixels: Bytes, factor: int) -> Bytes:
    """Means of blocks of (h, w, C); those at the right and bottom may be smaller."""
    if factor == 1:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.reduce(factor)).reshape(
        -(-pixels.shape[0] // factor), -(-pixels.shape[1] // factor), pixels.shape[2]
    )


@dataclass(frozen=True)
class Picture:
    """A file's first page, upright.

    Args:
        width: Pixels.
        height: Pixels.
        held: (h, w, 3 or 1) at ``2**first`` pixels a pixel, and at each half of that down to one tile.
        first: How often the first of them was halved.
        turn: How it was turned, 1–8 as in EXIF.
        crop: Reads what they do not have.
    """

    width: int
    height: int
    held: list[Bytes]
    first: int
    turn: int = 1
    crop: Crop | None = None

    def part(self, halvings: int, left: int, top: int, right: int, bottom: int) -> Bytes:
        """A part of the picture at some halving, (h, w, 3 or 1)."""
        if halvings >= self.first:
            return self.held[min(halvings - self.first, len(self.held) - 1)][top:bottom, left:right]
        assert self.crop is not None  # where `first` is above 0
        scale = 2**halvings
        box = left * scale, top * scale, min(right * scale, self.width), min(bottom * scale, self.height)
        return reduced(self.crop(*box), scale)

    def thumbnail(self, side: int) -> Bytes:
        """The whole picture at no more than ``side`` pixels a side."""
        image = Image.fromarray(np.squeeze(self.held[-1], 2) if self.held[-1].shape[2] == 1 else self.held[-1])
        image.thumbnail((side, side), Image.Resampling.BOX)
        array = np.asarray(image)
        return array if array.ndim == 3 else array[..., None]


def tile_of(picture: Picture, width: int, height: int, level: int, x: int, y: int) -> Bytes | None:
    """A tile of a page, (h, w, 3 or 1), of a picture that may be a map of a smaller scale; None: there is none.

    Args:
        picture: What is shown.
        width: Of the page, pixels.
        height: Of the page, pixels.
        level: 0 is the smallest.
        x: Tiles to the left of it.
        y: Tiles above it.
    """
    halvings = num_levels(width, height) - 1 - level
    if halvings < 0 or level < 0:
        return None
    scale = 2**halvings
    left, top = x * TILE, y * TILE
    right, bottom = min(left + TILE, -(-width // scale)), min(top + TILE, -(-height // scale))
    if not (0 <= left < right and 0 <= top < bottom):
        return None
    if (picture.width, picture.height) == (width, height):
        return picture.part(halvings, left, top, right, bottom)
    factor = max(1, -(-max(width, height) // max(picture.width, picture.height)))  # of its block means
    own = min(max(0, int(math.log2(scale / factor))) if scale > factor else 0, len(picture.held) - 1)
    each = scale / factor / 2**own
    # The last blocks are cut off, which are the first ones where the page is stored the other way round.
    x0 = (picture.width * factor - width) / scale if picture.turn in (2, 3, 6, 7) else 0
    y0 = (picture.height * factor - height) / scale if picture.turn in (3, 4, 7, 8) else 0
    box = (left + x0) * each, (top + y0) * each, (right + x0) * each, (bottom + y0) * each
    across, down = -(-picture.width // 2**own), -(-picture.height // 2**own)
    first = int(box[0]), int(box[1])
    last = min(math.ceil(box[2]), across), min(math.ceil(box[3]), down)
    piece = picture.part(own, *first, *last)
    edges = [min(edge - first[i % 2], (piece.shape[1], piece.shape[0])[i % 2]) for i, edge in enumerate(box)]
    image = Image.fromarray(piece[..., 0] if piece.shape[2] == 1 else piece)
    size = right - left, bottom - top
    scaled = image.resize(size, Image.Resampling.NEAREST, box=(edges[0], edges[1], edges[2], edges[3]))
    return np.asarray(scaled).reshape(*size[::-1], piece.shape[2])


class Pictures:
    """Decodes pictures, each of them once, however many look at it.

    Args:
        folder: Where what is too large for the memory is put while the process runs.
        is_over: Ends what is in work.
    """

    def __init__(self, folder: Path, is_over: threading.Event) -> None:
        self._folder, self._is_over = folder, is_over
        self._held: Kept[Picture] = Kept(ROOM)
        self._on_disk: Kept[Picture] = Kept(ROOM_ON_DISK)
        self._bands: Kept[Bytes] = Kept(ROOM)
        self._is_large: Kept[bool] = Kept(100_000)
        self._decoding = threading.Semaphore(AT_ONCE)

    def of(self, path: Path, orientation: int | None = None) -> Picture:
        """The picture of a file.

        Args:
            path: The file.
            orientation: How it is turned, 1–8 as in EXIF; None: as it says itself.

        Raises:
            UserError: It cannot be looked at.
        """
        key = file_key(path)

        def is_large() -> tuple[bool, int]:
            with first_page(path) as page:
                return page.height * page.width > HELD, 1

        kept = self._on_disk if self._is_large.get(key, is_large) else self._held
        return kept.get((key, orientation), lambda: self._decoded(path, orientation))

    def _decoded(self, path: Path, orientation: int | None) -> tuple[Picture, int]:
        with self._decoding, first_page(path) as page:
            turn = page.orientation if orientation is None else orientation
            is_large = page.height * page.width > HELD
            first = FIRST_HALVINGS if is_large and isinstance(page, StreamedPage) else 0
            height, width = (page.width, page.height) if turn >= 5 else (page.height, page.width)
            channels = 1 if page.channels < 3 else 3

            def array(halvings: int) -> Bytes:
                scale = 2**halvings
                return self._array((-(-height // scale), -(-width // scale), channels), is_large)

            held = [array(first)]
            for top, left, piece in _pieces(page, turn, 2**first):
                if self._is_over.is_set():
                    raise StoppedError
                rows, columns = top >> first, left >> first
                held[0][rows : rows + piece.shape[0], columns : columns + piece.shape[1]] = piece
            page.release()
        for halvings in range(first + 1, num_levels(width, height)):
            held.append(array(halvings))
            _halve(held[-2], held[-1])
        crop = self._crop(path, page, turn) if first else None
        return Picture(width, height, held, first, turn, crop), sum(each.nbytes for each in held)

    def _array(self, shape: tuple[int, int, int], is_large: bool) -> Bytes:
        if not is_large:
            return np.empty(shape, np.uint8)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                return np.memmap(file, np.uint8, "w+", shape=shape)
        except OSError as error:
            raise UserError(f"{self._folder}: no room to look at a large page ({error.strerror})") from error

    def _crop(self, path: Path, page: Page, turn: int) -> Crop:
        """Reads parts of a large TIFF: bands of its rows are kept, as the tiles of a view share them."""
        key = file_key(path)

        def band(number: int) -> tuple[Bytes, int]:
            top, bottom = number * BAND, min((number + 1) * BAND, page.height)
            with self._decoding, first_page(path) as opened:
                chunk = max(1, CHUNK // page.width)
                starts = range(top, bottom, chunk)
                rows = [shown(opened, opened.rows(start, min(start + chunk, bottom))) for start in starts]
            joined = np.concatenate(rows)
            return joined, joined.nbytes

        def crop(left: int, top: int, right: int, bottom: int) -> Bytes:
            left, top, right, bottom = stored_box(page, turn, left, top, right, bottom)
            parts = []
            for number in range(top // BAND, (bottom - 1) // BAND + 1):
                rows = self._bands.get((key, number), lambda number=number: band(number))  # type: ignore[misc]
                start = number * BAND
                parts.append(rows[max(0, top - start) : bottom - start, left:right])
            return upright(np.concatenate(parts), turn)

        return crop


def file_key(path: Path) -> tuple[str, int, int]:
    """What changes when the content of a file does.

    Raises:
        UserError: It is not there.
    """
    try:
        file = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    return str(path), file.st_mtime_ns, file.st_size


def _pieces(page: Page, turn: int, factor: int) -> Iterator[tuple[int, int, Bytes]]:
    """(top, left, block means of ``factor``) of all of a page, in bands turned upright.

    Bands end where blocks of the upright page end.
    """
    is_reversed = turn in (3, 4, 6, 7)
    step = max(factor, CHUNK // page.width // factor * factor)
    first = page.height % factor if is_reversed else 0
    edges = [0, *range(first or step, page.height, step), page.height]
    for top, bottom in itertools.pairwise(edges):
        piece = reduced(upright(shown(page, page.rows(top, bottom)), turn), factor)
        along = page.height - bottom if is_reversed else top
        yield (0, along, piece) if turn >= 5 else (along, 0, piece)


def stored_box(page: Page, turn: int, left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
    """Where a box of the upright page is as stored."""
    height, width = (page.width, page.height) if turn >= 5 else (page.height, page.width)
    if turn in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    if turn in (2, 3, 6, 7):
        left, right = width - right, width - left
    return (top, left, bottom, right) if turn >= 5 else (left, top, right, bottom)


def _halve(source: Bytes, target: Bytes) -> None:
    step = max(2, CHUNK // source.shape[1] // 2 * 2)
    for top in range(0, len(source), step):
        target[top // 2 : (top + step) // 2] = reduced(np.asarray(source[top : top + step]), 2)


def encoded(pixels: Bytes, kind: str, *, bilevel: bool = False) -> bytes:
    """(h, w, 3 or 1) as a file of that suffix."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    file = io.BytesIO()
    if kind == "png":
        image = image.convert("1", dither=Image.Dither.NONE) if bilevel else image
        image.save(file, "PNG", compress_level=3)
    else:
        image.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
