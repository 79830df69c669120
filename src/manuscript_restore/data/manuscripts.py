"""Manuscripts: which one a page is of, by its name, and training that draws manuscripts instead of pages."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.data.sources import PageSource
from manuscript_restore.errors import UserError


def compile_pattern(pattern: str | None, *, key: str = "manuscript") -> re.Pattern[str] | None:
    """The regular expression that finds the manuscript in a page's name.

    Raises:
        UserError: It is none, or has no group.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise UserError(f"{key}={pattern}: not a regular expression ({error})") from error
    if not compiled.groups:
        raise UserError(f"{key}={pattern}: needs a group that names the manuscript, e.g. '^(.+)_'")
    return compiled


def group_of(name: str, pattern: re.Pattern[str] | None) -> str:
    """The manuscript that a page belongs to; the page itself where nothing is known of manuscripts."""
    found = pattern.search(name) if pattern else None
    return (found.group(1) if found else None) or name


class ByManuscript(PageSource):
    """A source whose slots fall to its manuscripts in turn, each one's to its pages in turn.

    As many pages of each manuscript come in an epoch, whether it has one page or a hundred; an epoch goes on with
    the pages where the one before it ended.

    Args:
        source: The pages; always the same ones.
        pattern: Finds the manuscript in a page's name.
    """

    def __init__(self, source: PageSource, pattern: re.Pattern[str]) -> None:
        self.source = source
        names = (source.name(index) for index in range(len(source)))
        self.groups = _groups(group_of(name, pattern) for name in names)

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """Of the source."""
        return self.source.name(index)

    def key(self, index: int) -> str:
        """Of the source."""
        return self.source.key(index)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read a page of the source."""
        return self.source.read(index)

    def at(self, epoch: int, slot: int) -> int:
        """The page that a slot of an epoch has: manuscript by manuscript, the next page of each."""
        turn, manuscript = divmod(epoch * len(self.source) + slot, len(self.groups))
        pages = self.groups[manuscript]
        return int(pages[turn % len(pages)])


def _groups(manuscripts: Iterable[str]) -> list[NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for index, manuscript in enumerate(manuscripts):
        found.setdefault(manuscript, []).append(index)
    return [np.array(pages, np.int64) for pages in found.values()]
