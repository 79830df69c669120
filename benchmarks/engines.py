"""The engines on the same tiles in the same run, each with the batches and the threads that it likes best.

    python -m benchmarks engines --model outputs/released

The model's folder must have its ONNX files (``manuscript-restore onnx``). Engines take turns, so that what else
the machine does falls on all alike; beside a busy one, compare the seconds of processor. `restore` measures whole
files.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

from benchmarks.measure import duration, parser, row, start_table
from manuscript_restore.inference.backends import Backend, Floats
from manuscript_restore.inference.engines import open_backend
from manuscript_restore.released import find_model
from manuscript_restore.synthesis import generate_page


def main(arguments: list[str]) -> None:
    """Print a row for each engine."""
    options = parser("engines", __doc__)
    options.add_argument(
        "--model", default="default", help="exported model's folder, or name of one in the package"
    )
    options.add_argument("--engines", nargs="+", default=["torch", "onnx", "openvino"], metavar="ENGINE")
    options.add_argument("--tiles", type=int, default=16)
    options.add_argument("--side", type=int, default=256, help="of the tiles, pixels")
    options.add_argument("--repeats", type=int, default=7)
    args = options.parse_args(arguments)
    folder = find_model(args.model)
    backends = {name: open_backend(folder, engine=name, device="cpu") for name in args.engines}
    start_table("Engines", f"Model: {args.model}; {args.tiles} tiles of {args.side}².\n")
    page = generate_page(0, 0, height=args.side, width=args.side).transpose(2, 0, 1) / np.float32(255)
    tiles = np.repeat(page[None], args.tiles, axis=0).astype(np.float32)
    walls: dict[str, list[float]] = {name: [] for name in args.engines}
    cpus: dict[str, list[float]] = {name: [] for name in args.engines}
    results = {}
    for _ in range(args.repeats + 1):
        for name, backend in backends.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = restore(backend, tiles)
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    first = args.engines[0]
    for name in args.engines:
        taken, used = median(walls[name][1:]), median(cpus[name][1:])  # the first warms up
        faster = median(walls[first][1:]) / taken
        difference = np.abs(results[name] - results[first]).max() * 255
        beside = (
            f"{faster:.2f}× as fast as {first}; {duration(used)} of processor; differs by {difference:.2g}/255"
        )
        row(name, taken, rate=f"{args.tiles / taken:.1f} tiles/s", beside=beside)


def restore(backend: Backend, tiles: Floats) -> Floats:
    """All tiles, in batches and on threads as the restorer has them."""
    batch = backend.default_batch(tiles.shape[-1])
    looked = np.zeros((1, 1), np.float32) if backend.has_maps else None
    batches = [tiles[first : first + batch] for first in range(0, len(tiles), batch)]
    with ThreadPoolExecutor(backend.concurrency) as pool:
        return np.concatenate(list(pool.map(lambda part: backend(part, looked), batches)))
