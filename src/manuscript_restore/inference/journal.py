"""What became of each page of a watched folder, on disk: a service that was killed goes on where it was."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

NAME = ".manuscript-restore-journal.jsonl"
GONE = {"status": "gone"}


@dataclass(frozen=True)
class Entry:
    """What became of a page as it was then.

    Attributes:
        size: Of its file, bytes.
        mtime_ns: When that was changed last.
        status: That of an `Outcome`, ``unread``: a picture of a kind that is not read, ``begun``
            or, if it was told to stop then, ``stopped``.
        at: When this was noted, seconds since 1970.
        result: The file that it was restored into, below the output folder; None: there is none. Of a page that
            is begun: before.
        result_mtime_ns: When that was written.
        tries: How often it has failed.
        reason: Why.
    """

    size: int
    mtime_ns: int
    status: str
    at: float
    result: str | None = None
    result_mtime_ns: int | None = None
    tries: int = 0
    reason: str = ""


class Journal:
    """The entries of an output folder by the place of the page; JSON lines, the last of a page counts.

    Opening it writes it anew: without lines that a crash cut off or that later ones replaced, and without pages
    whose result is missing.

    Raises:
        UserError: It cannot be read or written.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / NAME
        found = _read(self._path)
        self._entries = {
            page: entry for page, entry in found.items() if entry.result is None or (out / entry.result).exists()
        }
        with whole_file(self._path) as unfinished:
            unfinished.write_bytes(_lines((page, asdict(entry)) for page, entry in self._entries.items()))

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is known, by the place of the page below the watched folder."""
        return self._entries

    def note(self, entries: Mapping[str, Entry]) -> None:
        """Add or replace entries; on disk when this returns.

        Raises:
            UserError: They cannot be written.
        """
        self._append((page, asdict(entry)) for page, entry in entries.items())
        self._entries |= entries

    def forget(self, pages: Iterable[str]) -> None:
        """Drop the entries of some pages."""
        pages = list(pages)
        self._append((page, GONE) for page in pages)
        for page in pages:
            del self._entries[page]

    def _append(self, lines: Iterable[tuple[str, dict[str, Any]]]) -> None:
        if content := _lines(lines):
            try:
                with self._path.open("ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                reason = error.strerror or error
                raise UserError(f"{self._path}: cannot be written ({reason}); check the disk") from error


def _lines(entries: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    """One line each, in ASCII: names that are not UTF-8 are escaped, and come back as they were."""
    return b"".join(json.dumps({"page": page, **fields}).encode() + b"\n" for page, fields in entries)


def _read(path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    for line in lines:
        try:
            fields = json.loads(line)
            page = fields.pop("page")
            if fields == GONE:
                entries.pop(page, None)
            else:
                entries[page] = Entry(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):  # cut off by a crash; its result tells as well
            continue
    return entries
