"""Which file is restored into which: folders mirrored, nothing written twice, no input in danger."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from natsort import natsorted, ns

from manuscript_restore.archive import kinds
from manuscript_restore.archive.kinds import FORMATS, Kind
from manuscript_restore.errors import UserError
from manuscript_restore.images import walk


@dataclass(frozen=True)
class Task:
    """One file to restore, where to, and in which format."""

    source: Path
    target: Path
    format: str

    @classmethod
    def mirrored(cls, source: Path, place: Path, format: str, out: Path, suffix: str | None) -> Self:
        """The task of a file that lies at ``place`` below a folder; ``suffix`` of the result, None: as it is."""
        if suffix is None or format == "PDF":  # which is more than its pictures
            return cls(source, out / place, format)
        return cls(source, out / place.with_suffix(suffix), FORMATS[suffix])

    @property
    def flagged(self) -> Path:
        """Where it goes if it changed beyond the limit: ``page.flagged.jpg``."""
        return self.target.with_name(f"{self.target.stem}.flagged{self.target.suffix}")


@dataclass(frozen=True)
class Unreadable:
    """A folder that cannot be read."""

    error: str
    name = "unreadable folder"

    @property
    def reason(self) -> str:
        """Why it is left out, and the mend."""
        return f"cannot be read ({self.error}); check its permissions"


Found = tuple[Path, Path, Kind | Unreadable]
"""(file, its place below the output folder, what it is)."""


@dataclass(frozen=True)
class Plan:
    """What is restored, and the pictures and folders that are not, as they cannot be read."""

    tasks: list[Task]
    left_out: list[tuple[Path, Kind | Unreadable]]


def plan(inputs: Sequence[str], out: str | Path, *, suffix: str | None = None, beside: Iterable[str] = ()) -> Plan:
    """Find the images, and name the files that they are restored into.

    Args:
        inputs: Files, folders (with all below them; mirrored below ``out``), and patterns (``scans/**/*.tif``:
            mirrored from their first part that holds a wildcard). Images under other suffixes are known by
            their content.
        out: Folder; for a single file, a file's name will do.
        suffix: Of the results; None: that of the input.
        beside: What is written beside a result, by what follows its name: ``ink.tif``.

    Raises:
        UserError: An input is missing, nothing is found, two results would have one name, or a result or what is
            written beside it would be one of the inputs or another result.
    """
    try:
        planned = _plan(inputs, Path(out), suffix)
        _check_beside(planned.tasks, beside)
        return planned
    except OSError as error:  # a folder above that may not be entered, a name that is too long
        raise UserError(f"{error.filename}: cannot be looked at ({error.strerror}); check the path") from error


def _plan(inputs: Sequence[str], out: Path, suffix: str | None) -> Plan:
    # A shell that expands `scans/*` names an output folder in scans, too: what lies there is no input.
    named = [name for name in inputs if len(inputs) == 1 or _real(Path(name)) != _real(out)]
    found = {file: (place, kind) for name in named for file, place, kind in _find(name, out)}
    ordered = natsorted(found.items(), key=lambda pair: str(pair[0]), alg=ns.PATH)
    left_out = [(file, kind) for file, (_, kind) in ordered if isinstance(kind, Unreadable) or kind.tool]
    unread = {file for file, _ in left_out}
    sources = [(file, place, kind.name) for file, (place, kind) in ordered if file not in unread]
    if not sources:
        raise UserError(_nothing(inputs, left_out))
    single_file = len(sources) == 1 and len(inputs) == 1 and Path(inputs[0]).is_file()
    source, _, format = sources[0]
    if single_file and out.suffix.lower() in (*FORMATS, source.suffix.lower()) and out.suffix and not out.is_dir():
        given = FORMATS.get(out.suffix.lower(), format)
        if suffix and given != FORMATS[suffix]:
            raise UserError(f"output {out}: its suffix is not the format {suffix}; leave one of the two out")
        tasks = [Task(source, out, given)]
    elif out.suffix.lower() in FORMATS and not out.is_dir():
        raise UserError(f"output {out}: names one image, but {len(sources)} are to be restored; give a folder")
    else:
        tasks = [Task.mirrored(file, place, format, out, suffix) for file, place, format in sources]
    _check(tasks)
    return Plan(tasks, left_out)


def _nothing(inputs: Sequence[str], left_out: Sequence[tuple[Path, Kind | Unreadable]]) -> str:
    if len(left_out) == 1:
        return f"{left_out[0][0]}: {left_out[0][1].reason}"
    if left_out:
        said = kinds.counted(kind.name for _, kind in left_out)
        return f"{', '.join(inputs)}: no images that are read there, but {said}; {left_out[0][1].reason}"
    return f"{', '.join(inputs)}: no images there; looked for {', '.join(dict.fromkeys(FORMATS.values()))}, PDF"


def _find(name: str, out: Path) -> Iterator[Found]:
    """(file, its place below the output folder, what it is) of everything that an argument names."""
    path = Path(name)
    if path.is_dir():
        yield from _below(path, [path], out)
    elif glob.has_magic(name) and not path.exists():
        parts = path.parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:fixed])
        yield from _below(base, base.glob(str(Path(*parts[fixed:]))), out)
    elif kind := kinds.of_document(path):  # by its suffix, also if it is missing: that is reported as a fault
        yield path, Path(path.name), kind
    elif path.exists():
        raise UserError(f"{name}: is not an image ({', '.join(kinds.MAGIC)}); leave it out")
    else:
        raise UserError(f"{name}: no such file or folder; check the path")


def _below(base: Path, matches: Iterable[Path], out: Path) -> Iterator[Found]:
    """(file, its place below ``base``, what it is) of the images among some files and folders that lie there."""
    errors: list[OSError] = []
    written, root = _real(out), _real(base)
    inside = written != root and written.is_relative_to(root)
    for match in matches:
        for file in walk(match, errors.append) if match.is_dir() else [match]:
            place = file.relative_to(base)
            if any(part.startswith(".") for part in place.parts):
                continue
            if inside and _real(file).is_relative_to(written):  # what an earlier run wrote is no input
                continue
            if kind := kinds.of_document(file):
                yield file, place, kind
    for error in errors:
        folder = Path(error.filename)
        yield folder, folder.relative_to(base), Unreadable(error.strerror or str(error))


def _check(tasks: Sequence[Task]) -> None:
    targets: dict[Path, Path] = {}
    for task in tasks:
        for target in (task.target, task.flagged):
            other = targets.setdefault(target, task.source)
            if other != task.source:
                raise UserError(
                    f"{task.source} and {other} would both be restored into {target}; "
                    "restore them into two folders, or keep their formats"
                )
    inputs = {_real(task.source) for task in tasks}
    for task in tasks:
        if _real(task.target) in inputs or same_file(task.target, task.source):
            raise UserError(
                f"{task.target}: is an input; give another output folder: inputs are never overwritten"
            )


def _check_beside(tasks: Sequence[Task], beside: Iterable[str]) -> None:
    """Refuse results and inputs that have the name of what is written beside another page."""
    ends = tuple(f".{end}" for end in beside)
    pages = {_real(page) for task in tasks for page in (task.target, task.flagged)}
    for task in tasks:
        for path in (_real(task.target), _real(task.source)):
            for end in filter(path.name.endswith, ends):
                name = path.name.removesuffix(end)
                names = name, re.sub(r"(\.\d+){1,2}$", "", name)  # numbered, of a file with several pages
                if page := next((each for each in names if each and path.with_name(each) in pages), None):
                    raise UserError(
                        f"{task.source}: {path.name} is what would be written beside {page}; leave it out, "
                        "give another output folder, or ask for less evidence"
                    )


def _real(path: Path) -> Path:
    """With links followed; unlike ``Path.resolve`` without a fault where they lead in a circle."""
    return Path(os.path.realpath(path))


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths are one file that is there."""
    try:
        return first.samefile(second)
    except OSError:  # the result is not there yet, or the input is missing: reported when it is read
        return False
