"""Page images into one PDF without loss: the bytes that went in come out, and pdfium draws what Pillow shows."""

import io
import os
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pikepdf
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from typer.testing import CliRunner, Result

from manuscript_restore.archive.bilevel import BilevelTiff
from manuscript_restore.cli import app
from tests.pdf_pages import rendered, scan

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["pdf", *map(str, arguments)], catch_exceptions=False)


def save_all(folder: Path) -> dict[str, Path]:
    """An image of each kind, at 72 dots an inch, so that a pixel is a point."""
    folder.mkdir()
    rgb, grey, deep, inks = scan(), scan(1), scan(3, 16), scan(4)
    dpi = {"dpi": (72, 72)}
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(rgb).save(folder / "1.jpg", quality=95, icc_profile=SRGB, **dpi)
    Image.fromarray(rgb).save(folder / "2.jpg", quality=95, exif=exif, **dpi)
    Image.fromarray(grey[..., 0]).save(folder / "3.jpg", quality=95, **dpi)
    Image.frombytes("CMYK", (160, 240), inks.tobytes()).save(folder / "4.jpg", quality=95, **dpi)
    (folder / "5.jp2").write_bytes(imagecodecs.jpeg2k_encode(rgb, codecformat="jp2", reversible=True))
    Image.fromarray(rgb).save(folder / "6.png", icc_profile=SRGB, **dpi)
    (folder / "7.png").write_bytes(imagecodecs.png_encode(deep))
    Image.fromarray(np.concatenate([rgb, grey], axis=2), "RGBA").save(folder / "8.png", **dpi)
    tifffile.imwrite(folder / "9.tif", np.stack([rgb, 255 - rgb]), photometric="rgb", resolution=(72, 72))
    mask = BilevelTiff(160)
    mask.add(grey[..., 0] < 128)
    mask.save(folder / "10.tif")
    return {path.stem: path for path in folder.iterdir()}


FILTERS = ["DCT"] * 4 + ["JPX"] + ["Flate"] * 5 + ["CCITTFax"]
LABELS = ["1", "2", "3", "4", "5", "6", "7", "8", "9.1", "9.2", "10"]


def test_every_kind_of_image_is_in_it_without_loss(tmp_path: Path) -> None:
    images, out = save_all(tmp_path / "leaves"), tmp_path / "book.pdf"
    result = run(tmp_path / "leaves", "-o", out, "--dpi", 72)
    assert result.exit_code == 0, result.output
    assert "11 pages" in result.stdout
    with pikepdf.open(out) as pdf:
        assert pdf.check_pdf_syntax() == []
        assert [page.label for page in pdf.pages] == LABELS
        embedded = [page.obj.Resources.XObject.Im0 for page in pdf.pages]
        assert [str(image.Filter) for image in embedded] == [f"/{name}Decode" for name in FILTERS]
        for number in (1, 2, 3, 4):
            assert embedded[number - 1].read_raw_bytes() == images[str(number)].read_bytes()
        assert embedded[4].read_raw_bytes() == images["5"].read_bytes()
        assert embedded[0].ColorSpace[1].read_bytes() == SRGB
        assert embedded[0].ColorSpace.objgen == embedded[5].ColorSpace.objgen  # one profile for all
        with pdf.open_metadata() as metadata:
            assert metadata["dc:title"] == "leaves"
        stored = np.frombuffer(embedded[6].read_bytes(), ">u2").reshape(240, 160, 3)
        np.testing.assert_array_equal(stored, scan(3, 16))
    shown = ImageOps.exif_transpose(Image.open(images["2"])).convert("RGB")
    rgba = Image.open(images["8"])
    white = Image.new("RGBA", rgba.size, "white")
    expected = {
        0: scan(), 1: np.asarray(shown), 2: scan(1), 4: scan(), 5: scan(), 6: scan(),
        7: np.asarray(Image.alpha_composite(white, rgba).convert("RGB")), 8: scan(), 9: 255 - scan(),
        10: np.where(scan(1) < 128, 0, 255),
    }  # fmt: skip
    for number, pixels in expected.items():
        tolerance = 6 if number < 3 else 3 if number == 7 else 2  # pdfium rounds what is transparent
        difference = np.abs(rendered(out, number).astype(int) - pixels)
        assert difference.max() <= tolerance, number
    assert np.abs(rendered(out, 3).astype(int) - Image.open(images["4"]).convert("RGB")).mean() < 15  # inks


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_stand_upright(tmp_path: Path, orientation: int) -> None:
    (tmp_path / "scans").mkdir()
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "scans/page.jpg"
    Image.fromarray(scan()).save(path, quality=95, exif=exif, dpi=(72, 72))
    assert run(tmp_path / "scans", "-o", tmp_path / "book.pdf").exit_code == 0
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)), int)
    assert np.abs(rendered(tmp_path / "book.pdf") - upright).max() <= 6


