"""Open a document: its format by its content, its pages, and notes on what could not be kept of it."""

import contextlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manuscript_restore.archive import jp2, jpeg, png, tiff, webp
from manuscript_restore.archive.page import Page, damage_of
from manuscript_restore.archive.tiff_rows import StreamedPage
from manuscript_restore.errors import UserError
from manuscript_restore.images import MAX_PIXELS

MAX_STREAMED_PIXELS = 4_000_000_000
"""Largest page of a TIFF, which is never held whole: 60,000×60,000 and more."""

_MAGIC = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(re.escape(png.SIGNATURE)),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "JPEG2000": re.compile(re.escape(jp2.SIGNATURE) + b"|" + re.escape(jp2.CODESTREAM)),
}
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
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
    format = _format_of(path)
    with contextlib.ExitStack() as stack:
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


def _format_of(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise UserError(
                f"{path}: is not a file but {_KINDS.get(stat.S_IFMT(mode), 'a device')}; give an image"
            )
        with path.open("rb") as file:
            start = file.read(16)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be opened ({reason}); check the path") from error
    if not start:
        raise UserError(f"{path}: is empty (0 bytes); replace it or remove it")
    for format, magic in _MAGIC.items():
        if magic.match(start):
            return format
    raise UserError(f"{path}: is not an image ({', '.join(_MAGIC)}); replace it or remove it")


def _check_size(page: Page, name: str) -> None:
    limit = MAX_STREAMED_PIXELS if isinstance(page, StreamedPage) else MAX_PIXELS
    if page.width < 1 or page.height < 1:
        raise UserError(f"{name}: is {page.width}×{page.height} pixels; replace it or remove it")
    if page.width * page.height > limit:
        raise UserError(
            f"{name}: {page.width}×{page.height} pixels exceed the limit of {limit:,}; split it or scale it down"
        )
