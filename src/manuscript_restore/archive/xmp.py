"""The mark in a page's XMP packet: that it was enhanced by a program, out of which file, by what and when.

Properties: XMP specification part 1 and 2 (ISO 16684-1), IPTC Photo Metadata Standard. All else in a packet stays
byte for byte, but for as much of its padding as the mark takes.
"""

import re
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from manuscript_restore.archive import xml_bytes
from manuscript_restore.archive.xml_bytes import Element

ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
OWN = "urn:manuscript-restore:xmp:"
"""Namespace of what XMP has no property for: the SHA-256 of the source."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MM = "http://ns.adobe.com/xap/1.0/mm/"
_REF, _EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceRef#", "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_NAMESPACES = f'xmlns:rdf="{_RDF}" xmlns:xmpMM="{_MM}" xmlns:stRef="{_REF}" xmlns:stEvt="{_EVENT}"'
_SOURCE_TYPE = f"{{{_IPTC}}}DigitalSourceType"
_REPLACED = {f"{{{_MM}}}DocumentID", f"{{{_MM}}}InstanceID", f"{{{_MM}}}DerivedFrom", _SOURCE_TYPE}
_HISTORY, _ORIGINAL = f"{{{_MM}}}History", f"{{{_MM}}}OriginalDocumentID"
_NEW = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="%s">\n</rdf:RDF></x:xmpmeta>' % _RDF.encode()
_BEGIN, _END = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', b'\n<?xpacket end="w"?>'
MAX_BYTES = 16 * 2**20
"""Of a packet that is looked into."""
MAX_ELEMENTS = 200_000


@dataclass(frozen=True)
class Mark:
    """What a packet is to say.

    Args:
        source: Name of the file that the page was made from.
        source_sha256: Of that file.
        agent: Program and version.
        when: As in ISO 8601.
        parameters: Model, its hash and the settings, for readers.
        number: Of the page in the file, from 0: pages have identifiers of their own.
    """

    source: str
    source_sha256: str
    agent: str
    when: str
    parameters: str
    number: int = 0

    @property
    def identifier(self) -> str:
        """The same for the same page made in the same way at the same time."""
        facts = "\n".join(map(str, (self.source, self.source_sha256, self.agent, self.when, self.parameters)))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, readable(f"{OWN}{facts}\n{self.number}")))


def marked(packet: bytes, mark: Mark, notes: list[str]) -> bytes:
    """A packet with the mark; a new one where there was none.

    What the packet says of its document becomes what the page is derived from; the history goes on. A packet that
    cannot be read is given back as it is, with a note.
    """
    if not packet.strip(b"\0 \r\n"):
        return _BEGIN + _edited(_NEW, mark, notes) + _END
    text = packet.rstrip(b"\0")
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES >> 20} MB")
        done = _edited(text, mark, notes)
    except ValueError as error:
        notes.append(f"the XMP packet {_said(error)}: it was kept as it is, and not marked as enhanced")
        return packet
    closing = max(done.rfind(b"<?xpacket end="), 0)
    padding = closing - len(done[:closing].rstrip())
    spare = max(min(len(done) - len(text), padding - 1), 0)
    return done[: closing - spare] + done[closing:]


def _said(error: ValueError) -> str:
    said = str(error)
    return said if said.startswith(("is ", "declares ", "has ")) else f"is broken ({said})"


def _edited(packet: bytes, mark: Mark, notes: list[str]) -> bytes:
    root = xml_bytes.parse(packet, max_elements=MAX_ELEMENTS)
    rdf = root.find(f"{{{_RDF}}}RDF")
    if rdf is None:
        raise ValueError("has no rdf:RDF")
    descriptions = [child for child in rdf.children if child.name == f"{{{_RDF}}}Description"]
    before = {name: value for d in descriptions for name, value in _values(d).items()}
    if (was := before.get(_SOURCE_TYPE, ENHANCED)) != ENHANCED:
        notes.append(f"XMP: the DigitalSourceType was {was}")
    edits = [(*span, b"") for d in descriptions for name, span in d.spans.items() if name in _REPLACED]
    history = None
    for element in (child for d in descriptions for child in d.children):
        if element.name in _REPLACED:
            edits.append((element.start, element.end, b""))
        elif element.name == _HISTORY:
            history = element.find(f"{{{_RDF}}}Seq") or history
    if history and history.content_end < history.end:
        edits.append((history.content_end, history.content_end, _event(mark).encode()))
        event = ""
    else:
        edits += [(e.start, e.end, b"") for d in descriptions for e in d.children if e.name == _HISTORY]
        event = f"<xmpMM:History><rdf:Seq>{_event(mark)}</rdf:Seq></xmpMM:History>\n"
    about = next((d.attributes[key] for d in descriptions for key in _ABOUT if key in d.attributes), "")
    new = _description(mark, before, about, event).encode()
    if rdf.content_end == rdf.end:  # <rdf:RDF/>
        name = packet[rdf.start + 1 :].split(None, 1)[0].rstrip(b"/>")
        edits.append((rdf.end - 2, rdf.end, b">" + new + b"</" + name + b">"))
    else:
        edits.append((rdf.content_end, rdf.content_end, new))
    done = xml_bytes.edited(packet, edits)
    xml_bytes.parse(done)  # an edit that broke it must not be written
    return done


_ABOUT = (f"{{{_RDF}}}about", "about")


def _values(description: Element) -> dict[str, str]:
    """The simple properties of a description, in either of their forms."""
    return {**description.attributes, **{child.name: child.text.strip() for child in description.children}}


def _event(mark: Mark) -> str:
    return (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" rdf:parseType="Resource">'
        f"<stEvt:action>edited</stEvt:action><stEvt:instanceID>xmp.iid:{mark.identifier}</stEvt:instanceID>"
        f"<stEvt:when>{_text(mark.when)}</stEvt:when><stEvt:softwareAgent>{_text(mark.agent)}</stEvt:softwareAgent>"
        f"<stEvt:parameters>{_text(mark.parameters)}</stEvt:parameters></rdf:li>"
    )


def _description(mark: Mark, before: dict[str, str], about: str, event: str) -> str:
    document, instance = before.get(f"{{{_MM}}}DocumentID"), before.get(f"{{{_MM}}}InstanceID")
    derived = f"<stRef:filePath>{_text(mark.source)}</stRef:filePath>"
    original = before.get(_ORIGINAL) or document
    for name, value in (("documentID", document), ("instanceID", instance), ("originalDocumentID", original)):
        derived += f"<stRef:{name}>{_text(value)}</stRef:{name}>" if value else ""
    derived += f'<own:sha256 xmlns:own="{OWN}">{mark.source_sha256}</own:sha256>'
    kept = f"<xmpMM:OriginalDocumentID>{_text(document)}</xmpMM:OriginalDocumentID>\n" if document else ""
    return (
        f'<rdf:Description rdf:about="{_text(about)}" {_NAMESPACES} xmlns:Iptc4xmpExt="{_IPTC}">\n'
        f"<Iptc4xmpExt:DigitalSourceType>{ENHANCED}</Iptc4xmpExt:DigitalSourceType>\n"
        f"<xmpMM:DocumentID>xmp.did:{mark.identifier}</xmpMM:DocumentID>\n"
        f"<xmpMM:InstanceID>xmp.iid:{mark.identifier}</xmpMM:InstanceID>\n"
        f"{kept if _ORIGINAL not in before else ''}"
        f'<xmpMM:DerivedFrom rdf:parseType="Resource">{derived}</xmpMM:DerivedFrom>\n'
        f"{event}</rdf:Description>\n"
    )


def readable(value: str) -> str:
    """Text that XML has a place for: bytes that are not UTF-8 are escaped, control characters become ``?``."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]", "?", value.encode("utf-8", "backslashreplace").decode())


def _text(value: str) -> str:
    return escape(readable(value), {'"': "&quot;"})
