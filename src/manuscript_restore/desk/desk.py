"""The desk itself: its pages, and what can be asked of them."""

import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from manuscript_restore.desk.events import Events
from manuscript_restore.desk.folder import DeskPage, find_pages
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.pictures import TILE, Bytes, Pictures, first_page, num_levels, tile_of
from manuscript_restore.errors import UserError
from manuscript_restore.inference.job import Output
from manuscript_restore.inference.restorer import Restorer

THUMBNAIL = 256
"""Longest side of a thumbnail, pixels."""
THUMBNAILS_BYTES = 32_000_000
LANGUAGES = ["de", "en", "fr", "hi"]
UPLOAD_BYTES = 4_000_000_000
PREVIEW_PIXELS = 1_048_576
"""Largest part that is restored while it is looked at."""


class UnknownError(UserError):
    """There is no such page, layer or tile."""


class Desk:
    """Pages of one output folder.

    Args:
        folder: Of the page images; None: only those that are uploaded.
        out: Where results are and go; it must be held by `alone_in`.
        restorer: With the settings that pages have by default.

    Raises:
        UserError: The folder cannot be read, or results would have the names of other files.
    """

    def __init__(self, folder: Path | None, out: Path, restorer: Restorer) -> None:
        self.folder, self.out, self.restorer = folder, out, restorer
        maps = {"change"} | ({"damage", "ink"} if restorer.backend.has_maps else set())
        self.output = Output(maps=frozenset(maps), sidecar=True, overwrite=True)
        self.lock = threading.RLock()
        self.events = Events()
        self.pictures = Pictures(out)
        self.pages = {page.id: page for page in find_pages(folder, out, self.output)}
        self._thumbnails: Kept[bytes] = Kept(THUMBNAILS_BYTES)
        self._is_over = threading.Event()

    def open(self) -> None:
        """Begin to work, in a running loop."""
        self.events.open()
        threading.Thread(target=self._measure, name="sizes", daemon=True).start()

    def described(self) -> dict[str, Any]:
        """What a browser is told of the desk."""
        identity = self.restorer.identity
        return {
            "name": self.folder.resolve().name if self.folder else self.out.resolve().name,
            "out": str(self.out),
            "model": identity.name if identity else self.restorer.backend.description,
            "has_maps": self.restorer.backend.has_maps,
            "languages": LANGUAGES,
            "limits": {"upload_bytes": UPLOAD_BYTES, "preview_pixels": PREVIEW_PIXELS},
        }

    def _measure(self) -> None:
        """Find out the sizes of all pages, and tell of them; ends early if the desk is closed."""
        for page in list(self.pages.values()):
            if self._is_over.is_set():
                return
            if page.width is None:
                with contextlib.suppress(UserError):  # which its state then tells
                    self.size(page)
                self.tell(page)

    def close(self) -> None:
        """Stop what runs in the background."""
        self._is_over.set()
        self.events.close()

    def page(self, id: str) -> DeskPage:
        """The page of that id.

        Raises:
            UnknownError: There is none.
        """
        if id not in self.pages:
            raise UnknownError("there is no such page on this desk")
        return self.pages[id]

    def shown(self, page: DeskPage) -> dict[str, Any]:
        """What a browser is told of a page."""
        with self.lock:
            of_first = (page.record.get("pages") or [{}])[0]
            scores = {name: value for name, value in of_first.items() if isinstance(value, int | float)}
            settings = page.record.get("settings")
            return {
                "id": page.id,
                "name": page.name,
                "width": page.width,
                "height": page.height,
                "state": page.state,
                "share": round(page.share, 3),
                "reason": page.reason,
                "decision": page.decision,
                "note": page.note,
                "layers": list(page.layers),
                "settings": None if settings is None else self._settings(settings),
                "scores": {name: value for name, value in scores.items() if isinstance(value, int | float)}
                or None,
                "version": page.version,
            }

    def _settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        names = {each.get("file") for each in (settings.get("like") or {}).get("pages", [])}
        return {
            "strength": settings.get("strength", 1),
            "keep_colour": bool(settings.get("keep_colour")),
            "like": [page.id for page in self.pages.values() if page.task.source.name in names] if names else [],
        }

    def tell(self, page: DeskPage) -> None:
        """Tell all browsers of a page."""
        self.events.tell_page(self.shown(page))

    def size(self, page: DeskPage) -> tuple[int, int]:
        """Width and height of a page, upright.

        Raises:
            UserError: It cannot be looked at, and nobody is told a size.
        """
        if page.width is None or page.height is None:
            path, _ = page.layer("original")
            try:
                with first_page(path) as first:
                    turned = first.orientation >= 5
                    page.orientation = first.orientation
                    size = (first.height, first.width) if turned else (first.width, first.height)
            except UserError as error:
                if page.state == "new":
                    page.state, page.reason = "failed", str(error).removeprefix(f"{path}: ")
                raise
            page.width, page.height = size
        return page.width, page.height

    def info(self, page: DeskPage, layer: str) -> dict[str, Any]:
        """Geometry of a layer: that of the page."""
        _layer_of(page, layer)
        width, height = self.size(page)
        levels = num_levels(width, height)
        return {"width": width, "height": height, "tile": TILE, "levels": levels, "version": page.version}

    def tile(self, page: DeskPage, layer: str, level: int, x: int, y: int, kind: str) -> bytes:
        """A tile as a JPEG or PNG file.

        Raises:
            UnknownError: There is no such layer or tile.
            UserError: The picture cannot be looked at.
        """
        width, height = self.size(page)
        path, turn = _layer_of(page, layer)
        pixels = tile_of(self.pictures.of(path, turn), width, height, level, x, y)
        if pixels is None:
            raise UnknownError("there is no such tile")
        is_ink = layer == "ink" and level == num_levels(width, height) - 1
        return encoded(pixels, kind, bilevel=is_ink)

    def thumbnail(self, page: DeskPage, layer: str) -> bytes:
        """The whole page, small, as a JPEG file.

        Raises:
            UnknownError: There is no such layer.
            UserError: The picture cannot be looked at.
        """
        path, turn = _layer_of(page, layer)

        def make() -> tuple[bytes, int]:
            content = encoded(self.pictures.of(path, turn).thumbnail(THUMBNAIL), "jpg")
            return content, len(content)

        return self._thumbnails.get((page.id, layer, page.version), make)


def _layer_of(page: DeskPage, layer: str) -> tuple[Path, int | None]:
    if layer not in page.layers:
        raise UnknownError(f"{page.name} has no layer of that name")
    return page.layer(layer)


def encoded(pixels: Bytes, kind: str, *, bilevel: bool = False) -> bytes:
    """(h, w, 3 or 1) as a file of that suffix."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    file = io.BytesIO()
    if kind == "png":
        image = image.convert("1", dither=Image.Dither.NONE) if bilevel else image
        image.save(file, "PNG", compress_level=3)
    else:
        image.save(file, "JPEG", quality=90, subsampling=0)
    return file.getvalue()
