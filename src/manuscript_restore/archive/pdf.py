"""PDF files: the pictures of their pages as pages of a document; all else of the file is left as it is.

A page that is made of several pictures that touch (strips, tiles, layers of text over paper) is left alone: a part
of it would be judged by itself, and the seams would show.
"""

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours, jp2, jpeg, kinds
from manuscript_restore.archive import pdf_colours as spaces
from manuscript_restore.archive.document import MAX_PIXELS
from manuscript_restore.archive.metadata import Metadata, Resolution
from manuscript_restore.archive.page import Notes, Page, WholePage, damage_of
from manuscript_restore.archive.pdf_places import ContentError, Placed, orientation, placed_on, rotation_of
from manuscript_restore.archive.pdf_streams import PICTURES, UnknownError, filters_of, samples_of, unpacked
from manuscript_restore.errors import UserError

if TYPE_CHECKING:
    from pikepdf import Object, Pdf

MIN_SIDE = 100
"""Pixels; what is smaller is an ornament, not a page."""
MAX_COVERED = 0.02
"""Of a picture's area, what other pictures may cover or touch: a stamp, a logo."""
MAX_STRUCTURE = 64 * 2**20
"""Bytes that a part of the file's structure may unpack to."""
_TOUCHING = 1.0  # points between two pictures
_BITS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class PdfPage(WholePage):
    """A picture of a page; ``number`` is that of the page that shows it first.

    Attributes:
        pdf: The file that it is in.
        image: Its object there.
        kind: ``JPEG``, ``JPEG2000`` or ``Flate``: how it is written.
        space: Its colour space once it is restored; see `pdf_colours.Colours`.
        notes: What is converted in it.
    """

    pdf: "Pdf" = field(kw_only=True, repr=False)
    image: "Object" = field(kw_only=True, repr=False)
    kind: str = field(kw_only=True)
    space: Any = field(kw_only=True, repr=False)
    notes: Sequence[str] = field(kw_only=True)


def read_pages(
    source: Path | io.BytesIO, stack: contextlib.ExitStack, notes: Notes, *, allow_signed: bool = False
) -> list[Page]:
    """The pictures of a PDF's pages that can be restored, in the order of the pages; a note says what is left."""
    pdf = _opened(source, stack, notes.name)
    _check_forms(pdf, notes.name, allow_signed)
    found: dict[tuple[int, int], list[tuple[int, int, Placed]]] = defaultdict(list)
    left: dict[str, set[int]] = defaultdict(set)
    in_pieces = set()
    for number, page in enumerate(pdf.pages, 1):
        try:
            drawn = placed_on(page)
        except (ContentError, UnknownError) as error:
            left[f"with {error}"].add(number)
            continue
        except Exception as error:
            left[_damaged(error)].add(number)
            continue
        if not drawn:
            left["without a picture"].add(number)
        for placed in drawn:
            if placed.image is None:
                left["with a picture in its content"].add(number)
                continue
            found[placed.image.objgen].append((number, rotation_of(page), placed))
            if not _is_alone(placed, drawn):
                in_pieces.add(placed.image.objgen)
    pages: list[Page] = []
    converted: dict[str, set[int]] = defaultdict(set)
    for picture, places in found.items():
        numbers = {number for number, _, _ in places}
        try:
            read = _page(pdf, places, notes, alone=picture not in in_pieces)
            pages.append(read)
            for note in read.notes:
                converted[note] |= numbers
        except (UnknownError, UserError) as error:
            left[str(error).removeprefix(f"{notes.name}: page {places[0][0]}: ")] |= numbers
        except Exception as error:  # whatever a library says of broken bytes
            left[_damaged(error)] |= numbers
    notes.extend(f"{note} ({_ranges(sorted(numbers))})" for note, numbers in converted.items())
    if any("reconstruct" in str(warning) for warning in pdf.get_warnings()):  # as of one that is cut off
        notes.append("the file is damaged: it was read as far as that goes, and pages of it may be empty")
        notes.is_damaged = True
    notes.is_damaged |= any(reason.startswith("damaged") for reason, numbers in left.items() if numbers)
    said = _said(left)
    notes.extend([said] if said else [])
    if not pages:
        raise UserError(f"{notes.name}: holds no picture that can be restored; {said or 'it has no pages'}")
    return pages


