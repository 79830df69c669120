"""Where clean pages come from: a folder of scans, or generated manuscripts."""

import hashlib
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manuscript_restore import images
from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import generate_page


def stable_hash(*parts: object) -> int:
    """Hash the text of the parts to [0, 2**63), the same in every process, run and machine."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class PageSource(Protocol):
    """A fixed list of clean pages."""

    def __len__(self) -> int:
        """Count the pages."""

    def name(self, index: int) -> str:
        """Identity of the page that survives other pages being added: seeds and splits are drawn from it."""

    def key(self, index: int) -> str:
        """Identity of the page's content, for a cache."""

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read the page, uint8 (H, W, 3) RGB; raises `UserError` where that is impossible."""


class FolderSource:
    """The images below a folder, in natural order.

    Args:
        root: The folder; a page's name is its path below it.
        files: Use these files of it instead of searching.
        key: Config key that named the folder, for the messages.
    """

    def __init__(self, root: str | Path, files: list[Path] | None = None, *, key: str = "folder") -> None:
        self.root = Path(root)
        self.files = images.find_images(root, key=key) if files is None else files

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Path below the root, with forward slashes."""
        return self.files[index].relative_to(self.root).as_posix()

    def key(self, index: int) -> str:
        """Absolute path, time and size of the file."""
        path = self.files[index]
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
        return f"{path.absolute()}\0{stat.st_mtime_ns}\0{stat.st_size}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode the file."""
        return images.read(self.files[index])


class GeneratedSource:
    """Generated manuscripts: pages ``first`` to ``first + num_pages - 1`` of the sequence ``seed``."""

    def __init__(self, num_pages: int, seed: int, first: int = 0, *, height: int = 768, width: int = 1152) -> None:
        self.num_pages, self.seed, self.first = num_pages, seed, first
        self.height, self.width = height, width

    def __len__(self) -> int:
        return self.num_pages

    def name(self, index: int) -> str:
        """``generated/<seed>/<number>``."""
        return f"generated/{self.seed}/{self.first + index}"

    def key(self, index: int) -> str:
        """Name and size. A persistent cache must be emptied when the generator changes."""
        return f"{self.name(index)}\0{self.height}x{self.width}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Generate the page."""
        return generate_page(self.seed, self.first + index, height=self.height, width=self.width)


def split_by_file(source: FolderSource, val_fraction: float) -> tuple[FolderSource, FolderSource]:
    """Split a folder into training and validation pages.

    The side of a page is drawn from its name alone: neither order nor other files matter, save that each side
    gets at least one page where there are two.
    """
    draws = [stable_hash("split", source.name(i)) / 2**63 for i in range(len(source))]
    # The page with the lowest draw always validates, that with the highest always trains.
    limit = min(max(val_fraction, np.nextafter(min(draws), 1)), max(draws))
    val = [path for path, draw in zip(source.files, draws, strict=True) if draw < limit]
    train = [path for path, draw in zip(source.files, draws, strict=True) if draw >= limit]
    return FolderSource(source.root, train), FolderSource(source.root, val)


def check_readable(sources: Iterable[PageSource]) -> None:
    """Decode every page; `UserError` lists all that cannot be read."""

    def problem(source: PageSource, index: int) -> str | None:
        try:
            source.read(index)
        except UserError as error:
            return str(error)
        return None

    pages = [(source, index) for source in sources for index in range(len(source))]
    # `images.read` silences warnings, which is not safe in threads unless all of them find them silenced.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        problems = [text for text in pool.map(problem, *zip(*pages, strict=True)) if text]
    if problems:
        raise UserError("\n".join([f"data.strict: {len(problems)} pages cannot be read", *problems]))
