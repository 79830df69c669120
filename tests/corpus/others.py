"""PNG, JPEG, JPEG 2000 and WebP of every kind."""

import itertools
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import cv2
import imagecodecs
import numpy as np

from tests.corpus.case import HEIGHT, SRGB, WIDTH, Case, opencv, orientation, picture, pillow, vips
from tests.corpus.decoders import Samples, full_scale, without_inks


def png() -> Iterator[Case]:
    """All colour types and depths, interlaced and not; transparent colours, profiles, orientations."""
    pairs = [(1, bits) for bits in (1, 2, 4, 8, 16)] + list(itertools.product((2, 3, 4), (8, 16)))
    for (channels, bits), interlace, filter in itertools.product(pairs, (False, True), ("none", "all")):
        truth = full_scale(picture(channels, bits), bits)
        encode = partial(vips, truth, ".png", interlace=interlace, filter=filter, bitdepth=bits)
        readers = ("vips", "pillow") if bits <= 8 else ("vips", "opencv") if channels != 2 else ("vips",)
        yield Case(f"png-vips-{channels}-{bits}{'-interlaced' * interlace}-{filter}", encode, readers, truth)
    for bits, channels, interlace in itertools.product((1, 2, 4, 8), (3, 4), (False, True)):
        encode = partial(vips, picture(channels), ".png", palette=True, bitdepth=bits, interlace=interlace)
        name = f"png-vips-palette-{bits}{'-alpha' * (channels == 4)}{'-interlaced' * interlace}"
        yield Case(name, encode, ("vips", "pillow", "opencv"))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield Case(f"png-pillow-{mode}", partial(pillow, picture(), "PNG", mode), ("pillow", "vips"))
    for mode, value in {"L": 40, "RGB": (0, 0, 0), "P": 3}.items():
        encode = partial(pillow, picture(), "PNG", mode, transparency=value)
        yield Case(f"png-pillow-{mode}-transparent-colour", encode, ("pillow", "vips"))
    for channels, bits in itertools.product((1, 3, 4), (8, 16)):
        samples = picture(channels, bits)
        yield Case(f"png-opencv-{channels}-{bits}", partial(opencv, samples, ".png"), ("opencv", "vips"), samples)
    encode = partial(pillow, picture(), "PNG", icc_profile=SRGB)
    yield Case("png-pillow-profile", encode, ("pillow", "vips"), picture())
    for number in range(1, 9):
        encode = partial(pillow, picture(), "PNG", exif=orientation(number))
        yield Case(f"png-pillow-orientation-{number}", encode, ("pillow", "vips"), picture(), 0, number)


