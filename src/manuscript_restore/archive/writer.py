"""Write a document: the pixels of its pages with their metadata, whole or not at all."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours, jp2, jpeg, png, tiff_writer, webp
from manuscript_restore.archive.metadata import Metadata
from manuscript_restore.archive.page import NewXmp, PageDescription, Pixels
from manuscript_restore.archive.rows import whole
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

_MAX_SIDES = {"JPEG": jpeg.MAX_SIDE, "PNG": png.MAX_SIDE, "WEBP": webp.MAX_SIDE, "JPEG2000": jp2.MAX_SIDE}


def write_document(
    path: str | Path,
    pages: Sequence[tuple[PageDescription, Iterable[Pixels]]],
    *,
    format: str,
    quality: int = 95,
) -> list[str]:
    """Write pages with their metadata, whole or not at all; arguments and errors as `write_pages`."""
    with whole_file(path) as unfinished:
        return write_pages(unfinished, pages, format=format, quality=quality, name=str(path))


def write_pages(
    path: Path,
    pages: Sequence[tuple[PageDescription, Iterable[Pixels]]],
    *,
    format: str,
    quality: int = 95,
    name: str,
    new_xmp: NewXmp | None = None,
) -> list[str]:
    """Write pages with their metadata; a page of the same format keeps its blocks byte for byte.

    TIFF is written as the rows come, in the page's own layout; the other formats hold one page in memory.

    Args:
        path: The file.
        pages: Each page's description with its rows from the top downwards, in blocks of any height.
        format: ``"JPEG"``, ``"PNG"``, ``"TIFF"``, ``"WEBP"``, ``"JPEG2000"``, or ``"PDF"``, of which the pages
            must be those of an open document: all else is taken from there.
        quality: Of JPEG and WebP, 1–100; 100 is WebP without loss. The other formats lose nothing.
        name: What messages call the file.
        new_xmp: Gives the XMP packet of each page; None: that of the page.

    Returns:
        Notes on what the format could not hold.

    Raises:
        UserError: The format cannot hold such a picture.
    """
    notes: list[str] = []
    if format == "TIFF":
        tiff_writer.write(path, pages, notes, new_xmp)
        return list(dict.fromkeys(notes))  # pages alike say the same
    if format == "PDF":
        from manuscript_restore.archive import pdf_writer  # which imports what an extra brings

        pdf_writer.write(path, pages, notes, quality, new_xmp)
        return notes
    if len(pages) != 1:
        raise UserError(f"{name}: {format} holds one page, not {len(pages)}; write TIFF")
    page, blocks = pages[0]
    limit = _MAX_SIDES[format]
    if max(page.height, page.width) > limit:
        raise UserError(
            f"{name}: {page.width}×{page.height} pixels are too many for {format} ({limit} a side); write TIFF"
        )
    pixels = _fitted(whole(page, blocks), format, notes)
    if new_xmp and (packet := new_xmp(0, page.metadata.xmp, notes)) != page.metadata.xmp:
        known = {field.name: getattr(page, field.name) for field in fields(PageDescription)}
        page = PageDescription(**{**known, "metadata": _with_xmp(page.metadata, packet, format, notes)})
    path.write_bytes(_encoded(page, pixels, format, quality, notes))
    return notes


def _with_xmp(metadata: Metadata, packet: bytes, format: str, notes: list[str]) -> Metadata:
    if metadata.format not in (format, f"{format} codestream"):
        return replace(metadata, xmp=packet)
    put = {"JPEG": jpeg.with_xmp, "PNG": png.with_xmp, "WEBP": webp.with_xmp, "JPEG2000": jp2.with_xmp}[format]
    changed = put(metadata, packet)
    if changed is None:
        notes.append(f"the XMP packet could not be changed: {format} has no place for its {len(packet):,} bytes")
    return changed or metadata


def _fitted(pixels: Pixels, format: str, notes: list[str]) -> NDArray[Any]:
    """Samples that the format can hold."""
    if format == "JPEG" and pixels.shape[2] in (2, 4):
        pixels = colours.over_white(pixels)
        notes.append("transparency was laid over white, JPEG has none")
    if format in ("JPEG", "WEBP") and pixels.dtype == np.uint16:
        pixels = colours.to_uint8(pixels)
        notes.append(f"16-bit samples were rounded to 8 bits, {format} has no more")
    return pixels


def _encoded(page: PageDescription, pixels: NDArray[Any], format: str, quality: int, notes: list[str]) -> bytes:
    if format == "JPEG":
        return jpeg.write(page, pixels, notes, quality)
    if format == "WEBP":
        return webp.write(page, pixels, notes, quality)
    if format == "PNG":
        return png.write(page, pixels, notes)
    return jp2.write(page, pixels, notes)
