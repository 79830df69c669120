"""Open a document: its format by its content, its pages, and notes on what could not be kept of it."""

import contextlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manuscript_restore.archive import jp2, jpeg, png, tiff, webp
from manuscript_restore.archive.page import Page, damage_of
from manuscript_restore.errors import UserError
from manuscript_restore.images import MAX_PIXELS

MAX_STREAMED_PIXELS = 4_000_000_000
"""Largest page of a TIFF, which is never held whole: 60,000×60,000 and more."""

_READERS = {"JPEG": jpeg.read, "PNG": png.read, "WEBP": webp.read, "JPEG2000": jp2.read}


@dataclass(frozen=True)
class Document:
    """An open file of one or more pages; ``notes`` say what was converted or could not be kept."""

    path: Path
    format: str
    pages: list[Page]
    notes: list[str]


@contextlib.contextmanager
def open_document(path: str | Path) -> Iterator[Document]:
    """Open a page image of any supported format; its pages can be read until the block ends.

    Raises:
        UserError: The file is missing, empty, truncated, not an image, of a kind that would lose something,
            or too large; the message names it and says what to do.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                what = "a folder" if stat.S_ISDIR(mode) else "not a file"
                raise UserError(f"{path}: is {what}; give the path of an image")
            with path.open("rb") as file:
                format = format_of(file.read(16))
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
        except ValueError as error:
            if not path.stat().st_size:
                raise UserError(f"{path}: is empty (0 bytes); replace it or remove it") from error
            raise UserError(f"{path}: is not an image ({error}); replace it or remove it") from error
        notes: list[str] = []
        with damage_of(str(path)):
            if format == "TIFF":
                pages = tiff.read_pages(path, stack, notes)
            else:
                pages = [_READERS[format](path.read_bytes(), str(path), notes)]
            if not pages:
                raise ValueError("no page in the file")
        for page in pages:
            _check_size(page, str(path))
        yield Document(path, format, pages, notes)


def format_of(start: bytes) -> str:
    """The format of a file by its first 16 bytes.

    Raises:
        ValueError: It is none of the known ones; the message lists them.
    """
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(png.SIGNATURE):
        return "PNG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith((jp2.SIGNATURE, jp2.CODESTREAM)):
        return "JPEG2000"
    raise ValueError("JPEG, JPEG2000, PNG, TIFF, WEBP")


def _check_size(page: Page, name: str) -> None:
    limit = MAX_STREAMED_PIXELS if isinstance(page, tiff.StreamedPage) else MAX_PIXELS
    if not page.width or not page.height:
        raise UserError(f"{name}: is {page.width}×{page.height} pixels; replace it or remove it")
    if page.width * page.height > limit:
        raise UserError(
            f"{name}: {page.width}×{page.height} pixels exceed the limit of {limit:,}; split it or scale it down"
        )
