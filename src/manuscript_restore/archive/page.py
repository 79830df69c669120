"""A page: its size, how it is stored, what is known of it, and its pixels from the top downwards."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive.ifd import ByteOrder
from manuscript_restore.archive.metadata import Metadata
from manuscript_restore.errors import UserError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(rows, W, channels): grey, grey + alpha, RGB or RGBA; black is 0."""

NewXmp = Callable[[int, bytes, list[str]], bytes]
"""(number of a page, its XMP packet, notes) → the packet to write; asked when all rows of the page have come."""


@dataclass(frozen=True)
class TiffLayout:
    """How a TIFF file stores a page's pixels; the defaults are those of a page from another format."""

    compression: int = 8  # deflate
    predictor: int = 1
    tile: tuple[int, int] | None = None  # height, width
    rows_per_strip: int = 0  # 0: as many as make half a megabyte
    big: bool = False
    order: ByteOrder = "<"
    alpha: int = 2  # ExtraSamples of the last channel: 0 unspecified, 1 premultiplied, 2 not
    subfile: int = 0  # NewSubfileType


@dataclass(frozen=True)
class PageDescription:
    """All of a page but its pixels, which is what a writer needs beside them."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]
    orientation: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    layout: TiffLayout = field(default_factory=TiffLayout)
    lossless: bool = True

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of pixels."""
        return self.width * self.channels * self.dtype.itemsize


@dataclass(frozen=True)
class Page(PageDescription, ABC):
    """A page that can be read; ``number`` counts from 1 in its document."""

    number: int = field(default=1, kw_only=True)

    @abstractmethod
    def rows(self, top: int, bottom: int) -> Pixels:
        """Read rows ``top`` to ``bottom - 1`` as stored: (bottom - top, W, channels), not turned upright.

        Callers go downwards; rows that the last call read are not decoded again.

        Raises:
            UserError: The file is truncated or damaged.
        """

    @abstractmethod
    def release(self) -> None:
        """Let go of the rows that are held; they are decoded again when they are asked for."""


@dataclass(frozen=True)
class WholePage(Page):
    """A page whose format is decoded in one piece, when its first rows are asked for."""

    decode: Callable[[], NDArray[Any]] = field(kw_only=True, repr=False)
    name: str = field(kw_only=True)

    @cached_property
    def _pixels(self) -> Pixels:
        with damage_of(self.name):
            pixels = self.decode().reshape(self.height, self.width, self.channels)
        return pixels.astype(self.dtype, copy=False)

    def rows(self, top: int, bottom: int) -> Pixels:
        """Rows of the decoded page; a view of it."""
        return self._pixels[top:bottom]

    def release(self) -> None:
        """Let go of the decoded page."""
        self.__dict__.pop("_pixels", None)


class Notes(list[str]):
    """What was converted or could not be kept of a file.

    Args:
        name: What messages call the file.
        lossy: Whether it is only looked at: what would be refused, as pixels would be lost, is noted instead.

    Attributes:
        is_damaged: Whether something of the file could not be read, and the rest could.
    """

    def __init__(self, name: str, *, lossy: bool = False) -> None:
        super().__init__()
        self.name, self.lossy = name, lossy
        self.is_damaged = False

    def lose(self, what: str) -> None:
        """Note a loss of pixels; raises `UserError` unless that is allowed."""
        if not self.lossy:
            raise UserError(f"{self.name}: {what}")
        self.append(what)

    def leave(self, rest: bytes) -> None:
        """Note the bytes behind the picture, if they say anything."""
        if rest.strip(b"\0\r\n "):
            self.append(f"{len(rest):,} bytes behind the picture could not be kept")


@contextlib.contextmanager
def damage_of(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on broken bytes into a `UserError` that names the file."""
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{name}: needs {error.name} to be read; pip install {error.name}") from error
    except MemoryError as error:
        raise UserError(f"{name}: needs more memory than there is; split it or scale it down") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{name}: is truncated or damaged ({reason}); replace it or remove it") from error
