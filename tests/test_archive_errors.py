"""Faults: each a UserError that names the file and the mend; and files that are there whole or not at all."""

import contextlib
import logging
import os
import struct
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from manuscript_restore.archive import PageDescription, open_document, tiff, write_document
from manuscript_restore.archive.png import chunk
from manuscript_restore.errors import UserError
from tests.archive_pages import ICC, XMP, copy, exif, noise, pixels
from tests.test_archive_metadata import SUFFIXES

VARIANTS = [
    *SUFFIXES,
    "J2K",
    "tiled TIFF",
    "plain TIFF",
    "packed TIFF",
    "zstd TIFF",
    "JPEG TIFF",
    "WebP lossless",
    "progressive",
]


def make(path, variant):
    """A file whose pixels fill most of it."""
    array = noise(height=64, width=64)
    page = PageDescription(*array.shape, array.dtype)
    if variant in SUFFIXES:
        write_document(path, [(page, [array])], format=variant)
    elif variant == "J2K":
        path.write_bytes(imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="j2k"))
    elif variant == "progressive":
        Image.fromarray(array).save(path, "JPEG", progressive=True)
    elif variant == "WebP lossless":
        Image.fromarray(array).save(path, "WEBP", lossless=True)
    else:
        options = {
            "tiled TIFF": {"tile": (16, 16), "compression": "lzw"},
            "plain TIFF": {"rowsperstrip": 8},
            "packed TIFF": {"rowsperstrip": 8, "compression": "packbits"},
            "zstd TIFF": {"rowsperstrip": 8, "compression": "zstd"},
            "JPEG TIFF": {"rowsperstrip": 16, "compression": "jpeg"},
        }[variant]
        tifffile.imwrite(path, array, metadata=None, photometric="rgb", **options)
    return path


def refused(path, match):
    """Check that reading is refused, with the file's name, and that a copy leaves nothing behind."""
    target = path.with_name("copy")
    with pytest.raises(UserError, match=match) as caught:
        copy(path, target)
    assert str(path) in str(caught.value)
    assert not [left for left in path.parent.iterdir() if "copy" in left.name]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated_file(tmp_path, variant, part):
    path = make(tmp_path / "page", variant)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(int(len(whole) * part), 20)])
    refused(path, "page: is truncated or damaged .*replace it or remove it")


@pytest.mark.parametrize("variant", ["JPEG", "PNG", "JPEG2000", "progressive"])
def test_half_a_file_filled_up_with_zeros(tmp_path, variant):
    path = make(tmp_path / "page", variant)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    refused(path, "page: is truncated or damaged")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "jpeg"])
