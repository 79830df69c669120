"""A PDF of page images, nothing of them lost: JPEG and JPEG 2000 byte for byte, other pixels packed anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import bilevel, jp2, jpeg, kinds
from manuscript_restore.archive.document import Document, open_document
from manuscript_restore.archive.metadata import Metadata
from manuscript_restore.archive.page import Page, PageDescription
from manuscript_restore.archive.pdf_spool import Spool
from manuscript_restore.archive.pdf_streams import packed
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

if TYPE_CHECKING:
    from pikepdf import Object, Pdf

_MAX_POINTS = 14_400
"""Largest side of a page in user units (ISO 32000-1, annex C)."""
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
    with whole_file(path) as unfinished, pikepdf.new() as book:
        spool = Spool(unfinished.with_name(f"{unfinished.name}.spool"))
        try:
            pages = []
            for file in files:
                with open_document(file) as document:
                    for number, page in enumerate(document.pages):
                        picture = _picture(document, page)
                        keys = {name: spool.add(each.data) for name, each in _streams(picture)}
                        label = file.stem + (f".{number + 1}" if len(document.pages) > 1 else "")
                        pages.append((_described_only(page), _without_data(picture), keys, label))
                        page.release()
            spool.finish()
            with pikepdf.open(spool.path, access_mode=pikepdf.AccessMode.stream) as streams:
                profiles: dict[bytes, Any] = {}
                for place, picture, keys, _ in pages:
                    objects = {name: book.copy_foreign(streams.get_object(key, 0)) for name, key in keys.items()}
                    _add_page(book, place, picture, objects, profiles, dpi)
                _label(book, [label for *_, label in pages])
                with book.open_metadata(set_pikepdf_as_editor=False) as metadata:
                    metadata["dc:title"] = title
                book.save(unfinished, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        finally:
            spool.remove()
    return len(pages)


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


def _streams(picture: _Picture) -> Iterator[tuple[str, _Picture]]:
    yield "picture", picture
    if picture.alpha:
        yield "alpha", picture.alpha
    if picture.icc:
        yield "icc", _Picture(picture.icc, "")


def _described_only(page: Page) -> PageDescription:
    """What a page's place needs; the page itself may hold its file."""
    metadata = Metadata(resolution=page.metadata.resolution)
    return PageDescription(page.height, page.width, page.channels, page.dtype, page.orientation, metadata)


def _without_data(picture: _Picture) -> _Picture:
    alpha = _without_data(picture.alpha) if picture.alpha else None
    icc = picture.icc[:1]  # that there is one
    return _Picture(b"", picture.filter, picture.channels, picture.bits, icc, picture.more, alpha)


def _add_page(
    book: "Pdf",
    page: PageDescription,
    picture: _Picture,
    objects: dict[str, Any],
    profiles: dict[bytes, Any],
    dpi: float,
) -> None:
    import pikepdf

    image = _described(objects["picture"], page, picture)
    if picture.icc:
        content = objects["icc"].read_raw_bytes()
        if content not in profiles:
            objects["icc"].N = picture.channels
            profiles[content] = book.make_indirect(pikepdf.Array([pikepdf.Name.ICCBased, objects["icc"]]))
        image.ColorSpace = profiles[content]
    if picture.alpha:
        image.SMask = _described(objects["alpha"], page, picture.alpha)
    per_metre = page.metadata.resolution.per_metre() if page.metadata.resolution else None
    x, y = (float(value) * 0.0254 for value in per_metre) if per_metre else (dpi, dpi)
    size = [page.width / x * 72, page.height / y * 72]
    if page.orientation > 4:
        size.reverse()
    unit = -(-max(size) // _MAX_POINTS)
    width, height = (side / unit for side in size)
    a, b, c, d, e, f = _MATRICES[page.orientation]
    numbers = (a * width, b * height, c * width, d * height, e * width, f * height)
    added = book.add_blank_page(page_size=(width, height))
    if unit > 1:
        added.obj.UserUnit = unit
    added.obj.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im0=image))
    matrix = " ".join(f"{number:.5f}".rstrip("0").rstrip(".") for number in numbers)
    added.obj.Contents = book.make_stream(f"q {matrix} cm /Im0 Do Q".encode())


def _described(stream: "Object", page: PageDescription, picture: _Picture) -> "Object":
    import pikepdf

    keys: dict[str, Any] = {"/Type": pikepdf.Name.XObject, "/Subtype": pikepdf.Name.Image}
    keys |= {"/Width": page.width, "/Height": page.height, "/BitsPerComponent": picture.bits}
    keys["/Filter"] = pikepdf.Name(picture.filter)
    if picture.channels:
        keys["/ColorSpace"] = pikepdf.Name(_SPACES[picture.channels])
    for key, value in (keys | picture.more).items():
        stream[key] = pikepdf.Dictionary(value) if isinstance(value, dict) else value
    return stream


def _label(book: "Pdf", labels: Sequence[str]) -> None:
    """Call each page as its file is called."""
    import pikepdf

    numbers = pikepdf.Array()
    for number, label in enumerate(labels):
        numbers.append(number)
        numbers.append(pikepdf.Dictionary(P=pikepdf.String(label)))
    book.Root.PageLabels = pikepdf.Dictionary(Nums=numbers)
