"""TIFF files: their pages, how each is stored, and what of it can be read."""

import contextlib
import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import PHOTOMETRIC, TIFF, TiffFile, TiffPage

from manuscript_restore.archive import colours, tiff_tags
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.page import Page, TiffLayout, WholePage
from manuscript_restore.archive.tiff_rows import JPEG, PLAIN, StreamedPage, bytes_at, is_plain
from manuscript_restore.errors import UserError

MAX_SEGMENT_BYTES = 1_500_000_000
"""Largest compressed strip or tile that is decoded: it must be held whole."""

MAX_BITS = 16
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_KNOWN = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB}
_COLOURS = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_OLD_JPEG = 6
_REDUCED, _MASK = 1, 4
_INK_SET = 332

# tifffile logs what it finds odd in a file; what matters of it becomes a note or an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
_PILLOW = threading.Lock()


def read_pages(path: Path, stack: contextlib.ExitStack, notes: list[str]) -> list[Page]:
    """Read the directories of a TIFF file; the file stays open until the stack is closed."""
    file = stack.enter_context(TiffFile(path))
    file.filehandle.set_lock(True)
    tiff_tags.check_chain(file)
    pages: list[Page] = []
    for number, page in enumerate(file.pages):
        if not isinstance(page, TiffPage):
            page = page.aspage()
        mark = f"page {number + 1}: " if len(file.pages) > 1 else ""
        if pages and page.subfiletype & (_REDUCED | _MASK):
            kind = "a reduced copy of a page" if page.subfiletype & _REDUCED else "a transparency mask"
            notes.append(f"{mark}{kind} could not be kept")
            continue
        own_notes: list[str] = []
        pages.append(_page(page, number, str(path), own_notes))
        notes.extend(mark + note for note in own_notes)
    return pages


def _page(page: TiffPage, number: int, name: str, notes: list[str]) -> Page:
    _check_kind(page, name)
    _check_segments(page, name)
    metadata = tiff_tags.read(page, notes)
    conversion, channels = _conversion(page, metadata.icc, notes)
    if page.photometric in (_CMYK, _CIELAB, _ICCLAB):
        metadata = tiff_tags.with_srgb(metadata)
    common: dict[str, Any] = {
        "height": page.imagelength,
        "width": page.imagewidth,
        "channels": channels,
        "dtype": np.dtype(np.uint16 if page.bitspersample > 8 and page.photometric != _PALETTE else np.uint8),
        "orientation": md.orientation_of(metadata.exif, metadata.xmp),
        "metadata": metadata,
        "layout": _layout(page),
        "name": name,
    }
    if page.compression == _OLD_JPEG or (page.photometric == _YCBCR and page.compression != JPEG):
        return WholePage(**common, decode=lambda: _through_pillow(name, number))
    return StreamedPage(**common, source=page, conversion=conversion)


def _layout(page: TiffPage) -> TiffLayout:
    return TiffLayout(
        compression=int(page.compression),
        predictor=int(page.predictor),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        rows_per_strip=0 if page.is_tiled else page.rowsperstrip,
        big=page.parent.is_bigtiff,
        order=page.parent.byteorder,
        alpha=int(page.extrasamples[0]) if page.extrasamples else 0,
        subfile=int(page.subfiletype),
    )


def _check_kind(page: TiffPage, name: str) -> None:
    """Refuse pages whose samples cannot become grey or RGB without a loss, or cannot be decoded."""
    photometric, bits = page.photometric, page.bitspersample
    num_colours = _COLOURS.get(photometric, 1)
    lab = photometric in (_CIELAB, _ICCLAB)
    if (
        photometric not in _KNOWN
        or not isinstance(bits, int)
        or not 1 <= bits <= MAX_BITS
        or page.sampleformat not in (1, 4, *((2,) if photometric == _CIELAB else ()))
        or page.imagedepth != 1
        or not num_colours <= page.samplesperpixel <= num_colours + 1
        or (lab and (page.compression == JPEG or bits not in (8, 16)))
        or (page.is_subsampled and page.compression == PLAIN)
        or (photometric == _CMYK and page.tags.valueof(_INK_SET, 1) != 1)
    ):
        kind = f"{PHOTOMETRIC(photometric).name}, {bits} bits, {page.samplesperpixel} samples"
        raise UserError(f"{name}: is a TIFF of a rare kind ({kind}); convert it to 8- or 16-bit grey or RGB")
    if page.compression not in (PLAIN, _OLD_JPEG) and page.compression not in TIFF.DECOMPRESSORS:
        raise UserError(
            f"{name}: has compression {page.compression}, which is not supported; "
            "save it with LZW, deflate or no compression"
        )