def _opened(source: Path | io.BytesIO, stack: contextlib.ExitStack, name: str) -> "Pdf":
    try:
        import pikepdf
    except ModuleNotFoundError as error:
        raise UserError(f"{name}: {kinds.PDF.reason}") from error
    pikepdf.settings.set_qpdf_limits(
        flate_max_memory=MAX_STRUCTURE,
        png_max_memory=MAX_STRUCTURE,
        run_length_max_memory=MAX_STRUCTURE,
        tiff_max_memory=MAX_STRUCTURE,
        max_stream_filters=4,
    )
    try:
        # An open file, as pikepdf does not take names of any bytes; read where it is asked for: a large one that
        # is mapped into memory would look like memory that is taken.
        file = source if isinstance(source, io.BytesIO) else stack.enter_context(source.open("rb"))
        mode = pikepdf.AccessMode.stream
        pdf = stack.enter_context(pikepdf.open(file, access_mode=mode, inherit_page_attributes=False))
    except pikepdf.PasswordError as error:
        reason = "is encrypted with a password; write it without: qpdf --decrypt --password=… in.pdf out.pdf"
        raise UserError(f"{name}: {reason}") from error
    # Of this way of packing, qpdf has no limit; nobody else packs objects so.
    for number in {entry.obj_stream_number or 0 for entry in pdf.get_xref_table().values() if entry.type == 2}:
        if any(packing == "/LZWDecode" for packing, _ in filters_of(pdf.get_object(number, 0))):
            raise ValueError("objects packed by LZW")
    return pdf


def _check_forms(pdf: "Pdf", name: str, allow_signed: bool) -> None:
    """Refuse what would not be the same afterwards."""
    form = pdf.Root.get("/AcroForm")
    if form is not None and form.get("/XFA") is not None:
        raise UserError(f"{name}: is an XFA form, whose pages are made when it is opened; print it to a PDF first")
    signed = pdf.Root.get("/Perms") is not None or (form is not None and int(form.get("/SigFlags", 0)) & 1)
    if signed and not allow_signed:
        raise UserError(
            f"{name}: is signed, and a restored copy would not be; give --allow-signed to restore it anyway"
        )


def _is_alone(placed: Placed, drawn: Iterable[Placed]) -> bool:
    """Whether next to nothing else lies on a picture or touches it."""
    left, bottom, right, top = placed.box
    touching = 0.0
    for other in drawn:
        if other is placed:
            continue
        a, b, c, d = other.box
        if max(left, a) - _TOUCHING <= min(right, c) and max(bottom, b) - _TOUCHING <= min(top, d):
            touching += (c - a) * (d - b)
    return touching <= MAX_COVERED * (right - left) * (top - bottom)


def _page(pdf: "Pdf", places: Sequence[tuple[int, int, Placed]], notes: Notes, *, alone: bool) -> PdfPage:
    """A picture of a kind that can be restored."""
    number, rotation, placed = places[0]
    image: Any = placed.image
    filters = filters_of(image)
    kind = PICTURES.get(filters[-1][0], "Flate") if filters else "Flate"
    _check(image, kind)
    if not alone:
        raise UnknownError("in pieces or layers")
    width, height = int(image.Width), int(image.Height)
    name = Notes(f"{notes.name}: page {number}", lossy=notes.lossy)
    bits = 8 if kind == "JPEG" else int(image.get("/BitsPerComponent", 8))
    space, decode = image.get("/ColorSpace"), image.get("/Decode")
    if kind == "JPEG2000":
        if decode is not None or int(image.get("/SMaskInData", 0)):
            raise UnknownError("JPEG 2000 of a rare kind")
        meaning, bits, read = _of_jpeg2000(image, space, name)
    else:
        if bits not in _BITS:
            raise UnknownError(f"{bits} bits")
        meaning = spaces.with_decode(spaces.colours_of(space, name), decode, bits)
        if kind == "JPEG" and (meaning.is_palette or _transform(filters) is not None):
            raise UnknownError("JPEG of a rare kind")
        read = _jpeg_reader(image, meaning, name) if kind == "JPEG" else _samples_reader(image, meaning, bits)
    return PdfPage(
        height=height,
        width=width,
        channels=meaning.channels,
        dtype=np.dtype(np.uint16 if bits == 16 and not meaning.is_palette else np.uint8),
        orientation=orientation(placed.matrix, rotation),
        metadata=Metadata(format="PDF", resolution=_resolution(placed, width, height)),
        lossless=kind != "JPEG",
        decode=read,
        name=name.name,
        notes=list(name),
        pdf=pdf,
        image=image,
        kind=kind,
        space=meaning.space,
        number=number,
    )


