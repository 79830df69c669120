import contextlib
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from manuscript_restore import images
from manuscript_restore.errors import UserError
from manuscript_restore.images import tensors

SUFFIXES = sorted(images.FORMATS)
LOSSLESS = [".png", ".tif", ".tiff", ".jp2", ".j2k"]


def smooth(height=40, width=64):
    """A picture that lossy formats keep closely: three slow gradients."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x / width, y / height, 1 - x / width]
    return np.stack([(40 + 160 * c).astype(np.uint8) for c in channels], axis=2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_survives_a_round_trip(tmp_path, suffix):
    path = tmp_path / f"page{suffix.upper()}"
    images.write(smooth(), path)
    back = images.read(path)
    assert back.dtype == np.uint8
    assert back.shape == (40, 64, 3)
    # JPEG and WebP at quality 95 move a slow gradient by a few grey levels at most.
    assert np.abs(back.astype(int) - smooth()).max() <= (0 if suffix in LOSSLESS else 6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_png_round_trip_is_exact(tmp_path, array):
    path = tmp_path / "page.png"
    images.write(array, path)
    np.testing.assert_array_equal(images.read(path), array)
    images.write(tensors.to_float(tensors.from_array(array)), path)
    np.testing.assert_array_equal(images.read(path), array)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".tif", mode) for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr")]
    + [(".png", mode) for mode in ("1", "L", "P", "RGB")]
    + [(".jpg", mode) for mode in ("L", "RGB", "CMYK", "YCbCr")],
)
def test_colour_modes_match_pillow(tmp_path, suffix, mode):
    path = tmp_path / f"page{suffix}"
    Image.fromarray(smooth()).convert(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    # Pillow calculates YCbCr in integers, which rounds otherwise.
    np.testing.assert_allclose(images.read(path), expected.astype(int), atol=mode == "YCbCr")
    if mode not in ("1", "P"):
        grey = mode == "L"
        wanted = np.asarray(Image.fromarray(smooth()).convert("L" if grey else "RGB").convert("RGB"))
        assert np.abs(images.read(path).astype(int) - wanted).max() <= 24  # JPEG's halved chroma


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    rgba = np.zeros((8, 12, 4), np.uint8)  # black everywhere
    rgba[:, :4, 3], rgba[:, 4:8, 3] = 255, 128  # opaque, half, nothing
    picture = Image.fromarray(rgba)
    if mode == "P":
        picture = Image.fromarray(np.repeat([[0] * 4 + [1] * 4 + [2] * 4], 8, axis=0).astype(np.uint8), "L")
        picture = picture.convert("P")
        picture.putpalette([0, 0, 0] * 3)
        picture.info["transparency"] = bytes([255, 128, 0])
        picture.save(tmp_path / "page.png", transparency=bytes([255, 128, 0]))
    else:
        picture.convert(mode if mode != "PA" else "LA").save(tmp_path / "page.png")
    row = images.read(tmp_path / "page.png")[3, :, 0]
    assert row[[0, 11]].tolist() == [0, 255]
    assert row[5] == pytest.approx(127, abs=1)


def test_transparent_colour_of_rgb_png_becomes_white(tmp_path):
    array = smooth()
    array[:4] = (1, 2, 3)
    Image.fromarray(array).save(tmp_path / "page.png", transparency=(1, 2, 3))
    assert (images.read(tmp_path / "page.png")[:4] == 255).all()
    np.testing.assert_array_equal(images.read(tmp_path / "page.png")[4:], array[4:])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 128, 257, 32896, 65278, 65535]] * 4, np.uint16)
    Image.fromarray(values).save(tmp_path / f"page{suffix}")
    back = images.read(tmp_path / f"page{suffix}")
    assert back.shape == (4, 6, 3)
    assert back[0, :, 1].tolist() == [0, 0, 1, 128, 254, 255]


def test_big_endian_16_bit_grey(tmp_path):
    tags = {256: (4, 2), 257: (4, 1), 258: (3, 16), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1)}
    tags |= {278: (4, 1), 279: (4, 4)}
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", v, 0) if kind == 3 else struct.pack(">I", v))
        for tag, (kind, v) in sorted(tags.items())
    )
    data = b"MM\0*" + struct.pack(">I", 12) + struct.pack(">HH", 257 * 10, 257 * 200)
    (tmp_path / "page.tif").write_bytes(data + struct.pack(">H", len(tags)) + entries + b"\0" * 4)
    assert images.read(tmp_path / "page.tif")[0, :, 0].tolist() == [10, 200]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[-3.0, 128.0, 255.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 32896.0, 65535.0]], np.float32), [0, 128, 255]),
        (np.zeros((1, 3), np.float32), [0, 0, 0]),
    ],
)
def test_32_bit_grey(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "page.tif")
    assert images.read(tmp_path / "page.tif")[0, :, 2].tolist() == expected


def test_lab(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    picture = ImageCms.profileToProfile(Image.fromarray(smooth()), srgb, lab, outputMode="LAB")
    picture.save(tmp_path / "page.tif")
    difference = np.abs(images.read(tmp_path / "page.tif").astype(int) - smooth())
    # 8 bits of L, a and b are coarser than those of RGB, above all in the dark blues.
    assert difference.max() <= 25
    assert difference.mean() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    upright = np.full((48, 64, 3), 255, np.uint8)
    upright[:16, :16] = (255, 0, 0)
    upright[:16, -16:] = (0, 0, 255)
    undo = {  # how a camera held so would have stored the page: the inverse of the EXIF operation
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo[orientation](upright))
    Image.fromarray(stored).save(tmp_path / f"page{suffix}", exif=exif)
    back = images.read(tmp_path / f"page{suffix}")
    assert back.shape == upright.shape
    assert np.abs(back[4:12, 4:12].astype(int) - (255, 0, 0)).max() < 10
    assert np.abs(back[4:12, -12:-4].astype(int) - (0, 0, 255)).max() < 10


def test_orientation_of_16_bit_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    Image.fromarray(values).save(tmp_path / "page.png", exif=exif)
    np.testing.assert_array_equal(images.read(tmp_path / "page.png")[..., 0], np.rot90(values // 257, -1))


def test_broken_exif_does_not_lose_the_page(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "page.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x20garbage")
    assert images.read(tmp_path / "page.jpg").shape == (40, 64, 3)


def test_several_pages_give_the_first(tmp_path):
    first, second = Image.fromarray(smooth()), Image.new("RGB", (5, 5))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(images.read(tmp_path / "pages.tif"), smooth())


def test_camera_jpeg_with_a_second_picture(tmp_path):
    Image.fromarray(smooth()).save(
        tmp_path / "page.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (5, 5))]
    )
    assert images.read(tmp_path / "page.jpg").shape == (40, 64, 3)


def test_format_is_told_by_content_not_by_suffix(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "page.jpg", "PNG")
    np.testing.assert_array_equal(images.read(tmp_path / "page.jpg"), smooth())


def encoded(tmp_path, suffix):
    rng = np.random.default_rng(0)
    images.write(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), tmp_path / f"whole{suffix}")
    return (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_file(tmp_path, suffix, part):
    whole = encoded(tmp_path, suffix)
    path = tmp_path / f"page{suffix}"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UserError, match=r"page\.\w+: is .*replace it or remove it"):
        images.read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(suffix=st.sampled_from(SUFFIXES), data=st.data())
def test_damaged_bytes_give_a_picture_or_a_user_error(tmp_path, suffix, data):
    raw = bytearray(encoded(tmp_path, suffix))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 400)))] = data.draw(st.integers(0, 255))
    (tmp_path / "page").write_bytes(raw)
    with contextlib.suppress(UserError):
        assert images.read(tmp_path / "page").ndim == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty.*replace it or remove it"),
        (b"not a picture, a letter", "is not an image.*replace it or remove it"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is PostScript, which is not read; convert it"),
    ],
)
def test_not_an_image(tmp_path, content, reason):
    path = tmp_path / "page.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"page\.jpg: {reason}"):
        images.read(path)


def test_missing_file_and_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: cannot be opened"):
        images.read(tmp_path / "gone.png")
    with pytest.raises(UserError, match="is not a file but a folder; give an image"):
        images.read(tmp_path)


def huge_png(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height) if width * height < 1e9 else b""
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.slow
def test_a_large_scan_opens(tmp_path):
    huge_png(tmp_path / "scan.png", 20_000, 5_000)  # above the 89 megapixels at which Pillow warns
    assert images.read(tmp_path / "scan.png").shape == (5_000, 20_000, 3)


@pytest.mark.parametrize("side", [25_000, 300_000])
def test_a_bomb_is_refused(tmp_path, side):
    huge_png(tmp_path / "bomb.png", side, side)
    with pytest.raises(UserError, match=r"bomb\.png.*(exceed|large).*scale it down"):
        images.read(tmp_path / "bomb.png")


def test_no_warning_leaks(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "page.jpg", exif=b"Exif\0\0garbage")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images.read(tmp_path / "page.jpg")
    assert not caught


def test_write_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(UserError, match=r"page\.xyz: unknown image suffix '\.xyz'; use one of .*\.png"):
        images.write(smooth(), tmp_path / "page.xyz")
    with pytest.raises(UserError, match="cannot be written"):
        images.write(smooth(), tmp_path / "no folder" / "page.png")


def test_write_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "page.png"
    images.write(smooth(), path)
    before = path.read_bytes()

    def half(_self, file, *_, **__):
        Path(file).write_bytes(before[:100])
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(UserError, match="No space left"):
        images.write(smooth(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_quality_reaches_the_encoder(tmp_path):
    for quality in (30, 95):
        images.write(smooth(200, 200), tmp_path / f"{quality}.jpg", quality=quality)
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


def test_find_images_in_natural_order(tmp_path):
    for name in ["page10.jpg", "page2.JPG", "page1.png", "b/2.tif", "b10/1.webp", "b9/1.jp2"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in [".hidden.jpg", ".cache/page.jpg", "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in images.find_images(tmp_path)]
    assert found == ["b/2.tif", "b9/1.jp2", "b10/1.webp", "page1.png", "page2.JPG", "page10.jpg"]


def test_find_images_below_a_hidden_folder(tmp_path):
    folder = tmp_path / ".data" / "train"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(b"")
    assert len(images.find_images(str(folder))) == 1


def test_find_images_says_what_it_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"data\.train_dir=.*nowhere: no such folder.*\.jpg"):
        images.find_images(tmp_path / "nowhere", key="data.train_dir")
    with pytest.raises(UserError, match=r"data\.train_dir=.*: no images.*\.jp2"):
        images.find_images(tmp_path, key="data.train_dir")


def test_tensors():
    values = torch.arange(256, dtype=torch.uint8)
    assert tensors.to_float(values).dtype == torch.float32
    assert tensors.to_float(values)[[0, 255]].tolist() == [0, 1]
    assert torch.equal(tensors.to_uint8(tensors.to_float(values)), values)
    assert tensors.to_uint8(torch.tensor([-1.0, 0.499 / 255, 0.501 / 255, 2.0])).tolist() == [0, 0, 1, 255]
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(tensors.quantize(tensors.quantize(x)), tensors.quantize(x))
    assert (tensors.quantize(x) - x).abs().max() <= 0.5 / 255 + 1e-6


def test_arrays():
    array = smooth()
    array.setflags(write=False)
    tensor = tensors.from_array(array)
    assert tensor.shape == (3, 40, 64)
    assert tensor.is_contiguous()
    np.testing.assert_array_equal(tensors.to_array(tensor), array)


WITHOUT = """
    import sys
    sys.modules.update(imagecodecs=None, tifffile=None)  # as if they were not installed
    from manuscript_restore.archive import open_document
    from manuscript_restore.errors import UserError

    for path in sys.argv[1:5]:
        with open_document(path, lossy=True) as document:
            assert document.pages[0].rows(0, 40).shape == (40, 64, 3)
    for path, needed in zip(sys.argv[5:], ("imagecodecs", "tifffile"), strict=True):
        try:
            with open_document(path, lossy=True) as document:
                document.pages[0].rows(0, 40)
        except UserError as error:
            assert f"{path}: needs {needed} to be read; pip install {needed}" in str(error), error
        else:
            raise AssertionError(path)
    assert not {"torch", "wandb", "litdata", "cv2"} & sys.modules.keys()
"""


def test_jpeg_and_png_need_neither_imagecodecs_nor_tifffile(tmp_path):
    paths = []
    for mode, suffix in (
        ("RGB", "jpg"),
        ("RGB", "png"),
        ("P", "png"),
        ("CMYK", "jpg"),
        ("RGB", "jp2"),
        ("RGB", "tif"),
    ):
        paths.append(tmp_path / f"{mode}.{suffix}")
        Image.fromarray(smooth()).convert(mode).save(paths[-1])
    subprocess.run([sys.executable, "-c", textwrap.dedent(WITHOUT), *paths], check=True)
