"""The image files below a folder as flat arrays: a million names that no worker copies."""

import json
import os
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import platformdirs
from natsort import natsorted, ns
from numpy.typing import NDArray

from manuscript_restore.archive import kinds
from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.errors import UserError

MIN_KEPT = 10_000
"""Folders with fewer files are searched anew: that takes milliseconds."""

UNSETTLED_NS = 2_000_000_000
"""A folder changed so shortly before it was read may change again within one tick of its clock."""

Bytes = NDArray[np.uint8]
Bounds = NDArray[np.int64]


class PathIndex:
    """Relative paths in one array of bytes: forked workers share it, a list of a million objects they copy.

    >>> index = PathIndex.of(["a.jpg", "b/c.jpg"])
    >>> len(index), index[1]
    (2, 'b/c.jpg')

    Args:
        text: The paths, one after the other, as the file system spells them.
        starts: Where each begins.
        ends: Where each ends.
    """

    def __init__(self, text: Bytes, starts: Bounds, ends: Bounds) -> None:
        self._text, self._starts, self._ends = text, starts, ends

    @classmethod
    def of(cls, paths: Iterable[str]) -> "PathIndex":
        """Index of paths given one by one."""
        encoded = [os.fsencode(path) for path in paths]
        bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), bounds[:-1], bounds[1:])

    @classmethod
    def join(cls, parts: list["PathIndex"]) -> "PathIndex":
        """One index of the paths of several, in their order."""
        texts = [part.text() for part in parts]
        lengths = [part._ends - part._starts for part in parts]
        bounds = np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
        return cls(np.concatenate([np.empty(0, np.uint8), *texts]), bounds[:-1], bounds[1:])

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> str:
        return os.fsdecode(self._text[self._starts[row] : self._ends[row]].tobytes())

    def take(self, rows: NDArray[np.int64] | slice) -> "PathIndex":
        """Index of these rows; shares the text."""
        return PathIndex(self._text, self._starts[rows], self._ends[rows])

    def text(self) -> Bytes:
        """Bytes of all paths, one after the other; only for an index whose rows are contiguous."""
        return self._text[self._starts[0] : self._ends[-1]] if len(self) else self._text[:0]

    def save(self, path: Path, **notes: object) -> None:
        """Write the index and JSON notes to a file: whole or not at all."""
        header = json.dumps(notes).encode()
        starts = self._starts - (self._starts[0] if len(self) else 0)
        sizes = np.array([len(header), len(self), len(self.text())], np.int64)
        unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with unfinished.open("wb") as file:
                for part in (sizes.data, starts.data, self.text().data, header):
                    file.write(part)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> tuple["PathIndex", dict[str, object]]:
        """Map a saved index, and read its notes.

        Raises:
            ValueError: The file is damaged.
            OSError: It cannot be read.
        """
        content: Bytes = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
        if len(content) < 24:
            raise ValueError("too short")
        header, number, length = (int(size) for size in content[:24].view(np.int64))
        middle = 24 + 8 * number
        if min(header, number, length) < 0 or middle + length + header != len(content):
            raise ValueError("its sizes do not add up")
        starts = content[24:middle].view(np.int64)
        ends = np.append(starts[1:], length)
        notes = json.loads(content[middle + length :].tobytes())
        return cls(content[middle : middle + length], starts, ends), notes


@dataclass(frozen=True)
class Directory:
    """What one directory holds.

    Attributes:
        path: Below the root, ``""`` for the root.
        mtime_ns: When its list of names last changed; 0: too shortly ago to trust.
        files: The images in it, in natural order.
        children: Paths of its subdirectories, in natural order.
        left_out: Pictures in it that cannot be read, counted by kind.
    """

    path: str
    mtime_ns: int
    files: PathIndex
    children: tuple[str, ...]
    left_out: dict[str, int]


