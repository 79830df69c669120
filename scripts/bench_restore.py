"""Restoring whole files: seconds and peak memory by page size, beside non-local means and an untiled pass.

    python scripts/bench_restore.py --sizes 1463x2316 --sizes 6000x4000 --sizes 30000x20000

Every measurement is a process of its own, from the file on the disk to the file on the disk, all in one run.
"""

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import tifffile
import torch
import typer
from numpy.typing import NDArray

from manuscript_restore.models import build_model
from manuscript_restore.synthesis import generate_page

SIZES = ["1463x2316", "6000x4000"]

NON_LOCAL_MEANS = """
import sys, cv2
page = cv2.imread(sys.argv[1])
cv2.imwrite(sys.argv[2], cv2.fastNlMeansDenoisingColored(page, None, 10, 10, 7, 21))
"""
UNTILED = """
import sys, torch
from manuscript_restore import images
from manuscript_restore.checkpoint import load_model
page = images.to_float(images.from_array(images.read(sys.argv[1])))
with torch.inference_mode():
    images.write(load_model(sys.argv[3]).to(memory_format=torch.channels_last)(page[None])[0], sys.argv[2])
"""


def main(
    model: Annotated[Path | None, typer.Option(help="Training checkpoint or exported model.")] = None,
    sizes: Annotated[list[str], typer.Option(help="WIDTHxHEIGHT, several times.")] = SIZES,
    peers_up_to: Annotated[int, typer.Option(help="Megapixels above which only ours is measured.")] = 30,
    time_limit_s: Annotated[float, typer.Option(help="After which a peer is stopped.")] = 300,
    options: Annotated[str, typer.Option(help="Further options of manuscript-restore restore.")] = "",
) -> None:
    """Print a table of seconds, megapixels a second and peak memory."""
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; model {model or 'of experiment=crops'}\n"
    )
    print("| page | method | s | megapixels/s | peak memory, MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model or untrained(folder / "untrained.ckpt")
        for size in sizes:
            width, height = map(int, size.split("x"))
            page = folder / f"{size}.tif"
            write_page(page, height, width)
            out = folder / "out"
            ours = [sys.executable, "-m", "manuscript_restore.restore", str(page), "-o", str(out)]
            commands = {"ours": [*ours, "-m", str(model), "--overwrite", *options.split()]}
            if height * width <= peers_up_to * 1e6:
                target = str(folder / "peer.tif")
                commands["non-local means"] = [sys.executable, "-c", NON_LOCAL_MEANS, str(page), target]
                commands["untiled"] = [sys.executable, "-c", UNTILED, str(page), target, str(model)]
            for method, command in commands.items():
                limit = math.inf if method == "ours" else time_limit_s
                cells = measured(command, height * width / 1e6, limit)
                print(f"| {size} | {method} | {cells} |", flush=True)


def untrained(path: Path) -> Path:
    """A checkpoint of the network of experiment=crops, which costs as much as a trained one."""
    options = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 128}
    state = {f"model.{key}": value for key, value in build_model(options).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


def measured(command: list[str], megapixels: float, time_limit_s: float) -> str:
    """Run a command; its time, speed and peak memory as cells of the table."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            while True:  # wait4 alone tells one child's memory; it has no time limit
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if time.perf_counter() - started > time_limit_s:
                    process.kill()
                time.sleep(0.05)
        finally:
            process.returncode = 0
        seconds = time.perf_counter() - started
        said.seek(0)
        words = said.read().decode(errors="replace")
    if seconds > time_limit_s:
        return f"stopped after {seconds:.0f} s | | "
    if status:
        sys.exit(f"error: {' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}: {words.strip()}")
    alone = re.search(r"; ([\d.]+) s,", words)  # ours says how long it took after its imports
    without_start = f" ({alone[1]} after starting)" if alone else ""
    return f"{seconds:.1f}{without_start} | {megapixels / seconds:.2f} | {usage.ru_maxrss / 1024:.0f}"


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


if __name__ == "__main__":
    typer.run(main)
