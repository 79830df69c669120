"""Level-0 tiles: a restored page as files that any web server can give to a zooming viewer."""

import json
import shutil
from pathlib import Path

import numpy as np

from manuscript_restore.archive import open_document
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file

TILE = 512


def write(page: Path, folder: Path, address: str) -> None:
    """Cut a page into tiles with their info.json, unless they are there and younger.

    Args:
        page: The image.
        folder: Made, whole or not at all.
        address: Of the folder when it is served, which its info.json has to know.

    Raises:
        UserError: The extra is missing, or the page cannot be read.
    """
    info = folder / "info.json"
    if not info.exists() or info.stat().st_mtime_ns < page.stat().st_mtime_ns:
        _cut(page, folder)
    described = json.loads(info.read_text("utf-8"))
    sizes = [place.name.split(",") for place in (folder / "full").iterdir()]
    described |= {
        "id": address,
        "sizes": [{"width": int(width), "height": int(height)} for width, height in sizes],
    }
    with whole_file(info) as unfinished:
        unfinished.write_text(json.dumps(described, indent=1) + "\n", "utf-8")


def check() -> None:
    """Raise `UserError` if what cuts them is missing."""
    try:
        import pyvips  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: the package without the library
        raise UserError(f"--iiif-tiles needs {error}; pip install 'manuscript-restore[tiles]'") from error


def _cut(page: Path, folder: Path) -> None:
    import pyvips

    unfinished = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with open_document(page, lossy=True) as document:
        first = document.pages[0]
        picture = pyvips.Image.new_from_array(np.ascontiguousarray(first.rows(0, first.height)))
        if first.metadata.icc:
            picture = picture.copy()
            picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", first.metadata.icc)
        picture = picture.copy()
        picture.set_type(pyvips.GValue.gint_type, "orientation", first.orientation)
        picture = picture.autorot()
        try:
            picture.dzsave(
                str(unfinished / "tiles"), layout="iiif3", tile_size=TILE, suffix=".jpg[Q=90]", keep="icc"
            )
        except pyvips.Error as error:
            raise UserError(f"{folder}: the tiles cannot be written ({error})") from error
    shutil.rmtree(folder, ignore_errors=True)
    (unfinished / "tiles").rename(folder)
    shutil.rmtree(unfinished)
