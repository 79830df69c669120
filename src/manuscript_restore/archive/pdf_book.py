"""A PDF of page images, nothing of them lost: JPEG and JPEG 2000 byte for byte, other pixels packed anew."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import bilevel, jp2, jpeg, kinds
from manuscript_restore.archive.document import Document, open_document
from manuscript_restore.archive.page import Page
from manuscript_restore.archive.pdf_spool import Spool
from manuscript_restore.archive.pdf_streams import packed
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

if TYPE_CHECKING:
    from pikepdf import Object, Pdf

_MIN_POINTS, _MAX_POINTS = 3, 14_400
"""Sides of a page in user units (ISO 32000-1, annex C)."""
_SPACES = {1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"}
_MATRICES = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
"""EXIF's orientations → where the unit square of a picture goes so that it is seen upright."""


@dataclass(frozen=True)
class _Picture:
    """What is embedded: bytes, how they are packed, and what they mean."""

    data: bytes
    filter: str
    channels: int = 0  # 0: the bytes themselves say what their colours are
    bits: int = 8
    icc: bytes = b""
    more: dict[str, Any] = field(default_factory=dict)
    alpha: "_Picture | None" = None


def write_book(path: str | Path, files: Sequence[Path], *, title: str, dpi: float = 300) -> int:
    """Write a PDF with a page for each page of some files, whole or not at all.

    Pages are as large as their resolution says, upright, and labelled with the names of their files. Memory holds
    one of them at a time.

    Args:
        path: The file.
        files: Images, in the order of the pages.
        title: Of the book, in its metadata.
        dpi: Of images that do not say.

    Returns:
        How many pages it has.

    Raises:
        UserError: pikepdf is missing, or a file cannot be read; the message names it.
    """
    try:
        import pikepdf
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: {kinds.PDF.reason}") from error
    with whole_file(path) as unfinished, pikepdf.new() as pdf:
        with Spool(unfinished.with_name(f"{unfinished.name}.streams")) as spool:
            book = _Book(pdf, spool, dpi)
            for file in files:
                with open_document(file) as document:
                    for number, page in enumerate(document.pages, 1):
                        label = file.stem + (f".{number}" if len(document.pages) > 1 else "")
                        book.add(page, _picture(document, page), label)
                        page.release()
            book.finish(title)
            with unfinished.open("wb") as out:
                pdf.save(out, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return len(pdf.pages)


def _picture(document: Document, page: Page) -> _Picture:
    """A page as it is embedded."""
    if document.format == "JPEG":
        data = document.path.read_bytes()
        channels = jpeg.num_components(data)
        inverted = {"/Decode": [1, 0] * 4} if channels == 4 and jpeg.is_adobe(data) else {}
        icc = page.metadata.icc if channels < 4 else b""
        return _Picture(data, "/DCTDecode", channels, 8, icc, inverted)
    if document.format == "JPEG2000" and page.channels in (1, 3):
        data = document.path.read_bytes()
        bare = data.startswith(jp2.CODESTREAM)
        return _Picture(data, "/JPXDecode", page.channels if bare else 0, 8 * page.dtype.itemsize)
    pixels = page.rows(0, page.height)
    alpha = _flate(pixels[..., -1:]) if page.channels in (2, 4) else None
    colours = pixels[..., :-1] if alpha else pixels
    if alpha is None and _is_bilevel(colours):
        parameters = {"/K": -1, "/Columns": page.width, "/Rows": page.height}
        data = bilevel.encoded(colours[..., 0] == 0)
        return _Picture(data, "/CCITTFaxDecode", 1, 1, b"", {"/DecodeParms": parameters})
    return _flate(colours, page.metadata.icc, alpha)


def _flate(pixels: NDArray[Any], icc: bytes = b"", alpha: _Picture | None = None) -> _Picture:
    _, width, channels = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    parameters = {"/Predictor": 15, "/Colors": channels, "/BitsPerComponent": bits, "/Columns": width}
    return _Picture(packed(pixels), "/FlateDecode", channels, bits, icc, {"/DecodeParms": parameters}, alpha)


def _is_bilevel(pixels: NDArray[Any]) -> bool:
    """Whether they are one channel of 8 bits, black and white."""
    if pixels.shape[2] > 1 or pixels.dtype != np.uint8:
        return False
    return bool(((pixels == 0) | (pixels == 255)).all())


class _Book:
    """A PDF that grows page by page.

    Args:
        pdf: The file.
        spool: Takes the bytes of the pictures.
        dpi: Resolution of pages that do not say theirs.
    """

    def __init__(self, pdf: "Pdf", spool: Spool, dpi: float) -> None:
        self._pdf, self._spool, self._dpi = pdf, spool, dpi
        self._labels: list[str] = []
        self._profiles: dict[bytes, Any] = {}

    def add(self, page: Page, picture: _Picture, label: str) -> None:
        """Add a page that is called by a label."""
        import pikepdf

        per_metre = page.metadata.resolution.per_metre() if page.metadata.resolution else None
        x, y = (float(value) * 0.0254 for value in per_metre) if per_metre else (self._dpi, self._dpi)
        size = [page.width / x * 72, page.height / y * 72]
        if page.orientation > 4:
            size.reverse()
        size = [side * max(1, _MIN_POINTS / min(size)) for side in size]
        unit = -(-max(size) // _MAX_POINTS)
        width, height = (side / unit for side in size)
        a, b, c, d, e, f = _MATRICES[page.orientation]
        numbers = (a * width, b * height, c * width, d * height, e * width, f * height)
        matrix = " ".join(f"{number:.5f}".rstrip("0").rstrip(".") for number in numbers)
        added = self._pdf.add_blank_page().obj
        added.MediaBox = pikepdf.Array([0, 0, width, height])
        if unit > 1:
            added.UserUnit = unit
        added.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=self._image(page, picture)))
        added.Contents = self._pdf.make_stream(f"q {matrix} cm /Im0 Do Q".encode())
        self._labels.append(label)

    def _image(self, page: Page, picture: _Picture) -> "Object":
        import pikepdf

        entries = pikepdf.Dictionary(Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image)
        entries.Width, entries.Height, entries.BitsPerComponent = page.width, page.height, picture.bits
        entries.Filter = pikepdf.Name(picture.filter)
        if picture.icc:
            entries.ColorSpace = self._profile(picture)
        elif picture.channels:
            entries.ColorSpace = pikepdf.Name(_SPACES[picture.channels])
        for key, value in picture.more.items():
            entries[key] = pikepdf.Dictionary(value) if isinstance(value, dict) else pikepdf.Array(value)
        if picture.alpha:
            entries.SMask = self._image(page, picture.alpha)
        image = self._pdf.make_stream(b"")
        self._spool.put(image, entries, picture.data)
        return image

    def _profile(self, picture: _Picture) -> Any:
        import pikepdf

        if picture.icc not in self._profiles:
            stream = self._pdf.make_stream(picture.icc, N=picture.channels)
            self._profiles[picture.icc] = self._pdf.make_indirect(pikepdf.Array([pikepdf.Name.ICCBased, stream]))
        return self._profiles[picture.icc]

    def finish(self, title: str) -> None:
        """Give the book its title, its pages their labels, and the pictures their bytes."""
        import pikepdf

        numbers = pikepdf.Array()
        for number, label in enumerate(self._labels):
            numbers.append(number)
            numbers.append(pikepdf.Dictionary(P=pikepdf.String(_readable(label))))
        self._pdf.Root.PageLabels = pikepdf.Dictionary(Nums=numbers)
        with self._pdf.open_metadata(set_pikepdf_as_editor=False) as metadata:
            metadata["dc:title"] = _readable(title)
        self._spool.into(self._pdf)


def _readable(name: str) -> str:
    """A name of any bytes as text."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
