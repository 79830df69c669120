"""The mark of enhancement in XMP, as independent readers find it: an RDF parser, ExifTool and libvips."""

import json
import shutil
import subprocess
import time

import numpy as np
import pytest
import pyvips
import rdflib
from PIL import Image

from manuscript_restore.archive import jpeg, open_document, write_pages, xml_bytes
from manuscript_restore.archive.xmp import Mark, marked
from tests.archive_pages import blocks_of, noise, pixels
from tests.test_archive_metadata import SUFFIXES, stored, write_full

MARK = Mark(
    "blatt & 7.tif", "ab" * 32, "manuscript-restore 0.1.0", "2026-05-01T10:00:00+00:00", "strength 1; model <m>"
)
MM, RDF = "http://ns.adobe.com/xap/1.0/mm/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
EVENT, REF = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#", "http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
SOURCE_TYPE = rdflib.URIRef("http://iptc.org/std/Iptc4xmpExt/2008-02-29/DigitalSourceType")
ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
CAMERA = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="camera"> <!-- kept -->\n'
    f' <r:RDF xmlns:r="{RDF}"><r:Description r:about="uuid:7" xmlns:mm="{MM}" xmlns:e="{EVENT}"'
    " xmlns:dc='http://purl.org/dc/elements/1.1/' mm:DocumentID=\"xmp.did:1\"\n   mm:InstanceID='xmp.iid:2'"
    ' xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<dc:title><r:Alt><r:li xml:lang='sa'>भागवत&#xD;&amp;</r:li></r:Alt></dc:title>"
    "<i:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture</i:DigitalSourceType>"
    "<mm:History><r:Seq><r:li r:parseType='Resource'><e:action>created</e:action></r:li></r:Seq></mm:History>"
    "</r:Description></r:RDF></x:xmpmeta>\n" + " " * 3000 + '\n<?xpacket end="w"?>'
).encode()


def graph(packet):
    """The statements of a packet by rdflib, and the node they are about."""
    text = packet[packet.index(b"<x:xmpmeta") : packet.index(b"</x:xmpmeta>")]
    rdf = text[text.index(b">") + 1 :].decode()
    found = rdflib.Graph().parse(data=rdf, format="xml", publicID="base:")
    return found, next(found.subjects(SOURCE_TYPE))


def history(found, about):
    events = found.value(about, rdflib.URIRef(f"{MM}History"))
    return [
        {str(name).removeprefix(EVENT): str(value) for name, value in found.predicate_objects(event)}
        for event in (found.value(events, rdflib.URIRef(f"{RDF}_{i}")) for i in range(1, len(found)))
        if event
    ]


def test_a_new_packet_says_what_was_done():
    notes = []
    found, about = graph(marked(b"", MARK, notes))
    assert notes == []
    assert str(found.value(about, SOURCE_TYPE)) == ENHANCED
    derived = found.value(about, rdflib.URIRef(f"{MM}DerivedFrom"))
    assert {str(value) for value in found.objects(derived)} == {"blatt & 7.tif", "ab" * 32}
    (event,) = history(found, about)
    instance = str(found.value(about, rdflib.URIRef(f"{MM}InstanceID")))
    assert event == {
        "action": "edited",
        "when": MARK.when,
        "softwareAgent": MARK.agent,
        "parameters": MARK.parameters,
        "instanceID": instance,
    }


def test_a_packet_is_extended_and_keeps_all_else():
    notes = []
    done = marked(CAMERA, MARK, notes)
    found, about = graph(done)
    assert str(about) == "uuid:7"  # one resource: all descriptions are of it
    assert [event["action"] for event in history(found, about)] == ["created", "edited"]
    assert [str(value) for value in found.objects(about, SOURCE_TYPE)] == [ENHANCED]
    assert notes == [
        "XMP: the DigitalSourceType was http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    ]
    (document,) = found.objects(about, rdflib.URIRef(f"{MM}DocumentID"))
    assert str(document) != "xmp.did:1"
    assert str(found.value(about, rdflib.URIRef(f"{MM}OriginalDocumentID"))) == "xmp.did:1"
    derived = found.value(about, rdflib.URIRef(f"{MM}DerivedFrom"))
    assert str(found.value(derived, rdflib.URIRef(f"{REF}documentID"))) == "xmp.did:1"
    assert str(found.value(derived, rdflib.URIRef(f"{REF}instanceID"))) == "xmp.iid:2"
    kept = b"<dc:title><r:Alt><r:li xml:lang='sa'>" + "भागवत".encode() + b"&#xD;&amp;</r:li></r:Alt></dc:title>"
    assert kept in done
    assert b"<!-- kept -->" in done
    assert len(done) == len(CAMERA)  # its padding is for that
    again = history(*graph(marked(done, MARK, [])))
    assert [event["action"] for event in again] == ["created", "edited", "edited"]


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='%s'/></x:xmpmeta>" % RDF.encode(),
        CAMERA.replace(b"<r:Seq>", b"<r:Seq/><!--").replace(b"</r:Seq>", b"-->") + bytes(7),
        CAMERA.replace(b"r:about", b"about"),
    ],
    ids=["empty", "empty history", "old about"],
)
def test_packets_of_other_forms_are_extended(packet):
    found, about = graph(marked(packet, MARK, []))
    assert history(found, about)[-1]["action"] == "edited"
    assert str(found.value(about, SOURCE_TYPE)) == ENHANCED


BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(12)
)


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (BOMB + b"]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&m;</x:xmpmeta>", "document type"),
        (b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>", "document type"),
        (CAMERA[:600], "broken"),
        (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><note/></x:xmpmeta>", "no rdf:RDF"),
        (CAMERA.decode().encode("utf-16"), "UTF-8"),
        (b"<x>" + b" " * 17 * 2**20 + b"</x>", "larger"),
        (b"<x " + b" ".join(b"a%d='1'" % i for i in range(200_000)) + b"/>", "more than 1,000"),
        (b"<x>" * 500 + b"</x>" * 500, "200 in each other"),
        (b"<x>" + b"<y/>" * 300_000 + b"</x>", "more than 200,000 elements"),
        (b"<x>" + (b"<y " + b" ".join(b"a%d=''" % i for i in range(900)) + b"/>") * 300 + b"</x>", "no rdf:RDF"),
        (b"\xff\x00nothing of the kind", "broken"),
        (b"<x:a/>", "not declared"),
    ],
    ids=[
        "bomb",
        "external",
        "cut",
        "no RDF",
        "UTF-16",
        "huge",
        "attributes",
        "deep",
        "elements",
        "tags",
        "noise",
        "prefix",
    ],
)
def test_hostile_packets_are_kept_as_they_are(packet, said):
    notes, started = [], time.perf_counter()
    assert marked(packet, MARK, notes) == packet
    assert len(notes) == 1
    assert said in notes[0]
    assert time.perf_counter() - started < 10


def test_many_edits_take_no_time():
    started = time.perf_counter()
    done = xml_bytes.edited(b"ab" * 2**21, ((2 * i, 2 * i + 1, b"") for i in range(40_000)))
    assert done == b"b" * 40_000 + b"ab" * (2**21 - 40_000)
    assert time.perf_counter() - started < 5


def new_xmp(_, packet, notes):
    return marked(packet, MARK, notes)


def write_marked(source, target, format, **options):
    with open_document(source) as document:
        pages = [(page, blocks_of(page)) for page in document.pages]
        return write_pages(target, pages, format=format, name=str(target), new_xmp=new_xmp, **options)


