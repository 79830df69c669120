"""TIFF files: their pages, how each is stored, and what of it can be read."""

import contextlib
import functools
import importlib
import io
import logging
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import PHOTOMETRIC, TIFF, TiffFile, TiffPage

from manuscript_restore.archive import colours, kinds, tiff_tags
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.page import Notes, Page, TiffLayout, WholePage
from manuscript_restore.archive.tiff_rows import (
    JPEG,
    PLAIN,
    StreamedPage,
    bytes_at,
    is_plain,
    num_bytes_at,
    subsampled,
)
from manuscript_restore.errors import UserError

MAX_SEGMENT_BYTES = 1_500_000_000
"""Largest compressed strip or tile that is decoded: it must be held whole."""

MAX_BITS = 16
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_KNOWN = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB}
_COLOURS = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_OLD_JPEG, _OLD_JPEG_STREAM = 6, (513, 514)
_CCITT = {2, 3, 4}
_REDUCED, _MASK = 1, 4
_INK_SET = 332
_YCBCR_TAGS = {529: [0.299, 0.587, 0.114], 532: [0.0, 255, 128, 255, 128, 255]}
_NUMBERS = {2: "signed", 3: "floats"}

# tifffile logs what it finds odd in a file; what matters of it becomes a note or an error here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
_PILLOW = threading.Lock()


def read_pages(source: Path | io.BytesIO, stack: contextlib.ExitStack, notes: Notes) -> list[Page]:
    """Read the directories of a TIFF file; the file stays open until the stack is closed."""
    file = stack.enter_context(TiffFile(source, name=notes.name))
    file.filehandle.set_lock(True)
    if notes.lossy:
        return [_page(file.pages.first, 0, notes)]
    tiff_tags.check_chain(file, notes)
    pages: list[Page] = []
    for number, page in enumerate(file.pages):
        if not isinstance(page, TiffPage):
            page = page.aspage()
        mark = f"page {number + 1}: " if len(file.pages) > 1 else ""
        if pages and page.subfiletype & (_REDUCED | _MASK):
            kind = "a reduced copy of a page" if page.subfiletype & _REDUCED else "a transparency mask"
            notes.append(f"{mark}{kind} could not be kept")
            continue
        own_notes = Notes(notes.name)
        pages.append(_page(page, number, own_notes))
        notes.extend(mark + note for note in own_notes)
    return pages


def _page(page: TiffPage, number: int, notes: Notes) -> Page:
    page.rowsperstrip = page.rowsperstrip or page.imagelength  # 0 is nonsense
    _check_kind(page, notes)
    _check_segments(page, notes.name)
    metadata = tiff_tags.read(page, notes)
    kept, alpha = _kept_channels(page, notes)
    conversion, channels = _conversion(page, kept, metadata.icc, notes)
    if page.photometric in (_CMYK, _CIELAB, _ICCLAB):
        metadata = tiff_tags.with_srgb(metadata)
    common: dict[str, Any] = {
        "height": page.imagelength,
        "width": page.imagewidth,
        "channels": channels,
        "dtype": np.dtype(np.uint16 if page.bitspersample > 8 and page.photometric != _PALETTE else np.uint8),
        "orientation": md.orientation_of(metadata.exif, metadata.xmp),
        "metadata": metadata,
        "layout": _layout(page, alpha),
        "name": notes.name,
    }
    if page.compression == _OLD_JPEG:
        return WholePage(**common, decode=lambda: _through_pillow(page, number))
    if page.is_subsampled and page.compression != JPEG:
        return WholePage(**common, decode=lambda: conversion(subsampled(page)))
    if _is_measured(page):  # whose full scale is known when all of it is
        stored = {**common, "channels": page.samplesperpixel, "dtype": page.dtype}
        rows = StreamedPage(**stored, source=page, conversion=colours.keep)
        return WholePage(**common, decode=lambda: conversion(rows.rows(0, page.imagelength)))
    return StreamedPage(**common, source=page, conversion=conversion)


def _layout(page: TiffPage, alpha: int) -> TiffLayout:
    return TiffLayout(
        compression=int(page.compression),
        predictor=int(page.predictor),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
        rows_per_strip=0 if page.is_tiled else page.rowsperstrip,
        big=page.parent.is_bigtiff,
        order=page.parent.byteorder,
        alpha=alpha,
        subfile=int(page.subfiletype),
    )