def find_pages(root: str | Path, *, key: str, index_dir: str | None = None) -> PathIndex:
    """Find the images below a folder: a directory's own, page 2 before page 10, then its subdirectories'.

    Hidden files and directories are left out. A file is an image by its suffix, or by its first bytes where the
    suffix does not tell; one warning counts pictures of kinds that cannot be read. The index of a large folder is
    kept; later only those directories are read whose time of change is another.

    Args:
        root: The folder.
        key: Config key that named it, for the messages: ``"data.train_dir"``.
        index_dir: Where indexes are kept; None: the user's cache directory.

    Raises:
        UserError: The folder is missing or holds no image.
    """
    if not Path(root).is_dir():
        raise UserError(f"{key}={root}: no such folder; give one that holds images ({', '.join(FORMATS)})")
    folder = index_dir or _cache_dir()
    kept = folder and Path(folder, "indexes", sha256(os.fsencode(Path(root).resolve())).hexdigest()[:32])
    index, known = _load(kept) if kept else (None, {})
    found = list(_walk(Path(root), known))
    if index is None or any(known.get(each.path) is not each for each in found) or len(found) != len(known):
        index = PathIndex.join([each.files for each in found])
        if kept and len(index) >= MIN_KEPT:
            _keep(index, found, kept)
    if left_out := sum((Counter(each.left_out) for each in found), Counter()):
        warnings.warn(f"{key}={root}: {kinds.said_of(left_out.elements())}", stacklevel=2)
    if not len(index):
        raise UserError(f"{key}={root}: no images there or below; looked for {', '.join(FORMATS)}")
    return index


def _cache_dir() -> str | None:
    try:
        return platformdirs.user_cache_dir("manuscript-restore")
    except RuntimeError:  # neither HOME nor an entry in the list of users, as in some containers
        return None


def _walk(root: Path, known: dict[str, Directory]) -> Iterator[Directory]:
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            mtime_ns = (root / path).stat().st_mtime_ns  # before the names: a change in between shows next time
            directory = known.get(path)
            if directory is None or directory.mtime_ns != mtime_ns:
                directory = _read_directory(root, path, mtime_ns)
        except OSError as error:
            warnings.warn(f"{root / path}: left out, cannot be read ({error.strerror})", stacklevel=3)
            continue
        yield directory
        waiting += reversed(directory.children)


def _read_directory(root: Path, path: str, mtime_ns: int) -> Directory:
    files, children, left_out, suffixes = [], [], Counter[str](), tuple(FORMATS)
    with os.scandir(root / path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.name)
            elif entry.name.lower().endswith(suffixes):
                if _is_file(entry):
                    files.append(entry.name)
            elif kind := kinds.of_file(entry.path):
                if kind.tool:
                    left_out[kind.name] += 1
                else:
                    files.append(entry.name)
    # Sorted first: 1.png and 01.png are equal to natsort.
    files, children = (natsorted(sorted(names), alg=ns.PATH) for names in (files, children))
    prefix = f"{path}/" if path else ""
    return Directory(
        path,
        mtime_ns if time.time_ns() - mtime_ns > UNSETTLED_NS else 0,
        PathIndex.of(prefix + name for name in files),
        tuple(prefix + name for name in children),
        left_out,
    )


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle, or to where nobody may look
        return False


def _load(kept: Path) -> tuple[PathIndex | None, dict[str, Directory]]:
    try:
        index, notes = PathIndex.load(kept)
        rows: list[tuple[str, int, int, dict[str, int]]] = notes["directories"]  # type: ignore[assignment]
        children: dict[str, list[str]] = {}
        for path, *_ in rows[1:]:
            children.setdefault(path.rpartition("/")[0], []).append(path)
        known, start = {}, 0
        for path, mtime_ns, number, left_out in rows:
            files = index.take(slice(start, start + number))
            known[path] = Directory(path, mtime_ns, files, tuple(children.get(path, ())), left_out)
            start += number
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: made anew
        return None, {}
    return index, known


def _keep(index: PathIndex, found: list[Directory], kept: Path) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        rows = [(each.path, each.mtime_ns, len(each.files), each.left_out) for each in found]
        index.save(kept, directories=rows)
    except OSError as error:
        warnings.warn(f"data.index_dir: the index cannot be kept, {kept}: {error.strerror}", stacklevel=3)
