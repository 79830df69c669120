"""Pages a second that the generator draws on one core, against decoding a scan of the same size; and crops.

    python -m benchmarks generator [--pages 8] [--size 1500 2300]

One thread, one process; medians. A page is drawn once and cropped many times: the last rows say how many crops a
second come out of the training loader's own path (cache, crop, photometric change), and how many times faster that
is than this core could train on them, with the network of `experiment=crops`.
"""

import tempfile
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import torch

from benchmarks.measure import parser, row, seconds, start_table
from manuscript_restore import images
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.sources import GeneratedSource
from manuscript_restore.data.views import Augment, View
from manuscript_restore.models import ViTRestorer
from manuscript_restore.synthesis import PageGenerator
from manuscript_restore.synthesis.supports import KINDS


def main(arguments: list[str]) -> None:
    """Print a row for decoding, for each kind of page, and for each size of crop."""
    options = parser("generator", __doc__)
    options.add_argument("--pages", type=int, default=8)
    options.add_argument("--size", type=int, nargs=2, default=(1500, 2300), metavar=("HEIGHT", "WIDTH"))
    args = options.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    start_table(f"Pages of {args.size[0]}×{args.size[1]}, one core")
    draw(args.pages, tuple(args.size))
    crop(args.pages)


def draw(num_pages: int, size: tuple[int, int]) -> None:
    """Drawing pages, beside decoding one."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.jpg"
        images.write(PageGenerator(size=size).page(0, 0).image, scan)
        decoding = seconds(lambda: images.read(scan), num_pages)
    row("decoding a JPEG scan", decoding, rate=f"{1 / decoding:.2f} pages/s")
    for name in ("manuscript", *KINDS):
        page = PageGenerator(size=size, supports={name: 1.0} if name in KINDS else None).page
        numbers = count()
        drawing = seconds(lambda page=page, numbers=numbers: page(0, next(numbers)), num_pages)  # type: ignore[misc]
        beside = f"{drawing / decoding:.1f}× the time of decoding"
        row(f"drawing: {name}", drawing, rate=f"{1 / drawing:.2f} pages/s", beside=beside)


def crop(num_pages: int) -> None:
    """Training views of drawn pages, beside the training step that they feed."""
    with tempfile.TemporaryDirectory() as folder:
        source = GeneratedSource(PageGenerator(), num_pages, seed=0)
        pages = PageCache(source, lambda page: page, tag="whole", max_gb=1, folder=folder)
        for index in range(num_pages):
            pages.read(index)
        for side in (256, 128):
            view = View("crop", side, Augment(hflip=0.5, photometric=1.0))
            cutting = seconds(partial(cut, pages, view, count()), 200)
            net = ViTRestorer(encoder="vit_tiny_patch16_224", decoder={"name": "progressive"}, image_size=side)
            batch = torch.rand(4, 3, side, side)
            step = seconds(partial(train, net, batch), 5) / len(batch)
            beside = f"{step / cutting:.0f}× faster than ViT-tiny trains on them"
            row(f"crops of {side}×{side}", cutting, rate=f"{1 / cutting:.0f} crops/s", beside=beside)


def cut(pages: PageCache, view: View, numbers: "count[int]") -> None:
    """Take a training view, as a loader's worker does."""
    number = next(numbers)
    page = pages.read(number % len(pages))
    assert page is not None
    view.train(page, (0, 0, number))


def train(net: torch.nn.Module, batch: torch.Tensor) -> None:
    """Forward and backward, without a loss or an optimiser."""
    net(batch).mean().backward()
