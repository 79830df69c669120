"""Restoring whole files: seconds, peak memory and installed size, by engine, beside non-local means.

    python -m benchmarks restore --sizes 1463x2316 6000x4000 30000x20000

Every row is a process of its own, from the file on the disk to the file on the disk, all in one run. *A further
page* is what a job of four such files takes more than a job of one, a file.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import manuscript_restore
from benchmarks.measure import Run, parser, row, run, start_table
from manuscript_restore import images
from manuscript_restore.released import find_model
from manuscript_restore.synthesis import generate_page

NON_LOCAL_MEANS = """
import sys, cv2
page = cv2.imread(sys.argv[1])
cv2.imwrite(sys.argv[2], cv2.fastNlMeansDenoisingColored(page, None, 10, 10, 7, 21))
"""
UNTILED = """
import sys, torch
from manuscript_restore import images
from manuscript_restore.checkpoint import load_model
from manuscript_restore.images import tensors
page = tensors.to_float(tensors.from_array(images.read(sys.argv[1])))
with torch.inference_mode():
    images.write(load_model(sys.argv[3]).to(memory_format=torch.channels_last)(page[None])[0], sys.argv[2])
"""


FIRST = """
import sys, numpy
from manuscript_restore import Restorer
from manuscript_restore.released import find_model
restorer = Restorer.from_checkpoint(find_model(sys.argv[1]), engine=sys.argv[2], device="cpu")
restorer.restore(numpy.full((256, 256, 3), 128, numpy.uint8))
"""
BUSY = "while True: pass"
NUM_FILES = 4


def main(arguments: list[str]) -> None:
    """Print a row for each size and method."""
    options = parser("restore", __doc__)
    options.add_argument("--model", default="default", help="checkpoint, exported model's folder, or name")
    options.add_argument("--engines", nargs="+", default=["onnx", "openvino", "torch"], metavar="ENGINE")
    options.add_argument("--sizes", nargs="+", default=["1463x2316"], metavar="WIDTHxHEIGHT")
    options.add_argument("--peers-up-to", type=int, default=30, help="megapixels: larger, only the first engine")
    options.add_argument("--time-limit-s", type=float, default=300, help="after which a peer is stopped")
    options.add_argument("--options", default="", help="further ones of manuscript-restore restore")
    args = options.parse_args(arguments)
    start_table("Restoring a file", f"Model: {args.model}.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            page = folder / size / "page.tif"
            page.parent.mkdir()
            write_page(page, height, width)
            is_small = height * width <= args.peers_up_to * 1e6
            for engine in args.engines if is_small else args.engines[:1]:
                further = ["-m", args.model, "--overwrite", "--engine", engine, *args.options.split()]
                ours = [sys.executable, "-m", "manuscript_restore.restore", "-o", str(folder / engine), *further]
                alone = run([*ours, str(page)])
                rate = f"{height * width / 1e6 / alone.seconds:.2f} megapixels/s"
                row(f"{size}, {engine}, one file", alone.seconds, rate=rate, peak_mb=alone.peak_mb)
                if is_small:
                    further_pages(f"{size}, {engine}", ours, page, alone)
            if is_small:
                compare(size, [folder / engine / page.name for engine in args.engines])
                peers(size, page, folder / "peer.tif", args)
    for engine in args.engines:
        first = run([sys.executable, "-c", FIRST, args.model, engine])
        row(f"{engine}, start to first tile", first.seconds, peak_mb=first.peak_mb)
    row("installed for restoring", beside=f"{installed_mb():.0f} MB")


def further_pages(name: str, ours: list[str], page: Path, alone: Run) -> None:
    """What a further page of a job takes, and one beside busy processes."""
    for number in range(1, NUM_FILES):
        shutil.copy(page, page.with_stem(f"page{number}"))
    job = run([*ours, str(page.parent)])
    each = (job.seconds - alone.seconds) / (NUM_FILES - 1)
    row(f"{name}, a further page", each, peak_mb=job.peak_mb)
    for number in range(1, NUM_FILES):
        page.with_stem(f"page{number}").unlink()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(4)]
    try:
        slow = run([*ours, str(page)])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    row(f"{name}, beside four busy processes", slow.seconds, beside=f"{slow.seconds / alone.seconds:.1f}× alone")


def compare(size: str, results: list[Path]) -> None:
    """How far the results of the other engines are from those of the first."""
    pages = [images.read(result).astype(int) for result in results]
    for result, page in zip(results[1:], pages[1:], strict=True):
        levels = np.abs(page - pages[0]).max()
        row(f"{size}, {result.parent.name} against {results[0].parent.name}", beside=f"{levels}/255 at most")


def peers(size: str, page: Path, target: Path, args: argparse.Namespace) -> None:
    """Non-local means, and the network on the whole page at once."""
    commands = {"non-local means": [sys.executable, "-c", NON_LOCAL_MEANS, str(page), str(target)]}
    commands["torch, untiled"] = [
        sys.executable,
        "-c",
        UNTILED,
        str(page),
        str(target),
        str(find_model(args.model)),
    ]
    for method, command in commands.items():
        done = run(command, time_limit_s=args.time_limit_s)
        row(f"{size}, {method}", done.seconds, peak_mb=done.peak_mb, beside="stopped" if done.stopped else "")


def installed_mb() -> float:
    """Size of the files of the package and of all that it asks for without extras, once for each."""
    sizes: dict[str, int] = {}
    waiting = [Requirement("manuscript-restore")]
    while waiting:
        requirement = waiting.pop()
        wanted = not requirement.marker or requirement.marker.evaluate({"extra": ""})
        name = canonicalize_name(requirement.name)
        if wanted and name not in sizes:
            package = distribution(name)
            paths = [Path(str(file.locate())) for file in package.files or []]
            sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
            waiting += map(Requirement, package.requires or [])
    ours = [path for path in Path(manuscript_restore.__file__).parent.rglob("*") if path.is_file()]
    sizes["manuscript-restore"] = sum(path.stat().st_size for path in ours)  # whether in a wheel or a checkout
    return sum(sizes.values()) / 1e6


def write_page(path: Path, height: int, width: int) -> None:
    """A tiled deflate TIFF of any size, of one generated page again and again."""
    pattern = generate_page(0, 0, height=min(height, 2048), width=min(width, 2048))

    def tiles() -> Iterator[NDArray[np.uint8]]:
        for top in range(0, height, 256):
            rows = np.arange(top, top + 256) % len(pattern)
            for left in range(0, width, 256):
                columns = np.arange(left, left + 256) % pattern.shape[1]
                yield pattern[rows[:, None], columns]

    tifffile.imwrite(
        path, tiles(), shape=(height, width, 3), dtype=np.uint8, tile=(256, 256), photometric="rgb",
        compression="deflate", predictor=True, resolution=(300, 300), resolutionunit="INCH",
    )  # fmt: skip
