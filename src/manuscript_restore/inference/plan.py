"""Which file is restored into which: folders mirrored, nothing written twice, no input in danger."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from natsort import natsorted, ns

from manuscript_restore.errors import UserError
from manuscript_restore.images import FORMATS, walk


@dataclass(frozen=True)
class Task:
    """One file to restore, and where to."""

    source: Path
    target: Path

    @property
    def flagged(self) -> Path:
        """Where it goes if it changed beyond the limit: ``page.flagged.jpg``."""
        return self.target.with_name(f"{self.target.stem}.flagged{self.target.suffix}")


def plan(inputs: Sequence[str], out: str | Path, *, suffix: str | None = None) -> list[Task]:
    """Find the images, and name the files that they are restored into.

    Args:
        inputs: Files, folders (with all below them; mirrored below ``out``), and patterns (``scans/**/*.tif``:
            mirrored from their first part that holds a wildcard).
        out: Folder; for a single file, a file's name will do.
        suffix: Of the results; None: that of the input.

    Raises:
        UserError: An input is missing, nothing is found, two results would have one name, or a result would
            be one of the inputs.
    """
    out = Path(out)
    # A shell that expands `scans/*` names an output folder in scans, too: what lies there is no input.
    named = [name for name in inputs if len(inputs) == 1 or _real(Path(name)) != _real(out)]
    found = [pair for name in named for pair in _find(name, out)]
    sources = natsorted(dict(found).items(), key=lambda pair: str(pair[0]), alg=ns.PATH)
    if not sources:
        raise UserError(f"{', '.join(inputs)}: no images there; looked for {', '.join(FORMATS)}")
    single_file = len(sources) == 1 and len(inputs) == 1 and Path(inputs[0]).is_file()
    if single_file and out.suffix.lower() in FORMATS and not out.is_dir():
        if suffix and FORMATS[out.suffix.lower()] != FORMATS[suffix]:
            raise UserError(f"output {out}: its suffix is not the format {suffix}; leave one of the two out")
        tasks = [Task(sources[0][0], out)]
    else:
        tasks = [
            Task(source, out / (relative.with_suffix(suffix) if suffix else relative))
            for source, relative in sources
        ]
    _check(tasks)
    return tasks


def _find(name: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """(file, its place below the output folder) of everything that an argument names."""
    path = Path(name)
    if path.is_dir():
        yield from _below(path, [path], out)
    elif glob.has_magic(name) and not path.exists():
        parts = path.parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:fixed])
        yield from _below(base, base.glob(str(Path(*parts[fixed:]))), out)
    elif path.suffix.lower() in FORMATS or not path.exists():
        yield path, Path(path.name)  # one that is missing is reported with the others that fail
    else:
        raise UserError(f"{name}: unknown suffix {path.suffix!r}; name it as what it is: {', '.join(FORMATS)}")


def _below(base: Path, matches: Iterable[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """(file, its place below ``base``) of the images among some files and folders that lie there."""
    written, root = _real(out), _real(base)
    inside = written != root and written.is_relative_to(root)
    for match in matches:
        for file in walk(match) if match.is_dir() else [match]:
            place = file.relative_to(base)
            hidden = any(part.startswith(".") for part in place.parts)
            if hidden or file.suffix.lower() not in FORMATS:
                continue
            if not (inside and _real(file).is_relative_to(written)):  # what an earlier run wrote is no input
                yield file, place


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
        if _real(task.target) in inputs or (task.target.exists() and _same(task.target, task.source)):
            raise UserError(
                f"{task.target}: is an input; give another output folder: inputs are never overwritten"
            )


def _real(path: Path) -> Path:
    """With links followed; unlike ``Path.resolve`` without a fault where they lead in a circle."""
    return Path(os.path.realpath(path))


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # the input is missing, which is reported when it is read
        return False
