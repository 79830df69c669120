"""Sample values → grey or RGB of 8 or 16 bits: palettes, inks, Lab, odd bit depths, inverted greys.

A conversion works on any number of rows, so that large pages are converted piece by piece.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import codecs

Samples = NDArray[Any]
Conversion = Callable[[Samples], Samples]
"""(rows, W, channels in the file) → (rows, W, channels of the page)."""


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always the same bytes."""
    profile: bytes = codecs.cms_profile("srgb")
    # Little CMS writes the present moment into bytes 24–35; two runs must give the same file.
    return profile[:24] + bytes.fromhex("07d000010001000000000000") + profile[36:]


def chained(first: Conversion, second: Conversion) -> Conversion:
    """One conversion after another."""
    return lambda samples: second(first(samples))


def keep(samples: Samples) -> Samples:
    """Samples that need no conversion."""
    return samples


def scaled(bits: int) -> Conversion:
    """Samples of 1–16 bits to the full scale of 8 or 16: their highest value becomes 255 or 65,535."""
    if bits in (8, 16):
        return keep
    dtype, full = (np.uint8, 255) if bits < 8 else (np.uint16, 65535)
    highest = 2**bits - 1

    def convert(samples: Samples) -> Samples:
        scaled: Samples = (samples.astype(np.uint32) * full + highest // 2) // highest
        return scaled.astype(dtype)

    return convert


def to_full_scale(samples: Samples) -> Samples:
    """Floats or whole numbers of any size to 16 bits.

    Nothing says where white is: the smallest usual scale that holds the brightest of them is taken.
    """
    values: Samples = np.nan_to_num(samples.astype(np.float32))
    whole = samples.dtype.kind in "iu"
    scales = (min(65535, np.iinfo(samples.dtype).max), 2**31 - 1, 2**32 - 1) if whole else (1, 255, 65535)
    brightest = values.max(initial=0)
    full = next((scale for scale in scales if brightest <= scale), brightest)
    return np.rint(values.clip(0, full) * (65535 / full)).astype(np.uint16)


def inverted(samples: Samples) -> Samples:
    """Grey of which 0 is white, the alpha behind it left alone."""
    result = samples.copy()
    result[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
    return result


def looked_up(palette: NDArray[np.uint8]) -> Conversion:
    """Numbers of a palette (colours, 3 or 4); a second channel in the file is alpha."""

    def convert(samples: Samples) -> Samples:
        numbers = samples[..., 0].astype(np.intp)
        if numbers.max(initial=0) >= len(palette):
            raise ValueError(f"colour {numbers.max()} of a palette of {len(palette)}")
        return np.concatenate([palette[numbers], samples[..., 1:]], axis=2)

    return convert


def from_cmyk(profile: bytes, notes: list[str]) -> Conversion:
    """CMYK (0 is no ink) to sRGB, a fifth channel kept as alpha; through the profile if that can be used."""

    def through_profile(samples: Samples) -> Samples:
        inks = np.ascontiguousarray(samples[..., :4])
        rgb = codecs.cms_transform(
            inks, profile, srgb_profile(), colorspace="cmyk", outcolorspace="rgb", outdtype=samples.dtype
        )
        return np.concatenate([rgb, samples[..., 4:]], axis=2)

    def plain(samples: Samples) -> Samples:
        full = np.iinfo(samples.dtype).max
        light = full - samples[..., :4].astype(np.uint32)  # (rows, w, 4)
        rgb = (light[..., :3] * light[..., 3:] + full // 2) // full
        return np.concatenate([rgb.astype(samples.dtype), samples[..., 4:]], axis=2)

    try:
        if profile:
            through_profile(np.zeros((1, 1, 4), np.uint8))
            notes.append("CMYK converted to sRGB through its profile")
            return through_profile
        notes.append("CMYK converted to sRGB without a profile, as none is embedded")
    except codecs.CmsError:
        notes.append("CMYK converted to sRGB without its profile, which cannot be used")
    return plain


def from_lab(icc_lab: bool, notes: list[str]) -> Conversion:
    """CIE L*a*b* to sRGB. ``icc_lab``: a* and b* are stored with an offset, else as signed numbers."""
    notes.append("L*a*b* converted to sRGB")

    def convert(samples: Samples) -> Samples:
        dtype = samples.dtype
        lab = samples[..., :3].copy()
        if not icc_lab:
            lab[..., 1:] ^= dtype.type(1 << (8 * dtype.itemsize - 1))  # signed → offset by half the range
        if dtype == np.uint16:  # TIFF counts in 256ths, its ICC kind for L* too; Little CMS in 257ths
            counted = lab if icc_lab else lab[..., 1:]
            counted[:] = np.minimum((counted.astype(np.uint32) * 257 + 128) // 256, 65535)
        else:
            lab = lab.astype(np.uint16) * 257  # of 8 bits Little CMS makes colours that are 5 levels off
        rgb = codecs.cms_transform(
            lab,
            codecs.cms_profile("lab4"),
            srgb_profile(),
            colorspace="lab",
            outcolorspace="rgb",
            outdtype=dtype,
        )
        return np.concatenate([rgb, samples[..., 3:]], axis=2)

    return convert


def from_ycbcr(luma: Sequence[float], reference: Sequence[float]) -> Conversion:
    """YCbCr of 8 bits to RGB. Source: TIFF 6.0, section 21.

    Args:
        luma: Shares of red, green and blue in Y.
        reference: Black and white of Y, then zero and highest of Cb and of Cr.
    """
    black, highest = np.array(reference[::2]), np.array(reference[1::2])
    scale = (255, 127, 127) / (highest - black)
    red, green, blue = luma

    def convert(samples: Samples) -> Samples:
        y, cb, cr = np.moveaxis((samples - black) * scale, -1, 0)
        r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
        rgb = np.stack([r, (y - red * r - blue * b) / green, b], axis=-1)
        rounded: Samples = np.rint(rgb).clip(0, 255).astype(np.uint8)
        return rounded

    return convert


def to_uint8(samples: Samples) -> NDArray[np.uint8]:
    """16-bit samples rounded to 8, 8-bit ones as they are."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(samples: Samples) -> Samples:
    """Grey or RGB of samples with alpha, laid over white."""
    full = np.iinfo(samples.dtype).max
    colour, alpha = samples[..., :-1].astype(np.uint32), samples[..., -1:].astype(np.uint32)
    # 65,535² still fits into 32 bits.
    return ((colour * alpha + full // 2) // full + (full - alpha)).astype(samples.dtype)


def premultiplied_over_white(samples: Samples) -> Samples:
    """Grey or RGB of samples that were multiplied with their alpha, laid over white."""
    full = np.iinfo(samples.dtype).max
    colour, alpha = samples[..., :-1].astype(np.uint32), samples[..., -1:].astype(np.uint32)
    blended: Samples = np.minimum(colour + (full - alpha), full).astype(samples.dtype)
    return blended


def without_alpha(samples: Samples) -> Samples:
    """Grey or RGB alone."""
    return samples[..., :-1]
