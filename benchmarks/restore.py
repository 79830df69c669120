"""Restoring whole files: seconds and peak memory by page size, beside non-local means and an untiled pass.

    python -m benchmarks restore --sizes 1463x2316 6000x4000 30000x20000

Every row is a process of its own, from the file on the disk to the file on the disk, all in one run.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from benchmarks.measure import parser, row, run, start_table
from manuscript_restore.models import build_model
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


def main(arguments: list[str]) -> None:
    """Print a row for each size and method."""
    options = parser("restore", __doc__)
    options.add_argument("--model", type=Path, help="checkpoint or exported model; else that of experiment=crops")
    options.add_argument("--sizes", nargs="+", default=["1463x2316", "6000x4000"], metavar="WIDTHxHEIGHT")
    options.add_argument("--peers-up-to", type=int, default=30, help="megapixels: larger, only ours is measured")
    options.add_argument("--time-limit-s", type=float, default=300, help="after which a peer is stopped")
    options.add_argument("--options", default="", help="further ones of manuscript-restore restore")
    args = options.parse_args(arguments)
    start_table("Restoring a file", f"Model: {args.model or 'untrained, of experiment=crops'}.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or untrained(folder / "untrained.ckpt")
        for size in args.sizes:
            width, height = map(int, size.split("x"))
            page, target = folder / f"{size}.tif", str(folder / "peer.tif")
            write_page(page, height, width)
            ours = [sys.executable, "-m", "manuscript_restore.restore", str(page), "-o", str(folder / "out")]
            commands = {"ours": [*ours, "-m", str(model), "--overwrite", *args.options.split()]}
            if height * width <= args.peers_up_to * 1e6:
                commands["non-local means"] = [sys.executable, "-c", NON_LOCAL_MEANS, str(page), target]
                commands["untiled"] = [sys.executable, "-c", UNTILED, str(page), target, str(model)]
            for method, command in commands.items():
                done = run(command, time_limit_s=1e6 if method == "ours" else args.time_limit_s)
                if done.stopped:
                    row(f"{size}, {method}", done.seconds, peak_mb=done.peak_mb, beside="stopped")
                    continue
                alone = re.search(r"; ([\d.]+) s,", done.printed)  # ours says what it took after its imports
                row(
                    f"{size}, {method}",
                    done.seconds,
                    rate=f"{height * width / 1e6 / done.seconds:.2f} megapixels/s",
                    peak_mb=done.peak_mb,
                    beside=f"{alone[1]} s after starting" if alone else "",
                )


def untrained(path: Path) -> Path:
    """A checkpoint of the network of experiment=crops, which costs as much as a trained one."""
    options = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 128}
    state = {f"model.{key}": value for key, value in build_model(options).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


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
