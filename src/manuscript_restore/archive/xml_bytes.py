"""XML files with the place of each element in their bytes: an edit there changes nothing else of them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_BYTES = 64 * 2**20
"""Of a file; larger ones are not looked into."""

MAX_ELEMENTS, MAX_DEPTH = 1_000_000, 200
"""Of a file, all and one in the other: each takes memory a hundred times its bytes."""

MAX_NAMES = 1000
"""Attributes of an element, and namespaces that hold there."""

_ENCODINGS = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1")
"""In which markup is the bytes of ASCII."""

_TAG = re.compile(rb"<(?:[^>\"']++|\"[^\"]*\"|'[^']*')*>")
_ATTRIBUTE = re.compile(rb"\s([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")


@dataclass
class Element:
    """An element of a file.

    Attributes:
        name: With its namespace: ``{http://…}name``.
        attributes: Values by their names with namespaces, and without one where they have no prefix.
        spans: Where each of these stands in the bytes, its name included: (start, end).
        start: Of its start tag.
        content: Where its start tag ends.
        content_end: Where its end tag begins.
        end: Behind its end tag. An empty ``<tag/>`` ends where its content would begin.
        text: Its own text up to the first element in it.
        children: The elements in it.
    """

    name: str
    attributes: dict[str, str]
    spans: dict[str, tuple[int, int]]
    start: int
    content: int
    content_end: int = 0
    end: int = 0
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def walk(self) -> Iterator["Element"]:
        """The element and all below it."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)

    def find(self, name: str) -> "Element | None":
        """The first element of a name, itself included."""
        return next((element for element in self.walk() if element.name == name), None)


def parse(data: bytes, *, max_elements: int = MAX_ELEMENTS) -> Element:
    """The root of a file in UTF-8, ASCII or ISO 8859-1.

    Raises:
        ValueError: It is not well-formed, of another encoding, too large, or declares a document type: entities
            can be bombs, or name other files.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES >> 20} MB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("is in UTF-16; write it in UTF-8")
    builder = _Builder(data, max_elements)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return builder.root


def edited(data: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The bytes with some of them replaced: (start, end, by what), none within another.

    >>> edited(b"one two", [(4, 7, b"three"), (0, 0, b"> ")])
    b'> one three'
    """
    parts, at = [], 0
    for start, end, new in sorted(edits):
        parts += [data[at:start], new]
        at = end
    return b"".join([*parts, data[at:]])


class _Builder:
    """Makes the elements of what the parser meets."""

    def __init__(self, data: bytes, max_elements: int) -> None:
        self.root = Element("", {}, {}, 0, 0)
        self._data, self._open = data, list[Element]()
        self._left, self._max_elements = max_elements, max_elements
        self._scopes: list[dict[str, str]] = [{"xml": "http://www.w3.org/XML/1998/namespace"}]
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and encoding.lower() not in _ENCODINGS:
            raise ValueError(f"is in {encoding}; write it in UTF-8")

    def _doctype(self, name: str, system: str | None, public: str | None, has_subset: int) -> None:
        raise ValueError("declares a document type, and so perhaps entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        start = self.parser.CurrentByteIndex
        self._left -= 1
        if self._left < 0 or len(self._open) >= MAX_DEPTH:
            raise ValueError(f"has more than {self._max_elements:,} elements, or {MAX_DEPTH} in each other")
        tag = _TAG.match(self._data, start)
        if tag is None:
            raise ValueError("is in an encoding that is not known; write it in UTF-8")
        scope = self._scopes[-1]
        if new := {
            key[5:].lstrip(":"): uri for key, uri in attributes.items() if key.partition(":")[0] == "xmlns"
        }:
            scope = {**scope, **new}
        if max(len(scope), len(attributes)) > MAX_NAMES:
            raise ValueError(f"has an element of more than {MAX_NAMES:,} attributes or namespaces")
        self._scopes.append(scope)
        named, spans = {}, {}
        places = {match[1]: match.span() for match in _ATTRIBUTE.finditer(tag[0])}
        for key, value in attributes.items():
            if key == "xmlns" or key.startswith("xmlns:"):
                continue
            full = _named(key, scope) if ":" in key else key
            named[full] = value
            if place := places.get(key.encode()):
                spans[full] = (start + place[0], start + place[1])
        element = Element(_named(name, scope), named, spans, start, tag.end())
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        self._scopes.pop()
        if self._data[element.content - 2 : element.content] == b"/>":
            element.content_end = element.end = element.content
        else:
            element.content_end = self.parser.CurrentByteIndex
            element.end = self._data.index(b">", element.content_end) + 1

    def _text(self, text: str) -> None:
        if self._open and not self._open[-1].children:
            self._open[-1].text += text


def _named(name: str, scope: dict[str, str]) -> str:
    prefix, colon, local = name.rpartition(":")
    namespace = scope.get(prefix, "")
    if colon and not namespace:
        raise ValueError(f"the prefix of {name} is not declared")
    return f"{{{namespace}}}{local}" if namespace else local