def _check_segments(page: TiffPage, name: str) -> None:
    """Refuse files that end before their last strip or tile, and those too large to decode."""
    if page.compression == _OLD_JPEG:  # of which libtiff alone knows what the strips are
        first = min(page.dataoffsets)
        if b"\xff\xd9" not in bytes_at(
            page, first, max(map(int.__add__, page.dataoffsets, page.databytecounts)) - first
        ):
            raise ValueError("the file ends early")
        return
    width, length = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    num_down = -(-page.imagelength // length)
    num_segments = -(-page.imagewidth // width) * num_down * planes
    offsets, counts = page.dataoffsets[:num_segments], page.databytecounts[:num_segments]
    if len(offsets) < num_segments or len(counts) < num_segments or 0 in counts:
        raise ValueError("strips of the picture are missing")
    if max(map(int.__add__, offsets, counts)) > page.parent.filehandle.size:
        raise ValueError("the file ends early")
    row_bytes = width * page.samplesperpixel // planes * max(page.bitspersample // 8, 1)
    num_rows = min(length, page.imagelength)
    if is_plain(page):
        last = page.imagelength - (num_down - 1) * length
        needed = ([length * row_bytes] * (num_down - 1) + [last * row_bytes]) * planes
        if any(map(int.__lt__, counts, needed)):
            raise ValueError("strips of the picture are cut off")
    elif row_bytes * num_rows > MAX_SEGMENT_BYTES:
        raise UserError(
            f"{name}: a compressed strip of {width}×{num_rows} pixels exceeds {MAX_SEGMENT_BYTES / 1e9} GB; "
            "save the file with smaller strips or with tiles"
        )


def _conversion(page: TiffPage, icc: bytes, notes: list[str]) -> tuple[colours.Conversion, int]:
    """How a page's samples become grey or RGB, and the number of channels after that."""
    photometric, bits, samples = int(page.photometric), page.bitspersample, page.samplesperpixel
    if photometric == _PALETTE:
        notes.append("palette expanded to RGB")
        if page.colormap is None:
            raise ValueError("the palette is missing")
        palette = (page.colormap.T >> 8).astype(np.uint8)  # (3, colours) -> (colours, 3)
        return colours.looked_up(palette), samples + 2
    if photometric == _CMYK:
        return colours.chained(colours.scaled(bits), colours.from_cmyk(icc, notes)), samples - 1
    if photometric in (_CIELAB, _ICCLAB):
        return colours.chained(_unsigned, colours.from_lab(photometric == _ICCLAB, notes)), samples
    if bits not in (8, 16):
        notes.append(f"{bits}-bit samples became {8 if bits < 8 else 16}-bit ones")
    if photometric == _YCBCR:
        notes.append("YCbCr converted to RGB")
    if photometric == _WHITE_IS_ZERO:
        notes.append("grey stored with 0 for white was inverted")
        return colours.chained(colours.scaled(bits), colours.inverted), samples
    return colours.scaled(bits), samples


def _unsigned(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.view(f"u{samples.itemsize}")


def _through_pillow(name: str, number: int) -> NDArray[np.uint8]:
    """Decode a whole page with libtiff, which knows kinds of JPEG and YCbCr that are long out of use."""
    # The warnings' filters are the whole process's; the lock keeps threads from restoring each other's.
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Path(name).open("rb") as file, TiffImagePlugin.TiffImageFile(file) as image:
            image.seek(number)
            return np.asarray(image.convert("RGB"))
