"""What is restored and judged: pairs of a degraded page and what is known about it.

A task is an indexed collection: a pair is made when it is asked for, always the same, and never kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from manuscript_restore import images
from manuscript_restore.data import PagesDataModule
from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.datasets import fixed_pair, pick_pages, view_name
from manuscript_restore.data.manuscripts import compile_pattern, group_of
from manuscript_restore.data.sources import stable_hash
from manuscript_restore.data.views import View
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.neighbours import Neighbours
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.inference.look import Look
from manuscript_restore.synthesis import PageGenerator


@dataclass(frozen=True)
class Pair:
    """A degraded page and what it is judged by.

    Args:
        name: Of the page or crop.
        page: Whose crops belong together: the page, or its manuscript; what the bootstrap resamples.
        degraded: (3, H, W) in [0, 1].
        clean: The same page undamaged, same shape.
        ink: Where there is ink, bool (H, W).
        text: What is written, lines ended by newlines.
        damage: Names of the damages that it got.
        look: Of other pages of the manuscript, for restorers that take one.
    """

    name: str
    page: str
    degraded: Tensor
    clean: Tensor | None = None
    ink: NDArray[np.bool_] | None = None
    text: str | None = None
    damage: tuple[str, ...] = ()
    look: Look | None = None


class Task(ABC):
    """A collection of pairs.

    Attributes:
        tile: The least tile that a restorer must take whole, in pixels.
        note: What else a reader of its scores should know.
    """

    name: str
    tile: int = 256
    note: str = ""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pairs."""

    @abstractmethod
    def pair(self, index: int) -> Pair | None:
        """Make a pair; None if its page cannot be read, after a warning."""


class DegradedPages(Task):
    """Clean pages with the damage of a preset: the very pairs that training validates and tests on.

    Args:
        datamodule: Names the pages, the view and the seed.
        split: ``val`` or ``test``.
        degradation: Of the pages.
        whole: Take whole pages at full resolution instead of the view.
        manuscript: Regular expression; its first group, searched in a page's name, names the manuscript.
        like: Other pages of its manuscript, at most, that say what a page should look like; pages that have none
            are left out. 0: no such thing.
    """

    def __init__(
        self,
        datamodule: PagesDataModule,
        *,
        split: str,
        degradation: nn.Module,
        whole: bool = False,
        manuscript: str | None = None,
        like: int = 0,
        name: str = "degraded",
    ) -> None:
        self.name = name
        split = datamodule.splits.alias(split)
        (source,) = datamodule.splits.sources(split).values()
        self.view = WholePage() if whole else datamodule.view
        self.tile = 256 if whole else max(256, datamodule.view.size)
        self.cache = PageCache(source, self.view.prepare, tag=self.view.tag)
        self.pages = pick_pages(source, datamodule.max_val_pages if split == "val" else None)
        self.views_per_page = 1 if whole else datamodule.val_views_per_page
        self.seed = datamodule.val_seed
        self.degradation = degradation
        self.manuscript = compile_pattern(manuscript)
        self.neighbours = Neighbours(self.cache, self.pages, self.manuscript, like) if like else None
        if self.neighbours:
            self.pages = self.neighbours.pages
            self.note = f"Restored like {like} other pages of the manuscript, or as many as there are; "
            self.note += f"{self.neighbours.num_alone} pages have none and are left out."

    def __len__(self) -> int:
        return len(self.pages) * self.views_per_page

    def pair(self, index: int) -> Pair | None:
        """The pair; all pages' first views come first."""
        number, place = divmod(index, len(self.pages))
        page = self.cache.read(self.pages[place])
        if page is None:
            return None
        page_name = self.cache.source.name(self.pages[place])
        name = view_name(page_name, number)
        clean, degraded = fixed_pair(page, name, self.view, self.degradation, seed=self.seed)
        applied: tuple[str, ...] = getattr(self.degradation, "applied", tuple)()
        return Pair(
            name,
            group_of(page_name, self.manuscript),
            to_float(degraded),
            clean=to_float(clean),
            damage=applied,
            look=self.neighbours.look(self.pages[place]) if self.neighbours else None,
        )


class WholePage(View):
    """A page as it is."""

    tag = "whole"

    def __init__(self) -> None:
        super().__init__("crop", 256)

    def fixed(self, page: NDArray[np.uint8], key: Sequence[int]) -> NDArray[np.uint8]:
        """The page."""
        return page


