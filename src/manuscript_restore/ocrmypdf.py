"""A plugin of OCRmyPDF: Tesseract reads the ink of damaged pages, and readers see restored ones if that is wanted.

    ocrmypdf --plugin manuscript_restore.ocrmypdf in.pdf out.pdf

Its hooks are those of `ocrmypdf.pluginspec`. Tesseract finds lines by one threshold for all of a page, and loses
them on paper that is darker here and there, damaged or not: on the map of the ink there is no paper.
"""

import threading
from argparse import ArgumentParser
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ocrmypdf import hookimpl
from ocrmypdf.exceptions import BadArgsError
from PIL import Image

from manuscript_restore.errors import UserError
from manuscript_restore.inference import Restorer, Settings
from manuscript_restore.inference.pictures import as_stored
from manuscript_restore.released import find_model

QUALITY = 95
_loading = threading.Lock()


@hookimpl
def add_options(parser: ArgumentParser) -> None:
    """Add the options of this plugin."""
    group = parser.add_argument_group("manuscript-restore", "Restore damaged pages before they are read")
    group.add_argument("--restore-model", default="default", help="An exported model's folder, or a name.")
    group.add_argument("--restore-strength", type=float, default=1.0, help="0: the page as it is; 1: restored.")
    group.add_argument(
        "--restore-ocr", choices=("ink", "page"), help="What Tesseract sees; ink, if the model has a map of it."
    )
    group.add_argument("--restore-visible", action="store_true", help="Readers see the restored page, too.")


@hookimpl
def check_options(options: Any) -> None:
    """Refuse options that cannot be followed, before the work."""
    try:
        Settings(strength=_option(options, "strength", 1.0))
        restorer = _restorer_of(options)
        if _option(options, "ocr", None) == "ink" and not restorer.backend.has_maps:
            raise UserError("the model has no map of the ink; give --restore-ocr page, or another model")
    except UserError as error:
        raise BadArgsError(str(error)) from error
    if _option(options, "visible", False) and options.lossless_reconstruction:
        raise BadArgsError(
            "--restore-visible: the pages are to stay as they are; give --force-ocr or --deskew too, or restore "
            "the PDF itself first: manuscript-restore restore in.pdf -o restored.pdf"
        )


@hookimpl(wrapper=True)
def filter_ocr_image(page: Any) -> Generator[None, Image.Image, Image.Image]:
    """Change what Tesseract sees, after other plugins have made it fit for that."""
    image = yield
    if image.mode == "1":
        return image
    restorer = _restorer_of(page.options)
    wanted = _option(page.options, "ocr", None) or ("ink" if restorer.backend.has_maps else "page")
    seen = _ink_of(restorer, image) if wanted == "ink" else restorer.restore(image)
    seen.info |= image.info
    return seen


@hookimpl
def filter_page_image(page: Any, image_filename: Path) -> Path:
    """Restore what readers see, if that is asked for: in the same format, at the same size."""
    if not _option(page.options, "visible", False):
        return image_filename
    with Image.open(image_filename) as image:
        if image.mode == "1":
            return image_filename
        restored = _restorer_of(page.options).restore(image)
        target = image_filename.with_name(f"{image_filename.stem}_restored{image_filename.suffix}")
        kept = {key: image.info[key] for key in ("dpi", "icc_profile") if key in image.info}
        options = {"quality": QUALITY, "subsampling": 0} if image.format == "JPEG" else {}
        restored.save(target, image.format, **kept, **options)
    return target


def _ink_of(restorer: Restorer, image: Image.Image) -> Image.Image:
    """A page's ink, black on white: what is surely none is white, what is surely some is black."""
    stored = as_stored(image)

    def read(top: int, bottom: int) -> NDArray[np.float32]:
        return stored.pixels[:, top:bottom].astype(np.float32) / np.float32(stored.scale)

    height, width = stored.pixels.shape[1:]
    inks = [band.ink for band in restorer.bands(read, height=height, width=width) if band.ink is not None]
    return Image.fromarray(np.rint(255 * (1 - np.concatenate(inks))).astype(np.uint8))


def _restorer_of(options: Any) -> Restorer:
    with _loading:  # threads share it; a worker process loads its own
        return _restorer(_option(options, "model", "default"), _option(options, "strength", 1.0))


@cache
def _restorer(model: str, strength: float) -> Restorer:
    return Restorer.from_checkpoint(find_model(model), settings=Settings(strength=strength))


def _option(options: Any, name: str, default: Any) -> Any:
    return options.extra_attrs.get(f"restore_{name}", default)
