"""Files that are there whole or not at all."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from manuscript_restore.errors import UserError

MAX_NAME_BYTES = 255
"""Of a file's name, on every usual file system."""


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unfinished_name(path: Path) -> Path:
    """The place beside ``path`` where it is written first: always the same, so that a later run takes it over."""
    name = f".{path.name}.partial"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.partial"
    return path.with_name(name)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file beside its place and rename it: readers see the old file, or the whole new one.

    Yields:
        The path to write to. If the block raises, it is removed.

    Raises:
        UserError: The file cannot be written; the message names it.
    """
    path = Path(path)
    unfinished = unfinished_name(path)
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())  # the name must not reach the disk before the content
        unfinished.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}); check the folder and the disk") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
