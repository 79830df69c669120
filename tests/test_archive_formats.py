"""Pixels through every format, mode and bit depth, against Pillow, OpenCV, tifffile and imagecodecs."""

import io
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from manuscript_restore.archive import PageDescription, jp2, open_document, png, write_document
from manuscript_restore.archive.png import chunk
from manuscript_restore.synthesis import generate_page
from tests.archive_pages import ICC, MODES, copy, noise, pixels

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "JPEG2000": ".jp2"}
CHANNEL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def write(path, array, format, **options):
    height, width, channels = array.shape
    page = PageDescription(height, width, channels, array.dtype)
    return write_document(path, [(page, [array])], format=format, **options)


def independent(path, format):
    """The pixels as another library reads them, (h, w, channels)."""
    if format == "TIFF":
        array = tifffile.imread(path)
    elif format == "WEBP":
        with Image.open(path) as image:
            array = np.asarray(image)
    else:
        array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(array.shape[2] if array.ndim == 3 else 1)
        array = array[..., order] if order else array
    return array.reshape(*array.shape[:2], -1)


@pytest.mark.parametrize(("dtype", "channels"), MODES)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG2000"])
def test_lossless_formats_lose_nothing(tmp_path, format, dtype, channels):
    array = noise(dtype, channels)
    path = tmp_path / f"page{SUFFIXES[format]}"
    assert write(path, array, format) == []
    np.testing.assert_array_equal(pixels(path), array)
    if not (channels == 2 and format == "JPEG2000"):  # which OpenCV refuses
        seen = independent(path, format)
        if channels == 2 and seen.shape[2] == 4:  # OpenCV gives grey with alpha as colour
            seen = seen[..., [0, 3]]
        np.testing.assert_array_equal(seen, array)
    copied = tmp_path / f"copy{SUFFIXES[format]}"
    assert copy(path, copied) == []
    np.testing.assert_array_equal(pixels(copied), array)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (40, 30)])
@pytest.mark.parametrize("at_once", [0, 2**30])
def test_png_of_any_size(tmp_path, monkeypatch, at_once, size):
    monkeypatch.setattr(png, "MAX_AT_ONCE", at_once)
    array = noise(np.uint16, 3, *size)
    write(tmp_path / "page.png", array, "PNG")
    np.testing.assert_array_equal(independent(tmp_path / "page.png", "PNG"), array)


@pytest.mark.parametrize("grain", [0, 2])
def test_png_is_as_small_as_that_of_libpng(tmp_path, grain):
    page = generate_page(3, 0, height=256, width=256)
    array = (page + np.random.default_rng(0).normal(0, grain, page.shape)).clip(0, 255).astype(np.uint8)
    write(tmp_path / "page.png", array, "PNG")
    assert (tmp_path / "page.png").stat().st_size < 1.07 * len(imagecodecs.png_encode(array, 5))


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp_stays_lossless(tmp_path, channels):
    array = noise(channels=channels)
    Image.fromarray(array).save(tmp_path / "page.webp", lossless=True, exact=True)
    copy(tmp_path / "page.webp", tmp_path / "copy.webp", quality=50)
    np.testing.assert_array_equal(independent(tmp_path / "copy.webp", "WEBP"), array)
    write(tmp_path / "new.webp", array, "WEBP", quality=100)
    np.testing.assert_array_equal(pixels(tmp_path / "new.webp"), array)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_within_its_quality(tmp_path, mode):
    y, x = np.mgrid[0:90, 0:130]
    smooth = np.stack([x + 40, y + 60, 220 - x], axis=2).astype(np.uint8)
    Image.fromarray(smooth).convert(mode).save(tmp_path / "page.jpg", quality=95, subsampling=0)
    read = pixels(tmp_path / "page.jpg")
    with Image.open(tmp_path / "page.jpg") as image:
        np.testing.assert_array_equal(
            read, np.asarray(image.convert(mode.replace("CMYK", "RGB"))).reshape(read.shape)
        )
    notes = copy(tmp_path / "page.jpg", tmp_path / "copy.jpg", quality=95)
    assert any("CMYK" in note for note in notes) == (mode == "CMYK")
    with Image.open(tmp_path / "copy.jpg") as image:
        assert image.mode == mode.replace("CMYK", "RGB")
        if mode != "L":
            assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # 4:4:4
    assert np.abs(pixels(tmp_path / "copy.jpg").astype(int) - read).max() <= 4  # quality 95 on gradients


