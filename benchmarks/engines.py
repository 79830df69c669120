"""The engines on the same tiles in the same run, and each from a cold start to its first batch.

    python -m benchmarks engines --model outputs/released

The model's folder must have its ONNX files (``manuscript-restore onnx``). Engines take turns, so that what else
the machine does falls on all alike; beside a busy one, compare the seconds of processor.
"""

import sys
import time
from statistics import median

import numpy as np

from benchmarks.measure import duration, parser, row, run, start_table
from manuscript_restore.inference.engines import open_backend
from manuscript_restore.released import find_model
from manuscript_restore.synthesis import generate_page

ENGINES = ("torch", "onnx", "openvino")
FIRST = """
import sys, numpy
from manuscript_restore.inference.engines import open_backend
open_backend(sys.argv[1], engine=sys.argv[2], device="cpu")(numpy.zeros((1, 3, 256, 256), numpy.float32))
"""


def main(arguments: list[str]) -> None:
    """Print a row for each engine and size of batch."""
    options = parser("engines", __doc__)
    options.add_argument(
        "--model", default="default", help="exported model's folder, or name of one in the package"
    )
    options.add_argument("--batches", nargs="+", type=int, default=[1, 4], metavar="TILES")
    options.add_argument("--tile", type=int, default=256, help="side, pixels")
    options.add_argument("--repeats", type=int, default=7)
    args = options.parse_args(arguments)
    folder = find_model(args.model)
    backends = {name: open_backend(folder, engine=name, device="cpu") for name in ENGINES}
    start_table("Engines", f"Model: {args.model}; tiles of {args.tile}².\n")
    page = generate_page(0, 0, height=args.tile, width=args.tile).transpose(2, 0, 1) / np.float32(255)
    looked = np.zeros((1, 1), np.float32) if backends["torch"].has_maps else None
    for batch in args.batches:
        tiles = np.repeat(page[None], batch, axis=0).astype(np.float32)
        walls: dict[str, list[float]] = {name: [] for name in ENGINES}
        cpus: dict[str, list[float]] = {name: [] for name in ENGINES}
        for _ in range(args.repeats + 1):
            for name, backend in backends.items():
                wall, cpu = time.perf_counter(), time.process_time()
                backend(tiles, looked)
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
        for name in ENGINES:
            taken, used = median(walls[name][1:]), median(cpus[name][1:])  # the first warms up
            faster = median(walls["torch"][1:]) / taken
            beside = f"{faster:.2f}× as fast as torch; {duration(used)} of processor"
            row(f"{name}, batch {batch}", taken, rate=f"{batch / taken:.1f} tiles/s", beside=beside)
    for name in ENGINES:
        done = run([sys.executable, "-c", FIRST, str(folder), name])
        row(f"{name}, start to first tile", done.seconds, peak_mb=done.peak_mb)
