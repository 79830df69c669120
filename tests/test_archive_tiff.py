"""TIFF: every layout kept, rows read in any portion, pages larger than memory."""

import io
import itertools
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from manuscript_restore.archive import PageDescription, TiffLayout, ifd, open_document, tiff_writer, write_document
from manuscript_restore.errors import UserError
from tests.archive_pages import MODES, copy, noise, pixels

COMPRESSIONS = [None, "lzw", "zlib", "packbits", "zstd", "lzma"]


def write(path, array, *, planar=False, **options):
    channels = array.shape[2]
    data = array[..., 0] if channels == 1 else array
    if planar:
        data, options["planarconfig"] = np.ascontiguousarray(np.moveaxis(data, -1, 0)), "separate"
    if channels in (2, 4):
        options.setdefault("extrasamples", ["unassalpha"])
    options.setdefault("photometric", "rgb" if channels > 2 else "minisblack")
    tifffile.imwrite(path, data, metadata=None, **options)


def layout(path):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        strips = None if page.is_tiled else page.rowsperstrip
        found = (page.compression, page.predictor, page.tile, strips, file.is_bigtiff, file.byteorder)
        return (*found, page.extrasamples, page.photometric)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "channels"), MODES)
@pytest.mark.parametrize("options", [{"rowsperstrip": 9}, {"tile": (32, 16)}, {"rowsperstrip": 37}])
def test_every_layout_is_kept(tmp_path, dtype, channels, options):
    array = noise(dtype, channels)
    for compression, predictor, order in itertools.product(COMPRESSIONS, (False, True), "<>"):
        if predictor and compression in (None, "packbits"):
            continue
        coding = {"compression": compression, "predictor": predictor, "byteorder": order}
        write(tmp_path / "page.tif", array, **coding, **options)
        np.testing.assert_array_equal(pixels(tmp_path / "page.tif"), array)
        assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == []
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "copy.tif").reshape(array.shape), array)
        assert layout(tmp_path / "copy.tif") == layout(tmp_path / "page.tif")


@pytest.mark.parametrize("options", [{"bigtiff": True}, {"planar": True}, {"bigtiff": True, "planar": True}])
@pytest.mark.parametrize("tile", [None, (32, 16)])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_bigtiff_and_separate_planes(tmp_path, options, tile, compression):
    array = noise(np.uint16, 4)
    write(
        tmp_path / "page.tif",
        array,
        tile=tile,
        rowsperstrip=None if tile else 5,
        compression=compression,
        **options,
    )
    np.testing.assert_array_equal(pixels(tmp_path / "page.tif"), array)
    assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == []
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "copy.tif"), array)
    assert layout(tmp_path / "copy.tif") == layout(tmp_path / "page.tif")


@pytest.mark.parametrize("mode", ["1", "L", "P", "PA", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["raw", "jpeg", "group3", "group4", "tiff_ccitt", "tiff_deflate"])
def test_modes_and_compressions_of_libtiff(tmp_path, mode, compression):
    if (compression == "jpeg" and mode in ("1", "P", "PA")) or (
        compression in ("group3", "group4", "tiff_ccitt")
    ) != (mode == "1"):
        return
    Image.fromarray(noise()).convert(mode).save(tmp_path / "page.tif", compression=compression)
    with Image.open(tmp_path / "page.tif") as image:
        target = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}.get(mode, mode)
        expected = np.asarray(image.convert(target))
    read = pixels(tmp_path / "page.tif")
    # Pillow calculates YCbCr in integers, which rounds otherwise.
    np.testing.assert_allclose(read, expected.reshape(read.shape).astype(int), atol=mode == "YCbCr")
    notes = copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    changed = compression in ("jpeg", "group3", "group4", "tiff_ccitt")
    assert any("compression was changed to deflate" in note for note in notes) == changed
    np.testing.assert_array_equal(pixels(tmp_path / "copy.tif"), read)
    with Image.open(tmp_path / "copy.tif") as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(read.shape), read)
        assert image.mode == target


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_0_for_white_is_inverted(tmp_path, dtype):
    array = noise(dtype, 2)
    write(tmp_path / "page.tif", array, photometric="miniswhite")
    read = pixels(tmp_path / "page.tif")
    np.testing.assert_array_equal(read[..., 0], np.iinfo(dtype).max - array[..., 0])
    np.testing.assert_array_equal(read[..., 1], array[..., 1])
    assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == ["grey stored with 0 for white was inverted"]
    np.testing.assert_array_equal(pixels(tmp_path / "copy.tif"), read)


@pytest.mark.parametrize("bits", [2, 4, 10, 12])
def test_other_bit_depths_keep_their_steps(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8 if bits < 8 else np.uint16)[None]
    tifffile.imwrite(tmp_path / "page.tif", values, bitspersample=bits, metadata=None)
    read = pixels(tmp_path / "page.tif").ravel()
    assert read.dtype == values.dtype
    assert read[[0, -1]].tolist() == [0, np.iinfo(read.dtype).max]
    assert len(np.unique(read)) == 2**bits


