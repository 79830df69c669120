"""The files of a folder in which files appear: which there are, which have settled, and when to look again."""

import functools
import os
import stat
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

from natsort import natsorted, ns

from manuscript_restore.errors import UserError
from manuscript_restore.images import walk

TICK = 0.25
"""Seconds between two looks at the clock."""


class WatchedFolder:
    """A folder and all below it, without hidden files and without the output folder.

    Args:
        path: The folder.
        out: Left out, where it lies in the folder or a link there leads to it.
        settle: Seconds for which a file must not have changed: it is waited for while it is copied.
        warn: Called with what is wrong with the folder.

    Attributes:
        due: When the next file will have settled, on the monotonic clock; infinite if none is waited for.

    Raises:
        UserError: It is no folder, or results would fall among its files.
    """

    def __init__(self, path: Path, out: Path, settle: float, warn: Callable[[str], object]) -> None:
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; check the path")
        if real(path).is_relative_to(real(out)):
            raise UserError(f"{out}: is or holds the folder of the pages; give another output folder")
        self.path, self.due = path, float("inf")
        self._out, self._settle, self._warn = real(out), settle, warn
        self._since: dict[str, tuple[tuple[int, int], float]] = {}  # version of a file, and when it was first seen
        self._warned: set[str] = set()

    def files(self) -> tuple[dict[str, os.stat_result], bool]:
        """Every file by its place below the folder, and whether these are all."""
        errors: list[OSError] = []
        is_out = functools.cache(lambda folder: real(folder).is_relative_to(self._out))
        found = {}
        for path in walk(self.path, errors.append):
            if not is_out(path.parent):  # wherever it lies: a link may lead there
                try:
                    file = path.stat()
                except OSError:  # gone since, or a link that leads nowhere
                    continue
                if stat.S_ISREG(file.st_mode):
                    found[path.relative_to(self.path).as_posix()] = file
        warnings = {f"{error.filename}: cannot be read ({error.strerror})" for error in errors}
        for warning in sorted(warnings - self._warned):
            self._warn(warning)
        self._warned = warnings
        return found, bool(found) and not errors  # a disk that is not mounted looks empty

    def settled(self, files: Mapping[str, os.stat_result]) -> list[str]:
        """Those of some files that are as they were for long enough, in natural order."""
        now = time.monotonic()
        before, self._since = self._since, {}
        for name, file in files.items():
            last, since = before.get(name, (None, now))
            self._since[name] = version(file), since if last == version(file) else now
        waiting = [since for _, since in self._since.values() if now - since < self._settle]
        self.due = min(waiting, default=float("inf")) + self._settle
        return natsorted((name for name, (_, s) in self._since.items() if now - s >= self._settle), alg=ns.PATH)

    def events(self) -> Generator[bool]:
        """Several times a second, for ever: whether something has changed since the last time.

        Where the system does not tell, nothing ever has.
        """
        from watchfiles import watch

        while True:
            missed = True  # what came before it was watched
            try:
                for changes in watch(
                    self.path,
                    watch_filter=None,
                    rust_timeout=int(1000 * TICK),
                    yield_on_timeout=True,
                    ignore_permission_denied=True,
                ):
                    yield missed or bool(changes)
                    missed = False
            except (OSError, RuntimeError) as error:
                if "Unable to decode" not in str(error):  # the system watches no more folders
                    reason = f"{self.path}: the system tells of no changes there ({error})"
                    self._warn(f"{reason}; --rescan says when it is looked at")
                    break
                yield True  # a name that is not UTF-8 ends it
        yield from ticks()


def ticks() -> Generator[bool]:
    """The same without events."""
    while True:
        yield False
        time.sleep(TICK)


def version(file: os.stat_result) -> tuple[int, int]:
    """What changes when a file does: (size in bytes, time of the last change in ns)."""
    return file.st_size, file.st_mtime_ns


def real(path: Path) -> Path:
    """With links followed; without a fault where they lead in a circle."""
    return Path(os.path.realpath(path))
