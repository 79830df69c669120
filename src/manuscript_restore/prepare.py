"""Write pages into shards: ``python -m manuscript_restore.prepare pages=FOLDER out=SHARDS``."""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from shutil import rmtree
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from manuscript_restore import images
from manuscript_restore.config import build, run_command
from manuscript_restore.data.index import PathIndex
from manuscript_restore.data.shards import INDEX, PAGES, litdata
from manuscript_restore.data.sources import FolderSource, GeneratedSource, PageSource
from manuscript_restore.errors import UserError

MAX_CHUNK_MB = 2048  # LitData counts a shard's bytes in 32 bits
GENERATED = "generated"


def prepare(
    *,
    pages: str,
    out: str,
    overwrite: bool,
    max_side: int | None,
    chunk_mb: int,
    num_workers: int,
    n: int,
    seed: int,
    generator: DictConfig,
) -> None:
    """Write pages into shards; the arguments are the config's keys.

    The order of the pages, and so the shards, are the same for every number of workers. They are written beside
    ``out`` and moved there when all are whole. Pages that cannot be read are named and left out; the exit status
    is then 2.

    Raises:
        UserError: A mistake in the settings, no readable page, or ``out`` is in use.
    """
    for name, value, least in (("chunk_mb", chunk_mb, 1), ("num_workers", num_workers, 0), ("n", n, 1)):
        _check_number(name, value, least)
    if max_side is not None:
        _check_number("max_side", max_side, 1)
    if chunk_mb > MAX_CHUNK_MB:
        raise UserError(f"chunk_mb={chunk_mb}: must be at most {MAX_CHUNK_MB}")
    folder = Path(out)
    _check_target(folder, overwrite=overwrite)
    cache = litdata("litdata.streaming").Cache
    source: PageSource
    if pages == GENERATED:
        source = GeneratedSource(build(generator, "generator"), n, seed)
    else:
        source = FolderSource(pages, key="pages")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    rmtree(unfinished, ignore_errors=True)  # of a run that was interrupted
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"out={out}: cannot be made ({error.strerror})") from error
    shards = cache(str(unfinished), chunk_bytes=chunk_mb * 1_000_000)
    try:
        names, problems = _write(EncodedPages(source, max_side), shards, num_workers)
        PathIndex.of(names).save(unfinished / PAGES, written=time.time_ns())
    except OSError as error:
        raise UserError(f"out={out}: cannot be written ({error})") from error
    if not names:
        rmtree(unfinished)
        raise UserError("\n".join([f"pages={pages}: none of its {len(source)} pages can be read", *problems]))
    _put(unfinished, folder)
    num_shards = len(json.loads((folder / INDEX).read_text(encoding="utf-8"))["chunks"])
    print(f"{len(names)} pages in {num_shards} shards: {folder}")
    if problems:
        print("\n".join([f"{len(problems)} pages left out:", *problems]), file=sys.stderr)
        sys.exit(2)


class EncodedPages(Dataset[tuple[str, bytes, str]]):
    """Pages as image files: (name, content, ``""``), or (name, nothing, what is wrong with it).

    Args:
        source: The pages.
        max_side: Larger ones are shrunk to so many pixels; None: the files of a folder are taken as they are.
    """

    def __init__(self, source: PageSource, max_side: int | None) -> None:
        self.source, self.max_side = source, max_side

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[str, bytes, str]:
        """Item of the page."""
        name = self.source.name(index)
        try:
            page = self.source.read(index)  # all of it: a page that cannot be decoded should show now
            if isinstance(self.source, FolderSource) and max(page.shape) <= (self.max_side or max(page.shape)):
                return name, self.source.path(index).read_bytes(), ""
            return name, _as_jpeg(_shrink(page, self.max_side or max(page.shape))), ""
        except (UserError, OSError) as error:
            return name, b"", str(error)


def _write(pages: EncodedPages, shards: Any, num_workers: int) -> tuple[list[str], list[str]]:
    """Write the pages and return the names of those written, and what is wrong with the others."""
    names: list[str] = []
    problems: list[str] = []
    loader = DataLoader(
        pages, batch_size=None, num_workers=num_workers, collate_fn=_unchanged, worker_init_fn=_one_thread
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="An item was larger than the target chunk size")
        for name, content, problem in track(loader, "pages", total=len(pages)):
            if problem:
                problems.append(problem)
            else:
                shards[len(names)] = content
                names.append(name)
        if names:
            shards.done()
            shards.merge(1)
    return names, problems


def _shrink(page: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    height, width = page.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk: NDArray[np.uint8] = cv2.resize(page, size, interpolation=cv2.INTER_AREA)
    return shrunk


def _as_jpeg(page: NDArray[np.uint8]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.jpg"
        images.write(page, path)
        return path.read_bytes()


def _put(unfinished: Path, folder: Path) -> None:
    """Move the shards to their place; those that were there are removed last."""
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    rmtree(old, ignore_errors=True)


def _check_target(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / PAGES).is_file():
        raise UserError(f"out={folder}: holds other things than shards; give a new folder")
    if not overwrite:
        raise UserError(f"out={folder}: holds shards already; give a new folder, or overwrite=true")


def _check_number(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name}={value}: must be a whole number, at least {least}")


def _unchanged(item: Any) -> Any:
    return item


def _one_thread(worker: int) -> None:  # noqa: ARG001
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def main() -> None:
    """Entry point of ``python -m manuscript_restore.prepare``."""
    run_command(prepare, "prepare")


if __name__ == "__main__":
    main()
