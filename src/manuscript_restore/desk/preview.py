"""A part of a page restored while it is looked at."""

import contextlib
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import Page
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.pictures import Bytes, file_key, first_page, stored_box
from manuscript_restore.desk.wish import StoppableBackend
from manuscript_restore.images import shown, upright
from manuscript_restore.inference.backends import Floats
from manuscript_restore.inference.restorer import Restorer, Settings, Survey

MARGIN = 32
"""Pixels around the part that the network sees, too."""
HELD = 100_000_000
"""Pixels up to which a page stays decoded until another one is looked at."""
SURVEYS = 64


class Previewer:
    """Restores parts of pages; the page that was looked at last stays open, and is surveyed once.

    Args:
        restorer: With the engine; its settings are those of each part.
        is_over: Ends what is in work.
    """

    def __init__(self, restorer: Restorer, is_over: threading.Event) -> None:
        self._identity, self._backend = restorer.identity, StoppableBackend(restorer.backend, is_over)
        self._lock = threading.Lock()
        self._surveys: Kept[Survey] = Kept(SURVEYS)
        self._open: tuple[Hashable, Page] | None = None
        self._stack = contextlib.ExitStack()

    def part(self, path: Path, box: tuple[int, int, int, int], settings: Settings) -> Bytes:
        """Restore a part of a file's first page.

        Args:
            path: The file.
            box: Left, top, right, bottom of the part, in the upright page, which holds it.
            settings: As for the whole page.

        Returns:
            (h, w, 3 or 1), upright.

        Raises:
            UserError: The file cannot be read.
        """
        with self._lock:
            page = self._page(path)
            try:
                return self._part(page, file_key(path), box, settings)
            finally:
                if page.height * page.width > HELD:
                    page.release()

    def close(self) -> None:
        """Let go of the open page."""
        with self._lock:
            self._stack.close()
            self._open = None

    def _page(self, path: Path) -> Page:
        key = file_key(path)
        if self._open is None or self._open[0] != key:
            self._stack.close()
            self._open = None
            page = self._stack.enter_context(first_page(path))
            self._open = key, page
        return self._open[1]

    def _part(self, page: Page, key: Hashable, box: tuple[int, int, int, int], settings: Settings) -> Bytes:
        turn, scale = page.orientation, np.iinfo(page.dtype).max
        restorer = Restorer(self._backend, settings=settings, identity=self._identity)

        def survey() -> tuple[Survey, int]:
            read = _reader(page, 0, 0, page.width)
            return restorer.survey(read, height=page.height, width=page.width, orientation=turn), 1

        paper = settings.like.paper if settings.like else None
        surveyed = self._surveys.get((key, paper, settings.damaged), survey)
        left, top, right, bottom = stored_box(page, turn, *box)
        x, y = max(0, left - MARGIN), max(0, top - MARGIN)
        width, height = min(page.width, right + MARGIN) - x, min(page.height, bottom + MARGIN) - y
        read = _reader(page, y, x, x + width)
        bands = restorer.bands(read, height=height, width=width, orientation=turn, survey=surveyed)
        restored = np.concatenate([band.restored for band in bands], axis=1).transpose(1, 2, 0)
        inner = restored[top - y : bottom - y, left - x : right - x]
        part: NDArray[Any] = np.rint(inner * scale).astype(page.dtype)
        return upright(shown(page, part), turn)


def _reader(page: Page, above: int, left: int, right: int) -> Any:
    """Reads rows of a part of a page as a `Restorer` wants them."""
    scale = np.float32(np.iinfo(page.dtype).max)

    def read(top: int, bottom: int) -> Floats:
        rows = page.rows(above + top, above + bottom)[:, left:right]
        return rows.transpose(2, 0, 1).astype(np.float32, order="C") / scale

    return read