def _check(image: Any, kind: str) -> None:
    """Refuse what is none of a page, or would not be the same with other pixels."""
    import pikepdf

    width, height = int(image.Width), int(image.Height)
    if kind in ("JBIG2", "CCITT"):
        raise UnknownError(kind)
    if image.get("/ImageMask"):
        raise UnknownError("a mask of one bit")
    if min(width, height) < MIN_SIDE:
        raise UnknownError(f"smaller than {MIN_SIDE} pixels")
    if width * height > MAX_PIXELS:
        raise UnknownError(f"larger than {MAX_PIXELS:,} pixels")
    soft, mask = image.get("/SMask"), image.get("/Mask")
    if isinstance(mask, pikepdf.Array):
        raise UnknownError("with a colour that stands for nothing")
    if soft is not None and soft.get("/Matte") is not None:
        raise UnknownError("mixed with its soft mask")


def _transform(filters: Sequence[tuple[str, Any]]) -> Any:
    parameters = filters[-1][1]
    return None if parameters is None else parameters.get("/ColorTransform")


def _of_jpeg2000(image: Any, space: Any, notes: Notes) -> tuple[spaces.Colours, int, Callable[[], NDArray[Any]]]:
    found = jp2.read(unpacked(image, limit_of(image)), notes)
    if (found.height, found.width) != (int(image.Height), int(image.Width)) or found.channels not in (1, 3):
        raise UnknownError("JPEG 2000 of a rare kind")
    if space is not None:
        meaning = spaces.colours_of(space, notes)
        if meaning.is_palette or meaning.inputs != found.channels:
            raise UnknownError("JPEG 2000 of a rare kind")
    meaning = spaces.Colours(found.channels, found.channels)

    def read() -> NDArray[Any]:
        page = jp2.read(unpacked(image, limit_of(image)), Notes(notes.name, lossy=notes.lossy))
        return page.rows(0, page.height)

    return meaning, 8 * found.dtype.itemsize, read


def _jpeg_reader(image: Any, meaning: spaces.Colours, notes: Notes) -> Callable[[], NDArray[Any]]:
    inks = colours.chained(lambda samples: 255 - samples, meaning.conversion)  # Pillow gives Adobe's inverted inks

    def read() -> NDArray[Any]:
        with damage_of(notes.name):
            data = unpacked(image, limit_of(image))
            page = jpeg.read(data, Notes(notes.name), inks=inks)
            size = (page.height, page.width, jpeg.num_components(data))
            if size != (int(image.Height), int(image.Width), meaning.inputs):
                raise ValueError("its size or colours are not what the file says")
            pixels = page.rows(0, page.height)
        return pixels if meaning.inputs == 4 else meaning.conversion(pixels)

    return read


def _samples_reader(image: Any, meaning: spaces.Colours, bits: int) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        shape = int(image.Height), int(image.Width), meaning.inputs
        samples = samples_of(unpacked(image, limit_of(image)), shape, bits)
        if meaning.is_palette:
            return meaning.conversion(samples)
        return meaning.conversion(colours.scaled(bits)(samples))

    return read


def limit_of(image: Any) -> int:
    """Bytes that a picture may unpack to: four channels of 16 bits."""
    return int(image.Height) * (int(image.Width) * 8 + 8)


def _resolution(placed: Placed, width: int, height: int) -> Resolution | None:
    a, b, c, d, _, _ = placed.matrix
    across, down = ((x * x + y * y) ** 0.5 / 72 for x, y in ((a, b), (c, d)))  # inches, of the usual units
    if not all(0.01 < length < 10_000 for length in (across, down)):
        return None
    x, y = (Fraction(dots).limit_denominator(100) for dots in (width / across, height / down))
    return Resolution(x, y)


def _damaged(error: Exception) -> str:
    return f"damaged ({' '.join(str(error).split())[:100] or type(error).__name__})"


def _said(left: dict[str, set[int]]) -> str:
    """Pages that are left as they are, and why, in a line."""
    said = [f"{reason} ({_ranges(sorted(numbers))})" for reason, numbers in left.items() if numbers]
    return f"left as they are, by page: {'; '.join(said)}" if said else ""


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in a few words.

    >>> _ranges([1, 2, 3, 7])
    '1–3, 7'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in parts)
