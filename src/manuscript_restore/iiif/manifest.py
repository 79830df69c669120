"""Write the manifest of a restored book: Presentation API 3, each canvas with a choice of before and after.

Canvases, ranges and all that is said of the book stay as they were, with their own addresses, so that
annotations that others have made go on to fit. Only the images to choose from are new.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from manuscript_restore.archive import open_document
from manuscript_restore.iiif.presentation import Canvas, identity
from manuscript_restore.iiif.upgrade import Json, objects

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_MEDIA = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "JPEG2000": "image/jp2",
}
_STATEMENT = (
    "Restored by manuscript-restore {version}{model} on {date}. The restored images are computed from the "
    "originals: they show what the model takes the page for, and are no new photographs."
)


@dataclass(frozen=True)
class Restored:
    """A restored page, and the folder of its tiles."""

    page: Path
    tiles: Path | None = None


def address(base_url: str, path: Path, out: Path) -> str:
    """The address of a file of the output folder when that is served."""
    return base_url + quote(path.relative_to(out).as_posix())


def made(
    source: Json,
    canvases: Sequence[Canvas],
    pages: Mapping[int, Restored],
    out: Path,
    base_url: str,
    origin: str,
    model: str,
) -> str:
    """The new manifest as JSON.

    Args:
        source: The manifest, in version 3; it is left as it is.
        canvases: Its canvases; parts of ``source``.
        pages: The restored pages by the canvas's number.
        out: The folder that holds them.
        base_url: Its address, with a slash at the end.
        origin: Where the manifest came from.
        model: What restored the pages; empty: it has no name.

    Raises:
        UserError: A restored page cannot be read.
    """
    memo: dict[int, Any] = {}
    new: Json = copy.deepcopy(source, memo)
    for canvas in canvases:
        if restored := pages.get(canvas.number):
            annotation: Json = memo[id(canvas.annotation)]
            more = _bodies(restored, out, base_url)
            annotation["body"] = {
                "type": "Choice",
                "items": _choice(annotation["body"], memo[id(canvas.body)], more),
            }
    for number, item in enumerate(objects(new.get("items")), 1):
        _name(item, f"{base_url}canvas/{number}")
    new = {"@context": _context(new), **new, "id": f"{base_url}manifest.json"}
    if pages:
        new["metadata"] = [*objects(new.get("metadata")), _provenance(model)]
    if (before := identity(source) or origin).startswith("http"):
        new["seeAlso"] = [*objects(new.get("seeAlso")), _link(before)]
    return json.dumps(new, ensure_ascii=False, indent=1) + "\n"


def _provenance(model: str) -> Json:
    named = f", model {model}," if model else ""
    said = _STATEMENT.format(version=version("manuscript-restore"), model=named, date=date.today())
    return {"label": {"en": ["Restoration"]}, "value": {"en": [said]}}


def _link(manifest: str) -> Json:
    label = {"en": ["Manifest of the originals"]}
    return {"id": manifest, "type": "Manifest", "label": label, "format": "application/ld+json"}


def _context(manifest: Json) -> Any:
    """That of version 3 comes last, behind those of extensions."""
    given = manifest.get("@context")
    others = [
        each
        for each in (given if isinstance(given, list) else [given])
        if each and "presentation/" not in str(each)
    ]
    return [*others, CONTEXT] if others else CONTEXT


def _choice(body: Any, original: Json, more: list[Json]) -> list[Json]:
    """The original as it was, then what was made of it, then other images that it could be chosen from before."""
    original.setdefault("label", {"en": ["Original"]})
    others = [
        other for each in objects(body) if each.get("type") == "Choice" for other in objects(each.get("items"))
    ]
    first = next((each for each in objects(body) if each.get("type") == "SpecificResource"), original)
    return [others[0] if others else first, *more, *others[1:]]


def _bodies(restored: Restored, out: Path, base_url: str) -> list[Json]:
    bodies = [_image(restored.page, "Restored", out, base_url)]
    if restored.tiles:
        service = {"id": address(base_url, restored.tiles, out), "type": "ImageService3", "profile": "level0"}
        bodies[0]["service"] = [service]
    change = restored.page.with_name(f"{restored.page.name}.change.png")
    return [*bodies, _image(change, "Change: the lighter, the more", out, base_url)] if change.exists() else bodies


def _image(path: Path, label: str, out: Path, base_url: str) -> Json:
    with open_document(path, lossy=True) as document:
        page = document.pages[0]
        width, height = (page.width, page.height) if page.orientation < 5 else (page.height, page.width)
        return {
            "id": address(base_url, path, out),
            "type": "Image",
            "format": _MEDIA[document.format],
            "label": {"en": [label]},
            "width": width,
            "height": height,
        }


def _name(canvas: Json, place: str) -> None:
    """Give addresses to the pages of annotations and to annotations, which version 2 did not ask for."""
    for kind in ("items", "annotations"):
        for number, page in enumerate(objects(canvas.get(kind)), 1):
            page.setdefault("id", f"{place}/{kind}/{number}")
            for inner, annotation in enumerate(objects(page.get("items")), 1):
                annotation.setdefault("id", f"{place}/{kind}/{number}/{inner}")
