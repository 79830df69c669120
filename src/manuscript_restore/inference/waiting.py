"""Evidence that waits on the disk, page by page, until it is known what its file will be called."""

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from manuscript_restore.files import unfinished_name, whole_file
from manuscript_restore.inference.evidence import Evidence


def ending(name: str) -> str:
    """What the name of a map ends with."""
    return "ink.tif" if name == "ink" else f"{name}.png"


def beside(target: Path, what: str) -> Path:
    """Where evidence goes: ``page.jpg.change.png``."""
    return target.with_name(f"{target.name}.{what}")


class WaitingEvidence:
    """The pictures of one file's evidence; memory holds those of one page.

    Args:
        target: Of the file; a hidden folder beside it takes them, and goes with the block.
    """

    def __init__(self, target: Path) -> None:
        self._folder = unfinished_name(beside(target, "evidence"))
        self._names: list[str] = []

    def __enter__(self) -> Self:
        self._remove()  # of a run that was killed
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def add(self, number: str, evidence: Evidence) -> None:
        """Write the pictures of a page; ``number`` tells it apart, and is empty for the only one.

        Raises:
            UserError: They cannot be written.
        """
        numbered = f"{number}." if number else ""
        for name, picture in evidence.pictures().items():
            with whole_file(self._place(f"{numbered}{ending(name)}")) as unfinished:
                picture.save(unfinished, "PNG")
        if evidence.ink:
            with whole_file(self._place(f"{numbered}{ending('ink')}")) as unfinished:
                evidence.ink.save(unfinished)

    def _place(self, name: str) -> Path:
        self._folder.mkdir(exist_ok=True)
        self._names.append(name)
        return self._folder / name

    def give(self, written: Path) -> None:
        """Put them beside their file."""
        for name in self._names:
            os.replace(self._folder / name, beside(written, name))  # noqa: PTH105

    def remove_others(self, written: Path, maps: Sequence[str]) -> None:
        """Remove the pictures beside a file that an earlier run made of it: they show another restoration."""
        endings = "|".join(re.escape(ending(name)) for name in maps)
        pattern = re.compile(rf"{re.escape(written.name)}\.((?:[\d.]+\.)?(?:{endings}))")
        for path in written.parent.iterdir():
            if (of_page := pattern.fullmatch(path.name)) and of_page[1] not in self._names:
                path.unlink(missing_ok=True)
