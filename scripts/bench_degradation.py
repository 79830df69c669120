"""Images a second: the batched degradations against a plain per-image OpenCV loop with the same six.

    python scripts/bench_degradation.py [--batches 5]

Both run in one process, in turn; medians of the repeats, and the ratio of the two. On a busy machine OpenMP's
threads, which wait for one another by spinning, make PyTorch up to a hundred times slower; OMP_WAIT_POLICY=passive
in the environment prevents it.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

from manuscript_restore.config import build, config_dir
from manuscript_restore.degradation import DegradationPipeline
from manuscript_restore.synthesis import generate_page

SIZE, BATCH = 256, 16


def opencv_loop(pages: NDArray[np.uint8], p: float, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """The reference's six on (B, H, W, 3) uint8 pages, one page after the other, as a loader's worker would."""
    degraded = []
    for page in pages:
        image = page
        if rng.random() < p:
            image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.6, 0.9), beta=0)
        if rng.random() < p:
            strength = rng.uniform(0.05, 0.3)
            gain = np.array([1, 1 - 0.25 * strength, 1 - 0.9 * strength], np.float32)
            image = (image * gain).clip(0, 255).astype(np.uint8)
        if rng.random() < p:
            layer = np.zeros(image.shape[:2], np.float32)
            for _ in range(rng.integers(1, 6)):
                centre = (int(rng.integers(SIZE)), int(rng.integers(SIZE)))
                cv2.circle(layer, centre, int(rng.integers(5, 38)), rng.uniform(0.1, 0.5), -1)
            layer = cv2.GaussianBlur(layer, (15, 15), 0)[..., None]
            colour = np.array([101, 67, 33], np.float32)
            image = (image * (1 - layer) + colour * layer).astype(np.uint8)
        if rng.random() < p:
            size = int(rng.choice([3, 5, 7]))
            image = cv2.GaussianBlur(image, (size, size), 0)
        if rng.random() < p:
            noise = rng.standard_normal(image.shape, np.float32) * (255 * rng.uniform(0.01, 0.08))
            image = (image + noise).clip(0, 255).astype(np.uint8)
        if rng.random() < p:
            amount = rng.uniform(0.001, 0.01)
            draw = rng.random(image.shape[:2], np.float32)
            image = image.copy()
            image[draw < amount / 2] = 0
            image[draw > 1 - amount / 2] = 255
        degraded.append(image)
    return degraded


def pipeline(p: float | None = None, only: str | None = None) -> DegradationPipeline:
    """The reference preset, with all probabilities or a single transform where asked."""
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", ["degradation=reference"]).degradation
    transforms = config.transforms
    config.transforms = {name: transforms[name] for name in transforms if only in (None, name)}
    for transform in config.transforms.values():
        transform.p = transform.p if p is None else p
    built: DegradationPipeline = build(config, "degradation")
    return built


def timed(function: Callable[[], object], batches: int) -> float:
    """Milliseconds an image: median over the batches, after a warm-up."""
    function()
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds) / BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=15)
    batches = parser.parse_args().batches
    pages = np.stack([generate_page(0, i, height=SIZE, width=SIZE) for i in range(BATCH)])
    clean = torch.from_numpy(pages).permute(0, 3, 1, 2).float().div(255).contiguous()
    rng = np.random.default_rng(0)
    seeds = iter(range(10**9))

    def ours(p: float | None = None, only: str | None = None) -> float:
        transform = pipeline(p, only)
        return timed(lambda: transform(clean, seed=next(seeds)), batches)

    threads = f"{torch.get_num_threads()} torch threads, {cv2.getNumThreads()} OpenCV threads"
    print(f"{SIZE}×{SIZE}, batch {BATCH}, {threads}")
    if (
        os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1)
        and os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive"
    ):
        print("The machine is busy and the timings are not to be trusted: wait, or set OMP_WAIT_POLICY=passive")
    print(f"{'':34} {'ms/image':>9} {'images/s':>9} {'ratio':>6}")
    for label, p in (("all six on every page", 1.0), ("each with probability 0.5", 0.5)):
        loop = timed(lambda p=p: opencv_loop(pages, p, rng), batches)  # type: ignore[misc]
        batched = ours(p)
        print(f"{label + ': OpenCV loop':34} {loop:9.2f} {1000 / loop:9.0f}")
        print(f"{label + ': batched':34} {batched:9.2f} {1000 / batched:9.0f} {loop / batched:6.1f}")
    for name in pipeline().transforms:
        each = ours(1.0, name)
        print(f"{name + ' alone':34} {each:9.2f} {1000 / each:9.0f}")


if __name__ == "__main__":
    main()