@pytest.mark.parametrize("alpha", [0, 1, 2])
def test_the_meaning_of_the_fourth_channel_is_kept(tmp_path, alpha):
    write(tmp_path / "page.tif", noise(channels=4), extrasamples=[alpha])
    copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        assert file.pages[0].extrasamples == (alpha,)


def test_several_pages_each_of_its_own_kind(tmp_path):
    arrays = [noise(), noise(np.uint16, 1, 20, 30), noise(channels=4, height=70)]
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for number, array in enumerate(arrays):
            tags = [(285, 2, 0, f"leaf {number}"), (297, 3, 2, (number, 3))]
            data = array[..., 0] if array.shape[2] == 1 else array
            kind = {"photometric": "rgb" if array.shape[2] > 1 else "minisblack", "subfiletype": 2}
            file.write(data, compression=["lzw", None, "zlib"][number], extratags=tags, metadata=None, **kind)
    assert copy(tmp_path / "pages.tif", tmp_path / "copy.tif") == []
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        for number, (page, array) in enumerate(zip(file.pages, arrays, strict=True)):
            np.testing.assert_array_equal(page.asarray().reshape(array.shape), array)
            assert page.tags[285].value == f"leaf {number}"
            assert (page.tags[297].value, page.subfiletype) == ((number, 3), 2)
        assert [int(page.compression) for page in file.pages] == [5, 1, 8]


def by_hand(path, data, tags):
    """A TIFF of one strip by its tags; None leaves one out."""
    directory = ifd.Directory("<")
    for tag, value in {273: (4, 8), 279: (4, len(data)), **tags}.items():
        if value:
            directory.put(tag, *value)
    head = b"II*\0" + struct.pack("<I", 8 + len(data) + len(data) % 2) + data + b"\0" * (len(data) % 2)
    path.write_bytes(head + ifd.to_bytes(directory, len(head)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes(tmp_path, bits):
    numbers = noise(channels=1)[..., 0] >> (8 - bits)
    palette = np.random.default_rng(0).integers(0, 65536, (3, 2**bits))
    steps = numbers[..., None] >> np.arange(bits - 1, -1, -1) & 1
    data = np.packbits(steps.reshape(len(numbers), -1), axis=1).tobytes()
    tags = {256: (4, 53), 257: (4, 37), 258: (3, bits), 259: (3, 1), 262: (3, 3), 277: (3, 1), 278: (4, 37)}
    by_hand(tmp_path / "page.tif", data, {**tags, 320: (3, *palette.ravel())})
    assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == ["palette expanded to RGB"]
    np.testing.assert_array_equal(pixels(tmp_path / "copy.tif"), (palette.T >> 8)[numbers])


YCBCR = {256: (4, 64), 257: (4, 32), 258: (3, 8, 8, 8), 262: (3, 6), 277: (3, 3), 278: (4, 32), 284: (3, 1)}


def test_ycbcr_of_halved_colours(tmp_path):
    data = noise(height=16, width=32, channels=6).tobytes()  # four of Y, Cb and Cr for each 2×2 pixels
    tags = {**YCBCR, 530: (3, 2, 2), 532: (5, 16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)}  # as of a video
    for compression, coded in ((5, imagecodecs.lzw_encode(data)), (1, data)):
        by_hand(tmp_path / "page.tif", coded, {**tags, 259: (3, compression)})
        assert copy(tmp_path / "page.tif", tmp_path / "copy.tif") == ["YCbCr converted to RGB"]
        expected = cv2.imread(str(tmp_path / "page.tif"))[..., ::-1]
        # libtiff cuts scaled Y, Cb and Cr to whole numbers before it makes RGB of them.
        assert np.abs(pixels(tmp_path / "copy.tif").astype(int) - expected).max() <= 3
    by_hand(tmp_path / "page.tif", data[:-1], {**tags, 259: (3, 1)})
    with pytest.raises(UserError, match="truncated or damaged"):
        pixels(tmp_path / "page.tif")


@pytest.mark.parametrize("part", [1, 0.5])
def test_old_style_jpeg(tmp_path, part):
    buffer = io.BytesIO()
    Image.fromarray(noise(height=32, width=64)).save(buffer, "JPEG", subsampling=0)
    data = buffer.getvalue()[: int(len(buffer.getvalue()) * part)]
    tags = {**YCBCR, 259: (3, 6), 512: (3, 1), 513: (4, 8), 514: (4, len(data)), 530: (3, 1, 1)}
    by_hand(tmp_path / "page.tif", data, tags)
    if part < 1:
        with pytest.raises(UserError, match="truncated"):
            pixels(tmp_path / "page.tif")
        return
    notes = copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    assert notes == ["YCbCr converted to RGB", "the compression was changed to deflate, which keeps every pixel"]
    with Image.open(buffer) as image:
        # libtiff's own arithmetic from YCbCr to RGB rounds otherwise.
        assert np.abs(pixels(tmp_path / "copy.tif").astype(int) - np.asarray(image)).max() <= 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_in_any_portions(tmp_path, data):
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 50))
    array = noise(np.uint16, 3, height, width)
    tile = data.draw(st.sampled_from([None, (16, 16), (32, 48), (128, 64)]))
    strips = data.draw(st.integers(1, 100))
    compression = data.draw(st.sampled_from([None, "lzw"]))
    write(tmp_path / "page.tif", array, tile=tile, rowsperstrip=None if tile else strips, compression=compression)
    with open_document(tmp_path / "page.tif") as document:
        (page,) = document.pages
        for _ in range(5):
            top = data.draw(st.integers(0, height - 1))
            bottom = data.draw(st.integers(top + 1, height))
            np.testing.assert_array_equal(page.rows(top, bottom), array[top:bottom])


