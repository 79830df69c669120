"""What stands in and beside a restored page, through the command: the mark, PROV-JSON, PREMIS, PAGE-XML, ALTO."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import prov.model
import pytest
from lxml import etree
from PIL import Image
from typer.testing import CliRunner, Result

from manuscript_restore.archive import open_document
from manuscript_restore.cli import app
from manuscript_restore.inference import Restorer
from manuscript_restore.released import ModelIdentity
from tests import stand_in

PREMIS = {"p": "http://www.loc.gov/premis/v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}
MODEL = ModelIdentity("stand-in", "c0" * 32)
PAGE = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15">\r
  <Page imageHeight = '90' imageFilename = "img/1.png"  imageWidth="130" ><!-- imageFilename="1.png" -->
    <AlternativeImage filename="1.png"/><TextRegion id="r"><Coords points="0,0 129,0 129,89"/></TextRegion>
  </Page></PcGts>
"""
ALTO = """<?xml version="1.0" encoding="ISO-8859-1"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description><MeasurementUnit>pixel</MeasurementUnit>
<sourceImageInformation><fileName>1.png</fileName></sourceImageInformation></Description>
<Layout><Page ID="p" WIDTH="130" HEIGHT="90"><String CONTENT="für" HPOS="3"/></Page></Layout></alto>
""".encode("latin-1")


@pytest.fixture(autouse=True)
def stand_in_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, settings: object, **__: object) -> Restorer:
        return Restorer(stand_in.Darker(), settings=settings, identity=MODEL)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "from_checkpoint", load)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scans" / "1.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (90, 130, 3), dtype=np.uint8)).save(path)
    return path


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, arguments)], catch_exceptions=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def xmp_of(path: Path) -> bytes:
    with open_document(path) as document:
        return document.pages[0].metadata.xmp


