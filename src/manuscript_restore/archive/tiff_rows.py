"""Rows of a TIFF page, decoded strip by strip or tile by tile: a page never has to fit into memory."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours
from manuscript_restore.archive.jpeg import FILLER
from manuscript_restore.archive.page import Page, Pixels, damage_of

if TYPE_CHECKING:  # imported where a TIFF is opened
    from tifffile import TiffPage

BAND_BYTES = 8_000_000
"""What is read at once of pages without compression."""

PLAIN, JPEG = 1, 7
"""TIFF's numbers of two compressions."""


@dataclass(frozen=True)
class StreamedPage(Page):
    """A page read in bands: a row of tiles, a strip, or some rows of uncompressed data."""

    source: "TiffPage" = field(kw_only=True, repr=False)
    name: str = field(kw_only=True)
    conversion: colours.Conversion = field(kw_only=True, repr=False)
    _bands: dict[int, NDArray[Any]] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def _rows_of_band(self) -> int:
        if self.source.is_tiled:
            return int(self.source.tilelength)
        if is_plain(self.source):
            return min(max(BAND_BYTES // self.row_bytes, 1), self.height)
        return min(int(self.source.rowsperstrip), self.height)

    def rows(self, top: int, bottom: int) -> Pixels:
        """Rows of the page; the bands they lie in are kept until the next call."""
        size = self._rows_of_band
        needed = range(top // size, (max(bottom, top + 1) - 1) // size + 1)
        for number in [number for number in self._bands if number not in needed]:
            del self._bands[number]
        for number in needed:
            if number not in self._bands:
                with damage_of(self.name):
                    self._bands[number] = self._band(number * size, min((number + 1) * size, self.height))
        rows = np.empty((bottom - top, self.width, self.channels), self.dtype)
        for number in needed:
            start = number * size
            first, last = max(top, start), min(bottom, start + size)
            rows[first - top : last - top] = self._bands[number][first - start : last - start]
        return rows

    def release(self) -> None:
        """Let go of the bands that the last call read."""
        self._bands.clear()

    def _band(self, top: int, bottom: int) -> NDArray[Any]:
        shape = (bottom - top, self.width, int(self.source.samplesperpixel))
        samples = np.empty(shape, self.source.dtype)
        (_read_plain if is_plain(self.source) else _decode)(self.source, samples, top)
        return self.conversion(samples)


def is_plain(page: "TiffPage") -> bool:
    """Whether any row of a page can be read by itself: its strips may be as large as the file."""
    return (
        page.compression == PLAIN
        and not page.is_subsampled
        and page.predictor == 1
        and not page.is_tiled
        and page.bitspersample in (8, 16)
        and page.fillorder == 1
    )


def _read_plain(page: "TiffPage", samples: NDArray[Any], top: int) -> None:
    planes = samples.shape[2] if page.planarconfig == 2 else 1
    per_row = samples.shape[1] * samples.shape[2] // planes
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    num_strips = -(-page.imagelength // page.rowsperstrip)
    for plane in range(planes):
        row = top
        while row < top + len(samples):
            strip, above = divmod(row, page.rowsperstrip)
            num_rows = min(top + len(samples) - row, page.rowsperstrip - above)
            offset = page.dataoffsets[plane * num_strips + strip] + above * per_row * dtype.itemsize
            data = bytes_at(page, offset, num_rows * per_row * dtype.itemsize)
            values = np.frombuffer(data, dtype).reshape(num_rows, samples.shape[1], -1)
            samples[row - top : row - top + num_rows, :, plane : plane + values.shape[2]] = values
            row += num_rows


def _decode(page: "TiffPage", samples: NDArray[Any], top: int) -> None:
    width, length = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    across = -(-page.imagewidth // width)
    num_segments = across * -(-page.imagelength // length)
    planes = samples.shape[2] if page.planarconfig == 2 else 1
    first = top // length * across
    for plane in range(planes):
        for index in range(plane * num_segments + first, plane * num_segments + first + across):
            data = bytes_at(page, page.dataoffsets[index], num_bytes_at(page, index), all_of_it=False)
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            decoded, (_, _, row, left, _), _ = page.decode(data, index, **tables)
            part = samples[row - top : row - top + length, left : left + width]
            part = part[:, :, plane : plane + 1] if planes > 1 else part
            if decoded is None or decoded.shape[1] < len(part):
                raise ValueError("strips of the picture are missing")
            if page.compression == JPEG and b"\xff\xd9" not in data:  # libjpeg would fill up with grey
                others, _, _ = page.decode(data.rstrip(b"\xff") + FILLER, index, **tables)
                if others is None or not np.array_equal(decoded, others):
                    raise ValueError("a strip ends early")
            part[:] = decoded[0, : part.shape[0], : part.shape[1]]


def subsampled(page: "TiffPage") -> NDArray[np.uint8]:
    """YCbCr (H, W, 3) of which some pixels share their colour, in strips without JPEG.

    Source: TIFF 6.0, section 21.

    Raises:
        ValueError: A strip is too short.
    """
    from tifffile import TIFF

    across, down = page.subsampling or (1, 1)
    columns, strips = -(-page.imagewidth // across), []
    for index, top in enumerate(range(0, page.imagelength, page.rowsperstrip)):
        num_rows = min(page.rowsperstrip, page.imagelength - top)
        data = bytes_at(page, page.dataoffsets[index], num_bytes_at(page, index))
        data = data if page.compression == PLAIN else TIFF.DECOMPRESSORS[page.compression](data)
        shape = -(-num_rows // down), columns, down * across + 2  # units: the Y of some pixels, their Cb and Cr
        units = np.frombuffer(data, np.uint8, math.prod(shape)).reshape(shape)
        luma = units[..., :-2].reshape(*shape[:2], down, across).swapaxes(1, 2).reshape(-1, columns * across, 1)
        chroma = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
        strips.append(np.concatenate([luma, chroma], axis=2)[:num_rows, : page.imagewidth])
    return np.concatenate(strips)


def num_bytes_at(page: "TiffPage", index: int) -> int:
    """Bytes of a strip or tile; where the file does not say, up to what comes next in it."""
    counts, start = page.databytecounts, page.dataoffsets[index]
    if index < len(counts) and counts[index]:
        return int(counts[index])
    ends = [offset for offset in (*page.dataoffsets, page.offset, page.parent.filehandle.size) if offset > start]
    return min(ends, default=start) - start


def bytes_at(page: "TiffPage", offset: int, count: int, *, all_of_it: bool = True) -> bytes:
    """Read bytes of a page's file, which threads may share.

    Raises:
        ValueError: The file ends early, and ``all_of_it`` is asked for.
    """
    file = page.parent.filehandle
    with file.lock:
        file.seek(offset)
        data: bytes = file.read(count)
    if len(data) < count and all_of_it:
        raise ValueError("the file ends early")
    return data
