"""A PDF with restored pictures in the places of the others; all else of the file is as it was."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours, jp2, jpeg, rows, xmp
from manuscript_restore.archive.page import NewXmp, Notes, PageDescription, Pixels
from manuscript_restore.archive.pdf import PdfPage, limit_of
from manuscript_restore.archive.pdf_colours import SRGB
from manuscript_restore.archive.pdf_spool import Spool
from manuscript_restore.archive.pdf_streams import packed, unpacked
from manuscript_restore.errors import UserError

if TYPE_CHECKING:
    from pikepdf import Dictionary, Object, Pdf

_FILTERS = {"JPEG": "/DCTDecode", "JPEG2000": "/JPXDecode", "Flate": "/FlateDecode"}
_REPLACED = ("/Length", "/Filter", "/DecodeParms", "/Decode", "/BitsPerComponent")


def write(
    path: Path,
    pages: Sequence[tuple[PageDescription, Iterable[Pixels]]],
    notes: list[str],
    quality: int,
    new_xmp: NewXmp | None = None,
) -> None:
    """Write a document that was read from a PDF, with other pixels.

    A picture of which no pixel has changed stays as it is, byte for byte; so does one that cannot be read.

    Args:
        path: The file; beside it, restored pictures wait until the last one is there.
        pages: All pictures of one open document with their rows.
        notes: Takes what could not be kept.
        quality: Of JPEG.
        new_xmp: Gives the file's XMP packet if a picture has changed, asked for the first of these.
    """
    pdf, profile = _pdf_of(pages), None
    changed: list[int] = []
    with Spool(path.with_name(f"{path.name}.streams")) as spool:
        for number, (page, blocks) in enumerate(pages):
            assert isinstance(page, PdfPage)
            try:
                pixels = _changed(page, blocks)
            except UserError as error:
                notes.append(f"left as it is: {error}")
                continue
            if pixels is None:
                continue
            changed.append(number)
            if page.space == SRGB and profile is None:
                profile = _srgb(pdf)
            entries = _entries(page, 8 * pixels.dtype.itemsize, profile if page.space == SRGB else page.space)
            spool.put(page.image, entries, _coded(page, pixels, quality))
            del pixels  # before the next page is read
        spool.into(pdf)
        if new_xmp and changed:
            _put_xmp(pdf, lambda packet: new_xmp(changed[0], packet, notes), notes)
        with path.open("wb") as file:
            pdf.save(
                file,
                encryption=pdf.is_encrypted,
                linearize=pdf.is_linearized,
                fix_metadata_version=False,
                deterministic_id=not pdf.is_encrypted,  # the same pages give the same file
                compress_streams=False,  # what is not compressed was not
            )


def _pdf_of(pages: Sequence[tuple[PageDescription, Any]]) -> "Pdf":
    page = pages[0][0]
    assert isinstance(page, PdfPage)
    return page.pdf


def _put_xmp(pdf: "Pdf", new: Callable[[bytes], bytes], notes: list[str]) -> None:
    """Change the file's own packet; that of a PDF/A stays, whose properties are a closed list (ISO 19005)."""
    import pikepdf

    try:
        packet = unpacked(pdf.Root.Metadata, xmp.MAX_BYTES) if "/Metadata" in pdf.Root else b""
    except Exception:  # of kinds that only the library's inside has names for
        notes.append("the file is not marked: its XMP packet is damaged")
        return
    if b"pdfaid" in packet:
        notes.append("the file is not marked: it is a PDF/A, which allows no such properties")
    elif (changed := new(packet)) != packet:
        pdf.Root.Metadata = pdf.make_stream(changed, Type=pikepdf.Name.Metadata, Subtype=pikepdf.Name.XML)


def _changed(page: PdfPage, blocks: Iterable[Pixels]) -> Pixels | None:
    """A picture's restored pixels; None if they are all as they were."""
    same, top = [], 0

    def compared() -> Iterator[Pixels]:
        nonlocal top
        for block in blocks:
            same.append(np.array_equal(block, page.rows(top, top + len(block))))
            top += len(block)
            yield block

    pixels = rows.whole(page, compared())
    for _ in blocks:  # what makes them ends, and lets go of the page
        pass
    page.release()
    return None if all(same) else pixels


def _coded(page: PdfPage, pixels: NDArray[Any], quality: int) -> bytes:
    """Pixels packed as the picture was, with the metadata that were in it."""
    if page.kind == "Flate":
        return packed(pixels)
    data, notes = unpacked(page.image, limit_of(page.image)), Notes(page.name)
    if page.kind == "JPEG":
        description = jpeg.read(data, notes, inks=colours.keep)
        return jpeg.write(description, pixels, [], quality)
    return jp2.write(jp2.read(data, notes), pixels, [])


def _entries(page: PdfPage, bits: int, space: Any) -> "Dictionary":
    """What a picture says of itself, with all that the one that it replaces said beside its pixels."""
    import pikepdf

    entries = pikepdf.Dictionary(
        {key: value for key, value in page.image.stream_dict.items() if key not in _REPLACED}
    )
    entries.Filter = pikepdf.Name(_FILTERS[page.kind])
    entries.BitsPerComponent = bits
    if space is not None:
        entries.ColorSpace = space
    if page.kind == "Flate":
        parameters = {"/Colors": page.channels, "/BitsPerComponent": bits, "/Columns": page.width}
        parameters["/Predictor"] = 15  # each row says its own
        entries.DecodeParms = pikepdf.Dictionary(parameters)
    return entries


def _srgb(pdf: "Pdf") -> "Object":
    import pikepdf

    profile = pdf.make_stream(colours.srgb_profile(), N=3)
    return pdf.make_indirect(pikepdf.Array([pikepdf.Name.ICCBased, profile]))
