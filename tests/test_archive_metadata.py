"""What is known of a page goes with it: byte for byte within a format, in value to every other."""

import io
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin, PngImagePlugin

from manuscript_restore.archive import (
    Metadata,
    PageDescription,
    Resolution,
    jp2,
    jpeg,
    open_document,
    png,
    webp,
    write_document,
)
from tests.archive_pages import ICC, IPTC, PHOTOSHOP, XMP, copy, exif, metadata, noise, pixels

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "JPEG2000": ".jp2"}


def write_full(path, format):
    """A page with all the metadata that the format takes, written by Pillow where it can."""
    picture = Image.fromarray(noise())
    if format == "JPEG":
        picture.save(path, exif=exif(), icc_profile=ICC, dpi=(300, 200), comment=b"fol. 12", xmp=XMP)
        data = path.read_bytes()
        path.write_bytes(data[:2] + jpeg.segment(b"\xed", jpeg.PHOTOSHOP + PHOTOSHOP) + data[2:])
    elif format == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Author", "the scribe")
        texts.add_text("Description", "a page", zip=True)
        texts.add_itxt("Title", "भागवत", "sa", "शीर्षक", zip=True)
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add(b"gAMA", struct.pack(">I", 45455))
        texts.add(b"tIME", bytes([7, 228, 2, 3, 4, 5, 6]))
        texts.add(b"prVt", b"private", after_idat=True)
        picture.save(path, exif=exif(), icc_profile=ICC, dpi=(300, 200), pnginfo=texts)
    elif format == "TIFF":
        tags = Image.Exif()
        tags.load(exif())
        ifd = {270: "a page", 269: "Bhāgavata", 285: "12v", 297: (3, 9), 306: "2020:02:03 04:05:06", 315: "scribe"}
        for tag, value in {**ifd, 316: "host", 33432: "free", 65001: b"private"}.items():
            tags[tag] = value
        tags[700], tags[33723], tags[34377] = XMP, IPTC, PHOTOSHOP
        picture.save(path, exif=tags, icc_profile=ICC, dpi=(300, 200))
    elif format == "WEBP":
        picture.save(path, exif=exif(), icc_profile=ICC, xmp=XMP, lossless=True)
    else:
        page = PageDescription(*noise().shape, np.dtype(np.uint8))
        known = Metadata(
            icc=ICC, exif=exif(), xmp=XMP, iptc=IPTC, resolution=Resolution(Fraction(300), Fraction(200))
        )
        page = PageDescription(*noise().shape, np.dtype(np.uint8), metadata=known)
        write_document(path, [(page, [noise()])], format="JPEG2000")


@pytest.fixture
def full(tmp_path):
    def make(format):
        path = tmp_path / f"page{SUFFIXES[format]}"
        write_full(path, format)
        return path

    return make


@pytest.mark.parametrize("format", SUFFIXES)
def test_all_that_is_known_is_read(full, format):
    found = metadata(full(format))
    assert found.icc == ICC
    assert found.xmp == XMP
    assert found.resolution is not None
    assert [round(float(value)) for value in (found.resolution.x, found.resolution.y)] == (
        [400, 300] if format == "WEBP" else [300, 200]
    )
    if format not in ("PNG", "WEBP"):
        assert found.iptc == IPTC
    with open_document(full(format)) as document:
        assert document.pages[0].orientation == 6
        assert document.notes == []
    block = Image.Exif()
    block.load(found.exif)
    assert block[0x010F] == "Maker"
    assert block.get_ifd(0x8769)[0x927C] == b"maker's note"
    assert block.get_ifd(0x8825)[2] == (12, 58, 17.5)
    if format == "PNG":
        assert found.texts == (("Author", "the scribe"), ("Description", "a page"), ("Title", "भागवत"))
    if format == "JPEG":
        assert found.texts == (("Comment", "fol. 12"),)


def stored(path, format):
    """Everything in a file but the coded pixels, byte for byte, in its order."""
    data = path.read_bytes()
    if format == "JPEG":
        return [s for s in jpeg.segments_of(data)[0] if 0xE0 <= s[0][0] <= 0xEF or s[0] == b"\xfe"]
    if format == "PNG":
        return [c for c in png.chunks_of(data) if c[0] != b"IDAT"]
    if format == "WEBP":
        return [c for c in webp.chunks_of(data) if c[0] not in (b"VP8 ", b"VP8L")]
    if format == "JPEG2000":
        return [b for b in jp2.boxes_of(data) if b[0] != b"jp2c"]
    structure = {254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 34665, 34853}
    with tifffile.TiffFile(path) as file:
        tags = [tag for tag in file.pages[0].tags if tag.code not in structure]
        return [(tag.code, int(tag.dtype), tag.count, np.asarray(tag.value).tolist()) for tag in tags]


