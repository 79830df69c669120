"""What a file is by its first bytes: pictures as other libraries write them, and files that are none."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from manuscript_restore import images
from manuscript_restore.archive import kinds
from manuscript_restore.errors import UserError

PAGE = np.full((8, 8, 3), 200, np.uint8)
DNG = [(50706, 1, 4, (1, 4, 0, 0))]


def of(path, data):
    path.write_bytes(data)
    found = kinds.of_file(path)
    return found and found.name


def pillow(format, mode="RGB"):
    buffer = io.BytesIO()
    Image.fromarray(PAGE).convert(mode).save(buffer, format)
    return buffer.getvalue()


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PAGE, photometric="rgb", metadata=None, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "JPEG2000"])
def test_formats_that_are_read(tmp_path, format):
    for name in ("page", "page.scan", "page.jfif", "page.heic"):
        assert of(tmp_path / name, pillow(format)) == format


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("AVIF", pillow("AVIF")),
        ("BMP", pillow("BMP")),
        ("GIF", pillow("GIF")),
        ("Netpbm", pillow("PPM")),
        ("Netpbm", pillow("PPM", "L")),
        ("PDF", pillow("PDF")),
        ("PostScript", pillow("EPS")),
        ("JPEG XL", imagecodecs.jpegxl_encode(PAGE, usecontainer=False)),
        ("JPEG XL", imagecodecs.jpegxl_encode(PAGE, usecontainer=True)),
        ("JPEG-LS", imagecodecs.jpegls_encode(PAGE)),
        ("JPEG XR", imagecodecs.jpegxr_encode(PAGE)),
        ("HEIC", b"\0\0\0\x24ftypheic\0\0\0\0mif1heic"),  # from here on, as their specifications begin
        ("DjVu", b"AT&TFORM\0\0\1\0DJVU"),
        ("Photoshop", b"8BPS\0\1\0\0\0\0\0\0\0\3"),
        ("camera raw", b"II*\0\x10\0\0\0CR\2\0"),
        ("camera raw", b"\0\0\0\x18ftypcrx \0\0\0\1"),
        ("camera raw", b"FUJIFILMCCD-RAW 0201"),
        ("camera raw", tiff(extratags=DNG)),
        ("camera raw", tiff(extratags=DNG, byteorder=">")),
        ("camera raw", tiff(subfiletype=1)),  # a thumbnail comes first
    ],
)
def test_pictures_that_are_not_read(tmp_path, name, data):
    assert of(tmp_path / "page.unknown", data) == name
    kind = kinds.of_file(tmp_path / "page.unknown")
    assert kind.tool in kind.reason


def test_camera_raws_that_look_like_tiff(tmp_path):
    assert of(tmp_path / "page.NEF", tiff()) == "camera raw"
    for data in (tiff(), tiff(bigtiff=True), tiff()[:4], tiff()[:9]):
        assert of(tmp_path / "page.unknown", data) == "TIFF"


@pytest.mark.parametrize(
    "data", [b"", b"x", b"P1 is the first leaf", b"BMC is a shelf mark", b"II", bytes(64), b"<svg/>"]
)
def test_files_that_are_no_pictures(tmp_path, data):
    assert of(tmp_path / "page.unknown", data) is None


def test_a_suffix_that_tells_is_believed(tmp_path):
    assert kinds.of_file(tmp_path / "not there.JPG") == kinds.Kind("JPEG")
    for name in ("page.txt", "page.jpg.json", "page.jpg~", "page.jpg_original", "page.jpg.partial"):
        assert of(tmp_path / name, pillow("JPEG")) is None


def test_a_picture_under_a_wrong_suffix_is_named(tmp_path):
    (tmp_path / "page.jpg").write_bytes(pillow("AVIF"))
    (tmp_path / "page.tif").write_bytes(tiff(extratags=DNG))
    with pytest.raises(UserError, match=r"page\.tif: is camera raw, which is not read; convert it"):
        images.read(tmp_path / "page.tif")
    with pytest.raises(UserError, match=r"page\.jpg: is AVIF, which is not read; convert it .*avifdec"):
        images.read(tmp_path / "page.jpg")


def test_folders_of_pictures_name_what_is_left_out(tmp_path):
    for name, format in {"1.jfif": "JPEG", "2": "PNG", "3.bmp": "BMP", "4.pdf": "PDF", "5.bmp": "BMP"}.items():
        (tmp_path / name).write_bytes(pillow(format))
    with pytest.warns(
        UserWarning, match="textures_dir=.*: left out, as they cannot be read: 2 BMP, 1 PDF; convert"
    ):
        found = images.find_images(tmp_path, key="textures_dir")
    assert [path.name for path in found] == ["1.jfif", "2"]


def test_what_cannot_be_opened_is_none(tmp_path):
    assert kinds.of_file(tmp_path / "gone.unknown") is None
    assert kinds.of_file(tmp_path) is None
