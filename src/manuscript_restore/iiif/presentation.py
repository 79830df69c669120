"""Read a manifest of the Presentation API 2 or 3: its canvases, and the one image of each that is restored."""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.iiif.upgrade import Json, objects, upgrade

MAX_DEPTH = 100
MAX_CANVASES = 20_000
_MAX_NAME_BYTES = 60
_XYWH = re.compile(r"(?:^|#|&)xywh=(percent:|pixel:)?([\d.]+),([\d.]+),([\d.]+),([\d.]+)")


@dataclass(frozen=True)
class Canvas:
    """A page of the manifest.

    Attributes:
        number: From 1, in the manifest's order.
        label: As a reader would see it.
        annotation: The one that paints its largest image: a part of the manifest.
        body: That image, of a choice the default.
        notes: What of the canvas is not restored.
    """

    number: int
    label: str
    annotation: Json
    body: Json
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """A file's name without its suffix: ``0012_fol._6r``; whatever the label is, it names no other folder."""
        kept = "".join(each if each.isalnum() or each in ".-" or _is_mark(each) else "_" for each in self.label)
        kept = re.sub(r"_+", "_", unicodedata.normalize("NFC", kept)).strip("._-")
        kept = kept.encode("utf-8", "ignore")[:_MAX_NAME_BYTES].decode("utf-8", "ignore").strip("._-")
        return f"{self.number:04d}" + (f"_{kept}" if kept else "")

    @property
    def image(self) -> str:
        """What tells its image from others: the address of its service, or its own."""
        services = image_services(self.body)
        return str(identity(services[0]) if services else identity(self.body))


def read(content: bytes, source: str) -> Json:
    """A manifest as version 3 has it.

    Args:
        content: JSON.
        source: What messages call it.

    Raises:
        UserError: It is no JSON, or no manifest.
    """
    manifest = read_json(content, source)
    kind = str(manifest.get("type") or manifest.get("@type"))
    if kind in ("Collection", "sc:Collection"):
        raise UserError(f"{source}: is a collection; give one of its manifests:\n{_manifests_of(manifest)}")
    if kind in ("Manifest", "sc:Manifest"):
        return upgrade(manifest) if kind == "sc:Manifest" else manifest
    if "protocol" in manifest:
        raise UserError(f"{source}: describes a single image (info.json); give the manifest that has it")
    raise UserError(f"{source}: is not a IIIF manifest, version 2 or 3; check the address")


def read_json(content: bytes, source: str) -> Json:
    """A JSON object that is not nested too deeply for those who walk through it.

    Raises:
        UserError: It is none.
    """
    try:
        read: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{source}: is no JSON that can be read ({reason})") from error
    if not isinstance(read, dict):
        raise UserError(f"{source}: is not a IIIF resource but another JSON")
    layer: list[Any] = [read]
    for _ in range(MAX_DEPTH):
        layer = [inner for each in layer for inner in (each.values() if isinstance(each, dict) else each)]
        layer = [each for each in layer if isinstance(each, dict | list)]
        if not layer:
            return read
    raise UserError(f"{source}: is nested more than {MAX_DEPTH} deep; left")


def canvases(manifest: Json, source: str) -> list[Canvas]:
    """The canvases that have an image; notes on those without stand with the first.

    Raises:
        UserError: There are none, or too many.
    """
    items = [item for item in objects(manifest.get("items")) if item.get("type") == "Canvas"]
    if len(items) > MAX_CANVASES:
        raise UserError(f"{source}: has {len(items):,} canvases, more than {MAX_CANVASES:,}; give a part of it")
    found: list[Canvas] = []
    without: list[str] = []
    for number, item in enumerate(items, 1):
        if canvas := _canvas(number, item):
            found.append(canvas)
        else:
            without.append(f"canvas {number} ({words(item.get('label'))}) has no image")
    if not found:
        raise UserError(f"{source}: has no canvas with an image")
    found[0].notes.extend(without)
    return found


def identity(resource: Json) -> str:
    """The address that a resource is known by, in either version; empty: none."""
    found = resource.get("id", resource.get("@id"))
    return found if isinstance(found, str) else ""


def image_services(body: Json) -> list[Json]:
    """The image services of a body."""
    return [each for each in objects(body.get("service")) if identity(each) and "image" in _said(each)]


def words(label: Any) -> str:
    """The first text of a language map.

    >>> words({"sa": ["पत्र १"], "en": ["leaf 1"]})
    'पत्र १'
    """
    values = label.values() if isinstance(label, dict) else [label]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return next((str(text) for text in texts if isinstance(text, str | int | float)), "")


def _canvas(number: int, item: Json) -> Canvas | None:
    paintings = [
        (annotation, body) for annotation in _paintings(item) if (body := _image_of(annotation.get("body")))
    ]
    if not paintings:
        return None
    annotation, body = max(paintings, key=lambda painting: _area(painting[0], item))  # of equal ones the first
    label = words(item.get("label"))
    notes = []
    if len(paintings) > 1:
        notes.append(
            f"{len(paintings) - 1} more on canvas {number} ({label}) left out; its largest image is restored"
        )
    return Canvas(number, label, annotation, body, notes)


def _paintings(item: Json) -> Iterator[Json]:
    for page in objects(item.get("items")):
        for annotation in objects(page.get("items")):
            if annotation.get("motivation") in ("painting", ["painting"]):
                yield annotation


def _image_of(body: Any) -> Json | None:
    """The image that is shown first."""
    for each in objects(body):
        kind = each.get("type")
        if kind == "Choice":
            return _image_of(each.get("items"))
        if kind == "SpecificResource":
            return _image_of(each.get("source"))
        if kind in ("Image", "dctypes:Image") and (identity(each) or image_services(each)):
            return each
    return None


def _area(annotation: Json, canvas: Json) -> float:
    """Share of the canvas that is painted, 0–1."""
    target: Any = annotation.get("target")
    for each in objects(target):
        target = next((str(s.get("value")) for s in objects(each.get("selector"))), identity(each))
    part = _XYWH.search(target if isinstance(target, str) else "")
    if not part:
        return 1.0
    try:
        width, height = float(part[4]), float(part[5])
        if part[1] == "percent:":
            return width * height / 10_000
        return width * height / (float(canvas["width"]) * float(canvas["height"]))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return 0.0


def _said(service: Json) -> str:
    """All that a service says of its kind."""
    return " ".join(str(service.get(key, "")) for key in ("type", "@type", "@context", "profile")).lower()


def _is_mark(letter: str) -> bool:
    """Whether it is a sign on another letter, as the vowels of Indian scripts are."""
    return unicodedata.category(letter).startswith("M")


def _manifests_of(collection: Json) -> str:
    listed = [
        each for key in ("items", "manifests", "members", "collections") for each in objects(collection.get(key))
    ]
    lines = [f"  {identity(each)}  {words(each.get('label'))}".rstrip() for each in listed if identity(each)]
    more = [f"  and {len(lines) - 50} more"] if len(lines) > 50 else []
    return "\n".join([*lines[:50], *more]) or "  it names none"