def seen_by_pillow(path):
    with Image.open(path) as image:
        seen = {key: image.info.get(key) for key in ("dpi", "icc_profile", "xmp", "comment", "gamma")}
        tags = {tag: value for tag, value in image.getexif().items() if tag > 270 or image.format != "TIFF"}
        moved = {273, 278, 279, 0x8769, 0x8825}  # where the pixels and the directories lie
        seen["tags"] = {tag: value for tag, value in tags.items() if tag not in moved}
        seen["below"] = [image.getexif().get_ifd(tag) for tag in (0x8769, 0x8825)]
        seen["iptc"], seen["texts"] = IptcImagePlugin.getiptcinfo(image), getattr(image, "text", None)
        return seen


@pytest.mark.parametrize("format", SUFFIXES)
def test_the_same_format_keeps_every_byte(full, tmp_path, format):
    path = full(format)
    with open_document(path) as document:
        (page,) = document.pages
        restored = 255 - page.rows(0, page.height)  # the pixels change, the rest does not
        notes = write_document(tmp_path / "copy", [(page, [restored])], format=format)
    assert notes == []
    assert stored(tmp_path / "copy", format) == stored(path, format)
    assert len(stored(path, format)) > 2
    assert seen_by_pillow(tmp_path / "copy") == seen_by_pillow(path)
    if format != "JPEG":  # of which the coding loses a little
        np.testing.assert_array_equal(pixels(tmp_path / "copy"), restored)


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_every_format_takes_what_it_can(full, tmp_path, source, target):
    notes = copy(full(source), tmp_path / "copy", target)
    before, after = metadata(full(source)), metadata(tmp_path / "copy")
    assert after.icc == ICC
    assert after.xmp == XMP
    for axis in ("x", "y"):
        wanted, got = (float(getattr(known.resolution, axis)) for known in (before, after))
        assert got == pytest.approx(wanted, rel=3e-4)  # PNG counts whole pixels per metre
    if before.iptc and target != "WEBP":
        assert after.iptc == IPTC
    assert any("IPTC" in note for note in notes) == (bool(before.iptc) and target == "WEBP" != source)
    with open_document(tmp_path / "copy") as document:
        assert document.pages[0].orientation == 6
    block = Image.Exif()
    block.load(after.exif)
    assert (block[0x010F], block[0x0131]) == ("Maker", "Scanner 1.0")
    assert block.get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
    assert block.get_ifd(0x8825)[2] == (12, 58, 17.5)
    if source == "PNG" != target:
        assert (block[315], block[270]) == ("the scribe", "a page")
    if source == "TIFF":
        assert (block[306], block[33432], block[285]) == ("2020:02:03 04:05:06", "free", "12v")


@pytest.mark.parametrize("target", SUFFIXES)
def test_pillow_reads_what_was_carried_over(full, tmp_path, target):
    copy(full("JPEG"), tmp_path / "copy", target)
    with Image.open(tmp_path / "copy") as image:
        if target not in ("WEBP",):
            assert image.info["dpi"] == pytest.approx((300, 200), rel=1e-3)
        if target != "JPEG2000":
            assert image.info["icc_profile"] == ICC
            assert image.getexif().get_ifd(0x8825)[1] == "N"
        if target == "TIFF":
            assert image.tag_v2[700] == XMP
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): b"palm leaf 7"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tags_in_both_byte_orders_and_in_bigtiff(tmp_path, order, big):
    tags = [(315, 2, 0, "scribe"), (65002, 3, 3, (1, 2, 3)), (65003, 12, 2, (0.5, -2.0)), (65004, 10, 1, (-1, 3))]
    tags += [(301, 3, 768, tuple(range(768))), (318, 5, 2, (3127, 10000, 3290, 10000))]
    if big:
        tags.append((65005, 16, 1, 2**40))
    page = tmp_path / "page.tif"
    options = {"resolution": ((600, 1), (4000, 7)), "resolutionunit": "CENTIMETER", "iccprofile": ICC}
    tifffile.imwrite(page, noise(), byteorder=order, bigtiff=big, extratags=tags, metadata=None, **options)
    assert copy(page, tmp_path / "copy.tif") == []
    assert stored(tmp_path / "copy.tif", "TIFF") == stored(page, "TIFF")
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        assert (file.byteorder, file.is_bigtiff) == (order, big)
    notes = copy(page, tmp_path / "copy.jpg", "JPEG")
    assert any("65005" in note for note in notes) == big
    with Image.open(tmp_path / "copy.jpg") as image:
        assert (image.getexif()[315], image.getexif()[65002]) == ("scribe", (1, 2, 3))
        assert image.info["dpi"] == pytest.approx((600 * 2.54, 4000 / 7 * 2.54), rel=2e-3)  # JFIF: whole numbers