def test_a_strip_that_is_too_short(tmp_path, compression):
    options = {"rowsperstrip": 16, "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "page", noise(height=64), compression=compression, **options)
    with tifffile.TiffFile(tmp_path / "page", mode="r+") as file:
        counts = file.pages[0].tags[279]
        counts.overwrite([count // 2 for count in counts.value])
    refused(tmp_path / "page", "is truncated or damaged")


@pytest.mark.parametrize("offset", [0, 65535])
def test_missing_strips(tmp_path, offset):
    tifffile.imwrite(tmp_path / "page", noise(), rowsperstrip=8, compression="zlib", photometric="rgb")
    with tifffile.TiffFile(tmp_path / "page", mode="r+") as file:
        offsets = file.pages[0].tags[273]
        offsets.overwrite([*offsets.value[:-1], offset])
    refused(tmp_path / "page", "is truncated or damaged .*(missing|ends before)")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(variant=st.sampled_from(VARIANTS), data=st.data())
def test_damaged_bytes_give_a_picture_or_a_user_error(tmp_path, variant, data):
    raw = bytearray(make(tmp_path / "page", variant).read_bytes())
    end = len(raw) - 1
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.one_of(st.integers(0, min(end, 400)), st.integers(max(end - 400, 0), end)))
        raw[place] = data.draw(st.integers(0, 255))
    (tmp_path / "page").write_bytes(raw)
    with contextlib.suppress(UserError):
        copy(tmp_path / "page", tmp_path / "copy")


@pytest.mark.parametrize("variant", ["JPEG", "PNG", "TIFF", "WEBP", "JPEG2000"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_metadata_too(tmp_path, variant, data):
    options = {} if variant == "JPEG2000" else {"exif": exif(), "icc_profile": ICC, "xmp": XMP}
    Image.fromarray(noise()).save(tmp_path / "page", variant, **options)
    raw = bytearray((tmp_path / "page").read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        raw[data.draw(st.integers(12, min(len(raw) - 1, 1500)))] = data.draw(st.integers(0, 255))
    (tmp_path / "page").write_bytes(raw)
    for target in ("JPEG", "TIFF", "PNG"):
        with contextlib.suppress(UserError):
            copy(tmp_path / "page", tmp_path / "copy", target)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\); replace it or remove it"),
        (b"Dear Sir, the manuscript", r"is not an image \(JPEG, .*TIFF.*\); replace it or remove it"),
        (b"GIF89a" + bytes(30), "is GIF, which is not read; convert it"),
        (b"\xff\xd8\xff", "is truncated or damaged"),
    ],
)
def test_not_an_image(tmp_path, content, reason):
    (tmp_path / "page.jpg").write_bytes(content)
    refused(tmp_path / "page.jpg", reason)


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in (
        ("gone.png", "cannot be opened .*check the path"),
        ("loop.png", "cannot be opened .*check the path"),
        ("folder.png", "is not a file but a folder; give an image"),
        ("pipe.png", "is not a file but a pipe"),
        ("x" * 300 + ".png", "cannot be opened"),
        ("nul\0.png", "cannot be opened"),
    ):
        with pytest.raises(UserError, match=reason):
            copy(tmp_path / name, tmp_path / "copy.png")


def test_permission_denied(tmp_path, monkeypatch):
    make(tmp_path / "page", "PNG")

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)  # root may read everything
    with (
        pytest.raises(UserError, match=r"page: cannot be opened \(Permission denied\)"),
        open_document(tmp_path / "page"),
    ):
        pass


def test_format_is_told_by_content(tmp_path):
    for variant in SUFFIXES:
        make(tmp_path / "page.jpg", variant)
        with open_document(tmp_path / "page.jpg") as document:
            assert document.format == variant


def huge_header(variant, side):
    if variant == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    if variant == "JPEG":
        frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", side, side) + b"\3\1\x11\0\2\x11\0\3\x11\0"
        return b"\xff\xd8" + frame + b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0\0\xff\xd9"
    if variant == "JPEG2000":
        data = bytearray(imagecodecs.jpeg2k_encode(noise(), level=0, codecformat="j2k"))
        data[8:16] = struct.pack(">II", side, side)
        return bytes(data)
    raise AssertionError(variant)


@pytest.mark.parametrize("variant", ["PNG", "JPEG", "JPEG2000"])
def test_a_bomb_is_refused_by_its_header(tmp_path, variant):
    (tmp_path / "page").write_bytes(huge_header(variant, 60_000))
    refused(tmp_path / "page", "60000×60000 pixels exceed the limit of 500,000,000; split it or scale it down")


def test_a_tiff_larger_than_streaming_allows(tmp_path):
    tifffile.imwrite(tmp_path / "page", noise(), photometric="rgb", compression="zlib", rowsperstrip=37)
    with tifffile.TiffFile(tmp_path / "page", mode="r+") as file:
        file.pages[0].tags[256].overwrite(200_000)
        file.pages[0].tags[257].overwrite(100_000)
        file.pages[0].tags[278].overwrite(100_000)
    refused(tmp_path / "page", "a compressed strip of 200000×100000 pixels exceeds 1.5 GB; save .* tiles")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_animations_are_refused(tmp_path, format):
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / "page", format, save_all=True, append_images=frames[1:])
    refused(
        tmp_path / "page",
        "is animated, .*save its pictures as single files" if format != "GIF" else "is GIF, which is not read",
    )


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (np.zeros((8, 8), np.float32), {}),
        (np.zeros((8, 8), np.float16), {}),
        (np.zeros((8, 8), np.uint32), {}),
        (np.zeros((8, 8), np.int16), {}),
        (np.zeros((8, 8), np.uint8), {"photometric": "cfa"}),
    ],
)
def test_samples_that_would_lose_something(tmp_path, array, options):
    tifffile.imwrite(tmp_path / "page", array, metadata=None, **options)
    refused(tmp_path / "page", "is a TIFF of a rare kind .*convert it to 8- or 16-bit grey or RGB")


def test_more_channels_than_a_copy_could_hold(tmp_path):
    array = np.zeros((8, 8, 7), np.uint8)
    tifffile.imwrite(tmp_path / "page", array, photometric="minisblack", planarconfig="contig", metadata=None)
    refused(tmp_path / "page", "holds 7 channels, of which a copy would keep two; save the others as files")