@pytest.mark.parametrize("mode", ["1", "P", "PA", "transparent palette", "transparent grey", "transparent RGB"])
def test_png_modes_as_pillow_expands_them(tmp_path, mode):
    picture = Image.fromarray(noise())
    picture.putpixel((0, 0), (1, 2, 3))
    options = {}
    if mode == "transparent palette":
        picture, options = picture.convert("P"), {"transparency": 3}
    elif mode.startswith("transparent"):
        picture = picture.convert("L") if "grey" in mode else picture
        options = {"transparency": picture.getpixel((0, 0))}
    else:
        picture = picture.convert(mode if mode != "PA" else "P")
    picture.save(tmp_path / "page.png", **options)
    read = pixels(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as image:
        expected = np.asarray(image.convert(CHANNEL_MODES[read.shape[2]]))
    np.testing.assert_array_equal(read, expected.reshape(read.shape))
    assert read.shape[2] == {"1": 1, "P": 3, "PA": 3, "transparent grey": 2}.get(mode, 4)
    (note,) = copy(tmp_path / "page.png", tmp_path / "copy.png")
    assert any(word in note for word in ("1-bit", "palette", "transparent"))
    np.testing.assert_array_equal(pixels(tmp_path / "copy.png"), read)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_reach_white(tmp_path, bits):
    values = np.arange(2**bits, dtype=np.uint8)
    row = np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :])
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", len(values), 1, bits, 0, 0, 0, 0))
    body += chunk(b"IDAT", imagecodecs.zlib_encode(b"\0" + row.tobytes())) + chunk(b"IEND", b"")
    (tmp_path / "page.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    tifffile.imwrite(tmp_path / "page.tif", values[None], bitspersample=bits if bits > 1 else 8)
    assert pixels(tmp_path / "page.png").ravel().tolist() == [v * 255 // (2**bits - 1) for v in range(2**bits)]
    if bits > 1:
        np.testing.assert_array_equal(pixels(tmp_path / "page.tif"), pixels(tmp_path / "page.png"))


def cmyk_profile():
    """A usable CMYK profile, made of the classic lookup table of an output device."""
    grid = 2
    inks = np.stack(np.meshgrid(*[np.linspace(0, 1, grid)] * 4, indexing="ij"), axis=-1)
    light = (1 - inks[..., :3]) * (1 - inks[..., 3:])
    grey = light.mean(axis=-1)
    lab = np.stack([grey * 65280, 32768 + 0 * grey, 32768 + 0 * grey], axis=-1).astype(">u2")
    ramp = struct.pack(">2H", 0, 65535)
    table = (
        b"mft2\0\0\0\0"
        + bytes([4, 3, grid, 0])
        + struct.pack(">9i", *[65536 if i % 4 == 0 else 0 for i in range(9)])
    )
    table += struct.pack(">2H", 2, 2) + ramp * 4 + lab.tobytes() + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0ink\0"
    tags, body = [], b""
    for name, data in ((b"A2B0", table), (b"wtpt", white), (b"desc", text), (b"cprt", text)):
        data += b"\0" * (-len(data) % 4)
        tags.append((name, 128 + 4 + 12 * 4 + len(body), len(data)))
        body += data
    directory = struct.pack(">I", 4) + b"".join(struct.pack(">4sII", *tag) for tag in tags)
    size = 128 + len(directory) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12)
    header += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + body


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("usable", [True, False])
def test_cmyk_through_its_profile(tmp_path, dtype, usable):
    array = noise(dtype, 4)
    profile = cmyk_profile() if usable else b"no profile"
    tifffile.imwrite(tmp_path / "page.tif", array, photometric="separated", iccprofile=profile, metadata=None)
    notes = copy(tmp_path / "page.tif", tmp_path / "copy.tif")
    assert notes[0] == f"CMYK converted to sRGB {'through' if usable else 'without'} its profile" + (
        "" if usable else ", which cannot be used"
    )
    read = pixels(tmp_path / "copy.tif")
    assert read.dtype == dtype
    assert read.shape[2] == 3
    with Image.open(tmp_path / "copy.tif") as image:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"])))
    assert "sRGB" in name
    if usable and dtype == np.uint8:
        srgb = ImageCms.createProfile("sRGB")
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = ImageCms.profileToProfile(Image.fromarray(array, "CMYK"), inks, srgb, outputMode="RGB")
        assert np.abs(read.astype(int) - np.asarray(expected)).max() <= 1  # Little CMS twice, rounded twice


def test_cmyk_jpeg_gets_an_srgb_profile(tmp_path):
    Image.fromarray(noise()).convert("CMYK").save(
        tmp_path / "page.jpg", icc_profile=cmyk_profile(), comment=b"kept"
    )
    copy(tmp_path / "page.jpg", tmp_path / "copy.jpg")
    with Image.open(tmp_path / "copy.jpg") as image:
        assert b"RGB XYZ" in image.info["icc_profile"][:40]
        assert image.info["comment"] == b"kept"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [8, 9])
