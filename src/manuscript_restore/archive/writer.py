"""Write a document: the pixels of its pages with their metadata, whole or not at all."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours, jp2, jpeg, png, tiff_writer, webp
from manuscript_restore.archive.page import PageDescription, Pixels
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

    Returns:
        Notes on what the format could not hold.

    Raises:
        UserError: The format cannot hold such a picture.
    """
    notes: list[str] = []
    if format == "TIFF":
        tiff_writer.write(path, pages, notes)
        return list(dict.fromkeys(notes))  # pages alike say the same
    if format == "PDF":
        from manuscript_restore.archive import pdf_writer  # which imports what an extra brings

        pdf_writer.write(path, pages, notes, quality)
        return notes
    if len(pages) != 1:
        raise UserError(f"{name}: {format} holds one page, not {len(pages)}; write TIFF")
    page, blocks = pages[0]
    limit = _MAX_SIDES[format]
    if max(page.height, page.width) > limit:
        raise UserError(
            f"{name}: {page.width}×{page.height} pixels are too many for {format} ({limit} a side); write TIFF"
        )
    path.write_bytes(_encoded(page, _fitted(whole(page, blocks), format, notes), format, quality, notes))
    return notes


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
