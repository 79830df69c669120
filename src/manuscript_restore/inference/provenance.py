"""The record of a page as archives exchange it: W3C PROV-JSON, or PREMIS 3 (two objects, an event, the agents)."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

from manuscript_restore.archive.xmp import readable
from manuscript_restore.inference.record import as_json

Record = dict[str, Any]

_PREMIS = "http://www.loc.gov/premis/v3"
_TOOL = "manuscript-restore"


def prov_json(record: Record) -> bytes:
    """PROV-JSON (W3C member submission, 2013) of a page's record."""
    tool = f"mr:{_TOOL}"
    source, result = f"mr:source-{record['input']['sha256']}", f"mr:result-{record['output']['sha256']}"
    activity = f"mr:restoring-{_identifier(record)}"
    entities: dict[str, Any] = {
        source: {"prov:label": record["input"]["file"], "mr:sha256": record["input"]["sha256"]},
        result: {"prov:label": record["output"]["file"], "mr:sha256": record["output"]["sha256"]},
    }
    used = [source]
    if model := record["model"]:
        used.append(f"mr:model-{model['sha256']}")
        entities[used[1]] = {"prov:label": model["name"], "mr:sha256": model["sha256"]}
    done = {"prov:startTime": record["created"], "prov:endTime": _end(record), **_parameters(record)}
    software = {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"}
    document = {
        "prefix": {"mr": "urn:manuscript-restore:"},
        "entity": entities,
        "activity": {activity: done},
        "agent": {tool: {"prov:type": software, "prov:label": f"{_TOOL} {_version(record)}"}},
        "used": {f"_:u{i}": {"prov:activity": activity, "prov:entity": e} for i, e in enumerate(used)},
        "wasGeneratedBy": {"_:g": {"prov:entity": result, "prov:activity": activity}},
        "wasDerivedFrom": {
            "_:d": {"prov:generatedEntity": result, "prov:usedEntity": source, "prov:activity": activity}
        },
        "wasAssociatedWith": {"_:a": {"prov:activity": activity, "prov:agent": tool}},
    }
    return as_json(document)


def premis(record: Record) -> bytes:
    """PREMIS 3.0 XML of a page's record."""
    root = ET.Element(
        "premis:premis",
        {
            "xmlns:premis": _PREMIS,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{_PREMIS} https://www.loc.gov/standards/premis/premis.xsd",
            "version": "3.0",
        },
    )
    event = _identifier(record)
    source, result = record["input"]["sha256"], record["output"]["sha256"]
    _object(root, record["input"], [("linkingEventIdentifier", "UUID", event)])
    _object(root, record["output"], [("linkingEventIdentifier", "UUID", event)], derived_from=source)
    done = _add(root, "event")
    _identified(done, "eventIdentifier", "UUID", event)
    _add(done, "eventType", "replication" if source == result else "modification")  # sound pages are copied
    _add(done, "eventDateTime", record["created"])
    detail = "; ".join(f"{key.removeprefix('mr:')}={value}" for key, value in _parameters(record).items())
    _add(_add(done, "eventDetailInformation"), "eventDetail", detail)
    outcome = _add(done, "eventOutcomeInformation")
    _add(outcome, "eventOutcome", "warning" if record["flagged"] else "success")
    if notes := [*record["output"]["notes"], *([record["flagged"]] if record["flagged"] else [])]:
        _add(_add(outcome, "eventOutcomeDetail"), "eventOutcomeDetailNote", "; ".join(notes))
    agents = list(_agents(record))
    for identifier, *_, role in agents:
        _add(_identified(done, "linkingAgentIdentifier", *identifier), "linkingAgentRole", role)
    for sha256, role in ((source, "source"), (result, "outcome")):
        _add(_identified(done, "linkingObjectIdentifier", "SHA-256", sha256), "linkingObjectRole", role)
    for identifier, name, version, _ in agents:
        agent = _add(root, "agent")
        _identified(agent, "agentIdentifier", *identifier)
        _add(agent, "agentName", name)
        _add(agent, "agentType", "software")
        if version:
            _add(agent, "agentVersion", version)
    ET.indent(root, " ")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode").encode() + b"\n"


PROVENANCE: dict[str, tuple[str, Callable[[Record], bytes]]] = {
    "prov": ("prov.json", prov_json),
    "premis": ("premis.xml", premis),
}
"""What a record is written as beside a page: the ending of the file, and what makes it."""


def _identifier(record: Record) -> str:
    """Of the act of restoring: the same whenever the same record is written."""
    facts = f"{record['input']['sha256']} {record['output']['sha256']} {record['created']}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:manuscript-restore:{facts}"))


def _end(record: Record) -> str:
    return (datetime.fromisoformat(record["created"]) + timedelta(seconds=record["seconds"])).isoformat()


def _version(record: Record) -> str:
    return str(record["versions"].get(_TOOL, "unknown"))


def _parameters(record: Record) -> dict[str, Any]:
    """Settings, engine, and how much the pages changed; only what is one value."""
    settings = {
        f"mr:{key}": value for key, value in record["settings"].items() if key != "like" and value is not None
    }
    settings["mr:engine"] = record["backend"]
    if like := record["settings"]["like"]:
        settings["mr:like"] = ", ".join(page["sha256"] for page in like["pages"])
    most = max(page["change_mean"] for page in record["pages"])
    return {**settings, "mr:change_mean": float(most)}


def _agents(record: Record) -> Iterator[tuple[tuple[str, str], str, str, str]]:
    """(identifier, name, version, role) of the tool and of its model."""
    version = _version(record)
    yield ("local", f"{_TOOL} {version}"), _TOOL, version, "executing program"
    if model := record["model"]:
        yield ("SHA-256", model["sha256"]), f"{_TOOL} model {model['name']}", "", "model"


def _object(
    root: ET.Element, file: Record, links: list[tuple[str, str, str]], derived_from: str | None = None
) -> None:
    element = ET.SubElement(root, "premis:object", {"xsi:type": "premis:file"})
    _identified(element, "objectIdentifier", "SHA-256", file["sha256"])
    about = _add(element, "objectCharacteristics")
    fixity = _add(about, "fixity")
    _add(fixity, "messageDigestAlgorithm", "SHA-256")
    _add(fixity, "messageDigest", file["sha256"])
    _add(about, "size", str(file["bytes"]))
    _add(_add(_add(about, "format"), "formatDesignation"), "formatName", file["format"])
    _add(element, "originalName", file["file"])
    if derived_from:
        relation = _add(element, "relationship")
        _add(relation, "relationshipType", "derivation")
        _add(relation, "relationshipSubType", "has source")
        _identified(relation, "relatedObjectIdentifier", "SHA-256", derived_from)
    for name, kind, value in links:
        _identified(element, name, kind, value)


def _identified(parent: ET.Element, name: str, kind: str, value: str) -> ET.Element:
    element = _add(parent, name)
    _add(element, f"{name}Type", kind)
    _add(element, f"{name}Value", value)
    return element


def _add(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, f"premis:{name}")
    if text is not None:
        element.text = readable(text)
    return element