def test_overlapping_rows_are_decoded_once(tmp_path, monkeypatch):
    write(tmp_path / "page.tif", noise(height=96), rowsperstrip=16, compression="lzw")
    with open_document(tmp_path / "page.tif") as document:
        (page,) = document.pages
        decoded = []
        band = type(page)._band
        monkeypatch.setattr(
            type(page), "_band", lambda self, top, bottom: decoded.append(top) or band(self, top, bottom)
        )
        for top in range(0, 96, 24):
            page.rows(max(top - 10, 0), min(top + 34, 96))
    assert decoded == [0, 16, 32, 48, 64, 80]


def test_strips_of_a_page_from_another_format_are_of_a_handy_size(tmp_path):
    array = np.zeros((3000, 400, 3), np.uint8)
    page = PageDescription(*array.shape, array.dtype)
    write_document(tmp_path / "page.tif", [(page, [array])], format="TIFF")
    with tifffile.TiffFile(tmp_path / "page.tif") as file:
        assert file.pages[0].compression == 8
        assert 256_000 <= file.pages[0].rowsperstrip * 1200 <= 1_000_000


def test_a_large_strip_without_compression_is_split(tmp_path):
    write(tmp_path / "page.tif", np.zeros((1500, 400, 3), np.uint8))
    copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        assert file.pages[0].compression == 1
        assert len(file.pages[0].dataoffsets) > 1


def test_bigtiff_where_offsets_might_not_do(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_writer, "BIG_BYTES", 1000)
    array = noise()
    page = PageDescription(*array.shape, array.dtype, layout=TiffLayout(tile=(16, 16)))
    write_document(tmp_path / "page.tif", [(page, [array])], format="TIFF")
    with tifffile.TiffFile(tmp_path / "page.tif") as file:
        assert file.is_bigtiff
    np.testing.assert_array_equal(pixels(tmp_path / "page.tif"), array)


MEASURE = """
    import sys
    from pathlib import Path
    import imagecodecs, numpy as np, tifffile  # which the archive would import below
    from manuscript_restore.archive import PageDescription, TiffLayout, open_document, write_document

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024  # kB -> MB

    def rows(side):
        row = (np.arange(side * 3) % 251).astype(np.uint8).reshape(1, side, 3)
        for top in range(0, side, 100):
            yield np.repeat(row + np.uint8(top // 100), min(100, side - top), axis=0)

    side, compression, tile, folder = int(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3]), sys.argv[4]
    layout = TiffLayout(compression=compression, predictor=2, tile=tile)
    page = PageDescription(side, side, 3, np.dtype(np.uint8), layout=layout)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = peak()
    write_document(f"{folder}/page.tif", [(page, rows(side))], format="TIFF")
    with open_document(f"{folder}/page.tif") as document:
        (page,) = document.pages
        reads = ((top, page.rows(max(top - 64, 0), min(top + 512, side))) for top in range(0, side, 512))
        blocks = (block[64 if top else 0 :] for top, block in reads)
        write_document(f"{folder}/copy.tif", [(page, blocks)], format="TIFF")
    print(peak() - before)
    with open_document(f"{folder}/copy.tif") as document:
        expected = rows(side)
        for top in range(0, side, 100):
            assert (document.pages[0].rows(top, min(top + 100, side)) == next(expected)).all()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of the memory is Linux's to tell")
@pytest.mark.parametrize(("compression", "tile"), [(8, (256, 256)), (1, None)])
def test_a_large_page_takes_little_memory(tmp_path, compression, tile):
    side = 6000  # 108 MB of pixels
    arguments = [str(side), str(compression), str(tile), str(tmp_path)]
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 60  # MB: 512 rows twice, a row of tiles, and the encoder