@pytest.mark.parametrize("command", ["restore", "watch"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_pages_are_marked_unless_told(scan: Path, tmp_path: Path, command: str, is_marked: bool) -> None:
    arguments = [scan.parent, "-o", tmp_path / "out"] if command == "restore" else [scan.parent, tmp_path / "out"]
    more = ["--once", "--settle", 0] if command == "watch" else []
    assert run(command, *arguments, *more, "--sidecar", *[] if is_marked else ["--no-mark"]).exit_code == 0
    packet = xmp_of(tmp_path / "out/1.png").decode()
    record = json.loads((tmp_path / "out/1.png.json").read_text())
    assert ("algorithmicallyEnhanced" in packet) == is_marked
    assert (sha256(scan) in packet) == is_marked
    assert (MODEL.sha256 in packet) == is_marked
    assert (record["created"] in packet) == is_marked
    assert record["output"]["sha256"] == sha256(tmp_path / "out/1.png")


def test_a_page_at_strength_0_is_not_marked(scan: Path, tmp_path: Path) -> None:
    assert run("restore", scan, "-o", tmp_path / "out", "--strength", 0).exit_code == 0
    assert xmp_of(tmp_path / "out/1.png") == b""


def test_prov_json_is_read_by_prov(scan: Path, tmp_path: Path) -> None:
    assert run("restore", scan, "-o", tmp_path, "--sidecar", "--provenance", "prov").exit_code == 0
    record = json.loads((tmp_path / "1.png.json").read_text())
    document = prov.model.ProvDocument.deserialize(tmp_path / "1.png.prov.json", format="json")
    (derived,) = document.get_records(prov.model.ProvDerivation)
    result, source = (str(value) for _, value in derived.formal_attributes[:2])
    assert result == f"mr:result-{sha256(tmp_path / '1.png')}"
    assert source == f"mr:source-{sha256(scan)}"
    (activity,) = document.get_records(prov.model.ProvActivity)
    assert activity.get_startTime().isoformat() == record["created"]
    assert activity.get_endTime() >= activity.get_startTime()
    used = {
        str(dict(use.formal_attributes)[prov.model.PROV_ATTR_ENTITY])
        for use in document.get_records(prov.model.ProvUsage)
    }
    assert used == {source, f"mr:model-{MODEL.sha256}"}
    assert {str(e.identifier) for e in document.get_records(prov.model.ProvEntity)} == {result, *used}
    (agent,) = document.get_records(prov.model.ProvAgent)
    assert "prov:SoftwareAgent" in {str(kind) for kind in agent.get_asserted_types()}
    again = prov.model.ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document


def test_premis_tells_of_two_files_and_an_event(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    assert run("restore", scan, "-o", out, "--sidecar", "--provenance", "premis").exit_code == 0
    record = json.loads((tmp_path / "out.jpg.json").read_text())
    root = etree.parse(tmp_path / "out.jpg.premis.xml").getroot()

    def texts(path: str) -> list[str]:
        return [element.text for element in root.iterfind(path, PREMIS)]

    assert [child.tag.partition("}")[2] for child in root] == ["object", "object", "event", "agent", "agent"]
    assert texts("p:object//p:messageDigest") == [sha256(scan), sha256(out)]
    assert texts("p:object//p:size") == [str(scan.stat().st_size), str(out.stat().st_size)]
    assert texts("p:object//p:formatName") == ["PNG", "JPEG"]
    assert texts("p:object/p:originalName") == ["1.png", "out.jpg"]
    assert texts("p:object/p:relationship//p:relatedObjectIdentifierValue") == [sha256(scan)]
    assert texts("p:event/p:eventDateTime") == [record["created"]]
    linked = texts("p:event/p:linkingObjectIdentifier/p:linkingObjectIdentifierValue")
    assert linked == [sha256(scan), sha256(out)]
    agents = texts("p:agent/p:agentIdentifier/p:agentIdentifierValue")
    assert texts("p:event/p:linkingAgentIdentifier/p:linkingAgentIdentifierValue") == agents
    assert agents[1] == MODEL.sha256
    assert set(texts("p:object/p:linkingEventIdentifier/p:linkingEventIdentifierValue")) == set(
        texts("p:event/p:eventIdentifier/p:eventIdentifierValue")
    )


def test_an_unknown_form_of_provenance_is_refused(scan: Path, tmp_path: Path) -> None:
    result = run("restore", scan, "-o", tmp_path / "out", "--provenance", "mets")
    assert result.exit_code == 1
    assert "provenance=mets: must be one of prov, premis" in result.stderr


def test_coordinates_are_copied_byte_for_byte(scan: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "xml", tmp_path / "out"
    for name, content in (("page/1.xml", PAGE), ("alto/scan1.xml", ALTO), ("other.xml", b"<x/>")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "lost.xml").symlink_to("nowhere")
    os.mkfifo(folder / "1.xml")  # reading it would wait for ever
    arguments = scan, "-o", out, "--format", "jpg", "--page-xml", folder
    assert run("restore", *arguments).exit_code == 0
    assert (out / "page/1.xml").read_bytes() == PAGE.replace(b'"img/1.png"', b'"1.jpg"')
    assert (out / "alto/scan1.xml").read_bytes() == ALTO.replace(b"<fileName>1.png", b"<fileName>1.jpg")
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["1.jpg", "1.xml", "scan1.xml"]
    etree.parse(out / "page/1.xml")


def test_names_are_written_as_xml(scan: Path, tmp_path: Path) -> None:
    page = scan.rename(scan.with_name("a&b <ü>.png"))
    (scan.parent / "a&b <ü>.xml").write_bytes(ALTO)
    assert run("restore", page, "-o", tmp_path / "out", "--page-xml", scan.parent).exit_code == 0
    root = etree.parse(tmp_path / "out" / "a&b <ü>.xml")
    assert root.find(".//{*}fileName").text == page.name


def test_of_pages_of_one_name_each_has_its_own(scan: Path, tmp_path: Path) -> None:
    for book, height in (("a", b"90"), ("b", b"91")):
        (scan.parent / book).mkdir()
        Image.new("RGB", (130, int(height)), (120, 100, 80)).save(scan.parent / book / "1.png")
        (scan.parent / book / "1.xml").write_bytes(PAGE.replace(b"'90'", b"'%s'" % height))
    scan.unlink()
    out = tmp_path / "out"
    assert run("restore", scan.parent, "-o", out, "--page-xml", scan.parent).exit_code == 0
    assert b"imageHeight = '91'" in (out / "b/1.xml").read_bytes()
    assert b"imageHeight = '90'" in (out / "a/1.xml").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PAGE.replace(b"'90'", b"'900'"), "is of an image of 130×900 pixels, but"),
        (b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + PAGE[57:], "document type"),
        (PAGE[:300], "is no XML that can be copied"),
    ],
)
def test_xml_that_cannot_be_right_is_refused(scan: Path, tmp_path: Path, content: bytes, said: str) -> None:
    (scan.parent / "1.xml").write_bytes(content)
    result = run("restore", scan, "-o", tmp_path / "out", "--page-xml", scan.parent)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "out/1.png").exists()
    assert (scan.parent / "1.xml").read_bytes() == content


def test_the_given_xml_is_never_written_over(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1.xml").write_bytes(PAGE)
    result = run("restore", scan, "-o", tmp_path / "out", "--page-xml", tmp_path / "out")
    assert result.exit_code == 1
    assert "inputs are never overwritten" in " ".join(result.stderr.split())
    assert (tmp_path / "out/1.xml").read_bytes() == PAGE


def test_a_folder_whose_xml_belongs_to_no_page_is_told(scan: Path, tmp_path: Path) -> None:
    folder = tmp_path / "xml"
    folder.mkdir()
    (folder / "f1r.xml").write_bytes(PAGE.replace(b"1.png", b"f1r.png"))
    arguments = "restore", scan.parent, "-o", tmp_path / "out", "--page-xml", folder
    result = run(*arguments)
    assert result.exit_code == 0
    assert "no PAGE-XML or ALTO file there belongs to a page" in " ".join(result.stderr.split())
    assert "belongs to a page" not in run(*arguments).stderr  # nothing is restored: nothing is known
    (folder / "f1r.xml").write_bytes(PAGE)
    assert "belongs to a page" not in run(*arguments, "--overwrite").stderr