def test_lab(tmp_path, dtype, photometric):
    rgb = np.array([170, 160, 140], np.uint8) + noise(height=8, width=8) // 4  # parchment
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    full = np.iinfo(dtype).max
    coded = np.empty(lab.shape, dtype)
    white = 65280 if dtype == np.uint16 and photometric == 9 else full
    coded[..., 0] = np.rint(lab[..., 0] * white / 100)
    scale = 1 if dtype == np.uint8 else 256
    offset = 128 * scale if photometric == 9 else 0
    coded[..., 1:] = (np.rint(lab[..., 1:] * scale).astype(int) + offset).astype(dtype)
    tifffile.imwrite(tmp_path / "page.tif", coded, photometric=photometric, metadata=None)
    read = pixels(tmp_path / "page.tif").astype(float) * 255 / full
    # OpenCV's white is D65's, the profile's D50's: they differ a little on colours, not on greys.
    assert np.abs(read - rgb).mean() < 2


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_every_format_becomes_every_other(tmp_path, source, target):
    y, x = np.mgrid[0:40, 0:64]
    array = np.stack([x + 40, y + 60, 220 - x], axis=2).astype(np.uint8)
    write(tmp_path / f"page{SUFFIXES[source]}", array, source)
    assert copy(tmp_path / f"page{SUFFIXES[source]}", tmp_path / "copy", target) == []
    with open_document(tmp_path / "copy") as document:
        assert document.format == target
    limit = 6 if {"JPEG", "WEBP"} & {source, target} else 0  # quality 95 on gradients
    assert np.abs(pixels(tmp_path / "copy").astype(int) - array).max() <= limit


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_what_the_format_cannot_hold_is_noted(tmp_path, format):
    notes = write(tmp_path / "page", noise(np.uint16, 2), format)
    assert any("16-bit samples were rounded to 8 bits" in note for note in notes)
    if format == "JPEG":
        assert "transparency was laid over white, JPEG has none" in notes
        opaque = np.full((8, 8, 2), 65535, np.uint16)
        opaque[..., 0] = 25700
        opaque[4:, :, 1] = 0
        write(tmp_path / "page", opaque, format, quality=100)
        assert pixels(tmp_path / "page")[[0, 7], 0, 0].tolist() == [100, 255]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    mode=st.sampled_from(MODES),
    format=st.sampled_from(["PNG", "TIFF", "JPEG2000"]),
)
def test_any_size(tmp_path, height, width, mode, format):
    array = noise(*mode, height, width)
    write(tmp_path / "page", array, format)
    copy(tmp_path / "page", tmp_path / "copy")
    np.testing.assert_array_equal(pixels(tmp_path / "copy"), array)


def test_camera_jpeg_with_a_second_picture(tmp_path):
    picture = Image.fromarray(noise())
    picture.save(tmp_path / "page.jpg", "MPO", save_all=True, append_images=[picture])
    (note,) = copy(tmp_path / "page.jpg", tmp_path / "copy.jpg")
    assert "second picture" in note
    with Image.open(tmp_path / "copy.jpg") as image:
        assert image.format == "JPEG"