def _is_measured(page: TiffPage) -> bool:
    """Whether samples are floats, signed, or of more than 16 bits: no scale says where white is."""
    grey_or_rgb = page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    wide = page.sampleformat in (2, 3) or (isinstance(page.bitspersample, int) and page.bitspersample > MAX_BITS)
    return grey_or_rgb and wide and page.dtype is not None


def _check_kind(page: TiffPage, notes: Notes) -> None:
    """Refuse pages whose samples cannot become grey or RGB without a loss, or cannot be decoded."""
    if kinds.DNG_VERSION in page.parent.pages.first.tags:  # of which the first picture is but a thumbnail
        raise UserError(f"{notes.name}: {kinds.RAW.reason}")
    photometric, bits = page.photometric, page.bitspersample
    num_colours = _COLOURS.get(photometric, 1)
    lab = photometric in (_CIELAB, _ICCLAB)
    measured = _is_measured(page)
    if page.samplesperpixel < num_colours:
        raise ValueError(f"{PHOTOMETRIC(photometric).name} of {page.samplesperpixel} samples")
    rare = (
        photometric not in _KNOWN
        or not isinstance(bits, int)
        or (not 1 <= bits <= MAX_BITS and not measured)
        or (page.sampleformat not in (1, 4, *((2,) if photometric == _CIELAB else ())) and not measured)
        or page.imagedepth != 1
        or (lab and (page.compression == JPEG or bits not in (8, 16)))
        or (photometric == _YCBCR and page.compression not in (JPEG, _OLD_JPEG) and not _is_known_ycbcr(page))
        or (photometric == _CMYK and page.tags.valueof(_INK_SET, 1) != 1)
    )
    if rare or measured:
        kind = f"{PHOTOMETRIC(photometric).name}, {page.samplesperpixel} samples of {bits} bits"
        if measured and page.sampleformat in _NUMBERS:
            kind += f", {_NUMBERS[page.sampleformat]}"
        what = f"is a TIFF of a rare kind ({kind}); convert it to 8- or 16-bit grey or RGB"
        if rare:
            raise UserError(f"{notes.name}: {what}")
        notes.lose(what)
    if page.compression not in (PLAIN, _OLD_JPEG) and page.compression not in TIFF.DECOMPRESSORS:
        importlib.import_module("imagecodecs")  # without which tifffile knows few: then that is what to say
        raise UserError(
            f"{notes.name}: has compression {page.compression}, which is not supported; "
            "save it with LZW, deflate or no compression"
        )


def _is_known_ycbcr(page: TiffPage) -> bool:
    in_units = page.is_subsampled
    return page.bitspersample == 8 and not (
        in_units and (page.is_tiled or page.planarconfig == 2 or page.predictor != 1 or page.fillorder != 1)
    )