def test_the_page_with_nothing_known_of_it_gets_nothing(tmp_path):
    with open_document(written(tmp_path / "page.png")) as document:
        assert document.pages[0].metadata == Metadata(format="PNG")
    copy(tmp_path / "page.png", tmp_path / "copy.tif", "TIFF")
    assert stored(tmp_path / "copy.tif", "TIFF") == []


def written(path):
    array = noise()
    write_document(path, [(PageDescription(*array.shape, array.dtype), [array])], format="PNG")
    return path


BROKEN = b"MM\0*\0\0\0\x08\0\x20garbage"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_broken_blocks_do_not_stop_a_page(tmp_path, format):
    Image.fromarray(noise()).save(tmp_path / "page", format, exif=b"Exif\0\0" + BROKEN, icc_profile=b"no profile")
    assert copy(tmp_path / "page", tmp_path / "copy") == []
    found = metadata(tmp_path / "copy")
    assert found.exif == BROKEN
    assert found.icc == b"no profile"
    assert copy(tmp_path / "page", tmp_path / "copy.jp2", "JPEG2000") == []
    assert metadata(tmp_path / "copy.jp2").exif == BROKEN
    notes = copy(tmp_path / "page", tmp_path / "copy.tif", "TIFF")
    assert any("broken EXIF block could not be kept" in note for note in notes)
    assert metadata(tmp_path / "copy.tif").icc == b"no profile"


def test_broken_profile_compression_in_png_is_copied(tmp_path):
    data = written(tmp_path / "page.png").read_bytes()
    broken = png.chunk(b"iCCP", b"name\0\0not deflate") + png.chunk(b"zTXt", b"Comment\0\0not deflate")
    (tmp_path / "page.png").write_bytes(data[:33] + broken + data[33:])
    copy(tmp_path / "page.png", tmp_path / "copy.png")
    assert broken in (tmp_path / "copy.png").read_bytes()


def test_long_profiles_and_blocks_in_jpeg(tmp_path):
    long = np.random.default_rng(0).bytes(200_000)
    Image.fromarray(noise()).save(tmp_path / "page.tif", icc_profile=long, exif=exif())
    page = PageDescription(*noise().shape, np.dtype(np.uint8), metadata=Metadata(icc=long, xmp=long))
    notes = write_document(tmp_path / "page.jpg", [(page, [noise()])], format="JPEG")
    assert notes == ["XMP above JPEG's 64 kB could not be kept"]
    copy(tmp_path / "page.jpg", tmp_path / "copy.jpg")
    for path in ("page.jpg", "copy.jpg"):
        with Image.open(tmp_path / path) as image:
            assert image.info["icc_profile"] == long


def test_unsafe_chunks_and_palette_chunks_are_left_out(tmp_path):
    picture = Image.fromarray(noise()).convert("P")
    info = PngImagePlugin.PngInfo()
    info.add(b"prVT", b"depends on the pixels")
    info.add(b"sBIT", b"\5\6\5")
    picture.save(tmp_path / "page.png", pnginfo=info)
    notes = copy(tmp_path / "page.png", tmp_path / "copy.png")
    assert "chunk prVT could not be kept: it depends on the pixels" in notes
    assert [kind for kind, _ in png.chunks_of((tmp_path / "copy.png").read_bytes())] == [b"IHDR", b"IDAT", b"IEND"]


def test_orientation_said_only_by_xmp(tmp_path):
    xmp = b'<rdf:Description tiff:Orientation="8"/>'
    Image.fromarray(noise()).save(tmp_path / "page.jpg", xmp=xmp)
    with open_document(tmp_path / "page.jpg") as document:
        assert document.pages[0].orientation == 8