def test_a_codestream_stays_one(tmp_path):
    array = noise(np.uint16)
    (tmp_path / "page.j2k").write_bytes(
        imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="j2k")
    )
    copy(tmp_path / "page.j2k", tmp_path / "copy.j2k")
    assert (tmp_path / "copy.j2k").read_bytes().startswith(b"\xff\x4f\xff\x51")
    np.testing.assert_array_equal(pixels(tmp_path / "copy.j2k"), array)


def test_the_same_page_gives_the_same_file(tmp_path):
    Image.fromarray(noise()).convert("CMYK").save(tmp_path / "page.tif", icc_profile=ICC)
    for name in ("1.tif", "2.tif"):
        copy(tmp_path / "page.tif", tmp_path / name)
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "2.tif").read_bytes()


def jpeg2000(coded, shape, *boxes):
    """A file of a codestream with boxes of the header by hand."""
    height, width, channels = shape
    header = jp2.box(b"ihdr", struct.pack(">IIHBBBB", height, width, channels, 7, 7, 0, 0))
    header += b"".join(jp2.box(*box) for box in boxes)
    start = jp2.SIGNATURE + jp2.box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + jp2.box(b"jp2h", header) + jp2.box(b"jp2c", coded)


def test_jpeg_2000_of_12_bits(tmp_path):
    array = noise(np.uint16) >> 4
    coded = imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="jp2", bitspersample=12)
    (tmp_path / "page.jp2").write_bytes(coded)
    assert copy(tmp_path / "page.jp2", tmp_path / "copy.jp2") == ["12-bit samples became 16-bit ones"]
    np.testing.assert_array_equal(pixels(tmp_path / "copy.jp2"), np.rint(array * (65535 / 4095)).astype(np.uint16))


def test_jpeg_2000_with_a_palette(tmp_path):
    array = noise(channels=1)
    palette = noise(height=256, width=1)[:, 0]
    coded = imagecodecs.jpeg2k_encode(array[..., 0], level=0, reversible=True, codecformat="j2k")
    table = struct.pack(">HB3B", 256, 3, 7, 7, 7) + palette.tobytes()
    mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
    space = struct.pack(">BBBI", 1, 0, 0, 16)
    data = jpeg2000(coded, array.shape, (b"pclr", table), (b"cmap", mapping), (b"colr", space))
    (tmp_path / "page.jp2").write_bytes(data)
    assert copy(tmp_path / "page.jp2", tmp_path / "copy.jp2") == ["palette expanded to RGB"]
    np.testing.assert_array_equal(independent(tmp_path / "copy.jp2", "JPEG2000"), palette[array[..., 0]])


def test_jpeg_2000_of_inks(tmp_path):
    array = noise(channels=4)
    coded = imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="j2k", mct=False)
    (tmp_path / "page.jp2").write_bytes(jpeg2000(coded, array.shape, (b"colr", struct.pack(">BBBI", 1, 0, 0, 12))))
    (note,) = copy(tmp_path / "page.jp2", tmp_path / "copy.jp2")
    assert note == "CMYK converted to sRGB without a profile, as none is embedded"
    expected = np.asarray(Image.fromarray(array, "CMYK").convert("RGB")).astype(int)
    assert np.abs(pixels(tmp_path / "copy.jp2") - expected).max() <= 1
    with open_document(tmp_path / "copy.jp2") as document:
        assert b"RGB XYZ" in document.pages[0].metadata.icc[:40]


@pytest.mark.parametrize(("dtype", "channels"), MODES)
def test_interlaced_png(tmp_path, dtype, channels):
    array = noise(dtype, channels)
    rows = b""
    for left, top, across, down in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
    ]:
        rows += b"".join(
            b"\0" + row.astype(f">u{dtype().itemsize}").tobytes() for row in array[top::down, left::across]
        )
    rows += b"".join(b"\0" + row.astype(f">u{dtype().itemsize}").tobytes() for row in array[1::2])
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 8 * dtype().itemsize, kind, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", imagecodecs.zlib_encode(rows)) + chunk(b"IEND", b"")
    (tmp_path / "page.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    np.testing.assert_array_equal(pixels(tmp_path / "page.png"), array)