class FolderPairs(Task):
    """Pictures of two folders that belong together by their paths without suffix.

    Args:
        degraded_dir: Pictures to restore.
        truth_dir: What they are judged by; may be the same folder.
        truth: ``clean`` pages, or masks of the ``ink`` (dark is ink).
        degraded_ending, truth_ending: What the names of each end with before the suffix: ``_in`` and ``_gt``.
        manuscript: As for `DegradedPages`.
        key: Config key of the section, for messages.
    """

    def __init__(
        self,
        *,
        degraded_dir: str | None,
        truth_dir: str | None,
        truth: str,
        degraded_ending: str = "",
        truth_ending: str = "",
        manuscript: str | None = None,
        key: str,
    ) -> None:
        self.name, self.truth, self.key = key, truth, key
        degraded = _by_stem(degraded_dir, degraded_ending, f"{key}.degraded_dir")
        truths = _by_stem(truth_dir, truth_ending, f"{key}.{truth}_dir")
        lonely = sorted(degraded.keys() ^ truths.keys())
        if lonely:
            raise UserError(
                f"{key}: {len(lonely)} pictures have no partner of the same name in the other folder, "
                f"e.g. {lonely[0]}; remove them or add their partners"
            )
        self.files = [(name, degraded[name], truths[name]) for name in degraded]
        self.manuscript = compile_pattern(manuscript)

    def __len__(self) -> int:
        return len(self.files)

    def pair(self, index: int) -> Pair:
        """Read both pictures.

        Raises:
            UserError: They are of different sizes, or a mask is empty.
        """
        name, degraded_file, truth_file = self.files[index]
        degraded, truth = images.read(degraded_file), images.read(truth_file)
        if degraded.shape != truth.shape:
            sizes = (f"{picture.shape[1]}×{picture.shape[0]}" for picture in (degraded, truth))
            raise UserError(f"{degraded_file} and {truth_file}: of different sizes, {' and '.join(sizes)}")
        page = group_of(name, self.manuscript)
        picture = to_float(from_array(degraded))
        if self.truth == "clean":
            return Pair(name, page, picture, clean=to_float(from_array(truth)))
        ink = truth.mean(axis=2) < 128
        if ink.all() or not ink.any():
            raise UserError(f"{truth_file}: a mask must have both ink (black) and support (white)")
        return Pair(name, page, picture, ink=ink)


class TextPages(Task):
    """Generated pages with the damage of a preset, whole, with their text and their ink.

    Args:
        generator: Draws them.
        degradation: Of the pages.
        num_pages: How many.
        seed: Of pages and damage; others than training's, whose validation pages have seeds of their own.
    """

    name = "text"

    def __init__(
        self, generator: PageGenerator, *, degradation: nn.Module, num_pages: int, seed: int, name: str = "text"
    ) -> None:
        self.generator, self.degradation = generator, degradation
        self.num_pages, self.seed, self.name = num_pages, seed, name

    def __len__(self) -> int:
        return self.num_pages

    def pair(self, index: int) -> Pair:
        """Draw and damage a page."""
        name = f"generated/{self.seed}/{index}"
        page = self.generator.page(stable_hash("text", self.seed), index)
        clean, degraded = fixed_pair(page.image, name, WholePage(), self.degradation, seed=self.seed)
        applied: tuple[str, ...] = getattr(self.degradation, "applied", tuple)()
        text = "".join(f"{line.text}\n" for line in page.lines)
        clean, degraded = to_float(clean), to_float(degraded)
        return Pair(name, name, degraded, clean=clean, ink=page.ink, text=text, damage=applied)


def _by_stem(folder: str | None, ending: str, key: str) -> dict[str, Path]:
    """Pictures below a folder by their path without ending and suffix."""
    if not folder:
        raise UserError(f"{key}: is not set; give a folder of pictures")
    found: dict[str, Path] = {}
    for path in images.find_images(folder, key=key):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if not stem.endswith(ending):
            continue
        name = stem.removesuffix(ending) if ending else stem
        if name in found:
            raise UserError(f"{key}: {found[name].name} and {path.name} have the same name; rename one")
        found[name] = path
    if not found:
        raise UserError(f"{key}={folder}: no picture's name ends with {ending!r}")
    return found
