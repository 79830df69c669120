"""Measure folders of many pages: time to index them, and the memory of the processes that read them.

Makes --files small JPEGs (hard links) in a temporary folder, indexes it, and reads all of it for --epochs with
two workers; then does the same with a list of Path objects, the usual way, for comparison.

    python scripts/bench_data.py --files 200000

Memory is the anonymous PSS of Linux (Pss_Anon in /proc/PID/smaps_rollup): what is shared between processes counts
in parts, mapped files (libraries, the kept index), which the system may drop at any time, do not count.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from manuscript_restore import images
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.datasets import TrainingPages
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.data.sources import FolderSource, PageSource
from manuscript_restore.data.views import View

FILES_PER_FOLDER = 1000  # a hard link too many, and the file system refuses
NUM_WORKERS = 2


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
    page = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for start in range(0, number, FILES_PER_FOLDER):
        folder = root / f"manuscript_{start // FILES_PER_FOLDER:04}"
        folder.mkdir(parents=True)
        original = folder / f"folio_{start}.jpg"
        images.write(page, original)
        for i in range(start + 1, min(start + FILES_PER_FOLDER, number)):
            os.link(original, folder / f"folio_{i}.jpg")


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def memory() -> dict[str, float]:
    """MB of this process, and of each worker on average: PSS, and what it has changed and so holds alone."""

    def of(pid: int) -> tuple[float, float]:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kb = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines[1:])}
        return kb["Pss_Anon"] / 1000, kb["Private_Dirty"] / 1000

    workers = [of(child.pid) for child in multiprocessing.active_children() if child.pid]
    pss, own = np.mean(workers, axis=0)
    return {"main": of(os.getpid())[0], "worker": float(pss), "worker's own": float(own)}


def read_epochs(kind: str, root: Path, index_dir: Path, num_epochs: int) -> None:
    """Run in a process of its own: print the memory at the start and after each epoch as JSON."""
    source: PageSource = PathList(root) if kind == "list" else FolderSource(root, index_dir=str(index_dir))
    view = View("resize", 32)
    data = TrainingPages(PageCache(source, view.prepare, tag=view.tag), view, seed=0)
    sampler = EpochSampler(data, 1, 0, seed=0)
    loader = DataLoader(data, 64, sampler=sampler, num_workers=NUM_WORKERS, persistent_workers=True)
    measured, start = [], time.perf_counter()
    for epoch in range(num_epochs):
        sampler.set_epoch(epoch)
        for number, _ in enumerate(loader):
            if epoch == 0 and number == 20:
                measured.append(memory())
        measured.append(memory())
    rate = num_epochs * len(data) / (time.perf_counter() - start)
    print(json.dumps({"memory": measured, "rate": rate}))


def measure_memory(root: Path, index_dir: Path, num_epochs: int) -> dict[str, Any]:
    results = {}
    for kind in ("index", "list"):
        command = [
            sys.executable,
            __file__,
            "--read",
            kind,
            str(root),
            str(index_dir),
            "--epochs",
            str(num_epochs),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results[kind] = json.loads(done.stdout)
    return results


def report(times: dict[str, float], results: dict[str, Any], files: int) -> None:
    console = Console()
    console.print(f"\n{files:,} files, {NUM_WORKERS} workers\n")
    for name, value in times.items():
        console.print(f"{name:<40}{value:8.2f} s")
    table = Table("MB", "main process", "a worker", "a worker's own")
    for kind, result in results.items():
        for number, used in enumerate(result["memory"]):
            when = f"epoch {number}" if number else "start"
            table.add_row(f"{kind}, {when}", *(f"{used[key]:.1f}" for key in ("main", "worker", "worker's own")))
    console.print(table)
    own = {kind: [used["worker's own"] for used in result["memory"]] for kind, result in results.items()}
    total = {
        kind: r["memory"][-1]["main"] + NUM_WORKERS * r["memory"][-1]["worker"] for kind, r in results.items()
    }
    for kind, values in own.items():
        console.print(f"{kind}: a worker's own memory grew by {values[-1] - values[0]:.1f} MB after the start")
    console.print(f"all processes at the end, list : index = {total['list'] / total['index']:.2f}")
    rates = ", ".join(f"{kind} {result['rate']:.0f}" for kind, result in results.items())
    console.print(f"items a second: {rates}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        kind, root, index_dir = arguments.read
        read_epochs(kind, Path(root), Path(index_dir), arguments.epochs)
        return
    with tempfile.TemporaryDirectory() as name:
        root, index_dir = Path(name) / "pages", Path(name) / "index"
        make_files(root, arguments.files, side=32)
        time.sleep(3)  # a folder that has just changed is not trusted
        open_folder = lambda: FolderSource(root, index_dir=str(index_dir))  # noqa: E731
        times = {"index, first time": seconds(open_folder), "index, kept": seconds(open_folder)}
        images.write(np.zeros((9, 9, 3), np.uint8), root / "manuscript_0000" / "new.jpg")
        times["index, one folder of it changed"] = seconds(open_folder)
        times["list of Path objects"] = seconds(lambda: images.find_images(root))
        report(times, measure_memory(root, index_dir, arguments.epochs), arguments.files)


if __name__ == "__main__":
    main()