def jpeg() -> Iterator[Case]:
    """Baseline and progressive, grey, RGB, inks, restart markers, subsampled, profiles, orientations."""
    readers, either = ("pillow", "vips", "opencv"), 2  # levels: inverse cosine transforms round differently
    ways: dict[str, dict[str, Any]] = {
        "baseline": {}, "progressive": {"progressive": True}, "optimised": {"optimize": True},
        "restart": {"restart_marker_blocks": 2}, "restart-rows": {"restart_marker_rows": 1},
    }  # fmt: skip
    for mode, (way, options), quality in itertools.product(("L", "RGB", "CMYK"), ways.items(), (40, 95)):
        encode = partial(pillow, picture(), "JPEG", mode, quality=quality, **options)
        known = readers if mode != "CMYK" else ("pillow", "vips")
        yield Case(f"jpeg-pillow-{mode}-{way}-{quality}", encode, known, None, either)
    for subsampling, way in itertools.product(("4:4:4", "4:2:2", "4:2:0"), ("baseline", "progressive", "restart")):
        encode = partial(pillow, picture(), "JPEG", subsampling=subsampling, **ways[way])
        yield Case(f"jpeg-pillow-{subsampling}-{way}", encode, readers, None, either)
    for name in ("411", "420", "422", "440", "444"):
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
        encode = partial(opencv, picture(), ".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        yield Case(f"jpeg-opencv-{name}", encode, readers, None, either)
    single = {
        "stored-as-rgb": {"keep_rgb": True},
        "profile": {"icc_profile": SRGB},
        "comment": {"comment": b"f. 3"},
    }
    for name, options in single.items():
        yield Case(f"jpeg-pillow-{name}", partial(pillow, picture(), "JPEG", **options), readers, None, either)
    yield Case("jpeg-vips", partial(vips, picture(), ".jpg", Q=80), readers, None, either)
    encode = partial(vips, picture(), ".jpg", through="cmyk")
    yield Case("jpeg-vips-cmyk-with-profile", encode, ("pillow", "vips"), None, either)
    for number in range(1, 9):
        encode = partial(pillow, picture(), "JPEG", exif=orientation(number))
        yield Case(f"jpeg-pillow-orientation-{number}", encode, readers, None, either, number)


def webp() -> Iterator[Case]:
    """Lossy and lossless, with alpha and without; profiles, orientations."""
    readers = ("pillow", "vips", "opencv")
    for channels in (3, 4):
        samples = picture(channels)
        for quality, method in itertools.product((20, 80, 100), (0, 6)):
            encode = partial(pillow, samples, "WEBP", quality=quality, method=method)
            yield Case(f"webp-pillow-{channels}-{quality}-{method}", encode, readers)
        encode = partial(pillow, samples, "WEBP", lossless=True, exact=True)
        yield Case(f"webp-pillow-{channels}-lossless", encode, readers, samples)
        encode = partial(vips, samples, ".webp", near_lossless=True, Q=60)
        yield Case(f"webp-vips-{channels}-near-lossless", encode, readers)
        encode = partial(vips, samples, ".webp", Q=70, alpha_q=30, smart_subsample=True)
        yield Case(f"webp-vips-{channels}-lossy", encode, readers)
    for number in range(1, 9):
        encode = partial(pillow, picture(), "WEBP", lossless=True, exif=orientation(number), icc_profile=SRGB)
        yield Case(f"webp-pillow-orientation-{number}", encode, ("pillow", "vips"), picture(), 0, number)


def jpeg2000() -> Iterator[Case]:
    """Files and codestreams of 1 to 16 bits; tiles, layers, alpha; palettes, inks, sYCC, channels in any order."""
    for channels, bits, codec in itertools.product((1, 2, 3, 4), (8, 10, 12, 16), ("jp2", "j2k")):
        samples = picture(channels, bits)
        encode = partial(
            imagecodecs.jpeg2k_encode, samples, 0, codecformat=codec, bitspersample=bits, reversible=True
        )
        # Pillow shifts odd depths instead of scaling; OpenCV gives them as they are, and knows no grey + alpha.
        readers = ("pillow",) * (bits == 8 or (bits == 16 and channels == 1))
        readers += ("opencv" if bits in (8, 16) else f"opencv-{bits}",) * (channels != 2)
        name = {"jp2": "file", "j2k": "codestream"}[codec]
        yield Case(f"jpeg2000-imagecodecs-{channels}-{bits}-{name}", encode, readers, full_scale(samples, bits))
    ways: dict[str, dict[str, Any]] = {
        "plain": {}, "tiles": {"tile_size": (16, 16)}, "resolutions": {"num_resolutions": 2},
        "progression": {"progression": "RPCL"}, "codestream": {"no_jp2": True},
        "lossy": {"irreversible": True, "quality_layers": [20]},
    }  # fmt: skip
    for channels, (way, options) in itertools.product((1, 2, 3, 4), ways.items()):
        samples, lossy = picture(channels), way == "lossy"
        encode = partial(pillow, samples, "JPEG2000", **options)
        readers = ("pillow", "opencv") if channels != 2 else ("pillow",)
        # One level: the inverse wavelet transform is calculated in floats.
        yield Case(f"jpeg2000-pillow-{channels}-{way}", encode, readers, None if lossy else samples, int(lossy))
    yield from _jpeg2000_by_boxes()


def _jpeg2000_by_boxes() -> Iterator[Case]:
    rgb, rgba, numbers = picture(), picture(4), picture(1)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    table = struct.pack(">HB3B", 256, 3, 7, 7, 7) + colours.tobytes()
    mapping = b"".join(struct.pack(">HBB", 0, 1, i) for i in range(3))
    boxes = [(b"pclr", table), (b"cmap", mapping), _space(16)]
    yield Case("jpeg2000-palette", partial(_jp2, numbers, *boxes), ("pillow",), colours[numbers[..., 0]])
    for bits in (8, 12, 16):
        inks = picture(4, bits)
        truth = without_inks(full_scale(inks, bits))
        yield Case(f"jpeg2000-inks-{bits}", partial(_jp2, inks, _space(12), bits=bits), (), truth)
    full = rgb @ np.array([[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]])
    ycc = np.rint(full + np.array([0, 128, 128])).clip(0, 255).astype(np.uint8)
    # Two levels: YCbCr of 8 bits is rounded twice.
    yield Case("jpeg2000-sycc", partial(_jp2, ycc, _space(18)), ("pillow",), rgb, 2)
    roles = [(0, 0, 3), (1, 0, 2), (2, 0, 1)]
    yield Case("jpeg2000-blue-first", partial(_jp2, rgb[..., ::-1], _space(16), _cdef(roles)), (), rgb)
    roles = [(0, 1, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)]
    yield Case("jpeg2000-alpha-first", partial(_jp2, rgba[..., [3, 0, 1, 2]], _space(16), _cdef(roles)), (), rgba)
    roles = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0)]
    encode = partial(_jp2, rgba, (b"colr", b"\2\0\0" + SRGB), _cdef(roles))
    yield Case("jpeg2000-alpha-with-profile", encode, ("pillow",), rgba)
    for bits in (1, 2, 4):
        grey = picture(1, bits)
        yield Case(f"jpeg2000-grey-{bits}", partial(_jp2, grey, _space(17), bits=bits), (), full_scale(grey, bits))


def _space(number: int) -> tuple[bytes, bytes]:
    return b"colr", struct.pack(">BBBI", 1, 0, 0, number)


def _cdef(roles: list[tuple[int, int, int]]) -> tuple[bytes, bytes]:
    """(channel, 0 colour or 1 opacity, which colour)."""
    return b"cdef", struct.pack(">H", len(roles)) + b"".join(struct.pack(">3H", *role) for role in roles)


def _jp2(samples: Samples, *boxes: tuple[bytes, bytes], bits: int = 8) -> bytes:
    """A file by its boxes. Source: ISO/IEC 15444-1, annex I."""
    planes = np.ascontiguousarray(samples)
    options = {"codecformat": "j2k", "reversible": True, "mct": False, "bitspersample": bits}
    coded = bytes(imagecodecs.jpeg2k_encode(planes, 0, **options))
    size = struct.pack(">IIHBBBB", HEIGHT, WIDTH, samples.shape[2], bits - 1, 7, 0, 0)
    header = b"".join(_box(*content) for content in ((b"ihdr", size), *boxes))
    start = _box(b"jP  ", b"\r\n\x87\n") + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + _box(b"jp2h", header) + _box(b"jp2c", coded)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content
