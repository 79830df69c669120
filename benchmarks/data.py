"""Folders of many pages: time to index them, and the memory of the processes that read them.

    python -m benchmarks data --files 200000

Makes --files small JPEGs (hard links) in a temporary folder, indexes it, and reads all of it for --epochs with
two workers; then does the same with a list of Path objects, the usual way, for comparison.

Memory is the anonymous PSS of Linux (Pss_Anon in /proc/PID/smaps_rollup): what is shared between processes counts
in parts, mapped files (libraries, the kept index), which the system may drop at any time, do not count.
"""

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from benchmarks.measure import apart, parser, row, seconds, start_table
from manuscript_restore import images
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.datasets import TrainingPages
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.data.sources import FolderSource, PageSource
from manuscript_restore.data.views import View

FILES_PER_FOLDER = 1000  # a hard link too many, and the file system refuses
NUM_WORKERS = 2


def main(arguments: list[str]) -> None:
    """Print rows for the index, and for reading with it and with a list."""
    options = parser("data", __doc__)
    options.add_argument("--files", type=int, default=200_000)
    options.add_argument("--epochs", type=int, default=2)
    args = options.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        root, index_dir = Path(name) / "pages", Path(name) / "index"
        make_files(root, args.files, side=32)
        time.sleep(3)  # a folder that has just changed is not trusted
        start_table(f"{args.files:,} files, {NUM_WORKERS} workers")

        def open_folder() -> FolderSource:
            return FolderSource(root, index_dir=str(index_dir))

        row("index, first time", seconds(open_folder, 1, warm_up=False))
        row("index, kept", seconds(open_folder, 1, warm_up=False))
        images.write(np.zeros((9, 9, 3), np.uint8), root / "manuscript_0000" / "new.jpg")
        row("index, one folder of it changed", seconds(open_folder, 1, warm_up=False))
        row("list of Path objects", seconds(lambda: images.find_images(root), 1, warm_up=False))
        for kind in ("index", "list"):
            used, own, rate = apart(read_epochs, kind, root, index_dir, args.epochs)
            growth = " → ".join(f"{mb:.1f}" for mb in own)
            beside = f"a worker's own memory, at the start and after each epoch: {growth} MB"
            row(f"reading by {kind}, all processes", rate=f"{rate:.0f} pages/s", peak_mb=used, beside=beside)


class PathList(PageSource):
    """The usual way: one Path object for each file."""

    def __init__(self, root: Path) -> None:
        self.files = images.find_images(root)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """File name."""
        return self.files[index].name

    def key(self, index: int) -> str:
        """Path."""
        return str(self.files[index])

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode the file."""
        return images.read(self.files[index])


def make_files(root: Path, number: int, side: int) -> None:
    """So many names of few files."""
    page = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for start in range(0, number, FILES_PER_FOLDER):
        folder = root / f"manuscript_{start // FILES_PER_FOLDER:04}"
        folder.mkdir(parents=True)
        original = folder / f"folio_{start}.jpg"
        images.write(page, original)
        for i in range(start + 1, min(start + FILES_PER_FOLDER, number)):
            os.link(original, folder / f"folio_{i}.jpg")


def read_epochs(kind: str, root: Path, index_dir: Path, num_epochs: int) -> tuple[float, list[float], float]:
    """MB of all processes at the end; of a worker alone, at the start and after each epoch; pages a second."""
    source: PageSource = PathList(root) if kind == "list" else FolderSource(root, index_dir=str(index_dir))
    view = View("resize", 32)
    data = TrainingPages(PageCache(source, view.prepare, tag=view.tag), view, seed=0)
    sampler = EpochSampler(data, 1, 0, seed=0)
    loader = DataLoader(
        data, 64, sampler=sampler, num_workers=NUM_WORKERS, persistent_workers=True, multiprocessing_context="fork"
    )  # this process was spawned, and would spawn its workers too
    own, start = [], time.perf_counter()
    for epoch in range(num_epochs):
        sampler.set_epoch(epoch)
        for number, _ in enumerate(loader):
            if epoch == 0 and number == 20:
                own.append(memory()[1])
        own.append(memory()[1])
    return memory()[0], own, num_epochs * len(data) / (time.perf_counter() - start)


def memory() -> tuple[float, float]:
    """MB: PSS of this process and its workers, and what a worker has changed and so holds alone, on average."""

    def of(pid: int) -> tuple[float, float]:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kb = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines[1:])}
        return kb["Pss_Anon"] / 1000, kb["Private_Dirty"] / 1000

    workers = [of(child.pid) for child in multiprocessing.active_children() if child.pid]
    pss, own = np.array(workers).T
    return of(os.getpid())[0] + float(pss.sum()), float(own.mean())
