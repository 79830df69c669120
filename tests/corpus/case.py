"""One file of the corpus, the picture in it, and the programs that write it."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
import pyvips
import tifffile
from PIL import Image, ImageCms

from tests.corpus.decoders import DECODERS, Samples

WIDTH, HEIGHT = 37, 29  # no multiple of a tile, of a block of JPEG or of 8 bits
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: What it is, its format first.
        encode: Makes its bytes.
        decoders: The independent ones that read this kind rightly.
        truth: What went in, as the archive should give it back: samples (H, W, C) as the file stores them, grey
            or RGB of 8 or 16 bits, an even channel is alpha, black is 0. None: what the first decoder says, for
            the file holds something else than went in.
        tolerance: Levels of 255 by which right readers may differ, for a reason that stands beside.
        orientation: EXIF's.
        alpha: What alpha means: "straight", "premultiplied" or "unspecified" (no opacity).
    """

    name: str
    encode: Callable[[], bytes]
    decoders: tuple[str, ...]
    truth: Samples | None = None
    tolerance: float = 0
    orientation: int = 1
    alpha: str = "straight"

    @cached_property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.encode()

    @cached_property
    def right(self) -> Samples:
        """What should be read."""
        return DECODERS[self.decoders[0]](self.data) if self.truth is None else self.truth


@cache
def picture(channels: int = 3, bits: int = 8) -> Samples:
    """A page, shaded, with strokes and noise: (H, W, C) of 0 to 2**bits - 1. An even channel is alpha or black."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / (HEIGHT - 1)
    ink = ((x * 7).astype(int) % 3 == 0) & ((y * 9).astype(int) % 2 == 0)
    ground = np.stack([0.95 - 0.4 * x * y, 0.8 - 0.3 * y, 0.35 + 0.4 * x, (x + 2 * y) / 3.3], axis=2)
    noise = np.random.default_rng(channels).normal(0, 0.02, ground.shape)
    page = (ground * np.where(ink, 0.25, 1)[..., None] + noise).clip(0, 1)
    page[0, 0], page[-1, -1] = 0, 1  # black and white are there
    chosen = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3], 5: [0, 1, 2, 1, 3]}[channels]
    samples = np.rint(page[..., chosen] * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return np.ascontiguousarray(samples)


def pillow(samples: Samples, format: str, mode: str | None = None, **options: Any) -> bytes:
    """A file as Pillow writes it, 8 bits."""
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format, **options)
    return buffer.getvalue()


def vips(samples: Samples, suffix: str, *, through: str | None = None, **options: Any) -> bytes:
    """A file as libvips writes it; ``through`` is a profile that it has: RGB becomes its inks."""
    deep, colour = samples.dtype == np.uint16, samples.shape[2] > 2
    kind = ("rgb16" if deep else "srgb") if colour else ("grey16" if deep else "b-w")
    image = pyvips.Image.new_from_array(samples).copy(interpretation=kind)
    if through:
        image = image.icc_transform(through, input_profile="srgb", depth=8 * samples.itemsize)
    return bytes(image.write_to_buffer(suffix, **options))


def by_tifffile(samples: Samples, **options: Any) -> bytes:
    """A file as tifffile writes it."""
    buffer = io.BytesIO()
    options.setdefault("photometric", "rgb" if samples.shape[2] > 2 else "minisblack")
    if samples.shape[2] % 2 == 0:
        options.setdefault("extrasamples", ["unassalpha"])
    tifffile.imwrite(buffer, samples[..., 0] if samples.shape[2] == 1 else samples, metadata=None, **options)
    return buffer.getvalue()


def opencv(samples: Samples, suffix: str, *options: int) -> bytes:
    """A file as OpenCV writes it."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(samples.shape[2], [0])
    return bytes(cv2.imencode(suffix, samples[..., order], options)[1])


def orientation(number: int) -> bytes:
    """An EXIF block that says only which way is up."""
    block = Image.Exif()
    block[0x0112] = number
    return block.tobytes()
