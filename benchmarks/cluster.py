"""Restoring with one worker of a Ray cluster and with two, each on a core of its own, in turns.

    python -m benchmarks cluster --pages scans

The clock runs from when all workers are ready to the last result: starting Ray and loading the model
take the same few seconds, however many pages there are. Beside other work, compare seconds of processor: those of
one worker by those of the busier of the two, which is when the second run would end on cores of its own.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from benchmarks.measure import duration, parser, row, start_table
from manuscript_restore.files import whole_file
from manuscript_restore.images import find_images, read
from manuscript_restore.inference.cluster import joined
from manuscript_restore.inference.cluster_job import ClusterJob, Size
from manuscript_restore.inference.cluster_worker import Work, load
from manuscript_restore.inference.output import Output
from manuscript_restore.inference.plan import plan
from manuscript_restore.inference.restorer import Restorer
from manuscript_restore.inference.shared import marked
from manuscript_restore.released import find_released, identify
from manuscript_restore.synthesis import generate_page

NOTE_S = 0.2
"""Seconds after which a worker notes what it has spent."""


def main(arguments: list[str]) -> None:
    """Print a row for one worker and one for two."""
    options = parser("cluster", __doc__)
    options.add_argument("--pages", type=Path, help="folder of pages to cut from; without: generated ones")
    options.add_argument("--number", type=int, default=24, help="of crops")
    options.add_argument("--side", type=int, default=512, help="of the crops, pixels")
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args(arguments)
    start_table("Workers of a cluster", f"{args.number} crops of {args.side}².\n")
    with tempfile.TemporaryDirectory() as name, joined("local") as ray:
        folder = Path(name)
        write_crops(folder / "scans", args.pages, args.number, args.side)
        walls: dict[int, list[float]] = {1: [], 2: []}
        cpus: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(args.repeats):
            for workers in (1, 2):
                wall, cpu = restore(ray, folder, workers)
                walls[workers].append(wall)
                cpus[workers].append(cpu)
        for workers in walls:
            ratios = [one / many for one, many in zip(walls[1], walls[workers], strict=True)]
            cpu_ratios = [one / many for one, many in zip(cpus[1], cpus[workers], strict=True)]
            beside = (
                f"{median(ratios):.2f}× one; {duration(median(cpus[workers]))} of processor in the busier worker, "
                f"{median(cpu_ratios):.2f}×; load {os.getloadavg()[0]:.1f}"
            )
            taken = median(walls[workers])
            row(
                f"{workers} worker{'s'[: workers - 1]}",
                taken,
                rate=f"{args.number / taken:.2f} pages/s",
                beside=beside,
            )


def write_crops(folder: Path, pages: Path | None, number: int, side: int) -> None:
    """Squares from the middle of pages, as PNG."""
    folder.mkdir()
    found = find_images(pages) if pages else []
    for i in range(number):
        page = read(found[i % len(found)]) if found else generate_page(0, i, height=side, width=side)
        top, left = ((length - side) // 2 for length in page.shape[:2])
        Image.fromarray(page).crop((left, top, left + side, top + side)).save(folder / f"{i}.png")


def restore(ray: Any, folder: Path, num_workers: int) -> tuple[float, float]:
    """Seconds for all crops, and seconds of processor of the busiest worker."""
    out, spent = folder / "out", folder / "spent"
    for each in (out, spent):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir()
    loading = partial(load, "default", identify(find_released("default")).sha256, device="cpu")
    tasks = plan([str(folder / "scans")], out).tasks
    with marked(out) as mark:
        work = Work(partial(on_one_core, loading, spent, num_workers), Output(), mark)
        job = ClusterJob(ray, work, size=Size(), num_workers=num_workers, tell=print)
        assert all(outcome.status in ("restored", "sound") for outcome in job.run(tasks))
        end = time.time()
        time.sleep(2 * NOTE_S)
        started = max(path.stat().st_mtime for path in spent.glob("*.ready"))
        return end - started, max(float(path.read_text()) for path in spent.glob("*.spent"))


def on_one_core(loading: Callable[[], Restorer], spent: Path, num_workers: int) -> Restorer:
    """Load the model on a core that no other worker has, and wait for the others."""
    core = next(core for core in sorted(os.sched_getaffinity(0)) if claim(spent / f"{core}.claimed"))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    restorer = loading()
    (spent / f"{core}.ready").touch()
    while len(list(spent.glob("*.ready"))) < num_workers:
        time.sleep(0.01)
    threading.Thread(target=note, args=(spent / f"{core}.spent", time.process_time()), daemon=True).start()
    return restorer


def claim(path: Path) -> bool:
    """Make a file; False: another has."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(path: Path, before: float) -> None:
    """Keep the seconds of processor since then in a file."""
    while True:
        with whole_file(path) as unfinished:
            unfinished.write_text(f"{time.process_time() - before}")
        time.sleep(NOTE_S)
