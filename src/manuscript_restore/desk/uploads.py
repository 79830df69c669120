"""Pages that are dropped on the desk: checked while they come, kept in OUT/originals under a safe name."""

import contextlib
import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from manuscript_restore.archive import kinds, open_document
from manuscript_restore.archive.kinds import FORMATS, Kind
from manuscript_restore.desk.folder import ENDINGS, ORIGINALS, check_inside
from manuscript_restore.errors import UserError

UPLOAD_BYTES = 4_000_000_000
WHOLE_BYTES = 500_000_000
"""Of formats that are read in one piece: all but TIFF."""
MAX_NAME = 150
"""Characters of a name."""
_SUFFIXES = {**FORMATS, ".pdf": "PDF"}
_FIRST = 64
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.partial")
_BESIDE = re.compile(rf"\.({'|'.join(['flagged', *ENDINGS])})$", re.IGNORECASE)


class TooLargeError(UserError):
    """An upload exceeds its limit."""


def safe_name(name: str, kind: Kind) -> str:
    """A file name without folders, hidden files, and endings that are those of results.

    >>> safe_name("../../.page:1.flagged.exe", Kind("PNG"))
    'page_1.flagged.exe.png'
    >>> safe_name("page.change.png", Kind("PNG"))
    'page_change.png'
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    name = "".join("_" if each in ':*?"<>|' or not each.isprintable() else each for each in name)
    name = name.encode("utf-8", "replace").decode().lstrip(". ").rstrip(". ")
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a name, no path)
    if _SUFFIXES.get(suffix.lower()) != kind.name:
        stem, suffix = name, next(suffix for suffix, format in _SUFFIXES.items() if format == kind.name)
    stem = _BESIDE.sub(r"_\1", stem[:MAX_NAME].rstrip(". ")) or "page"
    while len(f"{stem}{suffix}".encode()) > MAX_NAME:
        stem = stem[:-1]
    return f"{stem}{suffix}"


def clear_uploads(out: Path) -> None:
    """Remove what a desk that was killed had of uploads; ``out`` must be held."""
    with contextlib.suppress(UserError, OSError):
        check_inside(out / ORIGINALS, out)
        for path in (out / ORIGINALS).glob(".*.partial"):
            if _UNFINISHED.fullmatch(path.name):
                path.unlink()


async def receive(
    name: str, chunks: AsyncIterator[bytes], out: Path, *, length: int | None, is_taken: Callable[[Path], bool]
) -> Path:
    """Take in a page; the file is there whole, and can be looked at, or not at all.

    Args:
        name: What the browser calls it.
        chunks: Its bytes as they come.
        out: The output folder.
        length: How many bytes the browser says they are; None: it does not.
        is_taken: Whether there is a page with such a result already, by its place.

    Returns:
        The file.

    Raises:
        UserError: It is no page image, too large, cut off or damaged, or the disk is full.
    """
    folder = out / ORIGINALS
    check_inside(folder, out)
    _check_length(length or 0, UPLOAD_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{secrets.token_hex(8)}.partial"
        try:
            kind, size = await _written(unfinished, chunks, name)
            if length not in (None, size):
                raise UserError(f"{name}: {size:,} of {length:,} bytes arrived; send it again")
            await run_in_threadpool(_check, unfinished, name)
            return _placed(unfinished, safe_name(name, kind), is_taken)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{name}: cannot be kept ({error.strerror}); check the disk") from error


async def _written(path: Path, chunks: AsyncIterator[bytes], name: str) -> tuple[Kind, int]:
    start, size, kind, limit = b"", 0, None, UPLOAD_BYTES
    with path.open("xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if kind is None:
                start += chunk
                if len(start) < _FIRST:
                    continue
                kind, limit = _kind_of(start, name)
                chunk = start
            _check_length(size, limit)
            await run_in_threadpool(file.write, chunk)
        if kind is None:
            kind, _ = _kind_of(start, name)
            file.write(start)
        await run_in_threadpool(os.fsync, file.fileno())
    return kind, size


def _kind_of(start: bytes, name: str) -> tuple[Kind, int]:
    kind = kinds.as_document(kinds.by_content(start[:_FIRST]))
    if kind is None:
        raise UserError(f"{name}: is neither an image ({', '.join(kinds.MAGIC)}) nor a PDF")
    if kind.tool:
        raise UserError(f"{name}: {kind.reason}")
    return kind, UPLOAD_BYTES if kind.name == "TIFF" else WHOLE_BYTES


def _check_length(size: int, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"larger than {limit:,} bytes; put it into the folder instead")


def _check(path: Path, name: str) -> None:
    """Open it as a page, in the limits of `archive`."""
    try:
        with open_document(path):
            pass
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error


def _placed(unfinished: Path, name: str, is_taken: Callable[[Path], bool]) -> Path:
    """Rename it to the first free name; nothing is replaced."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    for number in range(1, 100_000):
        place = unfinished.with_name(name if number == 1 else f"{stem}-{number}{suffix}")
        if not is_taken(Path(place.name)):
            try:
                os.link(unfinished, place)  # unlike a rename it replaces nothing
            except FileExistsError:
                continue
            except OSError:  # a file system without links
                if place.exists():
                    continue
                unfinished.rename(place)
            return place
    raise UserError(f"{name}: there are too many of that name")
