"""PDFs: the pictures of their pages are restored, and nothing else changes. The reference is pdfium's drawing."""

import io
import json
import os
import signal
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from manuscript_restore.archive import kinds, open_document
from manuscript_restore.cli import app
from manuscript_restore.inference import Restorer
from tests import stand_in
from tests.pdf_pages import (
    FULL,
    HEIGHT,
    PICTURES,
    WIDTH,
    add_page,
    flate,
    jpeg,
    picture,
    rendered,
    scan,
    text_of,
)
from tests.processes import start


@pytest.fixture(autouse=True)
def darker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restoring makes every page darker by a tenth."""
    monkeypatch.setattr(Restorer, "from_checkpoint", stand_in.load)


def restore(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["restore", *map(str, arguments)], catch_exceptions=False)


def saved(path: Path, *makes: Callable[[pikepdf.Pdf], Any]) -> Path:
    """A PDF with a page for each picture."""
    with pikepdf.new() as pdf:
        for i, make in enumerate(makes):
            add_page(pdf, (make(pdf), FULL), text=f"line {i}")
        pdf.save(path)
    return path


def image_of(path: Path, number: int = 0) -> Any:
    with pikepdf.open(path) as pdf:
        return pikepdf.Dictionary(dict(pdf.pages[number].obj.Resources.XObject.Im0.stream_dict.items()))


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_any_kind_is_restored_in_its_place(kind: str, tmp_path: Path) -> None:
    book = saved(tmp_path / "book.pdf", PICTURES[kind])
    result = restore(book, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out/book.pdf"
    with pikepdf.open(out) as pdf:
        assert pdf.check_pdf_syntax() == []
    before, after = rendered(book).astype(float), rendered(out).astype(float)
    if "inks" in kind:  # pdfium has a table of its own for them; Pillow multiplies, as PDF 1.7 has it (10.3.5)
        plain = drawn_without_table(kind)
        assert np.abs(before - plain).mean() < 15  # the wrong way round it would be 57
        before = plain
    paper = np.full_like(before, 255) if kind == "soft-masked" else 0  # through the mask, white paper shows
    cover = scan(1) / 255 if kind == "soft-masked" else 1
    expected = before - 0.1 * (before - paper * (1 - cover))
    tolerance = 8 if kind.startswith("jpeg") else 2  # a JPEG is encoded again
    assert np.abs(after - expected).mean() < tolerance / 2
    assert np.abs(after - expected).max() <= tolerance
    filters = {"jpe": Name.DCTDecode, "jpx": Name.JPXDecode}
    assert image_of(out).Filter == filters.get(kind[:3], Name.FlateDecode)
    assert text_of(out) == text_of(book) == ["line 0"]


def drawn_without_table(kind: str) -> Any:
    """A picture of inks in RGB."""
    if kind == "indexed-inks":
        palette = np.random.default_rng(4).integers(40, 220, (16, 4), dtype=np.uint8)
        inks = palette[scan(1, 4)[..., 0]]
    else:
        inks = 255 - scan(4) if kind == "jpeg-inks" else scan(4)
    image = Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes())
    return np.asarray(image.convert("RGB")).astype(float)


def grey(pdf: pikepdf.Pdf) -> pikepdf.Stream:
    return flate(pdf, scan(1), 8, Name.DeviceGray)


def full_book(path: Path, **options: Any) -> Path:
    """Three pages with all that a book may have beside its pictures."""
    with pikepdf.new() as pdf:
        for i in range(3):
            page = add_page(pdf, (PICTURES["jpeg"](pdf), FULL), text=f"line {i}")
            page.obj.CropBox = Array([5, 6, 150, 230])
            page.obj.Tabs = Name.S
        pdf.pages[1].obj.Rotate = 90
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Chapter", 1))
        pdf.Root.PageLabels = Dictionary(Nums=Array([0, Dictionary(S=Name.r), 2, Dictionary(S=Name.D)]))
        pdf.Root.StructTreeRoot = pdf.make_indirect(Dictionary(Type=Name.StructTreeRoot))
        pdf.Root.MarkInfo = Dictionary(Marked=True)
        pdf.Root.Lang = pikepdf.String("sa")
        pdf.attachments["../notes/1.txt"] = b"shelf mark"
        with pdf.open_metadata(set_pikepdf_as_editor=False) as metadata:
            metadata["dc:title"] = "Hitopadesha"
        pdf.docinfo["/Producer"] = "a scanner"
        image = pdf.pages[0].obj.Resources.XObject.Im0
        image.Metadata = pdf.make_stream(b"<x/>", Type=Name.Metadata, Subtype=Name.XML)
        image.Interpolate = True
        pdf.save(path, **options)
    return path


def beside_pictures(path: Path) -> dict[str, Any]:
    """All that a PDF has but the pixels of its pictures."""
    with pikepdf.open(path) as pdf:
        pages = [page.obj for page in pdf.pages]
        image = {key: str(value) for key, value in pages[0].Resources.XObject.Im0.stream_dict.items()}
        for key in ("/Length", "/Metadata"):
            image.pop(key)
        with pdf.open_outline() as outline:
            titles = [(item.title, pdf.pages.index(item.destination[0])) for item in outline.root]
        return {
            "boxes": [[list(map(float, page[key])) for key in ("/MediaBox", "/CropBox")] for page in pages],
            "rotated": [page.get("/Rotate", 0) for page in pages],
            "contents": [page.Contents.read_bytes() for page in pages],
            "tabs": [str(page.Tabs) for page in pages],
            "labels": [page.label for page in pdf.pages],
            "outline": titles,
            "attachments": {name: file.get_file().read_bytes() for name, file in pdf.attachments.items()},
            "xmp": pdf.Root.Metadata.read_bytes(),
            "info": {key: str(value) for key, value in pdf.docinfo.items()},
            "tags": [str(pdf.Root.StructTreeRoot.Type), bool(pdf.Root.MarkInfo.Marked), str(pdf.Root.Lang)],
            "picture": image,
            "of the picture": pages[0].Resources.XObject.Im0.Metadata.read_bytes(),
            "encrypted": pdf.is_encrypted,
            "printing": pdf.allow.print_highres,
        }


@pytest.mark.parametrize("encrypted", [False, True])
def test_everything_but_the_pictures_stays(tmp_path: Path, encrypted: bool) -> None:
    rights = pikepdf.Permissions(print_highres=False)
    options = {"encryption": pikepdf.Encryption(owner="mine", user="", allow=rights)} if encrypted else {}
    book = full_book(tmp_path / "book.pdf", **options)
    assert restore(book, "-o", tmp_path / "out", "--no-mark").exit_code == 0
    out = tmp_path / "out/book.pdf"
    assert beside_pictures(out) == beside_pictures(book)
    assert text_of(out) == text_of(book)
    for number in range(3):
        np.testing.assert_allclose(rendered(out, number), 0.9 * rendered(book, number), atol=8)
    assert not encrypted or beside_pictures(out)["encrypted"]


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("packet", ["title", "none", "broken", "PDF/A"])
def test_the_file_says_that_it_was_enhanced(tmp_path: Path, packet: str, encrypted: bool) -> None:
    book = full_book(tmp_path / "first.pdf")
    with pikepdf.open(book) as pdf:
        if packet == "none":
            del pdf.Root.Metadata
        if packet == "broken":
            pdf.Root.Metadata = pdf.make_stream(b"<x:xmpmeta")
        if packet == "PDF/A":
            with pdf.open_metadata() as metadata:
                metadata["pdfaid:part"] = "2"
        options = {"encryption": pikepdf.Encryption(owner="mine", user="")} if encrypted else {}
        pdf.save(tmp_path / "book.pdf", fix_metadata_version=False, **options)
    assert restore(tmp_path / "book.pdf", "-o", tmp_path / "out", "--sidecar").exit_code == 0
    notes = json.loads((tmp_path / "out/book.pdf.json").read_text())["output"]["notes"]
    with pikepdf.open(tmp_path / "book.pdf") as before, pikepdf.open(tmp_path / "out/book.pdf") as after:
        if packet in ("title", "none"):
            with after.open_metadata(set_pikepdf_as_editor=False) as metadata:
                source_type = metadata["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]
                assert source_type.endswith("/algorithmicallyEnhanced")
                assert metadata.get("dc:title") == ("Hitopadesha" if packet == "title" else None)
        else:
            assert after.Root.Metadata.read_bytes() == before.Root.Metadata.read_bytes()
            assert any("not marked" in note or "XMP" in note for note in notes)


def test_the_same_book_gives_the_same_file(tmp_path: Path) -> None:
    book = full_book(tmp_path / "book.pdf")
    for out in ("1", "2"):
        restore(book, "-o", tmp_path / out, "--no-mark")
    assert (tmp_path / "1/book.pdf").read_bytes() == (tmp_path / "2/book.pdf").read_bytes()


def test_a_picture_on_two_pages_is_restored_once(tmp_path: Path) -> None:
    book = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        image = grey(pdf)
        add_page(pdf, (image, FULL))
        add_page(pdf, (image, FULL))
        pdf.save(book)
    result = restore(book, "-o", tmp_path / "out", "--change-map", "--sidecar")
    assert result.exit_code == 0
    with pikepdf.open(tmp_path / "out/book.pdf") as pdf:
        first, second = (page.obj.Resources.XObject.Im0 for page in pdf.pages)
        assert first.objgen == second.objgen
        assert first.BitsPerComponent == 8
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "book.pdf",
        "book.pdf.1.change.png",
        "book.pdf.json",
    ]
    np.testing.assert_allclose(rendered(tmp_path / "out/book.pdf", 1), 0.9 * rendered(book, 1), atol=1)


def test_what_does_not_change_stays_byte_for_byte(tmp_path: Path) -> None:
    book = full_book(tmp_path / "book.pdf")
    assert restore(book, "-o", tmp_path / "out", "--strength", 0).exit_code == 0
    with pikepdf.open(book) as before, pikepdf.open(tmp_path / "out/book.pdf") as after:
        for first, second in zip(before.pages, after.pages, strict=True):
            one, other = (page.obj.Resources.XObject.Im0.read_raw_bytes() for page in (first, second))
            assert one == other


TURNS = {f"{matrix} {rotate}": (matrix, rotate) for rotate in (0, 90, 180, 270) for matrix in (
    FULL, f"-{WIDTH} 0 0 {HEIGHT} {WIDTH} 0", f"{WIDTH} 0 0 -{HEIGHT} 0 {HEIGHT}",
    f"-{WIDTH} 0 0 -{HEIGHT} {WIDTH} {HEIGHT}", f"0 {HEIGHT} {WIDTH} 0 0 0", f"0 -{HEIGHT} {WIDTH} 0 0 {HEIGHT}",
)}  # fmt: skip


@pytest.mark.parametrize(("matrix", "rotate"), TURNS.values(), ids=TURNS)
def test_the_network_sees_the_page_upright(tmp_path: Path, matrix: str, rotate: int) -> None:
    book = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), matrix)).obj.Rotate = rotate
        pdf.save(book)
    with open_document(book) as document:
        picture = Image.fromarray(scan(1)[..., 0])
        picture.getexif()[274] = document.pages[0].orientation
    shown = Image.fromarray(rendered(book)).convert("L")
    seen = ImageOps.exif_transpose(picture).resize(shown.size)
    np.testing.assert_allclose(np.asarray(seen, float), np.asarray(shown, float), atol=12)


def test_the_resolution_is_that_on_the_page(tmp_path: Path) -> None:
    book = tmp_path / "book.pdf"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), "80 0 0 60 10 10"))
        pdf.save(book)
    with open_document(book) as document:
        resolution = document.pages[0].metadata.resolution
    assert resolution is not None
    assert (float(resolution.x), float(resolution.y)) == (144, 288)


def bilevel(pdf: pikepdf.Pdf, **keys: Any) -> pikepdf.Stream:
    file = io.BytesIO()
    Image.fromarray(scan(1)[..., 0] > 128).save(file, "TIFF", compression="group4")
    with Image.open(file) as image:
        data = file.getvalue()[image.tag_v2[273][0] :][: image.tag_v2[279][0]]
    parameters = Dictionary(K=-1, Columns=WIDTH, Rows=HEIGHT)
    return picture(pdf, data, Name.CCITTFaxDecode, Name.DeviceGray, 1, DecodeParms=parameters, **keys)


def small(pdf: pikepdf.Pdf) -> pikepdf.Stream:
    return picture(pdf, bytes(40 * 40), None, Name.DeviceGray, Width=40, Height=40)


def test_what_is_no_scan_is_left_and_named(tmp_path: Path) -> None:
    book, half = tmp_path / "book.pdf", f"{WIDTH} 0 0 {HEIGHT // 2} 0"
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), FULL))
        add_page(pdf, (bilevel(pdf), FULL))
        add_page(pdf)
        add_page(pdf, (grey(pdf), f"{half} 0"), (grey(pdf), f"{half} {HEIGHT // 2}"))
        add_page(pdf, (grey(pdf), FULL), (bilevel(pdf, ImageMask=True, ColorSpace=None), FULL))
        add_page(pdf, (small(pdf), FULL))
        add_page(pdf, (flate(pdf, scan(1), 8, Name.DeviceGray, Mask=Array([0, 9])), FULL))
        add_page(pdf, (flate(pdf, scan(1), 8, Array([Name.Separation, Name.Gold, Name.DeviceGray])), FULL))
        add_page(pdf, (bilevel(pdf), FULL))
        add_page(pdf, (grey(pdf), "60 0 0 200 10 10"), (grey(pdf), "60 0 0 200 90 10"))
        add_page(pdf, (grey(pdf), FULL), (small(pdf), "15 0 0 15 0 0"))
        page = add_page(pdf)
        page.obj.Contents = pdf.make_stream(b"q 9 0 0 9 0 0 cm BI /W 1 /H 1 /BPC 8 /CS /G ID a EI Q")
        pdf.save(book)
    result = restore(book, "-o", tmp_path / "out", "--sidecar")
    assert result.exit_code == 0
    said = " ".join(result.stderr.split())
    for reason in (
        "CCITT (2, 5, 9)", "without a picture (3)", "in pieces or layers (4–5)", "smaller than 100 pixels (6, 11)",
        "with a colour that stands for nothing (7)", "colour space Separation (8)",
        "with a picture in its content (12)",
    ):  # fmt: skip
        assert reason in said
    record = json.loads((tmp_path / "out/book.pdf.json").read_text())
    assert [page["page"] for page in record["pages"]] == ["1", "10", "10.2", "11"]
    assert any("CCITT (2, 5, 9)" in note for note in record["output"]["notes"])
    for number in range(12):
        darker = number in (0, 9, 10)
        before, after = (rendered(path, number).astype(int) for path in (book, tmp_path / "out/book.pdf"))
        assert (np.abs(before - after).max() > 5) == darker, number


def test_a_damaged_picture_is_left_and_the_others_are_restored(tmp_path: Path) -> None:
    book = tmp_path / "book.pdf"
    cut = jpeg(scan())[:-2000]
    with pikepdf.new() as pdf:
        add_page(pdf, (grey(pdf), FULL))
        add_page(pdf, (picture(pdf, cut, Name.DCTDecode, Name.DeviceRGB), FULL))
        add_page(pdf, (picture(pdf, zlib.compress(b"ab"), Name.FlateDecode, Name.DeviceRGB), FULL))
        add_page(pdf, (picture(pdf, jpeg(scan(1)), Name.DCTDecode, Name.DeviceRGB), FULL))
        add_page(pdf, (grey(pdf), FULL))
        pdf.save(book)
    result = restore(book, "-o", tmp_path / "out", "--change-map", "--report", tmp_path / "report.json")
    assert result.exit_code == 1
    assert "1 restored in part" in result.stdout
    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "partly"
    for number in (2, 3, 4):
        assert f"page {number}: is truncated or damaged" in report["reason"]
    assert [page["page"] for page in report["pages"]] == ["1", "5"]
    with pikepdf.open(tmp_path / "out/book.pdf") as pdf:
        assert pdf.pages[1].obj.Resources.XObject.Im0.read_raw_bytes() == cut
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "book.pdf", "book.pdf.1.change.png", "book.pdf.5.change.png"
    ]  # fmt: skip


def test_a_book_that_changes_too_much_is_set_aside(tmp_path: Path) -> None:
    book = full_book(tmp_path / "book.pdf")
    result = restore(book, "-o", tmp_path / "out", "--max-change", 0.1, "--change-map")
    assert result.exit_code == 1
    assert "page 1 changed by CIEDE2000" in " ".join(result.stderr.split())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "book.flagged.pdf", *(f"book.flagged.pdf.{i}.change.png" for i in (1, 2, 3))
    }  # fmt: skip


def test_a_pdf_stays_one_whatever_format_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    full_book(tmp_path / "scans/book.pdf")
    Image.fromarray(scan()).save(tmp_path / "scans/1.png")
    assert restore(tmp_path / "scans", "-o", tmp_path / "out", "--format", "jpg").exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"1.jpg", "book.pdf"}


def test_a_file_of_another_kind_is_not_written(tmp_path: Path) -> None:
    full_book(tmp_path / "book.pdf").rename(tmp_path / "page.tif")
    result = restore(tmp_path / "page.tif", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "page.tif: is PDF, but page.tif would be TIFF; give it a suffix" in result.stderr


def test_what_is_converted_is_said_once_with_its_pages(tmp_path: Path) -> None:
    book = saved(tmp_path / "book.pdf", *[PICTURES["inks"]] * 3)
    restore(book, "-o", tmp_path / "out", "--sidecar")
    record = json.loads((tmp_path / "out/book.pdf.json").read_text())
    assert record["output"]["notes"] == ["CMYK converted to sRGB without a profile, as none is embedded (1–3)"]


def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b'scans \xff \xe0\xa4\xa7"')
    folder.mkdir()
    full_book(tmp_path / "book.pdf").rename(folder / "book.pdf")
    result = restore(folder, "-o", folder / "out")
    assert result.exit_code == 0, result.output
    folder = folder.rename(tmp_path / "scans")  # pdfium takes no such names
    assert rendered(folder / "out/book.pdf").mean() < 0.95 * rendered(folder / "book.pdf").mean()


def test_without_the_extra_it_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scans").mkdir()
    full_book(tmp_path / "scans/book.pdf")
    Image.fromarray(scan()).save(tmp_path / "scans/1.png")
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    result = restore(tmp_path / "scans", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "left out: 1 PDF" in result.stdout
    result = restore(tmp_path / "scans/book.pdf", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "pip install 'manuscript-restore[pdf]'" in result.stderr


def test_a_killed_run_leaves_nothing_half_written(tmp_path: Path) -> None:
    book, out = tmp_path / "book.pdf", tmp_path / "out"
    with pikepdf.new() as pdf:
        for _ in range(20):
            add_page(pdf, (grey(pdf), FULL))
        pdf.save(book)
    arguments = ["restore", str(book), "-o", str(out), "--change-map"]
    process = start(partial(stand_in.main, 0.1), *arguments, said=tmp_path / "said")
    while len(list(out.glob(".*evidence*/*"))) < 3:
        assert process.exitcode is None, (tmp_path / "said").read_text()
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    assert restore(*arguments[1:]).exit_code == 0
    assert sum(1 for _ in out.iterdir()) == 21
    assert not list(out.glob(".*"))
