"""Decoded pages on disk, shared by all workers, and the one warning for a page that cannot be read."""

import contextlib
import hashlib
import math
import os
import re
import shutil
import tempfile
import time
import uuid
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.data.sources import PageSource
from manuscript_restore.errors import UserError

Page = NDArray[np.uint8]
STORED = re.compile(r"[0-9a-f]{32}\.npy")


class PageCache:
    """A source's pages as .npy files that every worker maps: the operating system's page cache is the memory.

    With each page that is stored goes the one that its source says has expired. When full, pages go that were last
    used before this run: of other versions, settings or collections. Then it stops storing: in epochs of random
    order, evicting would only exchange equals. A temporary folder is removed when the object goes, or at the end
    of the process that made it.

    Args:
        source: The pages.
        prepare: Applied to a page before it is stored; uint8 (H, W, 3) → uint8 (h, w, 3); of generated pages
            with their ink as a fourth channel.
        tag: Identity of ``prepare``, part of the files' names.
        max_gb: Size at which storing stops, overrun by at most a page or 1/64 per worker; 0 stores nothing.
        folder: Kept and used again by later runs; None: a temporary folder.
    """

    def __init__(
        self,
        source: PageSource,
        prepare: Callable[[Page], Page],
        *,
        tag: str,
        max_gb: float = 0,
        folder: str | None = None,
    ) -> None:
        self.source, self.prepare, self.tag = source, prepare, tag
        self._max_bytes = max_gb * 1e9
        self._run_folder = Path(tempfile.mkdtemp(prefix="manuscript-restore-"))
        weakref.finalize(self, _remove_if_owner, self._run_folder, os.getpid())
        self._folder = Path(folder) if folder else self._run_folder
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"data.cache_dir={folder}: cannot be made ({error.strerror})") from error
        self._started = time.time()
        self._old: list[Path] | None = None  # last used before, the oldest last; listed when it is first needed
        self._used_bytes = _size_of(self._folder)
        self._added_bytes = 0  # by this process, since the folder was last counted

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> Page | None:
        """Read a prepared page, uint8 (h, w, 3 or 4), perhaps read-only; None if it cannot be read.

        The first of all workers to meet an unreadable page warns; nobody tries that page again in this run.
        """
        marker = self._run_folder / f"{index}.bad"
        if marker.exists():
            return None
        try:
            return self._read(index)
        except UserError as error:
            try:
                marker.touch(exist_ok=False)  # O_EXCL: exactly one worker succeeds
            except FileExistsError:
                return None
            warnings.warn(f"page left out: {error}", stacklevel=2)
            return None

    def make(self, index: int) -> None:
        """Make a page that will be needed, unless it is there or there is nowhere to store it."""
        if self._max_bytes and not self._path(index).exists():
            self.read(index)

    def _read(self, index: int) -> Page:
        if not self._max_bytes:
            return self.prepare(self.source.read(index))
        path = self._path(index)
        try:
            stored: Page = np.load(path, mmap_mode="r")
            with contextlib.suppress(OSError):  # a folder of somebody else's
                os.utime(path)
            return stored
        except (OSError, ValueError, EOFError):  # not there, or damaged by a crash: made anew
            page = self.prepare(self.source.read(index))
        expired = self.source.expired(index)
        if expired is not None:
            self._remove(self._path(expired))
        if self._has_room(page.nbytes) or self._make_room(page.nbytes):
            self._store(path, page)
        return page

    def _path(self, index: int) -> Path:
        return self._folder / f"{_digest(self.source.key(index), self.tag)}.npy"

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            num_bytes = path.stat().st_size
            path.unlink()
            self._used_bytes -= num_bytes

    def _has_room(self, num_bytes: int) -> bool:
        # Other workers store too: count anew each time this one is about to have added 1/64 of the limit.
        room = self._used_bytes + num_bytes <= self._max_bytes
        if room and self._added_bytes + num_bytes > self._max_bytes / 64:
            self._used_bytes, self._added_bytes = _size_of(self._folder), 0
            room = self._used_bytes + num_bytes <= self._max_bytes
        return room

    def _make_room(self, num_bytes: int) -> bool:
        """Remove pages that were last used before this run, the oldest first."""
        if self._old is None:
            used = {path: _used_at(path) for path in self._folder.iterdir() if STORED.fullmatch(path.name)}
            old = (path for path, when in used.items() if when < self._started)
            self._old = sorted(old, key=used.__getitem__, reverse=True)
        while self._old:
            path = self._old.pop()
            if _used_at(path) < self._started:  # still: another worker may have read it
                self._remove(path)
            if self._has_room(num_bytes):
                return True
        return False

    def _store(self, path: Path, page: Page) -> None:
        unfinished = self._folder / f"{uuid.uuid4().hex}.tmp"
        try:
            with unfinished.open("wb") as file:
                np.save(file, page)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            self._max_bytes = 0
            warnings.warn(f"data.cache_dir: caching stops, {self._folder}: {error}", stacklevel=2)
            return
        self._used_bytes += page.nbytes
        self._added_bytes += page.nbytes


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another worker has just removed or renamed it
        return math.inf


def _size_of(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat().st_size
            except FileNotFoundError:  # another worker has just renamed it
                continue
    return total


def _remove_if_owner(folder: Path, owner: int) -> None:
    # A forked worker inherits this finalizer; only the process that made the folder may remove it.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
