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
from manuscript_restore.archive.tiff_rows import JPEG, PLAIN, StreamedPage, is_plain
from manuscript_restore.errors import UserError

MAX_SEGMENT_BYTES = 1_500_000_000
"""Largest compressed strip or tile that is decoded: it must be held whole."""

MAX_BITS = 16
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_KNOWN = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB}
_COLOURS = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_OLD_JPEG = 6
_REDUCED, _MASK = 1, 4

# tifffile logs what it finds odd in a file; what matters of it becomes a note or an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
_PILLOW = threading.Lock()


def read_pages(path: Path, stack: contextlib.ExitStack, notes: list[str]) -> list[Page]:
    """Read the directories of a TIFF file; the file stays open until the stack is closed."""
    file = stack.enter_context(TiffFile(path))
    file.filehandle.set_lock(True)
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
    photometric, bits = int(page.photometric), page.bitspersample
    kind = f"{PHOTOMETRIC(photometric).name}, {bits} bits, {page.samplesperpixel} samples"
    num_colours = _COLOURS.get(photometric, 1)
    if (
        photometric not in _KNOWN
        or not isinstance(bits, int)
        or bits > MAX_BITS
        or page.sampleformat not in (1, 4, *((2,) if photometric == _CIELAB else ()))
        or page.imagedepth != 1
        or not num_colours <= page.samplesperpixel <= num_colours + 1
        or (photometric in (_CIELAB, _ICCLAB) and page.compression == JPEG)
        or (photometric == _CMYK and page.tags.valueof(332, 1) != 1)
        or page.nodata is None
    ):
        raise UserError(f"{name}: is a TIFF of a rare kind ({kind}); convert it to 8- or 16-bit grey or RGB")
    if page.compression not in (PLAIN, _OLD_JPEG) and page.compression not in TIFF.DECOMPRESSORS:
        raise UserError(
            f"{name}: has compression {page.compression}, which is not supported; "
            "save it with LZW, deflate or no compression"
        )
    _check_segments(page, name)
    metadata = tiff_tags.read(page, notes)
    layout = TiffLayout(
        compression=int(page.compression),
        predictor=int(page.predictor),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        rows_per_strip=0 if page.is_tiled else page.rowsperstrip,
        big=page.parent.is_bigtiff,
        order=page.parent.byteorder,
        alpha=int(page.extrasamples[0]) if page.extrasamples else 2,
        subfile=int(page.subfiletype),
    )
    conversion, channels = _conversion(page, metadata.icc, notes)
    if photometric in (_CMYK, _CIELAB, _ICCLAB):
        metadata = tiff_tags.with_srgb(metadata)
    common: dict[str, Any] = {
        "height": page.imagelength,
        "width": page.imagewidth,
        "channels": channels,
        "dtype": np.dtype(np.uint16 if bits > 8 and photometric != _PALETTE else np.uint8),
        "orientation": md.orientation_of(metadata.exif, metadata.xmp),
        "metadata": metadata,
        "layout": layout,
        "name": name,
    }
    if page.compression == _OLD_JPEG or (photometric == _YCBCR and page.compression != JPEG):
        return WholePage(**common, decode=lambda: _through_pillow(name, number))
    return StreamedPage(**common, source=page, conversion=conversion)


def _check_segments(page: TiffPage, name: str) -> None:
    """Refuse files that end before their last segment, and segments too large to decode."""
    size = page.parent.filehandle.size
    width, length = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    num_segments = -(-page.imagewidth // width) * -(-page.imagelength // length) * planes
    counts = page.databytecounts[:num_segments]
    whole = len(counts) == len(page.dataoffsets[:num_segments]) == num_segments and page.compression != _OLD_JPEG
    ends = [offset + count for offset, count in zip(page.dataoffsets, counts, strict=False)]
    if (not whole and page.compression != _OLD_JPEG) or min(counts, default=0) == 0 or max(ends) > size:
        raise ValueError("the file ends early, or strips of the picture are missing")
    num_rows = min(length, page.imagelength)
    segment_bytes = width * num_rows * page.samplesperpixel // planes * max(page.bitspersample // 8, 1)
    if is_plain(page):
        rows = -(-page.imagelength // length)
        if sum(counts) < segment_bytes * (rows - 1) * planes:
            raise ValueError("the file ends early")
    elif segment_bytes > MAX_SEGMENT_BYTES:
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
        return _after(colours.scaled(bits), colours.from_cmyk(icc, notes)), samples - 1
    if photometric in (_CIELAB, _ICCLAB):
        return _after(_unsigned, colours.from_lab(photometric == _ICCLAB, notes)), samples
    if bits not in (8, 16):
        notes.append(f"{bits}-bit samples became {8 if bits < 8 else 16}-bit ones")
    if photometric == _YCBCR:
        notes.append("YCbCr converted to RGB")
    if photometric == _WHITE_IS_ZERO:
        notes.append("grey stored with 0 for white was inverted")
        return _after(colours.scaled(bits), colours.inverted), samples
    return colours.scaled(bits), samples


def _after(first: colours.Conversion, second: colours.Conversion) -> colours.Conversion:
    return lambda samples: second(first(samples))


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
