"""A plugin of OCRmyPDF: Tesseract reads restored pages, and readers see them too if that is asked for.

    ocrmypdf --plugin manuscript_restore.ocrmypdf in.pdf out.pdf

Its hooks are those of `ocrmypdf.pluginspec`.
"""

import threading
from argparse import ArgumentParser
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

from ocrmypdf import hookimpl
from ocrmypdf.exceptions import BadArgsError
from PIL import Image

from manuscript_restore.errors import UserError
from manuscript_restore.inference import Restorer, Settings
from manuscript_restore.released import find_model

QUALITY = 95
_loading = threading.Lock()


@hookimpl
def add_options(parser: ArgumentParser) -> None:
    """Add the options of this plugin."""
    group = parser.add_argument_group("manuscript-restore", "Restore damaged pages before they are read")
    group.add_argument("--restore-model", default="default", help="An exported model's folder, or a name.")
    group.add_argument("--restore-strength", type=float, default=1.0, help="0: the page as it is; 1: restored.")
    group.add_argument("--restore-visible", action="store_true", help="Readers see the restored page, too.")


@hookimpl
def check_options(options: Any) -> None:
    """Refuse options that cannot be followed, before the work."""
    try:
        Settings(strength=_option(options, "strength", 1.0))
        find_model(_option(options, "model", "default"))
    except UserError as error:
        raise BadArgsError(f"--restore-…: {error}") from error
    if _option(options, "visible", False) and options.lossless_reconstruction:
        raise BadArgsError(
            "--restore-visible: the pages are to stay as they are; give --force-ocr or --deskew too, or restore "
            "the PDF itself first: manuscript-restore restore in.pdf -o restored.pdf"
        )


@hookimpl(wrapper=True)
def filter_ocr_image(page: Any) -> Generator[None, Image.Image, Image.Image]:
    """Restore what Tesseract sees, after other plugins have made it fit for that."""
    image = yield
    return _restored(page, image)


@hookimpl
def filter_page_image(page: Any, image_filename: Path) -> Path:
    """Restore what readers see, if that is asked for: in the same format, at the same size."""
    if not _option(page.options, "visible", False):
        return image_filename
    with Image.open(image_filename) as image:
        restored = _restored(page, image)
        if restored is image:
            return image_filename
        target = image_filename.with_name(f"{image_filename.stem}_restored{image_filename.suffix}")
        kept = {key: image.info[key] for key in ("dpi", "icc_profile") if key in image.info}
        options = {"quality": QUALITY, "subsampling": 0} if image.format == "JPEG" else {}
        restored.save(target, image.format, **kept, **options)
    return target


def _restored(page: Any, image: Image.Image) -> Image.Image:
    """A page's picture with its resolution; one of two colours as it is."""
    if image.mode == "1":
        return image
    model, strength = _option(page.options, "model", "default"), _option(page.options, "strength", 1.0)
    with _loading:  # threads share it; a worker process loads its own
        restorer = _restorer(model, strength)
    restored = restorer.restore(image)
    restored.info |= image.info
    return restored


@cache
def _restorer(model: str, strength: float) -> Restorer:
    return Restorer.from_checkpoint(find_model(model), settings=Settings(strength=strength))


def _option(options: Any, name: str, default: Any) -> Any:
    return options.extra_attrs.get(f"restore_{name}", default)