def test_photoshops_layers_and_small_copies_are_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "page.tif") as writer:
        layers = [(37724, 7, 6, b"layers")]
        writer.write(noise(), subifds=1, extratags=layers, metadata=None)
        writer.write(noise()[::2, ::2].copy(), subfiletype=1, metadata=None)
        writer.write(noise()[::2, ::2].copy(), subfiletype=1, metadata=None)
    notes = copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    assert [word for word in ("layers", "copies of the page", "copy of a page") if any(word in n for n in notes)]
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        assert len(file.pages) == 1
        assert not {330, 37724} & {tag.code for tag in file.pages[0].tags}


def test_texts_without_a_place_are_noted(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Shelfmark", "MS 12")
    Image.fromarray(noise()).save(tmp_path / "page.png", pnginfo=info)
    assert copy(tmp_path / "page.png", tmp_path / "copy.tif", "TIFF") == ["texts could not be kept: Shelfmark"]


def test_raw_profiles_of_other_writers(tmp_path):
    def raw(kind, data):
        text = f"\n{kind}\n{len(data):8}\n{data.hex()}\n"
        return png.chunk(b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text.encode()))

    data = written(tmp_path / "page.png").read_bytes()
    chunks = raw("exif", b"Exif\0\0" + exif()[6:]) + raw("8bim", PHOTOSHOP)
    (tmp_path / "page.png").write_bytes(data[:33] + chunks + data[33:])
    found = metadata(tmp_path / "page.png")
    assert found.exif == exif()[6:]
    assert found.iptc == IPTC
    buffer = io.BytesIO(found.exif)
    assert buffer.read(2) in (b"II", b"MM")


def test_exif_too_long_for_jpeg_loses_its_longest_values_alone(tmp_path):
    tags = [(65001, 7, 70_000, bytes(70_000)), (315, 2, 0, "scribe"), (274, 3, 1, 6)]
    tifffile.imwrite(tmp_path / "page.tif", noise(), photometric="rgb", extratags=tags, metadata=None)
    notes = copy(tmp_path / "page.tif", tmp_path / "copy.jpg", "JPEG")
    assert notes == ["tag 65001 could not be kept: EXIF holds no more than 65,527 bytes"]
    with Image.open(tmp_path / "copy.jpg") as image:
        assert (image.getexif()[315], image.getexif()[274]) == ("scribe", 6)


def test_a_damaged_tag_is_noted(tmp_path):
    tags = [(315, 2, 0, "the scribe of the page"), (65001, 7, 6, b"kept!!")]
    tifffile.imwrite(tmp_path / "page.tif", noise(), photometric="rgb", extratags=tags, metadata=None)
    data = bytearray((tmp_path / "page.tif").read_bytes())
    place = data.index(struct.pack("<HH", 315, 2))
    data[place + 8 : place + 12] = struct.pack("<I", 2**31)
    (tmp_path / "page.tif").write_bytes(data)
    assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == [
        "tag 315 could not be kept: its value is damaged"
    ]
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        assert file.pages[0].tags[65001].value == b"kept!!"


def test_blocks_that_only_their_own_format_holds(tmp_path):
    array = noise()
    Image.fromarray(array).save(tmp_path / "page.jpg")
    data = (tmp_path / "page.jpg").read_bytes()
    (tmp_path / "page.jpg").write_bytes(data[:2] + jpeg.segment(b"\xeb", b"JP content credentials") + data[2:])
    assert copy(tmp_path / "page.jpg", tmp_path / "copy.jpg") == []
    assert stored(tmp_path / "copy.jpg", "JPEG") == stored(tmp_path / "page.jpg", "JPEG")
    assert copy(tmp_path / "page.jpg", tmp_path / "copy.png", "PNG") == ["could not be kept: APP11 of JPEG"]
    write_document(
        tmp_path / "page.jp2", [(PageDescription(*array.shape, array.dtype), [array])], format="JPEG2000"
    )
    with (tmp_path / "page.jp2").open("ab") as file:
        file.write(jp2.box(b"xml ", b"<mets/>") + jp2.box(b"uuid", bytes(16) + b"private"))
    assert copy(tmp_path / "page.jp2", tmp_path / "copy.jp2") == []
    assert sorted(stored(tmp_path / "copy.jp2", "JPEG2000")) == sorted(stored(tmp_path / "page.jp2", "JPEG2000"))
    notes = copy(tmp_path / "page.jp2", tmp_path / "copy.tif", "TIFF")
    assert notes == [f"could not be kept: xml, uuid {'00' * 16} of JPEG2000"]
