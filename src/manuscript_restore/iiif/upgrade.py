"""Presentation API 2 → 3: one form for all that follows.

Source: https://iiif.io/api/presentation/3.0/change-log/ and the properties' tables of both versions.
"""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_RIGHTS = re.compile(r"https?://(creativecommons\.org|rightsstatements\.org)/")
_HINTS = {"individuals", "paged", "continuous", "non-paged", "facing-pages", "multi-part"}
_DROPPED = {"en": ["Licence"]}


def objects(value: Any) -> list[Json]:
    """The JSON objects of a value that may be one, a list of them, or missing."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def text(value: Any) -> dict[str, list[str]]:
    """A language map of the forms that version 2 has.

    >>> text([{"@value": "Leaf", "@language": "en"}, "12r"])
    {'en': ['Leaf'], 'none': ['12r']}
    """
    found: dict[str, list[str]] = {}
    for each in value if isinstance(value, list) else [value]:
        language = each.get("@language") if isinstance(each, dict) else None
        said = each.get("@value") if isinstance(each, dict) else each
        if isinstance(said, str | int | float):
            found.setdefault(language if isinstance(language, str) else "none", []).append(str(said))
    return found


def upgrade(old: Json) -> Json:
    """A manifest of version 2 as one of version 3; the canvases are those of its first sequence."""
    sequence = next(iter(objects(old.get("sequences"))), {})
    new = _described({**{key: sequence[key] for key in sequence if key not in ("@id", "@type", "label")}, **old})
    new |= {"id": old.get("@id"), "type": "Manifest", "label": text(old.get("label")) or {"none": [""]}}
    start = sequence.get("startCanvas") or old.get("startCanvas")
    if isinstance(start, str):
        new["start"] = {"id": start, "type": "Canvas"}
    new["items"] = [_canvas(canvas) for canvas in objects(sequence.get("canvases"))]
    if structures := _structures(objects(old.get("structures"))):
        new["structures"] = structures
    return new


def _described(old: Json) -> Json:
    """What every resource may have."""
    entries = [
        {"label": text(e.get("label")), "value": text(e.get("value"))} for e in objects(old.get("metadata"))
    ]
    licences = list(_strings(old.get("license")))
    rights = next((each for each in licences if _RIGHTS.match(each)), None)
    entries += [{"label": _DROPPED, "value": {"none": [each]}} for each in licences if each != rights]
    attribution = text(old.get("attribution"))
    behaviours = [hint for hint in _strings(old.get("viewingHint")) if hint in _HINTS]
    logos = list(_linked(old.get("logo"), "Image"))
    agent = (
        {"id": logos[0]["id"], "type": "Agent", "label": attribution or {"none": [""]}, "logo": logos}
        if logos
        else None
    )
    return {
        key: value
        for key, value in {
            "metadata": [entry for entry in entries if entry["label"] and entry["value"]],
            "summary": text(old.get("description")),
            "requiredStatement": {"label": {"en": ["Attribution"]}, "value": attribution} if attribution else None,
            "rights": rights,
            "provider": [agent] if agent else [],
            "homepage": [{"label": {"none": [""]}, **link} for link in _linked(old.get("related"), "Text")],
            "seeAlso": list(_linked(old.get("seeAlso"), "Dataset")),
            "rendering": [{"label": {"none": [""]}, **link} for link in _linked(old.get("rendering"), "Text")],
            "partOf": list(_linked(old.get("within"), "Collection")),
            "thumbnail": list(_linked(old.get("thumbnail"), "Image")),
            "behavior": behaviours,
            "viewingDirection": old.get("viewingDirection"),
            "navDate": old.get("navDate"),
            "service": [_service(service) for service in objects(old.get("service"))],
        }.items()
        if value
    }


def _strings(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        said = each.get("@id") if isinstance(each, dict) else each
        if isinstance(said, str):
            yield said


def _linked(value: Any, kind: str) -> Iterator[Json]:
    """Other resources, each an address or an object with one."""
    for each in value if isinstance(value, list) else [value]:
        link = each if isinstance(each, dict) else {"@id": each}
        if isinstance(link.get("@id"), str):
            new: Json = {"id": link["@id"], "type": kind}
            if isinstance(link.get("format"), str):
                new["format"] = link["format"]
            if kind == "Dataset" and isinstance(link.get("profile"), str):
                new["profile"] = link["profile"]
            if label := text(link.get("label")):
                new["label"] = label
            if services := objects(link.get("service")):
                new["service"] = [_service(service) for service in services]
            yield new


def _service(old: Json) -> Json:
    """A service of version 2 keeps its form, but has to say its type."""
    if "@type" in old or "type" in old:
        return old
    profile = next(_strings(old.get("profile")), "")
    said = f"{old.get('@context', '')} {profile}"
    version = re.search(r"/image(?:-api)?/(?:api/)?([123])|image-api/.*(?:#|/)level|image-api/1", said)
    if version:
        kind = f"ImageService{version[1] or 1}"
    else:
        kind = next(
            (
                name
                for word, name in (("search", "SearchService1"), ("auth", "AuthCookieService1"))
                if word in said
            ),
            "Service",
        )
    return {**old, "@type": kind, **({"profile": profile} if profile else {})}


def _canvas(old: Json) -> Json:
    new: Json = _described(old)
    new |= {"id": old.get("@id"), "type": "Canvas", "label": text(old.get("label")) or {"none": [""]}}
    new |= {side: old[side] for side in ("height", "width") if isinstance(old.get(side), int | float)}
    new["items"] = [{"type": "AnnotationPage", "items": [_painting(each) for each in objects(old.get("images"))]}]
    if others := [{**each, "type": "AnnotationPage"} for each in _linked(old.get("otherContent"), "")]:
        new["annotations"] = others
    return new


def _painting(old: Json) -> Json:
    on = old.get("on")
    for target in objects(on):
        selector = next(iter(objects(target.get("selector"))), {})
        on = f"{target.get('full')}#{selector.get('value', '')}".rstrip("#")
    body = next(iter(objects(old.get("resource"))), {})
    new: Json = {"type": "Annotation", "motivation": "painting", "body": _body(body), "target": on}
    return new if not isinstance(old.get("@id"), str) else {"id": old["@id"], **new}


def _body(old: Json) -> Json:
    kind = old.get("@type")
    if kind == "oa:Choice":
        choices = [*objects(old.get("default")), *objects(old.get("item"))]
        return {
            "type": "Choice",
            "items": [_body(choice) for choice in choices if choice.get("@type") != "oa:Choice"],
        }
    if kind == "oa:SpecificResource":
        return {
            "type": "SpecificResource",
            "source": _body({**next(iter(objects(old.get("full"))), {}), "@type": ""}),
        }
    new: Json = next(_linked(old, "Image"), {"type": "Image"})
    return new | {side: old[side] for side in ("height", "width") if isinstance(old.get(side), int)}


def _structures(old: list[Json]) -> list[Json]:
    """The ranges, which version 2 lists side by side, as a tree."""
    named = {each["@id"]: each for each in old if isinstance(each.get("@id"), str)}
    below = {name for each in old for key in ("ranges", "members") for name in _strings(each.get(key))}
    left = dict(named)

    def tree(name: str, depth: int) -> Json:
        each = left.pop(name)
        new: Json = {
            **_described(each),
            "id": name,
            "type": "Range",
            "label": text(each.get("label")) or {"none": [""]},
        }
        items: list[Json] = []
        for key in each:
            for inner in _strings(each[key]) if key in ("ranges", "canvases", "members") else ():
                if inner in left and depth < 50:  # each once: ranges that hold each other would never end
                    items.append(tree(inner, depth + 1))
                elif inner not in named:
                    items.append(_part(inner))
        return {**new, "items": items}

    return [tree(name, 0) for name in named if name not in below and name in left]


def _part(name: str) -> Json:
    canvas, divider, part = name.partition("#")
    whole: Json = {"id": canvas, "type": "Canvas"}
    media_fragments = "http://www.w3.org/TR/media-frags/"
    selector = {"type": "FragmentSelector", "conformsTo": media_fragments, "value": part}
    return {"type": "SpecificResource", "source": whole, "selector": selector} if divider else whole
