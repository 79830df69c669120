"""Image files ↔ arrays ↔ tensors: the only place that knows file formats or divides by 255.

Three forms of one picture: an *array* is uint8 (H, W, 3) RGB, a *tensor* uint8 (3, H, W), a *float tensor*
float32 (3, H, W) in [0, 1]. Colours are taken as stored: embedded ICC profiles are not applied.
"""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from natsort import natsorted, ns
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jp2": "JPEG2000",
    ".j2k": "JPEG2000",
}
"""Suffix → Pillow's format, for reading a folder and for writing."""

MAX_PIXELS = 500_000_000
"""Largest picture that `read` decodes: a page of A2 at 1,200 dpi, 1.5 GB in memory."""

# Pillow's own limit (89 megapixels warn, 179 fail) refuses real scans; open() reads this variable.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def read(path: str | Path) -> NDArray[np.uint8]:
    """Read an image of any supported format and colour mode as uint8 (H, W, 3) RGB, upright.

    EXIF orientation is applied, transparency is laid over white, 16-bit grey is scaled to 8 bits; of a file
    with several pages the first is read. Pillow's warnings about odd metadata are silenced by filters that
    are the whole process's: when reading in threads, hold a ``warnings.catch_warnings()`` around them all.

    Raises:
        UserError: The file is missing, empty, truncated, not an image, or above `MAX_PIXELS`.
    """
    try:
        with Path(path).open("rb") as file:
            return decode(file, str(path))  # whose own faults are all UserErrors
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); check the path") from error


def decode(file: BinaryIO, name: str) -> NDArray[np.uint8]:
    """Read an image from an open file, as `read` does; ``name`` is what messages call it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not file.read(1):
            raise UserError(f"{name}: is empty (0 bytes); replace it or remove it")
        file.seek(0)
        try:
            with Image.open(file, formats=sorted(set(FORMATS.values()))) as image:
                _check_size(name, *image.size)
                return to_rgb(ImageOps.exif_transpose(image))
        except UserError:
            raise
        except UnidentifiedImageError as error:
            known = ", ".join(sorted(set(FORMATS.values())))
            raise UserError(f"{name}: is not an image ({known}); replace it or remove it") from error
        except Image.DecompressionBombError as error:
            raise UserError(f"{name}: is too large ({error}); split it or scale it down") from error
        except Exception as error:  # Pillow's decoders raise whatever the broken bytes lead to
            raise UserError(f"{name}: is truncated or damaged ({error}); replace it or remove it") from error


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{name}: {width}×{height} pixels exceed the limit of {MAX_PIXELS:,}; split it or scale it down"
        )


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Any Pillow image as a uint8 array (H, W, 3), as `read` gives it but for the orientation."""
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image).astype(np.float32), full_scale=65535)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image).astype(np.float32))
        # Neither mode says where white is: the smallest usual scale that holds the brightest pixel.
        scales = (65535, 2**31 - 1) if image.mode == "I" else (1, 255, 65535)
        brightest = values.max(initial=0)
        return _grey(values, full_scale=next((s for s in scales if brightest <= s), brightest))
    if image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _grey(values: NDArray[np.float32], full_scale: float) -> NDArray[np.uint8]:
    grey = np.rint(values.clip(0, full_scale) * (255 / full_scale)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)  # (h, w) -> (h, w, 3)


def write(image: Tensor | NDArray[np.uint8], path: str | Path, *, quality: int = 95) -> None:
    """Write a picture as an 8-bit RGB file in the format of the suffix.

    The file is written beside its place and then renamed: a reader sees the old file or the whole new one.

    Args:
        image: Float tensor (3, H, W) in [0, 1], or uint8 array (H, W, 3).
        path: Ends in one of `FORMATS`.
        quality: Of JPEG and WebP, 1–100; the other formats are lossless.

    Raises:
        UserError: The suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    image_format = FORMATS.get(path.suffix.lower())
    if image_format is None:
        raise UserError(f"{path}: unknown image suffix {path.suffix!r}; use one of {', '.join(FORMATS)}")
    array = to_array(to_uint8(image)) if isinstance(image, Tensor) else image
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality},
        "TIFF": {"compression": "tiff_lzw"},
    }
    with whole_file(path) as unfinished:
        Image.fromarray(array).save(unfinished, image_format, **options.get(image_format, {}))


def find_images(folder: str | Path, *, key: str = "folder") -> list[Path]:
    """Find the images below a folder, page 2 before page 10; hidden files and folders are left out.

    Args:
        folder: Searched with its subfolders.
        key: Config key or option that named the folder, for the messages: ``"data.train_dir"``.

    Raises:
        UserError: The folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{key}={folder}: no such folder; give one that holds images ({', '.join(FORMATS)})")
    found = [path for path in walk(folder) if path.suffix.lower() in FORMATS and path.is_file()]
    if not found:
        raise UserError(f"{key}={folder}: no images there or below; looked for {', '.join(FORMATS)}")
    return natsorted(sorted(found), alg=ns.PATH)  # sorted first: 1.png and 01.png are equal to natsort


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, through links too; hidden ones are left out, a folder is entered once."""
    entered: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in entered:  # a link to a folder above, or to one that was seen
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def to_float(images: Tensor) -> Tensor:
    """uint8 → float32 in [0, 1], any shape."""
    return images.to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Float in [0, 1] → uint8, rounded and clamped, any shape."""
    return (images.to(torch.float32).clamp(0, 1) * 255).round().to(torch.uint8)


def quantize(images: Tensor) -> Tensor:
    """Round float [0, 1] to the 256 values that an 8-bit file can hold."""
    return to_float(to_uint8(images))


def from_array(array: NDArray[np.uint8]) -> Tensor:
    """uint8 array (H, W, 3) → uint8 tensor (3, H, W), a copy."""
    return torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))


def to_array(image: Tensor) -> NDArray[np.uint8]:
    """uint8 tensor (3, H, W) → uint8 array (H, W, 3)."""
    return np.ascontiguousarray(image.detach().cpu().permute(1, 2, 0).numpy())
