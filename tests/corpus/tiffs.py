"""TIFF: every kind of samples in every layout, byte order and compression; and what other programs write."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.case import HEIGHT, Case, by_tifffile, picture, pillow, vips
from tests.corpus.decoders import Samples, full_scale, without_inks
from tests.corpus.tiff_by_hand import ENCODERS, tiff

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
LAYOUTS: dict[str, dict[str, Any]] = {
    "one-strip": {"rows": HEIGHT},
    "strips": {"rows": 9},
    "tiles": {"tile": (16, 32)},
    "planar-strips": {"rows": 9, "planar": True},
    "planar-tiles": {"tile": (32, 16), "planar": True},
}
ALPHAS = {"straight": 2, "premultiplied": 1, "unspecified": 0}


@dataclass(frozen=True)
class Kind:
    """A kind of samples: as they are stored, and as they should be read."""

    name: str
    stored: Samples
    bits: int
    photometric: int
    truth: Samples | None
    options: dict[str, Any] = field(default_factory=dict)
    alpha: str = "straight"
    tolerance: float = 0


def kinds() -> Iterator[Kind]:
    """Greys and colours of 1 to 16 bits, with every kind of alpha, palettes, inks, Lab."""
    for bits in range(1, 17):
        grey = picture(1, bits)
        yield Kind(f"grey-{bits}", grey, bits, BLACK_IS_ZERO, full_scale(grey, bits))
        yield Kind(f"white-is-zero-{bits}", 2**bits - 1 - grey, bits, WHITE_IS_ZERO, full_scale(grey, bits))
    for bits in (1, 2, 4, 5, 8, 10, 12, 14, 16):
        yield Kind(f"rgb-{bits}", picture(3, bits), bits, RGB, full_scale(picture(3, bits), bits))
    yield from _with_alpha()
    yield from _palettes()
    for bits, channels in itertools.product((8, 12, 16), (4, 5)):
        inks = picture(channels, bits)
        name, options = ("cmyk-alpha", {"extra": (2,)}) if channels == 5 else ("cmyk", {})
        yield Kind(f"{name}-{bits}", inks, bits, CMYK, without_inks(full_scale(inks, bits)), options)
    for bits, (name, photometric) in itertools.product((8, 16), (("cielab", CIELAB), ("icclab", ICCLAB))):
        # One level: of the last rounding.
        yield Kind(f"{name}-{bits}", _lab(bits, photometric), bits, photometric, None, tolerance=1)


def _with_alpha() -> Iterator[Kind]:
    for (alpha, number), bits in itertools.product(ALPHAS.items(), (4, 8, 12, 16)):
        if alpha != "straight" and bits in (4, 12):
            continue
        for name, photometric, channels in (("grey", 1, 2), ("white-is-zero", 0, 2), ("rgb", 2, 4)):
            samples = picture(channels, bits).astype(np.uint32)
            if alpha == "premultiplied":
                samples[..., :-1] = samples[..., :-1] * samples[..., -1:] // (2**bits - 1)
            truth, stored = full_scale(samples, bits), samples.astype(f"u{1 if bits <= 8 else 2}")
            if photometric == WHITE_IS_ZERO:
                stored[..., 0] = 2**bits - 1 - stored[..., 0]
            options = {"extra": (number,)}
            yield Kind(f"{name}-{alpha}-alpha-{bits}", stored, bits, photometric, truth, options, alpha)


def _palettes() -> Iterator[Kind]:
    for bits in (1, 2, 4, 8):
        palette = np.random.default_rng(bits).integers(256, 65536, (3, 2**bits))
        tags = {320: (3, palette.ravel().tolist())}
        colours = (palette.T >> 8).astype(np.uint8)
        numbers = picture(1, bits)
        yield Kind(f"palette-{bits}", numbers, bits, PALETTE, colours[numbers[..., 0]], {"tags": tags})
    truth, options = colours[numbers[..., 0]], {"tags": {320: (3, (palette >> 8).ravel().tolist())}}
    yield Kind("palette-8-of-8-bit-values", numbers, 8, PALETTE, truth, options)  # libtiff's rule
    numbers = picture(2)
    truth = np.concatenate([colours[numbers[..., 0]], numbers[..., 1:]], axis=2)
    yield Kind("palette-alpha-8", numbers, 8, PALETTE, truth, {"tags": tags, "extra": (2,)})


def _lab(bits: int, photometric: int) -> Samples:
    """The picture in L*a*b* of 8 bits or 16."""
    lab = np.asarray(Image.fromarray(picture()).convert("LAB")).copy()
    lab[..., 1:] ^= 128  # signed → with an offset, as numbers go on below
    if bits == 16:
        lab = lab.astype(np.uint16) * 256  # the unit of a* and b*, and of ICC's L*
        if photometric == CIELAB:
            lab[..., 0] += lab[..., 0] >> 8
    if photometric == CIELAB:
        lab[..., 1:] ^= 1 << (bits - 1)
    return lab


def by_hand() -> Iterator[Case]:
    """The usual kinds in every layout and compression, all others in two; byte orders and BigTIFF take turns."""
    turns = itertools.cycle(itertools.product("<>", (False, True)))
    codings = itertools.cycle(ENCODERS)
    usual = ("grey-1", "grey-8", "grey-16", "rgb-8", "rgb-16", "palette-8", "cmyk-8", "rgb-straight-alpha-16")
    for start, kind in enumerate(kinds()):
        fitting = [name for name in LAYOUTS if kind.stored.shape[2] > 1 or "planar" not in name]
        layouts = itertools.cycle(fitting[start % len(fitting) :] + fitting[: start % len(fitting)])
        for layout in fitting if kind.name in usual else itertools.islice(layouts, 2):
            yield _case(kind, layout, *next(turns), next(codings), False)
        if kind.name in usual:
            for compression, predictor in itertools.product(ENCODERS, (False, True)):
                if not (predictor and (compression in ("none", "packbits") or kind.bits == 1)):
                    yield _case(kind, next(layouts), *next(turns), compression, predictor)


def _case(kind: Kind, layout: str, order: str, big: bool, compression: str, predictor: bool) -> Case:
    predictor &= kind.photometric != PALETTE
    options = {**kind.options, **LAYOUTS[layout], "order": order, "big": big}
    words = [kind.name, layout, compression, *(["predictor"] * predictor)]
    words += ["big-endian" if order == ">" else "little-endian", *(["bigtiff"] * big)]
    return Case(
        f"tiff-{'-'.join(words)}",
        partial(
            tiff, kind.stored, kind.bits, kind.photometric, compression=compression, predictor=predictor, **options
        ),
        tuple(_decoders(kind, layout, compression, order == ">" and big)),
        kind.truth,
        kind.tolerance,
        alpha=kind.alpha,
    )


def _decoders(kind: Kind, layout: str, compression: str, big_endian_bigtiff: bool) -> Iterator[str]:
    """The decoders that know such a file: Pillow none of 16 bits a colour, libvips none of odd depths or LZMA."""
    yield "tifffile"
    channels, bits, photometric = kind.stored.shape[2], kind.bits, kind.photometric
    grey_planes = channels == 2 and "planar" in layout
    if photometric in (CIELAB, ICCLAB) or kind.alpha != "straight":
        return
    eight_bit_palette = kind.name.endswith("values")  # black to Pillow
    if not (big_endian_bigtiff or eight_bit_palette) and (
        (channels == 1 and bits in (1, 2, 4, 8))
        or (bits == 8 and photometric in (BLACK_IS_ZERO, RGB, CMYK) and channels < 5 and not grey_planes)
        or (bits == 16 and channels == 1 and photometric == BLACK_IS_ZERO)
    ):
        yield "pillow"
    known = compression not in ("lzma", "zstd") and layout != "planar-tiles"
    if known and (bits in (8, 16) or (channels == 1 and bits in (1, 2, 4))):
        yield "vips"


def by_others() -> Iterator[Case]:
    """What Pillow, libvips and tifffile write: their compressions, layouts and colour spaces."""
    rgb, grey, rgba = picture(), picture(1), picture(4)
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "lzma", "zstd"):
        for name, samples in {"grey": grey, "rgb": rgb, "rgba": rgba, "grey-alpha": picture(2)}.items():
            encode = partial(pillow, samples, "TIFF", compression=compression)
            yield Case(f"tiff-pillow-{name}-{compression}", encode, ("tifffile", "pillow"), samples)
    yield from _of_two_levels()
    for bits, white in itertools.product((1, 2, 4), (False, True)):
        encode = partial(vips, grey, ".tif", bitdepth=bits, miniswhite=white)  # what it rounds to is its own
        yield Case(f"tiff-vips-grey-{bits}{'-miniswhite' * white}", encode, ("vips", "tifffile", "pillow"))
    tile = {"tile": True, "tile_width": 32, "tile_height": 16}
    deep = {"rgb-16": picture(3, 16), "grey-16": picture(1, 16)}
    for name, samples in {"grey": grey, "rgb": rgb, "rgba": rgba, **deep}.items():
        ways = {
            "tiles": tile,
            "bigtiff": {"bigtiff": True},
            "predictor": {"compression": "lzw", "predictor": "horizontal"},
            "pyramid": {"compression": "deflate", "pyramid": True, **tile},
        }
        for way, options in ways.items():
            encode = partial(vips, samples, ".tif", **options)
            yield Case(f"tiff-vips-{name}-{way}", encode, ("tifffile", "vips"), samples)
    yield from _of_codecs({"grey": grey, "rgb": rgb, "rgba": rgba, **deep})
    yield from _of_other_colours(rgb)
    for number, (name, samples) in itertools.product(range(1, 9), {"rgb": rgb, "grey-16": picture(1, 16)}.items()):
        encode = partial(by_tifffile, samples, extratags=[(274, 3, 1, number)])
        yield Case(f"tiff-tifffile-{name}-orientation-{number}", encode, ("tifffile", "vips"), samples, 0, number)


def _of_two_levels() -> Iterator[Case]:
    ink = np.where(picture(1) > 100, 255, 0).astype(np.uint8)
    readers = ("tifffile", "pillow", "vips")
    ways = {"": {}, "-white-is-zero": {262: 0}, "-low-bits-first": {266: 2}}
    for compression in ("raw", "group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw", "tiff_deflate"):
        for way, tags in ways.items():
            if compression != "raw" or 266 not in tags:  # there Pillow writes the tag, and high bits first
                encode = partial(pillow, ink, "TIFF", "1", compression=compression, tiffinfo=tags)
                yield Case(f"tiff-pillow-1{way}-{compression}", encode, readers, ink)
    encode = partial(pillow, ink, "TIFF", "1", compression="group3", tiffinfo={292: 1})
    yield Case("tiff-pillow-1-group3-two-dimensional", encode, readers, ink)
    encode = partial(vips, ink, ".tif", bitdepth=1, compression="ccittfax4")
    yield Case("tiff-vips-1-group4", encode, readers, ink)


def _of_codecs(pictures: dict[str, Samples]) -> Iterator[Case]:
    """Strips and tiles that are pictures themselves."""
    codecs = {
        "jpegxl": {"lossless": True}, "jpeg2000": {"level": 0}, "png": {}, "webp": {"lossless": True},
        "jpegxr": {"level": 1.0},
    }  # fmt: skip
    for (codec, how), (name, samples) in itertools.product(codecs.items(), pictures.items()):
        if codec != "webp" or name in ("rgb", "rgba"):
            encode = partial(by_tifffile, samples, compression=codec, compressionargs=how, tile=(16, 16))
            yield Case(f"tiff-tifffile-{name}-{codec}", encode, ("tifffile",), samples)
    # Below, two levels: inverse cosine transforms round differently.
    readers = ("tifffile", "pillow", "vips")
    layouts: list[dict[str, Any]] = [{}, {"tile": (16, 32)}, {"rowsperstrip": 16}]
    for space, layout in itertools.product(("minisblack", "rgb", "ycbcr"), layouts):
        samples = pictures["grey" if space == "minisblack" else "rgb"]
        encode = partial(by_tifffile, samples, photometric=space, compression="jpeg", **layout)
        yield Case(f"tiff-tifffile-jpeg-{space}-{'-'.join(layout) or 'strip'}", encode, readers, None, 2)
    for mode in ("L", "RGB", "YCbCr", "CMYK"):
        encode = partial(pillow, pictures["rgb"], "TIFF", mode, compression="jpeg")
        yield Case(f"tiff-pillow-jpeg-{mode}", encode, readers, None, 2)
    encode = partial(vips, pictures["rgb"], ".tif", compression="jpeg", tile=True, tile_width=32, tile_height=32)
    yield Case("tiff-vips-jpeg-subsampled", encode, readers, None, 2)


def _of_other_colours(rgb: Samples) -> Iterator[Case]:
    for compression in ("raw", "tiff_lzw", "tiff_deflate"):
        write = partial(pillow, rgb, "TIFF", compression=compression)
        # One level: libtiff calculates YCbCr in integers, OpenCV otherwise; Lab is rounded.
        yield Case(f"tiff-pillow-ycbcr-{compression}", partial(write, mode="YCbCr"), ("pillow", "opencv"), None, 1)
        yield Case(f"tiff-pillow-cmyk-{compression}", partial(write, mode="CMYK"), ("pillow", "vips", "tifffile"))
        yield Case(f"tiff-pillow-palette-{compression}", partial(write, mode="P"), ("pillow", "vips", "tifffile"))
        yield Case(f"tiff-pillow-lab-{compression}", partial(write, mode="LAB"), ("tifffile",), None, 1)
    for depth in (8, 16):
        encode = partial(vips, picture(3, depth), ".tif", through="cmyk")
        # Profiles are tables: two builds of Little CMS interpolate to within two levels.
        readers = ("vips", "pillow") if depth == 8 else ("vips",)
        yield Case(f"tiff-vips-cmyk-with-profile-{depth}", encode, readers, None, 2)
