"""Other pages of a page's manuscript, which say what it should look like."""

import re
from collections.abc import Sequence
from functools import cache
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.data.cache import PageCache
from manuscript_restore.data.ink import split_ink
from manuscript_restore.data.manuscripts import group_of
from manuscript_restore.data.sources import stable_hash
from manuscript_restore.errors import UserError
from manuscript_restore.inference.look import Look, paper_of


class Neighbours:
    """The looks of other pages of the same manuscripts.

    Args:
        clean: All pages, undamaged.
        pages: Indexes of those that are evaluated.
        manuscript: Finds the manuscript in a page's name.
        number: Of the pages that a look is taken from, at most, picked by the hash of their names.

    Attributes:
        pages: Those of the pages that have neighbours.
        num_alone: How many have none.

    Raises:
        UserError: Nothing is said of manuscripts, or each has a single page.
    """

    def __init__(
        self, clean: PageCache, pages: Sequence[int], manuscript: re.Pattern[str] | None, number: int
    ) -> None:
        if manuscript is None:
            raise UserError(
                f"like={number}: needs manuscript, e.g. manuscript='^(.+)_', to find pages of the same"
            )
        self.clean, self.number = clean, number
        same: dict[str, list[int]] = {}
        for index in range(len(clean)):
            same.setdefault(group_of(clean.source.name(index), manuscript), []).append(index)
        self.same = {page: group for group in same.values() for page in group}
        self.pages = [page for page in pages if len(self.same[page]) > 1]
        self.num_alone = len(pages) - len(self.pages)
        if not self.pages:
            raise UserError(f"like={number}: no page has another one of its manuscript; see manuscript")
        self._paper = cache(self._measure)

    def look(self, page: int) -> Look | None:
        """What the others of a page's manuscript look like; None if they cannot be read, after a warning."""

        def order(index: int) -> int:
            return stable_hash("like", self.clean.source.name(index))

        others = (index for index in self.same[page] if index != page)
        papers = [self._paper(index) for index in nsmallest(self.number, others, key=order)]
        readable = [paper for paper in papers if paper is not None]
        if not readable:
            return None
        red, green, blue = np.median(readable, axis=0).tolist()
        return Look((red, green, blue))

    def _measure(self, page: int) -> NDArray[np.float32] | None:
        clean = self.clean.read(page)
        return None if clean is None else paper_of(split_ink(clean)[0])