def _check_segments(page: TiffPage, name: str) -> None:
    """Refuse files that end before their last strip or tile, and those too large to decode."""
    size = page.parent.filehandle.size
    if page.compression == _OLD_JPEG:  # of which libtiff alone knows what the strips are
        stream, length = (int(np.ravel(page.tags.valueof(tag, 0))[0]) for tag in _OLD_JPEG_STREAM)
        starts = [*page.dataoffsets, *[stream] * (stream > 0)]
        ends = [*map(int.__add__, page.dataoffsets, page.databytecounts), stream + length]
        data = bytes_at(page, min(starts, default=0), max(ends) - min(starts, default=0))
        if not data or (stream and b"\xff\xd9" not in data):
            raise ValueError("the file ends before the picture does")
        return
    width, length = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    num_down = -(-page.imagelength // length)
    num_segments = -(-page.imagewidth // width) * num_down * planes
    offsets = page.dataoffsets[:num_segments]
    if len(offsets) < num_segments or 0 in offsets:
        raise ValueError("strips of the picture are missing")
    row_bytes = width * page.samplesperpixel // planes * max(page.bitspersample // 8, 1)
    num_rows = min(length, page.imagelength)
    if is_plain(page):  # libtiff, too, takes what it needs, whatever the tag says of their lengths
        last = page.imagelength - (num_down - 1) * length
        counts = ([length * row_bytes] * (num_down - 1) + [last * row_bytes]) * planes
    elif row_bytes * num_rows > MAX_SEGMENT_BYTES:
        raise UserError(
            f"{name}: a compressed strip of {width}×{num_rows} pixels exceeds {MAX_SEGMENT_BYTES / 1e9} GB; "
            "save the file with smaller strips or with tiles"
        )
    elif page.compression in _CCITT:  # whose decoder does not tell if bytes are missing
        counts = [num_bytes_at(page, index) for index in range(num_segments)]
    else:
        counts = [1] * num_segments
    if max(map(int.__add__, offsets, counts)) > size:
        raise ValueError("the file ends before the picture does")


def _kept_channels(page: TiffPage, notes: Notes) -> tuple[list[int], int]:
    """The channels that a page can have: its colours and one more, of which the tag's number says what it is."""
    num_colours = _COLOURS.get(page.photometric, 1)
    num_extra = page.samplesperpixel - num_colours
    # Without a tag a fourth channel is alpha: so libtiff takes it.
    meanings = [*map(int, page.extrasamples), *[2] * num_extra][:num_extra]
    alpha = next((number for number, meaning in enumerate(meanings) if meaning in (1, 2)), 0)
    if num_extra > 1 and num_colours == 1:
        notes.lose(f"holds {num_extra + 1} channels, of which a copy would keep two; save the others as files")
    elif num_extra > 1:
        notes.append(f"{num_extra - 1} of the {num_extra} channels beside the colours could not be kept")
    return [*range(num_colours), *[num_colours + alpha][:num_extra]], (meanings or [2])[alpha]


def _conversion(page: TiffPage, kept: list[int], icc: bytes, notes: Notes) -> tuple[colours.Conversion, int]:
    """How a page's samples become grey or RGB, and the number of channels after that."""
    steps: list[colours.Conversion] = []
    photometric, bits, channels = int(page.photometric), page.bitspersample, len(kept)
    if channels < page.samplesperpixel:
        steps.append(lambda samples: samples[..., kept])
    if photometric == _PALETTE:
        notes.append("palette expanded to RGB")
        steps.append(colours.looked_up(_palette(page)))
        channels += 2
    elif photometric in (_CIELAB, _ICCLAB):
        steps += [_unsigned, colours.from_lab(photometric == _ICCLAB, notes)]
    elif _is_measured(page):
        steps.append(colours.to_full_scale)
    else:
        steps.append(colours.scaled(bits))
        if bits not in (8, 16):
            notes.append(f"{bits}-bit samples became {8 if bits < 8 else 16}-bit ones")
    if photometric == _CMYK:
        steps.append(colours.from_cmyk(icc, notes))
        channels -= 1
    if photometric == _YCBCR:
        notes.append("YCbCr converted to RGB")
        if page.compression not in (JPEG, _OLD_JPEG):
            shares, reference = (_rationals(page, tag, usual) for tag, usual in _YCBCR_TAGS.items())
            steps.append(colours.from_ycbcr(shares, reference))
    if photometric == _WHITE_IS_ZERO:
        notes.append("grey stored with 0 for white was inverted")
        steps.append(colours.inverted)
    return functools.reduce(colours.chained, steps), channels


def _palette(page: TiffPage) -> NDArray[np.uint8]:
    """The colours of a palette (colours, 3)."""
    if page.colormap is None:
        raise ValueError("the palette is missing")
    # Of 16 bits; but some writers fill in 8, which libtiff, too, tells by there being no higher number.
    shift = 8 if page.colormap.max() > 255 else 0
    return (page.colormap.T >> shift).astype(np.uint8)  # (3, colours) -> (colours, 3)


def _rationals(page: TiffPage, tag: int, usual: list[float]) -> list[float]:
    values = np.array(page.tags.valueof(tag, ()), float).reshape(-1, 2)
    return list(values[:, 0] / values[:, 1]) if len(values) == len(usual) and values[:, 1].all() else usual


def _unsigned(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.view(f"u{samples.itemsize}")


def _through_pillow(page: TiffPage, number: int) -> NDArray[np.uint8]:
    """Decode a whole page with libtiff, which knows kinds of JPEG that are long out of use."""
    content = bytes_at(page, 0, page.parent.filehandle.size)
    # The warnings' filters are the whole process's; the lock keeps threads from restoring each other's.
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with TiffImagePlugin.TiffImageFile(io.BytesIO(content)) as image:
            image.seek(number)
            return np.asarray(image.convert("RGB"))