def with_packet(path, packet):
    """A page of noise with a packet, by Pillow or, for JPEG 2000, by libvips."""
    picture = Image.fromarray(noise())
    if path.suffix == ".jp2":
        picture.save(path, quality_mode="dB")
        data = path.read_bytes()
        uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + packet
        path.write_bytes(data[:12] + data[12:32] + (len(uuid) + 8).to_bytes(4, "big") + b"uuid" + uuid + data[32:])
    elif path.suffix == ".png":
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        picture.save(path, pnginfo=info)
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={700: packet})
    else:
        picture.save(path, xmp=packet)
    return path


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("packet", [b"", CAMERA], ids=["none", "a packet"])
@pytest.mark.parametrize("format", SUFFIXES)
def test_exiftool_reads_the_mark(tmp_path, format, packet):
    source, target = tmp_path / f"in{SUFFIXES[format]}", tmp_path / f"out{SUFFIXES[format]}"
    if packet:
        with_packet(source, packet)
    else:
        Image.fromarray(noise()).save(source)
    write_marked(source, target, format)
    command = ["exiftool", "-j", "-struct", "-XMP:all", "-validate", "-warning", str(target)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["DigitalSourceType"] == ENHANCED
    assert found["DerivedFrom"]["FilePath"] == "blatt & 7.tif"
    assert found["History"][-1]["SoftwareAgent"] == MARK.agent
    assert found["DocumentID"] == f"xmp.did:{MARK.identifier}"
    if packet:
        assert found["DerivedFrom"]["DocumentID"] == "xmp.did:1"
        assert [event["Action"] for event in found["History"]] == ["created", "edited"]
        assert "Title-sa" in found
    assert "XMP" not in found.get("Warning", "")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_libvips_finds_the_packet(tmp_path, format):
    source, target = with_packet(tmp_path / f"in{SUFFIXES[format]}", CAMERA), tmp_path / f"out{SUFFIXES[format]}"
    write_marked(source, target, format)
    picture = pyvips.Image.new_from_file(str(target))
    assert picture.get("xmp-data").rstrip(b"\0") == marked(CAMERA, MARK, [])


@pytest.mark.parametrize("format", SUFFIXES)
def test_only_the_packet_changes(tmp_path, format):
    source, plain, target = (tmp_path / f"{name}{SUFFIXES[format]}" for name in ("in", "plain", "out"))
    write_full(source, format)
    data = source.read_bytes()
    note = b"<note>fol. 12 verso</note>"
    rdf = b"<r:RDF xmlns:r='%s'/>" % RDF.encode()
    assert note in data
    with open_document(source) as document:
        packet = document.pages[0].metadata.xmp.replace(note, rdf)
    marked_packet = marked(packet, MARK, [])
    with open_document(source) as document:
        write_pages(plain, [(p, blocks_of(p)) for p in document.pages], format=format, name="plain")
        write_pages(
            target,
            [(p, blocks_of(p)) for p in document.pages],
            format=format,
            name="out",
            new_xmp=lambda *_: marked_packet,
        )
    np.testing.assert_array_equal(pixels(plain), pixels(target))
    before, after = stored(plain, format), stored(target, format)
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1
    if format != "TIFF":
        assert changed[0][1][1].endswith(marked_packet)


def test_each_page_of_a_file_has_an_identifier(tmp_path):
    source, target = tmp_path / "in.tif", tmp_path / "out.tif"
    Image.fromarray(noise()).save(source, save_all=True, append_images=[Image.fromarray(noise(seed=1))])
    with open_document(source) as document:
        pages = [(page, blocks_of(page)) for page in document.pages]

        def second_only(number, packet, notes):
            return marked(packet, Mark("in.tif", "0", "a", "b", "c", number), notes) if number else packet

        write_pages(target, pages, format="TIFF", name="out", new_xmp=second_only)
    with open_document(target) as document:
        packets = [page.metadata.xmp for page in document.pages]
    assert packets[0] == b""  # a page that is left as it is has no mark
    assert ENHANCED.encode() in packets[1]


def test_a_packet_too_long_for_jpeg_stays_as_it_was(tmp_path):
    long = CAMERA.replace(b"<!-- kept -->", b"<!--" + b"x" * 64_000 + b"-->").replace(b" " * 3000, b"")
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    Image.fromarray(noise()).save(source, xmp=long)
    notes = write_marked(source, target, "JPEG")
    assert any("no place for its" in note for note in notes)
    with open_document(target) as document:
        assert document.pages[0].metadata.xmp == long


def test_extended_packets_stay(tmp_path):
    """Extended XMP names itself by the MD5 of its own bytes: it may not change."""
    source, target = tmp_path / "in.jpg", tmp_path / "out.jpg"
    Image.fromarray(noise()).save(source, xmp=CAMERA)
    data = source.read_bytes()
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + bytes(8) + b"<x/>"
    source.write_bytes(data[:2] + jpeg.segment(b"\xe1", extension) + data[2:])
    write_marked(source, target, "JPEG")
    segments = [content for marker, content in jpeg.segments_of(target.read_bytes())[0] if marker == b"\xe1"]
    assert extension in segments


def test_elements_are_found_where_they_are():
    data = "<?xml version='1.0' encoding='UTF-8'?><a é='>' x:b='1' xmlns:x='u:'><c/>ü<x:d >t</x:d></a>".encode()
    root = xml_bytes.parse(data)
    (c, d) = root.children
    assert data[c.start : c.end] == b"<c/>"
    assert data[d.content : d.content_end] == b"t"
    assert data[d.start : d.end] == b"<x:d >t</x:d>"
    assert d.name == "{u:}d"
    assert data[slice(*root.spans["{u:}b"])] == b" x:b='1'"
