"""Where clean pages come from: a folder of scans, or generated manuscripts."""

import hashlib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manuscript_restore import images
from manuscript_restore.data.index import find_pages
from manuscript_restore.errors import UserError


def stable_hash(*parts: object) -> int:
    """Hash the text of the parts to [0, 2**63), the same in every process, run and machine."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class PageSource(ABC):
    """A list of clean pages; of an endless one, the part that an epoch uses."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the pages of an epoch."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Identity of the page that survives other pages being added: seeds and splits are drawn from it."""

    @abstractmethod
    def key(self, index: int) -> str:
        """Identity of the page's content, for a cache."""

    @abstractmethod
    def read(self, index: int) -> NDArray[np.uint8]:
        """Read the page, uint8 (H, W, 3) RGB, or (H, W, 4) with its ink; `UserError` where that is impossible."""

    def file(self, index: int) -> Path | None:
        """The file on this machine that holds the page, if there is one."""
        return None

    def at(self, epoch: int, slot: int) -> int:
        """Index of the page that is in a slot, 0 to ``len(self) - 1``, in an epoch."""
        return slot

    def coming(self, epoch: int) -> range:
        """Indexes of the pages that the next epoch has and this one has not."""
        return range(0)

    def expired(self, index: int) -> int | None:
        """Index of a page that nobody needs any more when this one is made; None: all are still needed."""
        return None


class FolderSource(PageSource):
    """The images below a folder, in natural order.

    Args:
        root: The folder; a page's name is its path below it.
        key: Config key that named the folder, for the messages.
        index_dir: Where the index of a large folder is kept; None: the user's cache directory.
    """

    def __init__(self, root: str | Path, *, key: str = "folder", index_dir: str | None = None) -> None:
        self.root = Path(root)
        self.files = find_pages(root, key=key, index_dir=index_dir)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Path below the root, with forward slashes."""
        return self.files[index]

    def path(self, index: int) -> Path:
        """Path of the file."""
        return self.root / self.files[index]

    def file(self, index: int) -> Path:
        """Path of the file."""
        return self.path(index)

    def key(self, index: int) -> str:
        """Absolute path, time and size of the file."""
        path = self.path(index)
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
        return f"{path.absolute()}\0{stat.st_mtime_ns}\0{stat.st_size}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode the file."""
        return images.read(self.path(index))

    def shared_with(self, other: "FolderSource") -> list[Path]:
        """Files of this folder that are also the other's."""
        root = os.path.realpath(other.root) + os.sep
        mine = (os.path.realpath(self.path(index)) for index in range(len(self)))
        inside = {path.removeprefix(root): Path(path) for path in mine if path.startswith(root)}
        if not inside:
            return []
        return [inside[name] for name in map(other.name, range(len(other))) if name in inside]


class Drawn(Protocol):
    """A drawn page. It may have ``ink`` as well, bool (H, W)."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) RGB."""


class Generator(Protocol):
    """What draws pages; `synthesis.PageGenerator` is one."""

    @property
    def tag(self) -> str:
        """Identity of its settings, for a cache."""

    def page(self, seed: int, index: int) -> Drawn:
        """Draw a page of the sequence ``seed``: always the same."""


class GeneratedSource(PageSource):
    """A window that slides over an endless sequence of generated pages.

    Epoch ``e`` uses the pages from ``e · fresh`` on, ``num_pages`` of them. A page keeps its slot while it is in
    the window; then the next new one takes it. An index is a page's number, counted from ``first``.

    Args:
        generator: Draws the pages.
        num_pages: Width of the window.
        seed: Of the sequence.
        first: Number of the first page.
        fresh: Pages that each epoch exchanges; 0: always the same.
    """

    def __init__(self, generator: Generator, num_pages: int, seed: int, first: int = 0, *, fresh: int = 0) -> None:
        self.generator, self.num_pages, self.seed = generator, num_pages, seed
        self.first, self.fresh = first, fresh

    def __len__(self) -> int:
        return self.num_pages

    def at(self, epoch: int, slot: int) -> int:
        """The number in the epoch's window that equals the slot modulo ``num_pages``."""
        start = epoch * self.fresh
        return start + (slot - start) % self.num_pages

    def coming(self, epoch: int) -> range:
        """The ``fresh`` pages after the window."""
        end = epoch * self.fresh + self.num_pages
        return range(end, end + self.fresh)

    def expired(self, index: int) -> int | None:
        """The page that left the window in the epoch before the one that makes this page for the next."""
        old = index - self.num_pages - self.fresh
        return old if self.fresh and old >= 0 else None

    def name(self, index: int) -> str:
        """``generated/<seed>/<number>``."""
        return f"generated/{self.seed}/{self.first + index}"

    def key(self, index: int) -> str:
        """Name, and the generator's settings."""
        return f"{self.name(index)}\0{self.generator.tag}\0ink"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Draw the page; of a generator that knows the ink, uint8 (H, W, 4) with the ink (255) last."""
        page = self.generator.page(self.seed, self.first + index)
        ink = getattr(page, "ink", None)
        return page.image if ink is None else np.dstack([page.image, np.uint8(255) * ink])


class Subset(PageSource):
    """Some pages of a source: those at the rows, which ascend."""

    def __init__(self, source: PageSource, rows: NDArray[np.int64]) -> None:
        self.source, self.rows = source, rows

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        """The source's."""
        return self.source.name(int(self.rows[index]))

    def key(self, index: int) -> str:
        """The source's."""
        return self.source.key(int(self.rows[index]))

    def read(self, index: int) -> NDArray[np.uint8]:
        """The source's."""
        return self.source.read(int(self.rows[index]))

    def file(self, index: int) -> Path | None:
        """The source's."""
        return self.source.file(int(self.rows[index]))


def split_by_name(source: PageSource, val_fraction: float) -> tuple[Subset, Subset]:
    """Split a source into training and validation pages.

    The side of a page is drawn from its name alone: neither order nor other pages matter, save that each side
    gets at least one page where there are two.
    """
    draws = np.fromiter((stable_hash("split", source.name(i)) / 2**63 for i in range(len(source))), float)
    # The page with the lowest draw always validates, that with the highest always trains.
    limit = min(max(val_fraction, np.nextafter(draws.min(), 1)), draws.max())
    return Subset(source, np.flatnonzero(draws >= limit)), Subset(source, np.flatnonzero(draws < limit))


def warn_of_shared_pages(train: PageSource | None, other: PageSource, *, key: str) -> None:
    """Warn if pages that validate or test also train."""
    if isinstance(train, FolderSource) and isinstance(other, FolderSource):
        shared = other.shared_with(train)
        if shared:
            warnings.warn(
                f"{key}: {len(shared)} of its pages also train, e.g. {min(shared)}; their scores say nothing "
                "about other pages",
                stacklevel=2,
            )


def check_readable(sources: Iterable[PageSource]) -> None:
    """Decode every page; `UserError` lists all that cannot be read."""

    def problem(source: PageSource, index: int) -> str | None:
        try:
            source.read(index)
        except UserError as error:
            return str(error)
        return None

    problems = []
    with ThreadPoolExecutor() as pool:
        for source in sources:
            for start in range(0, len(source), 1024):  # a million tasks at once would be a gigabyte
                block = range(start, min(start + 1024, len(source)))
                problems += [text for text in pool.map(lambda i, of=source: problem(of, i), block) if text]
    if problems:
        raise UserError("\n".join([f"data.strict: {len(problems)} pages cannot be read", *problems]))
