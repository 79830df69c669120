"""Pages a second that the generator draws on one core, against decoding a scan of the same size; and crops.

    python scripts/bench_generator.py [--pages 8] [--size 1500 2300]

One thread, one process; medians. A page is drawn once and cropped many times: the last lines say how many crops a
second come out of the training loader's own path (cache, crop, photometric change), and how many times faster that
is than this core could train on them, with the network of `experiment=crops`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import torch

from manuscript_restore import images
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.sources import GeneratedSource
from manuscript_restore.data.views import Augment, View
from manuscript_restore.models import ViTRestorer
from manuscript_restore.synthesis import PageGenerator
from manuscript_restore.synthesis.supports import KINDS


def seconds(call: Callable[[int], object], repeats: int) -> float:
    """Median time of ``call(i)``, after one call that warms up."""
    call(0)
    taken = []
    for i in range(repeats):
        start = time.perf_counter()
        call(i)
        taken.append(time.perf_counter() - start)
    return median(taken)


def cut(pages: PageCache, view: View, number: int) -> None:
    """Take a training view, as a loader's worker does."""
    page = pages.read(number % len(pages))
    assert page is not None
    view.train(page, (0, 0, number))


def train(net: torch.nn.Module, batch: torch.Tensor, _: int) -> None:
    """Forward and backward, without a loss or an optimiser."""
    net(batch).mean().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(1500, 2300), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    size = tuple(options.size)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

    print(f"pages of {size[0]}x{size[1]}, one core")
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.jpg"
        images.write(PageGenerator(size=size).page(0, 0).image, scan)
        decoding = seconds(lambda _: images.read(scan), options.pages)
    print(f"  {'decoding a JPEG scan':24s} {1 / decoding:6.2f} pages/s")
    for name in ("manuscript", *KINDS):
        generator = PageGenerator(size=size, supports={name: 1.0} if name in KINDS else None)
        drawing = seconds(partial(generator.page, 0), options.pages)
        print(f"  {name:24s} {1 / drawing:6.2f} pages/s   {drawing / decoding:5.1f} x the time of decoding")

    generator = PageGenerator()
    with tempfile.TemporaryDirectory() as folder:
        source = GeneratedSource(generator, options.pages, seed=0)
        pages = PageCache(source, lambda page: page, tag="whole", max_gb=1, folder=folder)
        for index in range(options.pages):
            pages.read(index)
        for crop in (256, 128):
            view = View("crop", crop, Augment(hflip=0.5, photometric=1.0))
            once = seconds(partial(cut, pages, view), 200)
            net = ViTRestorer(encoder="vit_tiny_patch16_224", decoder={"name": "progressive"}, image_size=crop)
            batch = torch.rand(4, 3, crop, crop)
            step = seconds(partial(train, net, batch), 5) / len(batch)
            print(
                f"  crops of {crop}x{crop}         {1 / once:6.0f} crops/s   "
                f"{step / once:5.0f} x faster than ViT-tiny trains on them"
            )


if __name__ == "__main__":
    main()
