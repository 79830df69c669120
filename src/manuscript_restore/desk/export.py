"""Accepted pages in a folder of their own, as they are or in another format."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from manuscript_restore.archive import Page, Pixels, open_document, write_document
from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.desk.folder import DeskPage, check_inside
from manuscript_restore.desk.review import NAME
from manuscript_restore.errors import UserError

FOLDER = "accepted"
BAND = 256
"""Rows that are converted at once."""
QUALITY = 95
_UNFINISHED = re.compile(rf"\.{FOLDER}\.[a-z0-9_]{{8}}")  # as `tempfile` names them


def export(
    pages: Sequence[DeskPage],
    out: Path,
    *,
    suffix: str | None,
    review: bytes,
    taken: set[str],
    is_over: Callable[[], bool],
) -> tuple[Path, list[tuple[str, str]]]:
    """Copy results, each with its record, into OUT/accepted, or the next free name: nothing is overwritten.

    Args:
        pages: Which; they have results.
        out: The output folder.
        suffix: Of the copies; None: as the results are.
        review: What ``review.csv`` says of them.
        taken: Names of folders in ``out`` that hold results.
        is_over: Whether to stop.

    Returns:
        The folder, and of what could not be written (name, why).

    Raises:
        UserError: The folder cannot be written.
    """
    failed = []
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".accepted.") as name:
            folder = Path(name, FOLDER)
            folder.mkdir()
            for page in pages:
                if is_over():
                    raise UserError("export: stopped; ask for it again")
                try:
                    _copy(page, folder, suffix)
                except UserError as error:
                    failed.append((page.name, str(error)))
            (folder / NAME).write_bytes(review)
            return _placed(folder, out, taken), failed
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); check the disk") from error


def clear_exports(out: Path) -> None:
    """Remove what a desk that was killed had copied; ``out`` must be held."""
    for path in out.glob(f".{FOLDER}.*"):
        if _UNFINISHED.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _copy(page: DeskPage, folder: Path, suffix: str | None) -> None:
    result, _ = page.layer("restored")
    place = page.task.target.relative_to(page.out)
    target = folder / (place.with_suffix(suffix) if suffix else place)
    if target.exists():
        raise UserError(f"{page.name}: would be written to the place of another page; keep the formats")
    target.parent.mkdir(parents=True, exist_ok=True)
    if suffix is None or suffix == result.suffix.lower():
        shutil.copyfile(result, target)
        with contextlib.suppress(FileNotFoundError):
            check_inside(page.sidecar, page.out)
            shutil.copyfile(page.sidecar, target.with_name(f"{target.name}.json"))
        return
    with open_document(result) as document:
        rows = [(each, _rows(each)) for each in document.pages]
        write_document(target, rows, format=FORMATS[suffix], quality=QUALITY)


def _rows(page: Page) -> Iterator[Pixels]:
    for top in range(0, page.height, BAND):
        yield page.rows(top, min(top + BAND, page.height))
    page.release()


def _placed(folder: Path, out: Path, taken: set[str]) -> Path:
    for number in range(1, 100_000):
        place = out / (FOLDER if number == 1 else f"{FOLDER}-{number}")
        if place.name not in taken and not os.path.lexists(place):
            return folder.rename(place)
    raise UserError(f"{out}: holds too many exports; move them away")
