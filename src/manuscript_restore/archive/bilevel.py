"""Bilevel TIFFs whose rows come in bands: strips of CCITT group 4, of which only the compressed bytes are held."""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manuscript_restore.archive import ifd
from manuscript_restore.archive.metadata import ORIENTATION, Resolution, put_resolution

STRIP_ROWS = 256
_GROUP_4 = 4
_WHOLE = 1 << 30  # bytes of a strip that Pillow never fills: it makes one of all its rows


class BilevelTiff:
    """A picture of one bit a pixel.

    Args:
        width: Pixels.
        resolution: Of the page that it belongs to.
        orientation: How it is to be turned for looking at it, as in EXIF, 1–8.
    """

    def __init__(self, width: int, *, resolution: Resolution | None = None, orientation: int = 1) -> None:
        self.width, self.height = width, 0
        self._resolution, self._orientation = resolution, orientation
        self._waiting = np.zeros((0, width), np.bool_)
        self._strips: list[bytes] = []

    def add(self, rows: NDArray[np.bool_]) -> None:
        """Add the next rows (n, W); true is black."""
        self.height += len(rows)
        self._waiting = np.concatenate([self._waiting, rows])
        while len(self._waiting) >= STRIP_ROWS:
            self._strips.append(encoded(self._waiting[:STRIP_ROWS]))
            self._waiting = self._waiting[STRIP_ROWS:]

    def save(self, path: Path) -> None:
        """Write the file; after the last rows."""
        rest = [encoded(self._waiting)] if len(self._waiting) else []
        strips = self._strips + rest
        counts = [len(strip) for strip in strips]
        offsets = 8 + np.cumsum([0, *counts[:-1]])
        directory = ifd.Directory("<")
        directory.put(256, ifd.LONG, self.width)
        directory.put(257, ifd.LONG, self.height)
        directory.put(258, ifd.SHORT, 1)
        directory.put(259, ifd.SHORT, _GROUP_4)
        directory.put(262, ifd.SHORT, 0)  # white is 0
        directory.put(273, ifd.LONG, *offsets.tolist())
        directory.put(ORIENTATION, ifd.SHORT, self._orientation)
        directory.put(277, ifd.SHORT, 1)
        directory.put(278, ifd.LONG, STRIP_ROWS)
        directory.put(279, ifd.LONG, *counts)
        if self._resolution:
            put_resolution(directory, self._resolution)
        end = 8 + sum(counts)
        start = end + end % 2
        with path.open("wb") as file:
            file.write(b"II*\0" + struct.pack("<I", start))
            file.writelines(strips)
            file.write(b"\0" * (end % 2) + ifd.to_bytes(directory, start))


def encoded(rows: NDArray[np.bool_]) -> bytes:
    """Rows (n, W) as one strip of CCITT group 4, true is black: Pillow's libtiff encodes it, in a file."""
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "TIFF", compression="group4", strip_size=_WHOLE)
    with Image.open(file) as written:
        ((offset,), (count,)) = written.tag_v2[273], written.tag_v2[279]  # type: ignore[attr-defined]
    return file.getvalue()[offset : offset + count]
