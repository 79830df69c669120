"""What a run says about itself: the state of the code, the pages, what kind of run it is."""

import csv
import gzip
import hashlib
import io
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from manuscript_restore.data.sources import PageSource
from manuscript_restore.errors import UserError
from manuscript_restore.files import sha256, whole_file

PATCH = "code.patch"
PAGE_LIST = "pages.csv.gz"

MAX_HASHED_PAGES = 10_000
MAX_HASHED_BYTES = 2**30
"""Files of more pages or bytes are not read before the first step: their times and sizes stand for the content."""

MAX_NEW_FILES = 100
"""Of the code, to be named."""

TAGS = ("experiment", "model", "degradation")
"""Config groups whose chosen members become tags of the run."""


@dataclass(frozen=True)
class Kind:
    """What a tracker sorts runs by.

    Attributes:
        job_type: ``train``, ``finetune``, ``sweep`` or ``evaluate``.
        group: Name of the sweep's folder; None: no sweep.
        tags: ``model=vit_tiny`` and the like.
    """

    job_type: str
    group: str | None
    tags: tuple[str, ...]


def kind_of_run(job_type: str) -> Kind:
    """The kind of this run, by what it is outside of a sweep, and by Hydra's choices."""
    if not HydraConfig.initialized():
        return Kind(job_type, None, ())
    job = HydraConfig.get()
    choices = ((group, job.runtime.choices.get(group)) for group in TAGS)
    tags = tuple(f"{group}={choice}" for group, choice in choices if choice not in (None, "null"))
    if job.mode == RunMode.MULTIRUN:
        return Kind("sweep", Path(job.sweep.dir).name, tags)
    return Kind(job_type, None, tags)


def code_state(folder: str | Path) -> dict[str, Any]:
    """Version of the package and, where it runs from a Git checkout, the commit and what differs from it.

    The differences of files that Git knows are written to ``code.patch``; new files and folders are named.

    Args:
        folder: Of the run.

    Returns:
        ``version``, and of a checkout ``commit``, ``branch``, ``dirty``, ``patch`` and ``new_files``.
    """
    state: dict[str, Any] = {"version": version("manuscript-restore")}
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # not only somewhere below a repository
        root = _git("rev-parse", "--show-toplevel").decode().rstrip("\n")
        plainly = ("--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/")
        patch = _git("-C", root, "diff", *plainly, "HEAD")  # whatever the user's settings make of it
        others = _git("-C", root, "ls-files", "--others", "--exclude-standard", "--directory", "-z")
        new_files = [name.decode(errors="replace") for name in others.split(b"\0") if name]
        state |= {
            "commit": _git("rev-parse", "HEAD").decode().strip(),
            "branch": _git("rev-parse", "--abbrev-ref", "HEAD").decode(errors="replace").strip(),
            "dirty": bool(patch or new_files),
            "patch": PATCH if patch else None,
            "new_files": new_files[:MAX_NEW_FILES],
        }
    except (OSError, subprocess.SubprocessError):  # no Git, no repository, or one without a commit
        return state
    if patch:
        with whole_file(Path(folder) / PATCH) as unfinished:
            unfinished.write_bytes(patch)
    return state


def _git(*arguments: str) -> bytes:
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def fingerprint(splits: Mapping[str, Mapping[str, PageSource]], folder: str | Path) -> dict[str, Any]:
    """Which pages a run uses: a digest for its config, and the list in ``pages.csv.gz``.

    A page is known by its name and the SHA-256 of its file. Of more than 10,000 pages or 1 GiB the files' times
    and sizes stand in for it; of pages in an object store, what the store says of their version; of generated
    pages, their generator's settings. Equal pages at other places have equal digests, but for those that are known
    by their time.

    Args:
        splits: Sources by split, then by kind.
        folder: Of the run.

    Returns:
        ``digest``, ``files_known_by``, and the number of pages of each split.
    """
    sources = [(split, source) for split, kinds in splits.items() for source in kinds.values()]
    by_content = _is_small([source for _, source in sources])
    digest = hashlib.sha256()
    with whole_file(Path(folder) / PAGE_LIST) as unfinished, unfinished.open("wb") as raw:
        # No name and no time in it: an equal list is an equal file.
        packed = gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0)
        with packed, io.TextIOWrapper(packed, "utf-8", errors="surrogateescape", newline="") as text:
            table = csv.writer(text, lineterminator="\n")
            table.writerow(["split", "page", "known_by"])
            for row in _rows(sources, by_content=by_content):
                digest.update("\0".join([*row, "\n"]).encode(errors="surrogateescape"))
                table.writerow(row)
    return {
        "digest": digest.hexdigest(),
        "files_known_by": "content" if by_content else "time and size",
        **{split: sum(map(len, kinds.values())) for split, kinds in splits.items()},
    }


def _is_small(sources: list[PageSource]) -> bool:
    if sum(map(len, sources)) > MAX_HASHED_PAGES:
        return False
    files = (source.file(index) for source in sources for index in range(len(source)))
    return sum(map(_size, filter(None, files))) <= MAX_HASHED_BYTES


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _rows(sources: list[tuple[str, PageSource]], *, by_content: bool) -> Iterator[tuple[str, str, str]]:
    for split, source in sources:
        for index in range(len(source)):
            yield split, source.name(index), _identity(source, index, by_content=by_content)


def _identity(source: PageSource, index: int, *, by_content: bool) -> str:
    try:
        if by_content and (file := source.file(index)):
            return sha256(file)
        key = source.key(index)
    except (OSError, UserError):  # such a page is left out later, with a warning
        return "unreadable"
    place, divider, identity = key.partition("\0")
    return (identity if divider else place).replace("\0", " ")