def test_a_page_is_as_large_as_its_resolution_says(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    Image.fromarray(scan()).save(tmp_path / "scans/1.png", dpi=(144, 288))
    Image.fromarray(np.zeros((20, 30_000), np.uint8)).save(tmp_path / "scans/2.png", dpi=(72, 72))
    run(tmp_path / "scans", "-o", tmp_path / "book.pdf")
    with pikepdf.open(tmp_path / "book.pdf") as pdf:
        first, second = pdf.pages
        np.testing.assert_allclose([float(side) for side in first.MediaBox], [0, 0, 80, 60], atol=0.1)
        assert float(second.MediaBox[2]) * float(second.obj.UserUnit) == pytest.approx(30_000, rel=2e-4)
        assert float(second.MediaBox[2]) <= 14_400


def test_evidence_is_left_out_and_the_order_is_natural(tmp_path: Path) -> None:
    folder = tmp_path / "restored"
    folder.mkdir()
    for name in ("10.png", "2.png", "2.png.change.png", "2.png.ink.tif", "lone.change.png"):
        Image.fromarray(scan()).save(folder / name)
    assert run(folder, "-o", tmp_path / "book.pdf", "--title", "धर्मः").exit_code == 0
    with pikepdf.open(tmp_path / "book.pdf") as pdf:
        assert [page.label for page in pdf.pages] == ["2", "10", "lone.change"]
        with pdf.open_metadata() as metadata:
            assert metadata["dc:title"] == "धर्मः"


def test_evidence_of_a_restored_pdf_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "restored"
    folder.mkdir()
    pikepdf.new().save(folder / "b.pdf")
    Image.fromarray(scan()).save(folder / "b.pdf.1.change.png")
    Image.fromarray(scan()).save(folder / "b.pdf.1.2.damage.png")
    result = run(folder, "-o", tmp_path / "book.pdf")
    assert result.exit_code == 1
    assert "holds evidence of pages, but no page image" in result.stderr
    Image.fromarray(scan()).save(folder / "1.png")
    result = run(folder, "-o", tmp_path / "book.pdf")
    assert result.stdout == f"1 page in {tmp_path / 'book.pdf'}\n"
    assert "left out, as they cannot be read: 1 PDF" in result.stderr
    with pikepdf.open(tmp_path / "book.pdf") as pdf:
        assert [page.label for page in pdf.pages] == ["1"]


def test_what_cannot_be_done_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    folder, out = tmp_path / "scans", tmp_path / "book.pdf"
    folder.mkdir()
    Image.fromarray(scan()).save(folder / "1.png")
    file = io.BytesIO()
    Image.fromarray(scan()).save(file, "PNG")
    assert "must end in .pdf" in run(folder, "-o", tmp_path / "book").stderr
    (folder / "2.png").write_bytes(file.getvalue()[:200])
    result = run(folder, "-o", out)
    assert result.exit_code == 1
    assert "2.png: is truncated or damaged" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans"]
    (folder / "2.png").unlink()
    assert run(folder, "-o", out).exit_code == 0
    assert "is there already; give --overwrite" in run(folder, "-o", out).stderr
    before = out.read_bytes()
    assert run(folder, "-o", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == before  # the same images give the same file


def test_names_of_any_bytes_and_pages_of_any_size(tmp_path: Path) -> None:
    folder = tmp_path / (os.fsdecode(b"scans\xe9") if sys.platform == "linux" else "scans")
    folder.mkdir()
    for name, size in (("a", (5, 9)), (folder.name, (9, 9)), ("wide", (30_000, 2))):
        Image.new("RGB", size, "white").save(folder / f"{name}.png")
    assert run(folder, "-o", tmp_path / "book.pdf").exit_code == 0
    with pikepdf.open(tmp_path / "book.pdf") as pdf:
        assert {page.label for page in pdf.pages} == {"a", folder.name.replace("\udce9", "\\xe9"), "wide"}
        assert [float(side) for side in pdf.pages[0].MediaBox] == pytest.approx([0, 0, 3, 5.4])  # none is smaller


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "scans/a.png")
    result = run(tmp_path / "scans", "-o", tmp_path / "scans/a.png/book.pdf")
    assert result.exit_code == 1
    assert "cannot be made" in result.stderr