def test_unknown_compression(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "page", noise(), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(tmp_path / "page", mode="r+") as file:
        file.pages[0].tags[259].overwrite(31234)
    refused(tmp_path / "page", "compression 31234, .*save it with LZW, deflate or no compression")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    refused(tmp_path / "page", "needs imagecodecs to be read; pip install imagecodecs")


@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("big", [False, True])
def test_pages_cut_off_at_the_end(tmp_path, part, big):
    with tifffile.TiffWriter(tmp_path / "page", bigtiff=big) as file:
        for _ in range(3):
            file.write(noise(), photometric="rgb", compression="lzw", metadata=None)
    whole = (tmp_path / "page").read_bytes()
    (tmp_path / "page").write_bytes(whole[: int(len(whole) * part)])
    refused(tmp_path / "page", "page: is truncated or damaged")


def test_several_pictures_in_one_jpeg_2000(tmp_path):
    data = make(tmp_path / "page", "JPEG2000").read_bytes()
    (tmp_path / "page").write_bytes(data + data[data.index(b"jp2c") - 4 :])
    refused(tmp_path / "page", "holds 2 pictures, only one could be kept; save them as single files")


def test_rare_jpegs(tmp_path):
    (tmp_path / "page").write_bytes(imagecodecs.jpeg8_encode(noise(np.uint16) >> 4, bitspersample=12))
    refused(tmp_path / "page", "is a JPEG of a rare kind .*convert it to TIFF")


def test_nothing_is_printed_logged_or_warned(tmp_path, capfd, caplog):
    tifffile.imwrite(tmp_path / "page", noise(), photometric="rgb", extratags=[(270, 2, 0, "ok")], metadata=None)
    data = bytearray((tmp_path / "page").read_bytes())
    data[data.index(b"ok\0")] = 0xFF
    (tmp_path / "page").write_bytes(data)
    Image.fromarray(noise()).save(tmp_path / "2.jpg", exif=b"Exif\0\0garbage", icc_profile=b"broken")
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        copy(tmp_path / "page", tmp_path / "copy.tif")
        copy(tmp_path / "2.jpg", tmp_path / "copy.jpg")
    assert not caught
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_pages_are_read_in_threads(tmp_path):
    arrays = [noise(np.uint16, seed=seed) for seed in range(4)]
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for array in arrays:
            file.write(array, photometric="rgb", compression="lzw", rowsperstrip=3, metadata=None)
    Image.fromarray(noise()).convert("YCbCr").save(tmp_path / "ycc.tif")
    filters = list(warnings.filters)
    start = threading.Barrier(4)

    def read(number):
        start.wait()
        with open_document(tmp_path / "ycc.tif") as document:
            document.pages[0].rows(0, 37)
        return [copy(tmp_path / "pages.tif", tmp_path / f"{number}.tif", step) for step in (None, "TIFF")]

    with open_document(tmp_path / "pages.tif") as document, ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
        rows = list(pool.map(lambda page: page.rows(5, 30), document.pages))
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(rows[number], array[5:30])
        np.testing.assert_array_equal(pixels(tmp_path / "2.tif", number), array)
    assert warnings.filters == filters


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_failing_writer_leaves_the_old_file(tmp_path, format):
    path = make(tmp_path / "page", format)
    before = path.read_bytes()
    page = PageDescription(64, 64, 3, np.dtype(np.uint8))

    def rows():
        yield noise(height=10, width=64)
        raise UserError("the model ran away")

    with pytest.raises(UserError, match="ran away"):
        write_document(path, [(page, rows())], format=format)
    with pytest.raises(ValueError, match="10 rows of a page of 64"):
        write_document(path, [(page, [noise(height=10, width=64)])], format=format)
    with pytest.raises(ValueError, match="page of 64"):
        write_document(path, [(page, [noise(height=65, width=64)])], format=format)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_document_may_be_written_over_itself(tmp_path, format):
    path = make(tmp_path / "page", format)
    before = pixels(path)
    copy(path, path)
    assert np.abs(pixels(path).astype(int) - before).mean() <= (20 if format in ("JPEG", "WEBP") else 0)
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_format_cannot_hold_at_all(tmp_path):
    page = PageDescription(1, 70_000, 1, np.dtype(np.uint8))
    row = np.zeros((1, 70_000, 1), np.uint8)
    for format in ("JPEG", "WEBP"):
        with pytest.raises(UserError, match=r"page: 70000×1 pixels are too many for .*write TIFF"):
            write_document(tmp_path / "page", [(page, [row])], format=format)
    with pytest.raises(UserError, match="page: PNG holds one page, not 2; write TIFF"):
        write_document(tmp_path / "page", [(page, [row])] * 2, format="PNG")
    with pytest.raises(UserError, match=r"page: cannot be written .*check the folder and the disk"):
        write_document(tmp_path / "no folder" / "page", [(page, [row])], format="PNG")
    assert not list(tmp_path.iterdir())


def test_large_strips_without_compression_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "MAX_SEGMENT_BYTES", 1000)
    make(tmp_path / "page", "plain TIFF")
    assert pixels(tmp_path / "page").shape == (64, 64, 3)
    make(tmp_path / "page", "zstd TIFF")
    refused(tmp_path / "page", "a compressed strip")
