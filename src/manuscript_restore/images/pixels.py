"""Image files ↔ arrays, without PyTorch; `images.tensors` has the conversions for training.

An *array* is uint8 (H, W, 3) RGB; *floats* are float32 (3, H, W) in [0, 1]. RGB is taken as stored, its ICC
profile not applied; inks and Lab become sRGB.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from natsort import natsorted, ns
from numpy.typing import NDArray
from PIL import Image, ImageCms

from manuscript_restore.archive import MAX_PIXELS, PageDescription, colours, kinds, open_document
from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

_BLOCK = 1024
"""Rows that are converted at once."""

# For pages that a user opens with Pillow: its own limit (89 megapixels warn, 179 fail) refuses real scans.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def read(path: str | Path) -> NDArray[np.uint8]:
    """Read the first page of an image file as uint8 (H, W, 3) RGB, upright.

    It is read as `archive.open_document` reads it. EXIF orientation is applied, transparency is laid over white,
    16 bits are rounded to 8, floats and 32-bit numbers scaled by the brightest, grey repeated.

    Raises:
        UserError: The file is missing, empty, truncated, not an image, or above `archive.MAX_PIXELS`.
    """
    return _first_page(path)


def decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """Read an image from a file's bytes, as `read` does; ``name`` is what messages call it."""
    return _first_page(name, content)


def _first_page(path: str | Path, content: bytes | None = None) -> NDArray[np.uint8]:
    with open_document(path, content, lossy=True) as document:
        page = document.pages[0]
        stored = np.empty((page.height, page.width, 3), np.uint8)
        for top in range(0, page.height, _BLOCK):
            stored[top : top + _BLOCK] = shown(page, page.rows(top, min(top + _BLOCK, page.height)))
        return upright(stored, page.orientation)


def shown(page: PageDescription, samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows of a page as they are looked at: uint8 (rows, W, 3 or 1), transparency laid over white."""
    if page.channels in (2, 4):
        blend = {0: colours.without_alpha, 1: colours.premultiplied_over_white}
        samples = blend.get(page.layout.alpha, colours.over_white)(samples)
    return colours.to_uint8(samples)


def upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn uint8 (H, W, C) as its EXIF orientation, 1–8, says."""
    if orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Any Pillow image as a uint8 array (H, W, 3), upright or not."""
    if image.mode.startswith(("I", "F")):
        grey = colours.to_uint8(colours.to_full_scale(np.asarray(image)))
        return np.repeat(grey[..., None], 3, axis=2)  # (h, w) -> (h, w, 3)
    if image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def write(image: Any, path: str | Path, *, quality: int = 95) -> None:
    """Write a picture as an 8-bit RGB file in the format of the suffix.

    The file is written beside its place and then renamed: a reader sees the old file or the whole new one.

    Args:
        image: uint8 array (H, W, 3), or array or tensor of floats (3, H, W) in [0, 1].
        path: Ends in one of `FORMATS`.
        quality: Of JPEG and WebP, 1–100; the other formats are lossless.

    Raises:
        UserError: The suffix is unknown, or the file cannot be written.
    """
    path = Path(path)
    image_format = FORMATS.get(path.suffix.lower())
    if image_format is None:
        raise UserError(f"{path}: unknown image suffix {path.suffix!r}; use one of {', '.join(FORMATS)}")
    array = image if getattr(image, "dtype", None) == np.uint8 else to_picture(image)
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality},
        "TIFF": {"compression": "tiff_lzw"},
    }
    with whole_file(path) as unfinished:
        Image.fromarray(array).save(unfinished, image_format, **options.get(image_format, {}))


def find_images(folder: str | Path, *, key: str = "folder") -> list[Path]:
    """Find the images below a folder, page 2 before page 10; hidden files and folders are left out.

    What a file is says its suffix, or its first bytes; one warning counts pictures of kinds that cannot be read.

    Args:
        folder: Searched with its subfolders.
        key: Config key or option that named the folder, for the messages: ``"data.train_dir"``.

    Raises:
        UserError: The folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{key}={folder}: no such folder; give one that holds images ({', '.join(FORMATS)})")
    kind_of = {path: kind for path in walk(folder) if path.is_file() and (kind := kinds.of_file(path))}
    found = [path for path, kind in kind_of.items() if not kind.tool]
    if left_out := [kind.name for kind in kind_of.values() if kind.tool]:
        warnings.warn(f"{key}={folder}: {kinds.said_of(left_out)}", stacklevel=2)
    if not found:
        raise UserError(f"{key}={folder}: no images there or below; looked for {', '.join(FORMATS)}")
    return natsorted(sorted(found), alg=ns.PATH)  # sorted first: 1.png and 01.png are equal to natsort


def walk(folder: Path, on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Every file below a folder, through links too; hidden ones are left out, a folder is entered once.

    Args:
        folder: Where to begin.
        on_error: Told of each folder that cannot be read (``error.filename``), which is left out.
    """
    entered: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(root)
        if real in entered:  # a link to a folder above, or to one that was seen
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def as_floats(picture: Any) -> NDArray[np.float32]:
    """An array or a tensor (on any device) of numbers as a float32 array of the same shape."""
    if hasattr(picture, "detach"):
        picture = picture.detach().cpu().float().numpy()
    return np.asarray(picture, np.float32)


def to_picture(floats: Any) -> NDArray[np.uint8]:
    """Array or tensor (3, H, W) or (1, H, W) in [0, 1] → uint8 array (H, W, 3 or 1), rounded and clamped."""
    levels = np.rint(as_floats(floats).clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
