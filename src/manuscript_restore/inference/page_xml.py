"""Layout and text that belong to pages: PAGE-XML and ALTO, copied with the new image's name.

A restored page has the size of the input, so all coordinates stay right; the copies differ in that name alone.
"""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from manuscript_restore.archive import Page, xml_bytes
from manuscript_restore.archive.xml_bytes import Element
from manuscript_restore.archive.xmp import readable
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.inference.plan import same_file

RESCAN = 5.0
"""Seconds after which the folder is looked at again."""

_FOLDERS = ("page", "alto")
"""Folders beside the images in which other programs lay such files."""


@dataclass(frozen=True)
class Layout:
    """A PAGE-XML or ALTO file.

    Attributes:
        path: The file.
        folder: In which it is written beside a page: ``page``, ``alto`` or none.
        image: Name of the image in it, without its folder; empty if there is none.
        size: (width, height) of that in pixels, or None where the file does not say.
        place: Where the name stands in the file's bytes.
    """

    path: Path
    folder: str
    image: str
    size: tuple[int, int] | None
    place: tuple[int, int]

    def write_for(self, page: Path) -> None:
        """Write a copy that belongs to a restored page, beside it.

        Raises:
            UserError: It would replace the file itself, or cannot be written.
        """
        flagged = ".flagged" if page.stem.endswith(".flagged") else ""
        target = page.parent / self.folder / f"{self.path.stem}{flagged}{self.path.suffix}"
        if same_file(target, self.path):
            raise UserError(f"{target}: is an input; give another output folder: inputs are never overwritten")
        try:
            target.parent.mkdir(exist_ok=True)
            data = self.path.read_bytes()
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}; check --page-xml and the disk") from error
        name = escape(readable(page.name), {'"': "&quot;", "'": "&apos;"})
        start, end = self.place
        with whole_file(target) as unfinished:
            # Written so, a name is right in any encoding of the file.
            unfinished.write_bytes(
                xml_bytes.edited(data, [(start, end, name.encode("ascii", "xmlcharrefreplace"))])
            )


class PageXml:
    """The PAGE-XML and ALTO files of a folder and all below it.

    A file belongs to a page if it names it as its image, or else if it is called as the page is. Below the folder
    it must lie as the page does, or in a folder ``page`` or ``alto`` there.

    Args:
        folder: The folder.

    Attributes:
        is_used: Whether any of them belonged to a page yet.

    Raises:
        UserError: It is no folder.
    """

    is_used = False

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"--page-xml {folder}: no such folder; check the path")
        self._folder, self._lock = folder, threading.Lock()
        self._known: dict[Path, tuple[int, Layout | str | None]] = {}  # with when each was changed last
        self._looked = -RESCAN

    def __reduce__(self) -> tuple[Any, ...]:
        """For a worker on another machine, which reads the folder itself."""
        return PageXml, (self._folder.absolute(),)

    def of_page(self, source: Path, pages: Sequence[Page]) -> list[Layout]:
        """The files that belong to a page.

        Args:
            source: The page's file.
            pages: What it holds; the first counts.

        Raises:
            UserError: One is damaged, or is of an image of another size.
        """
        page, found = pages[0], []
        sizes = {(page.width, page.height)} | ({(page.height, page.width)} if page.orientation > 4 else set())
        for path, layout in self._files():
            if not self._belongs(path, layout, source):
                continue
            if isinstance(layout, str):
                raise UserError(f"{path}: {layout}; mend it or take it away")
            if layout.size and layout.size not in sizes:
                size, named = f"{page.width}×{page.height}", "×".join(map(str, layout.size))
                raise UserError(
                    f"{path}: is of an image of {named} pixels, but {source} has {size}; "
                    "restore that image, or take the file away"
                )
            found.append(layout)
        self.is_used |= bool(found)
        return found

    def _files(self) -> list[tuple[Path, Layout | str]]:
        """Each file with what it says, or what is wrong with it."""
        with self._lock:
            if time.monotonic() - self._looked >= RESCAN:  # in a watched folder more may come
                known = {}
                for path in sorted(filter(Path.is_file, self._folder.rglob("*.xml"))):  # no pipes, no dead links
                    changed = path.stat().st_mtime_ns
                    before = self._known.get(path)
                    known[path] = before if before and before[0] == changed else (changed, _read(path))
                self._known, self._looked = known, time.monotonic()
            return [(path, layout) for path, (_, layout) in self._known.items() if layout is not None]

    def _belongs(self, path: Path, layout: Layout | str, source: Path) -> bool:
        named = layout.image if isinstance(layout, Layout) else ""
        if named != source.name and (path.stem != source.stem or (named and source.with_name(named).exists())):
            return False
        place = path.relative_to(self._folder).parent.parts
        place = place[:-1] if place[-1:] and place[-1].lower() in _FOLDERS else place
        return not place or source.absolute().parent.parts[-len(place) :] == place


def _read(path: Path) -> Layout | str | None:
    """What a file says; what is wrong with it; None of XML of another kind."""
    try:
        root = xml_bytes.parse(path.read_bytes())
        kind = root.name.rpartition("}")[2].lower()
        layout = _page(path, root) if kind == "pcgts" else _alto(path, root) if kind == "alto" else None
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError as error:
        return f"is no XML that can be copied ({error})"
    return layout


def _page(path: Path, root: Element) -> Layout:
    page = next((element for element in root.children if element.name.rpartition("}")[2] == "Page"), None)
    span = page.spans.get("imageFilename") if page else None
    if page is None or span is None:
        raise ValueError("names no image")
    start = span[0] + re.search(rb"=\s*", path.read_bytes()[slice(*span)]).end() + 1  # type: ignore[union-attr]
    sides = page.attributes.get("imageWidth"), page.attributes.get("imageHeight")
    return _layout(path, page.attributes["imageFilename"], sides, (start, span[1] - 1))


def _alto(path: Path, root: Element) -> Layout:
    elements = {element.name.rpartition("}")[2]: element for element in reversed(list(root.walk()))}  # the first
    name, page, unit = (elements.get(key) for key in ("fileName", "Page", "MeasurementUnit"))
    if name is None or name.children:
        raise ValueError("names no image")
    in_pixels = unit is not None and unit.text.strip() == "pixel" and page is not None
    sides = (page.attributes.get("WIDTH"), page.attributes.get("HEIGHT")) if in_pixels and page else (None, None)
    return _layout(path, name.text, sides, (name.content, name.content_end))


def _layout(path: Path, image: str, sides: tuple[str | None, str | None], place: tuple[int, int]) -> Layout:
    folder = path.parent.name if path.parent.name.lower() in _FOLDERS else ""
    width, height = (int(side) if side and side.isdecimal() else 0 for side in sides)
    name = re.split(r"[/\\\\]", image.strip())[-1]
    return Layout(path, folder, name, (width, height) if width and height else None, place)
