"""The pages of a desk: their files, what `restore` has made of them, and what is known of both."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.errors import UserError
from manuscript_restore.inference.output import MAPS, Output
from manuscript_restore.inference.plan import Task, plan
from manuscript_restore.inference.waiting import beside

ORIGINALS = "originals"
"""Folder in the output folder that pages are uploaded into."""
LAYERS = ("change", "confidence", "damage", "ink")
ENDINGS = {name: "ink.tif" if name == "ink" else f"{name}.png" for name in MAPS}


class UnknownError(UserError):
    """There is no such page, layer or tile."""


@dataclass
class DeskPage:
    """One file of the desk and what became of it; ``root`` is the folder that it may not lead out of."""

    task: Task
    place: Path
    root: Path
    out: Path
    width: int | None = None
    height: int | None = None
    orientation: int = 1
    num_pages: int | None = None
    state: str = "new"
    share: float = 0.0
    reason: str = ""
    decision: str | None = None
    note: str = ""
    written: Path | None = None
    version: int = 0
    layers: dict[str, Path] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    like: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Opaque, and the same at every start."""
        return hashlib.sha256(os.fsencode(self.task.target.relative_to(self.out))).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Its place, as text: names of files may be any bytes."""
        return os.fsencode(self.place).decode("utf-8", "backslashreplace")

    @property
    def sidecar(self) -> Path:
        """Where the record of its result is, or would be."""
        return beside(self.written or self.task.target, "json")

    def look(self) -> None:
        """See which files there are of it."""
        self.written = next((path for path in (self.task.target, self.task.flagged) if path.is_file()), None)
        self.record = read_record(self.sidecar) if self.written else {}
        layers = {"original": self.task.source}
        if self.written:
            layers["restored"] = self.written
            for name in LAYERS:
                ending = ENDINGS[name]
                files = beside(self.written, ending), beside(self.written, f"1.{ending}")
                if file := next((file for file in files if file.is_file()), None):
                    layers[name] = file
        self.layers = layers
        times = [path.stat().st_mtime_ns for path in (self.task.source, self.written) if path and path.exists()]
        self.version = max([self.version, *(time // 1_000_000 for time in times)])
        if not self.written:
            self.state, self.reason = "new", ""
        elif self.written == self.task.flagged:
            self.state = "flagged"
            self.reason = str(self.record.get("flagged") or "changed more than the limit").partition("; ")[0]
        else:
            pages = self.record.get("pages") or [{}]
            self.state = "sound" if all(page.get("sound") for page in pages) else "restored"
            said = str(self.record.get("flagged") or "")  # of a PDF, what was left as it is
            self.reason = said.replace(f"{self.task.source}: ", "")

    def layer(self, name: str) -> tuple[Path, int | None]:
        """The file of a layer, and how it is turned if it does not say so itself.

        Raises:
            UserError: There is none of that name, or it leads out of the folder.
        """
        if name not in self.layers:
            raise UserError(f"{self.name}: has no layer {name}")
        path = self.layers[name]
        check_inside(path, self.root if name == "original" else self.out)
        return path, self.orientation if name in ("change", "confidence", "damage") else None


def read_record(path: Path) -> dict[str, Any]:
    """A sidecar; empty if there is none, or what is there is something else."""
    try:
        content = json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
        settings, pages = content["settings"], content["pages"]
        like = (settings["like"] or {}).get("pages", [])
        is_record = isinstance(content["output"]["sha256"], str) and all(isinstance(page, dict) for page in pages)
        return content if is_record and all(each["file"] and each["sha256"] for each in like) else {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError("no number that browsers read")
    return value


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a file that is elsewhere.

    Raises:
        UserError: A link leads out of the folder.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UserError(f"{path.name}: is a link that leads out of {folder.name}; put the file itself there")


def find_pages(folder: Path | None, out: Path, output: Output) -> Iterator[DeskPage]:
    """The pages of a folder and those that were uploaded, in natural order; each as its files say.

    Raises:
        UserError: The folder cannot be read, or results would have the names of other files.
    """
    roots = [root for root in (folder, out / ORIGINALS) if root and root.is_dir()]
    if folder and (folder / ORIGINALS).is_dir():
        roots = [folder]  # whose results are in a folder of that name
    tasks = {root: _tasks(root, out, output) for root in roots}
    targets = {task.target for found in tasks.values() for task in found}
    for root, found in tasks.items():
        for task in found:
            page = DeskPage(_of_its_result(task, targets), task.source.relative_to(root), root, out)
            page.look()
            yield page


def page_of(path: Path, root: Path, out: Path) -> DeskPage:
    """The page of a new file."""
    (task,) = plan([str(path)], out).tasks
    page = DeskPage(task, path.relative_to(root), root, out)
    page.look()
    return page


def _tasks(root: Path, out: Path, output: Output) -> list[Task]:
    try:
        return plan([str(root)], out, beside=output.beside).tasks
    except UserError:
        if any(path.is_file() for path in root.rglob("*")):
            raise
        return []  # nothing there yet


def _of_its_result(task: Task, targets: set[Path]) -> Task:
    """The task with the format that `restore --format` gave the result, if that is there and no other page's."""
    for suffix, format in [(task.target.suffix, task.format), *FORMATS.items()]:
        other = Task(task.source, task.target.with_suffix(suffix), format)
        is_free = other.target == task.target or other.target not in targets
        if is_free and (other.target.is_file() or other.flagged.is_file()):
            return other
    return task
