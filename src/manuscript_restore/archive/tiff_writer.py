"""TIFF files written strip by strip or tile by tile: pixels first, and each page's directory behind them."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import codecs, ifd, tiff_tags
from manuscript_restore.archive.page import NewXmp, PageDescription, Pixels
from manuscript_restore.archive.rows import bands

BIG_BYTES = 3_900_000_000
"""Above this, uncompressed, the offsets of a classic TIFF might not do."""

STRIP_BYTES, MAX_STRIP_BYTES = 1 << 19, 1 << 20
_PREDICTED = 2
_DEFLATE = 8

_ENCODERS: dict[int, Callable[[NDArray[Any]], Any]] = {
    1: lambda samples: samples.tobytes(),
    5: lambda samples: codecs.lzw_encode(samples.tobytes()),
    8: lambda samples: codecs.deflate_encode(samples.tobytes(), 6),
    32946: lambda samples: codecs.deflate_encode(samples.tobytes(), 6),
    32773: lambda samples: codecs.packbits_encode(samples, axis=-2),
    34925: lambda samples: codecs.lzma_encode(samples.tobytes()),
    50000: lambda samples: codecs.zstd_encode(samples.tobytes()),
}
"""Compressions without loss; the others become deflate."""

_PREDICTABLE = {5, 8, 32946, 34925, 50000}


def write(
    path: Path,
    pages: Sequence[tuple[PageDescription, Iterable[Pixels]]],
    notes: list[str],
    new_xmp: NewXmp | None = None,
) -> None:
    """Write pages into one file, each as its blocks of rows come.

    Args:
        path: Written over.
        pages: Each page with its rows from the top downwards, in blocks of any height.
        notes: Takes what could not be kept.
        new_xmp: Gives the XMP packet of each page, when its rows have come.
    """
    size = sum(page.height * page.row_bytes for page, _ in pages)
    big = size > BIG_BYTES or any(page.layout.big for page, _ in pages)
    order = _order(pages[0][0])
    with path.open("wb") as file:
        header = (b"II" if order == "<" else b"MM") + struct.pack(
            order + ("HHHQ" if big else "H"), *((43, 8, 0, 0) if big else (42,))
        )
        file.write(header if big else header + bytes(4))
        pointer = 8 if big else 4  # where the offset of the next directory belongs
        for number, (page, blocks) in enumerate(pages):
            directory = tiff_tags.directory_for(page.metadata, notes).in_order(order)
            _describe(directory, page, notes)
            offsets, counts = _write_segments(file, page, blocks, directory)
            _point_to_segments(directory, page, offsets, counts, big)
            if new_xmp and (packet := new_xmp(number, page.metadata.xmp, notes)) != page.metadata.xmp:
                tiff_tags.put_xmp(directory, packet)
            start = file.seek(0, 2)
            start += file.write(b"\0" * (start % 2))
            file.write(ifd.to_bytes(directory, start, big=big))
            file.seek(pointer)
            file.write(struct.pack(order + ("Q" if big else "I"), start))
            num_entries = len(directory.entries) + len(directory.below)
            pointer = start + (8 + 20 * num_entries if big else 2 + 12 * num_entries)
            file.seek(0, 2)


def _order(page: PageDescription) -> ifd.ByteOrder:
    """The byte order of the page's EXIF: some makers' notes can be read in no other."""
    if page.metadata.format == "TIFF":
        return page.layout.order
    return ">" if page.metadata.exif.startswith(b"MM") else "<"


def _describe(directory: ifd.Directory, page: PageDescription, notes: list[str]) -> None:
    """Put the tags that say how the pixels are stored."""
    bits = 8 * page.dtype.itemsize
    compression = page.layout.compression
    if compression not in _ENCODERS:
        notes.append("the compression was changed to deflate, which keeps every pixel")
        compression = _DEFLATE
    predicted = page.layout.predictor == _PREDICTED and compression in _PREDICTABLE
    if page.layout.subfile:
        directory.put(254, ifd.LONG, page.layout.subfile)
    directory.put(256, ifd.LONG, page.width)
    directory.put(257, ifd.LONG, page.height)
    directory.put(258, ifd.SHORT, *[bits] * page.channels)
    directory.put(259, ifd.SHORT, compression)
    directory.put(262, ifd.SHORT, 2 if page.channels > 2 else 1)
    directory.put(277, ifd.SHORT, page.channels)
    directory.put(284, ifd.SHORT, 1)
    if predicted:
        directory.put(317, ifd.SHORT, _PREDICTED)
    if page.channels in (2, 4):
        directory.put(338, ifd.SHORT, page.layout.alpha)
    if page.layout.tile:
        directory.put(322, ifd.LONG, page.layout.tile[1])
        directory.put(323, ifd.LONG, page.layout.tile[0])
    else:
        directory.put(278, ifd.LONG, _rows_per_strip(page))


def _rows_per_strip(page: PageDescription) -> int:
    """The input's strips where they are neither too large to read nor too many."""
    rows = min(page.layout.rows_per_strip, page.height)
    if 0 < rows * page.row_bytes <= MAX_STRIP_BYTES:
        return rows
    return min(max(STRIP_BYTES // page.row_bytes, 1), page.height)


def _write_segments(
    file: BinaryIO, page: PageDescription, blocks: Iterable[Pixels], directory: ifd.Directory
) -> tuple[list[int], list[int]]:
    encode = _ENCODERS[directory.number(259, 1)]
    predicted = directory.number(317, 1) == _PREDICTED
    dtype = page.dtype.newbyteorder(directory.order)
    offsets, counts = [], []
    for segment in _segments(page, blocks):
        samples = codecs.delta_encode(segment, axis=-2) if predicted else segment
        data = encode(np.ascontiguousarray(samples, dtype))
        offsets.append(file.tell())
        counts.append(file.write(data))
        file.write(b"\0" * (len(data) % 2))
    return offsets, counts


def _segments(page: PageDescription, blocks: Iterable[Pixels]) -> Iterator[NDArray[Any]]:
    if page.layout.tile is None:
        yield from bands(page, blocks, _rows_per_strip(page))
        return
    height, width = page.layout.tile
    for band in bands(page, blocks, height):
        for left in range(0, page.width, width):
            tile = np.zeros((height, width, page.channels), page.dtype)
            part = band[:, left : left + width]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _point_to_segments(
    directory: ifd.Directory, page: PageDescription, offsets: list[int], counts: list[int], big: bool
) -> None:
    kind = ifd.LONG8 if big else ifd.LONG
    directory.put(324 if page.layout.tile else 273, kind, *offsets)
    directory.put(325 if page.layout.tile else 279, kind, *counts)
