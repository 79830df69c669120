"""Rare kinds that right readers know all the same: YCbCr without JPEG, odd layouts, forgotten codings."""

import base64
import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import imagecodecs
import numpy as np

from tests.corpus.case import HEIGHT, WIDTH, Case, by_tifffile, picture
from tests.corpus.decoders import Samples, full_scale
from tests.corpus.tiff_by_hand import ENCODERS, Tags, assembled, tiff
from tests.corpus.tiffs import LAYOUTS, RGB, YCBCR

TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Source: ITU-T T.871 (JFIF), 7."""

ARITHMETIC = {
    "sequential": (
        b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////"
        b"m8H////6/+b9//j/yQALCAAdACUBAREA/8wABgAQEAX/2gAIAQEAAD8AzluY+xAYlsPaoRDlr9dytddW4EmZ5qU1YFtzU6MTvVjFdix4"
        b"sGqUMDTW8rNqpRyhBkFeCJ0MOgCDDjEiChd+6/bjytS7oRBmJKb7TqQxjJuWoXvDKHZs+U6kOxVyczVZm8NqD2EcKPE/ecJhA5IdsVdY"
        b"4j2ZBRa24exuNk/GbKD/2Q=="
    ),
    "progressive": (
        b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////"
        b"m8H////6/+b9//j/2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4"
        b"+Pj/ygARCAAdACUDASIAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAcCBDiNnn7586webjgFoioXEgP/MAAQQBf/aAAgBAQABBQIX"
        b"1OjDQ32xGytgYDGewTsZy23u/8wABBEF/9oACAEDAQE/AdJA/8wABBEF/9oACAECAQE/AfMq/8wABBAF/9oACAEBAAY/AlirnebUzpqq"
        b"ulZjqP/MAAQQBf/aAAgBAQABPyGeAM8N9GFHb4eU12aQiO0FWwukYjpQOwxTd//aAAwDAQACAAMAAAAQ60bWfoD/zAAEEQX/2gAIAQMB"
        b"AT8Qkf8AgIT/zAAEEQX/2gAIAQIBAT8QCgYftFoM/8wABBAF/9oACAEBAAE/EO1xm87W558bXArQ159QZwxW80PNiG1lbDClTzEsg+ET"
        b"SSUQT8VGPWOelamCtID/2Q=="
    ),
}
"""What ``jpegtran -arithmetic`` makes of the picture at quality 20, grey and (``-progressive``) RGB."""


def rare() -> Iterator[Case]:
    """Kinds that other files of the corpus do not have."""
    yield from _ycbcr()
    for bits, compression in itertools.product((1, 4, 8, 12, 16), ("none", "lzw", "deflate")):
        samples = picture(1, bits)
        encode = partial(tiff, samples, bits, 1, compression=compression, rows=9, low_bits_first=True)
        name = f"tiff-grey-{bits}-low-bits-first-{compression}"
        yield Case(name, encode, ("tifffile",) if bits == 12 else ("tifffile", "vips"), full_scale(samples, bits))
    shapes: dict[str, dict[str, Any]] = {
        "tile-above-its-size": {"tile": (64, 128)},
        "one-endless-strip": {"rows": 2**32 - 1},
    }
    for name, layout in shapes.items():
        encode = partial(tiff, picture(), 8, RGB, compression="lzw", **layout)
        yield Case(f"tiff-rgb-{name}", encode, ("tifffile", "vips", "pillow", "opencv"), picture())
    encode = partial(tiff, picture(4), 8, RGB)  # four samples, and nothing says what the fourth is
    yield Case("tiff-rgb-alpha-not-announced", encode, ("tifffile", "pillow", "vips"), picture(4))
    encode = partial(by_tifffile, picture(1, 12), compression="jpeg", bitspersample=12)
    yield Case("tiff-grey-12-jpeg", encode, ("tifffile",))
    for name, text in ARITHMETIC.items():
        encode = partial(base64.b64decode, text)
        # Two levels: inverse cosine transforms round differently.
        yield Case(f"jpeg-arithmetic-{name}", encode, ("pillow", "vips", "opencv"), None, 2)
    for channels in (1, 3):
        encode = partial(imagecodecs.jpeg8_encode, picture(channels), lossless=True)
        yield Case(f"jpeg-lossless-{channels}", encode, ("pillow", "vips", "opencv"), picture(channels))
    yield Case(
        "jpeg2000-high-throughput", partial(imagecodecs.htj2k_encode, picture()), ("pillow", "opencv"), picture()
    )
    encode = partial(imagecodecs.jpeg2k_encode, picture(3, 16), 60, codecformat="jp2", reversible=False)
    yield Case("jpeg2000-lossy-16", encode, ("opencv",), None, 1)
    yield Case("png-animation-of-one", partial(imagecodecs.apng_encode, picture()), ("vips", "pillow"), picture())


def _ycbcr() -> Iterator[Case]:
    """One sample of each colour a pixel, or of Cb and Cr fewer: the units of TIFF 6.0, section 21."""
    samples = np.rint(picture() @ TO_YCBCR.T + (0, 128, 128)).clip(0, 255).astype(np.uint8)
    about = {529: (5, [299, 1000, 587, 1000, 114, 1000]), 532: (5, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1])}
    for layout, compression in itertools.product(LAYOUTS, ("none", "lzw")):
        tags: Tags = {**about, 530: (3, [1, 1])}
        encode = partial(tiff, samples, 8, YCBCR, compression=compression, tags=tags, **LAYOUTS[layout])
        readers = ("imagecodecs",) if "tiles" in layout and compression == "none" else ("imagecodecs", "opencv")
        # Two levels: the samples are rounded, and so is what they become.
        yield Case(f"tiff-ycbcr-{layout}-{compression}", encode, readers, picture(), 2)
    for (across, down), compression in itertools.product(((2, 2), (2, 1), (1, 2), (4, 1)), ("none", "lzw")):
        data = ENCODERS[compression][1](_units(samples, down, across))
        tags = {
            256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8, 8, 8]), 259: (3, [ENCODERS[compression][0]]),
            262: (3, [YCBCR]), 277: (3, [3]), 278: (4, [HEIGHT]), 273: (4, [8]), 279: (4, [len(data)]),
            **about, 530: (3, [across, down]),
        }  # fmt: skip
        encode = partial(assembled, [data], tags, "<", False)
        # One level: decoders calculate in integers or in floats.
        name = f"tiff-ycbcr-{across}-by-{down}-{compression}"
        yield Case(name, encode, ("opencv", "imagecodecs"), None, 1)


def _units(samples: Samples, down: int, across: int) -> bytes:
    """All Y of some pixels, then their Cb and Cr."""
    height, width = -(-HEIGHT // down), -(-WIDTH // across)
    gaps = [(0, height * down - HEIGHT), (0, width * across - WIDTH), (0, 0)]
    blocks = np.pad(samples, gaps, "edge").reshape(height, down, width, across, 3).swapaxes(1, 2)
    light = blocks[..., 0].reshape(height, width, down * across)
    colour = np.rint(blocks[..., 1:].mean((2, 3))).astype(np.uint8)
    return np.concatenate([light, colour], axis=2).tobytes()
