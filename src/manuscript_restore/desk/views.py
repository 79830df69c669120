"""What is seen of pages: their sizes, tiles and thumbnails."""

import threading
from pathlib import Path
from typing import Any

from manuscript_restore.desk.folder import DeskPage, UnknownError
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.pictures import TILE, Pictures, encoded, looked_at, num_levels, tile_of
from manuscript_restore.errors import UserError

THUMBNAIL = 256
"""Longest side of a thumbnail, pixels."""
THUMBNAILS_BYTES = 32_000_000


class Views:
    """Pictures of pages for a browser.

    Args:
        out: The output folder, in which large pictures have their place while the desk is open.
        is_over: Ends what is in work.
    """

    def __init__(self, out: Path, is_over: threading.Event) -> None:
        self._pictures = Pictures(out, is_over)
        self._thumbnails: Kept[bytes] = Kept(THUMBNAILS_BYTES)

    def size(self, page: DeskPage) -> tuple[int, int]:
        """Width and height of a page, upright.

        Raises:
            UserError: It cannot be looked at, and nobody is told a size.
        """
        if page.width is None or page.height is None:
            try:
                with looked_at(page.layer("original")[0]) as document:
                    first, page.num_pages = document.pages[0], len(document.pages)
                    turned = first.orientation >= 5
                    page.orientation = first.orientation
                    size = (first.height, first.width) if turned else (first.width, first.height)
            except UserError as error:
                if page.state == "new":
                    page.state, page.reason = "failed", str(error).removeprefix(f"{page.task.source}: ")
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
        pixels = tile_of(self._pictures.of(path, turn), width, height, level, x, y)
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
            content = encoded(self._pictures.of(path, turn).thumbnail(THUMBNAIL), "jpg")
            return content, len(content)

        return self._thumbnails.get((page.id, layer, page.version), make)


def _layer_of(page: DeskPage, layer: str) -> tuple[Path, int | None]:
    if layer not in page.layers:
        raise UnknownError(f"{page.name} has no layer of that name")
    return page.layer(layer)
