"""The ground truth of a generated page as JSON, plain text and PAGE-XML."""

from typing import Any
from xml.etree import ElementTree

from manuscript_restore.synthesis.generator import GeneratedPage
from manuscript_restore.synthesis.scribe import Box, Line

PAGE_NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
REGION_TYPES = {"text": "paragraph", "folio": "page-number", "gloss": "marginalia"}


def to_text(page: GeneratedPage) -> str:
    """The text by line, main text first, each line ended by a newline."""
    return "".join(f"{line.text}\n" for line in page.lines)


def to_json(page: GeneratedPage) -> dict[str, Any]:
    """Everything but the pictures; boxes are [left, top, right, bottom], points [x, y], in pixels."""
    height, width = page.ink.shape
    return {
        "width": width,
        "height": height,
        "support": page.support,
        "font": page.font.stem,
        "body_px": round(page.body_px, 2),
        "lines": [
            {
                "kind": line.kind,
                "text": line.text,
                "box": list(line.box),
                "baseline": [list(p) for p in line.baseline],
            }
            for line in page.lines
        ],
    }


def to_page_xml(page: GeneratedPage, image_name: str, *, created: str) -> str:
    """A PAGE-XML document (PRImA, schema 2019-07-15), as Transkribus, eScriptorium and OCR-D read it.

    Args:
        page: The page.
        image_name: Path of its picture, as seen from the XML file.
        created: Date and time, ISO 8601.
    """
    height, width = page.ink.shape
    root = ElementTree.Element("PcGts", xmlns=PAGE_NAMESPACE)
    metadata = ElementTree.SubElement(root, "Metadata")
    for name, value in (("Creator", "manuscript_restore"), ("Created", created), ("LastChange", created)):
        ElementTree.SubElement(metadata, name).text = value
    size = {"imageFilename": image_name, "imageWidth": str(width), "imageHeight": str(height)}
    body = ElementTree.SubElement(root, "Page", size)
    for number, lines in enumerate(_regions(page.lines)):
        region = ElementTree.SubElement(body, "TextRegion", id=f"r{number}", type=REGION_TYPES[lines[0].kind])
        boxes = [line.box for line in lines]
        low, high = zip(*boxes, strict=True), zip(*boxes, strict=True)
        left, top, _, _ = map(min, low)
        _, _, right, bottom = map(max, high)
        ElementTree.SubElement(region, "Coords", points=_corners((left, top, right, bottom)))
        for place, line in enumerate(lines):
            element = ElementTree.SubElement(region, "TextLine", id=f"r{number}l{place}")
            ElementTree.SubElement(element, "Coords", points=_corners(line.box))
            points = " ".join(f"{max(0, round(x))},{max(0, round(y))}" for x, y in line.baseline)
            ElementTree.SubElement(element, "Baseline", points=points)
            ElementTree.SubElement(ElementTree.SubElement(element, "TextEquiv"), "Unicode").text = line.text
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _regions(lines: tuple[Line, ...]) -> list[list[Line]]:
    """Lines of the main text together, each of the others by itself."""
    main = [line for line in lines if line.kind == "text"]
    return ([main] if main else []) + [[line] for line in lines if line.kind != "text"]


def _corners(box: Box) -> str:
    left, top, right, bottom = box
    return f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
