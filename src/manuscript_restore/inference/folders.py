"""Folders that are written into: made if missing, and held by one job at a time."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from manuscript_restore.errors import UserError


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder against a second job that would write into it; warn where the file system has no locks.

    Raises:
        UserError: Another job holds it, or it cannot be made.
    """
    make_folder(folder)
    if sys.platform == "win32":
        yield  # no locks on folders there
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, whatever ends that
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(f"{folder}: another job is writing there; wait for it, or give another folder") from error
    except OSError as error:  # of some network file systems
        reason = f"{folder}: cannot be locked here ({error.strerror})"
        print(f"warning: {reason}; see to it that no other job writes there", file=sys.stderr)
    try:
        yield
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another output folder") from error
