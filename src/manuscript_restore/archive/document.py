"""Open a document: its format by its content, its pages, and notes on what could not be kept of it."""

import contextlib
import io
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from manuscript_restore.archive import jp2, jpeg, kinds, png, webp
from manuscript_restore.archive.page import Notes, Page, damage_of
from manuscript_restore.archive.tiff_rows import StreamedPage
from manuscript_restore.errors import UserError

MAX_PIXELS = 500_000_000
"""Largest page that is decoded whole: A2 at 1,200 dpi, 1.5 GB in memory."""

MAX_STREAMED_PIXELS = 4_000_000_000
"""Largest page of a TIFF, which is never held whole: 60,000×60,000 and more."""

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
_READERS = {"JPEG": jpeg.read, "PNG": png.read, "WEBP": webp.read, "JPEG2000": jp2.read}


@dataclass(frozen=True)
class Document:
    """An open file of one or more pages; ``notes`` say what was converted, could not be kept, or is damaged."""

    path: Path
    format: str
    pages: list[Page]
    notes: list[str]
    is_damaged: bool = False

    @cached_property
    def numbers(self) -> list[str]:
        """What tells the pages apart, in names: empty for a single one; of a PDF its own numbers, 3 or 3.2."""
        if self.format != "PDF":
            return [str(i) if len(self.pages) > 1 else "" for i in range(1, len(self.pages) + 1)]
        seen: Counter[int] = Counter()
        numbers = []
        for page in self.pages:
            seen[page.number] += 1
            numbers.append(f"{page.number}.{seen[page.number]}" if seen[page.number] > 1 else f"{page.number}")
        return numbers


@contextlib.contextmanager
def open_document(
    path: str | Path, content: bytes | None = None, *, lossy: bool = False, allow_signed: bool = False
) -> Iterator[Document]:
    """Open a page image of any supported format; its pages can be read until the block ends.

    Args:
        path: The file.
        content: The file's bytes, where it is not on disk; ``path`` is then what messages call it.
        lossy: Only look at the first page, up to `MAX_PIXELS`. What would be refused because a copy of it would
            lose pixels is read then, with a note: the first picture of an animation, floats and 32-bit numbers
            as 16-bit ones.
        allow_signed: Open a signed PDF too, of which a restored copy has no valid signature.

    Raises:
        UserError: The file is missing, empty, truncated, not an image, of a kind that would lose something,
            or too large; the message names it and says what to do.
    """
    name, path = str(path), Path(path)  # of an address, a path would lose a slash
    format = _format_of(content[:64] if content is not None else _start_of(path), name)
    with contextlib.ExitStack() as stack:
        notes = Notes(name, lossy=lossy)
        with damage_of(name):
            if format == "TIFF":
                from manuscript_restore.archive import tiff  # which imports tifffile: half a second

                pages = tiff.read_pages(path if content is None else io.BytesIO(content), stack, notes)
            elif format == "PDF":
                from manuscript_restore.archive import pdf  # which imports pikepdf, of an extra

                source = path if content is None else io.BytesIO(content)
                pages = pdf.read_pages(source, stack, notes, allow_signed=allow_signed)
            else:
                pages = [_READERS[format](path.read_bytes() if content is None else content, notes)]
            if not pages:
                raise ValueError("no page in the file")
        for page in pages:
            _check_size(page, notes)
        yield Document(path, format, pages, notes, notes.is_damaged)


def _start_of(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise UserError(
                f"{path}: is not a file but {_KINDS.get(stat.S_IFMT(mode), 'a device')}; give an image"
            )
        with path.open("rb") as file:
            return file.read(64)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be opened ({reason}); check the path") from error


def _format_of(start: bytes, name: str) -> str:
    if not start:
        raise UserError(f"{name}: is empty (0 bytes); replace it or remove it")
    kind = kinds.by_content(start)
    if kind is None:
        raise UserError(f"{name}: is not an image ({', '.join(kinds.MAGIC)}); replace it or remove it")
    if kind.tool and kind.name != "PDF":
        raise UserError(f"{name}: {kind.reason}")
    return kind.name


def _check_size(page: Page, notes: Notes) -> None:
    in_bands = isinstance(page, StreamedPage) and not notes.lossy
    limit = MAX_STREAMED_PIXELS if in_bands else MAX_PIXELS
    if page.width < 1 or page.height < 1:
        raise UserError(f"{notes.name}: is {page.width}×{page.height} pixels; replace it or remove it")
    if page.width * page.height > limit:
        raise UserError(
            f"{notes.name}: {page.width}×{page.height} pixels exceed the limit of {limit:,}; "
            "split it or scale it down"
        )
