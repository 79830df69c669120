"""A folder that many machines write into: which of them see it, and whether any of them still writes."""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manuscript_restore.errors import UserError

NAME = ".manuscript-restore-workers"
SEEN_S = 5.0
"""Seconds after which a file that one machine has written should be seen by another."""


@dataclass(frozen=True)
class Mark:
    """A file in the folder, and what it says: who reads just that has the same folder."""

    path: Path
    text: str

    def hold(self) -> int | None:
        """The file, open and locked as one of many until the process ends; None: it is not seen."""
        last = time.monotonic() + SEEN_S
        while not self._is_seen():
            if time.monotonic() >= last:
                return None
            time.sleep(0.2)
        handle = os.open(self.path, os.O_RDONLY)
        _lock(handle, alone=False)
        return handle

    def _is_seen(self) -> bool:
        try:
            return self.path.read_text("utf-8") == self.text
        except OSError:
            return False


@contextlib.contextmanager
def marked(folder: Path, *, wait_s: float = 60.0) -> Iterator[Mark]:
    """Mark a folder for the workers of this run.

    A run that was killed may have left some that have not noticed yet: they hold its mark, and are waited for.

    Args:
        folder: The folder, which is there.
        wait_s: How long, seconds.

    Raises:
        UserError: They still write after that time, or the folder cannot be written.
    """
    path, text = folder / NAME, secrets.token_hex(16)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); check the folder and the disk") from error
    try:
        last = time.monotonic() + wait_s
        while not _lock(handle, alone=True):
            if time.monotonic() >= last:
                raise UserError(f"{folder}: workers of an earlier run still write there; stop them, or wait")
            time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)  # which ends the lock
    try:
        yield Mark(path.absolute(), text)
    finally:
        path.unlink(missing_ok=True)


def _lock(handle: int, *, alone: bool) -> bool:
    """Lock a file until it is closed; False: others have. Of a system without locks nothing is known."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # of some network file systems
        return True
    return True
