"""Independent decoders of page images, all to one form: grey or RGB of 8 or 16 bits, with alpha or without.

Each takes the bytes of a file and gives samples (H, W, C) as the file stores them, not turned upright; black is 0.
"""

import io
from collections.abc import Callable
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

Samples = NDArray[Any]
SRGB = ImageCms.createProfile("sRGB")
XYZ_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.033454], [0.0719453, -0.2289914, 1.4052427]]
)
"""From D50, adapted by Bradford's method: Lindbloom, "RGB/XYZ Matrices"."""


def full_scale(samples: Samples, bits: int) -> Samples:
    """Samples of some bits to all of 8 or of 16."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.rint(samples / (2**bits - 1) * np.iinfo(dtype).max).astype(dtype)


def without_inks(samples: Samples) -> Samples:
    """CMYK as if its inks were ideal, alpha kept."""
    full = float(np.iinfo(samples.dtype).max)
    light = full - samples[..., :4]
    rgb = np.rint(light[..., :3] * light[..., 3:] / full).astype(samples.dtype)
    return np.concatenate([rgb, samples[..., 4:]], axis=2)


def from_lab(lab: Samples) -> Samples:
    """L* of 0 to 100, a*, b* to sRGB of 0 to 1. Source: CIE 15:2004, eq. 8.3; IEC 61966-2-1."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=2)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * (0.9642, 1, 0.8249)
    light = (xyz @ XYZ_TO_SRGB.T).clip(0, 1)
    return np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, light * 12.92)


def with_tifffile(data: bytes) -> Samples:
    """tifffile gives what is stored; what that means is told here by the book (TIFF 6.0)."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        samples = page.asarray()
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            samples = np.moveaxis(samples, 0, -1)
        samples = samples.reshape(page.imagelength, page.imagewidth, -1)
        photometric, bits, colormap = int(page.photometric), page.bitspersample, page.colormap
    if photometric == 3:
        rgb = colormap.T[samples[..., 0].astype(int)]
        rgb = (rgb if colormap.max() < 256 else rgb >> 8).astype(np.uint8)
        return np.concatenate([rgb, samples[..., 1:]], axis=2)
    if photometric in (8, 9):  # ICC's a*, b* have an offset, CIE's a sign; in 16 bits ICC's L* ends at 0xFF00
        unit, unsigned = 2 ** (bits - 8), samples.view(f"u{bits // 8}").astype(float)
        white = 65280 if (photometric, bits) == (9, 16) else 2**bits - 1
        ab = unsigned[..., 1:] / unit - 128 if photometric == 9 else samples.view(f"i{bits // 8}")[..., 1:] / unit
        rgb = from_lab(np.concatenate([unsigned[..., :1] / white * 100, ab], axis=2))
        return np.rint(rgb * (2**bits - 1)).astype(f"u{bits // 8}")
    samples = samples.astype(np.uint16)
    if photometric == 0:
        samples[..., 0] = 2**bits - 1 - samples[..., 0]
    samples = full_scale(samples, bits)
    return without_inks(samples) if photometric == 5 else samples


def with_pillow(data: bytes) -> Samples:
    """Pillow, with Little CMS for Lab and for inks that have a profile."""
    with Image.open(io.BytesIO(data)) as image:
        mode, profile = image.mode, image.info.get("icc_profile")
        if mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)[..., None]
        if mode == "LAB":
            picture: Any = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), SRGB, outputMode="RGB")
        elif mode == "CMYK" and profile:
            picture = ImageCms.profileToProfile(image, io.BytesIO(profile), SRGB, outputMode="RGB")
        else:
            transparent = image.has_transparency_data
            grey = mode in ("1", "L", "LA")
            picture = image.convert(("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB"))
        return np.asarray(picture).reshape(*picture.size[::-1], -1)


def with_vips(data: bytes) -> Samples:
    """libvips, with Little CMS for inks that have a profile."""
    image = pyvips.Image.new_from_buffer(data, "")
    if image.interpretation == "cmyk":
        if not image.get_typeof("icc-profile-data"):
            return without_inks(image.numpy())
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform("srgb", embedded=True, intent="perceptual", depth=depth)
    return np.asarray(image.numpy().reshape(image.height, image.width, -1))


def with_opencv(data: bytes) -> Samples:
    """OpenCV, with all the channels and bits that there are."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    assert array is not None
    return array[..., None] if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def with_imagecodecs(data: bytes) -> Samples:
    """The codec of the format itself."""
    array: Samples = imagecodecs.imread(data)
    return array.reshape(*array.shape[:2], -1)


DECODERS: dict[str, Callable[[bytes], Samples]] = {
    "tifffile": with_tifffile,
    "pillow": with_pillow,
    "vips": with_vips,
    "opencv": with_opencv,
    "opencv-10": lambda data: full_scale(with_opencv(data), 10),
    "opencv-12": lambda data: full_scale(with_opencv(data), 12),
    "imagecodecs": with_imagecodecs,
}


def upright(samples: Samples, orientation: int) -> Samples:
    """A picture as EXIF's orientation wants it seen, turned by libvips."""
    image = pyvips.Image.new_from_array(samples).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    turned = image.autorot()
    return np.asarray(turned.numpy().reshape(turned.height, turned.width, -1))


def shown(samples: Samples, orientation: int, alpha: str) -> Samples:
    """What a person sees of samples: upright, laid over white paper, float RGB of 0 to 255."""
    page = upright(samples, orientation) / np.iinfo(samples.dtype).max * 255
    if page.shape[2] % 2 == 0:
        colour, opacity = page[..., :-1], page[..., -1:] / 255
        page = {
            "straight": colour * opacity + 255 * (1 - opacity),
            "premultiplied": np.minimum(colour + 255 * (1 - opacity), 255),
            "unspecified": colour,
        }[alpha]
    return page.repeat(3, axis=2) if page.shape[2] == 1 else page
