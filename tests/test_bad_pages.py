"""A folder of everything that can be wrong with a file: each is restored or named, nothing is lost."""

import hashlib
import json
import os
import re
import resource
import signal
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from manuscript_restore.images import read
from manuscript_restore.restore import main

from .processes import start
from .test_restore import files, model, run  # noqa: F401  (a fixture)

WIDTH, HEIGHT = 60, 44
PIXELS = np.random.default_rng(0).integers(30, 220, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PAGE = Image.fromarray(PIXELS)


def save(path: Path, picture: Image.Image = PAGE, **options) -> Path:
    picture.save(path, **options)
    return path


def truncated(path: Path, **options) -> None:
    save(path, PAGE.resize((200, 200)), **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(10_000))) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def tiff_bomb(path: Path) -> None:
    """One deflated strip that claims 60,000 × 60,000."""
    tifffile.imwrite(path, PIXELS, photometric="rgb", compression="deflate", rowsperstrip=HEIGHT)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(60_000)


def unknown_compression(path: Path) -> None:
    tifffile.imwrite(path, PIXELS, photometric="rgb", compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["Compression"].overwrite(65_000)


def with_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def loop(path: Path) -> None:
    path.symlink_to(path.with_suffix(".other.png"))
    path.with_suffix(".other.png").symlink_to(path)


CMYK = PAGE.convert("CMYK")
LAB = ImageCms.profileToProfile(
    PAGE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DEEP = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint16).reshape(HEIGHT, WIDTH, 3) * 8

# name → how it is made, and what must be said of it (None: it is restored)
CASES = {
    "empty.jpg": (lambda p: p.write_bytes(b""), "0 bytes"),
    "truncated.jpg": (truncated, "truncated or damaged"),
    "truncated.png": (truncated, "truncated or damaged"),
    "truncated.tif": (lambda p: truncated(p, compression="tiff_lzw"), "truncated or damaged"),
    "truncated.jp2": (truncated, "truncated or damaged"),
    "truncated.webp": (truncated, "truncated or damaged"),
    "text.jpg": (lambda p: p.write_text("not a picture " * 20), "is not an image"),
    "noise.png": (lambda p: p.write_bytes(os.urandom(5000)), "is not an image"),
    "header_only.png": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "truncated or damaged"),
    "pdf.tif": (lambda p: save(p, format="PDF"), "holds no picture .*smaller than 100 pixels"),
    "gif.png": (lambda p: save(p, format="GIF"), "is GIF, which is not read; convert it"),
    "bomb.png": (bomb, "exceed the limit"),
    "bomb.tif": (tiff_bomb, "exceeds 1.5 GB"),
    "unknown_compression.tif": (unknown_compression, "compression|damaged"),
    "animated.webp": (
        lambda p: save(p, save_all=True, append_images=[PAGE.rotate(90)], duration=100), "frames|animat"
    ),
    "animated.png": (
        lambda p: save(p, save_all=True, append_images=[PAGE.rotate(90)], duration=100), "frames|animat"
    ),
    "float.tif": (lambda p: tifffile.imwrite(p, PIXELS.astype(np.float32), photometric="rgb"), "float"),
    "integers.tif": (lambda p: tifffile.imwrite(p, PIXELS[..., 0].astype(np.uint32)), "32"),
    "a_folder.png": (Path.mkdir, ""),
    "gone.png": (lambda p: p.symlink_to("nowhere.png"), "cannot be opened"),
    "loop.png": (loop, "cannot be opened"),
    "pipe.png": (os.mkfifo, "not a file"),
    "png_named.jpg": (lambda p: save(p, format="PNG"), None),
    "पत्र १ ॐ.png": (save, None),
    "n" * 240 + ".png": (save, None),
    "one_bit.tif": (lambda p: save(p, PAGE.convert("1"), compression="group4"), None),
    "cmyk.jpg": (lambda p: save(p, CMYK), None),
    "cmyk.tif": (lambda p: save(p, CMYK), None),
    "lab.tif": (lambda p: save(p, LAB), None),
    "palette.png": (lambda p: save(p, PAGE.quantize(16)), None),
    "grey_alpha.png": (lambda p: save(p, PAGE.convert("LA")), None),
    "broken_icc.jpg": (lambda p: save(p, icc_profile=SRGB[:200]), None),
    "broken_icc.png": (lambda p: save(p, icc_profile=b"nonsense"), None),
    "broken_exif.jpg": (lambda p: save(p, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"), None),
    "turned.jpg": (lambda p: save(p, exif=with_exif(6)), None),
    "deep.png": (lambda p: p.write_bytes(_png16(DEEP)), None),
    "deep.tif": (lambda p: tifffile.imwrite(p, DEEP, photometric="rgb"), None),
    "one_pixel.png": (lambda p: save(p, PAGE.crop((0, 0, 1, 1))), None),
    "long.png": (lambda p: save(p, PAGE.resize((5000, 1))), None),
    "trailing.jpg": (lambda p: p.write_bytes(save(p).read_bytes() + b"x" * 999), None),
}  # fmt: skip


def _png16(array: np.ndarray) -> bytes:
    import imagecodecs

    return imagecodecs.png_encode(array)


def make(folder: Path) -> Path:
    folder.mkdir()
    for name, (build, _) in CASES.items():
        build(folder / name)
    return folder


def digest(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.slow
def test_each_is_restored_or_named(tmp_path: Path, model: Path) -> None:  # noqa: F811
    scans, out = make(tmp_path / "scans"), tmp_path / "out"
    before = digest(scans)
    result = run(scans, "-o", out, "--report", tmp_path / "report.json", "--sidecar", model=model)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert digest(scans) == before
    said = {Path(page["input"]).name: page for page in json.loads((tmp_path / "report.json").read_text())}
    for name, (_, message) in CASES.items():
        if name == "a_folder.png":
            assert name not in said  # a folder, whatever it is called
        elif message is None:
            assert said[name]["status"] == "restored", said[name]["reason"]
            assert read(out / name).shape[:2] == read(scans / name).shape[:2]
        else:
            assert said[name]["status"] == "failed", name
            assert re.search(message, said[name]["reason"]), said[name]["reason"]
            print(f"| {name} | {said[name]['reason'].split(': ', 1)[1]} |")
            assert name in said[name]["reason"]
    restored = {name for name, (_, message) in CASES.items() if message is None}
    assert set(files(out)) == restored | {f"{name}.json" for name in restored}
    notes = {name: json.loads((out / f"{name}.json").read_text())["output"]["notes"] for name in restored}
    assert all(notes[name] for name in ("cmyk.jpg", "cmyk.tif", "lab.tif", "palette.png"))  # what became of them


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    main()


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path, model: Path) -> None:  # noqa: F811
    """A limit on the size of files stands for the disk: writing ends in the middle."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    save(scans / "small.png")
    save(scans / "large.png", PAGE.resize((300, 300)))
    save(scans / "large.tif", PAGE.resize((300, 300)))
    process = start(limited, scans, "-o", out, "-m", model, "--device", "cpu", said=tmp_path / "said")
    process.join()
    assert process.exitcode == 1
    said = (tmp_path / "said").read_text()
    assert "1 restored, 2 failed" in said
    assert said.count("cannot be written") == 2
    assert "Traceback" not in said
    assert files(out) == ["small.png"]


def test_an_output_that_cannot_be_is_named(tmp_path: Path, model: Path) -> None:  # noqa: F811
    save(tmp_path / "page.png")
    (tmp_path / "file").write_text("mine")
    result = run(tmp_path / "page.png", "-o", tmp_path / "file", model=model)
    assert result.exit_code == 1
    assert "cannot be made" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path, model: Path) -> None:  # noqa: F811
    save(tmp_path / "page.png")
    (tmp_path / "out").mkdir(mode=0o500)
    result = run(tmp_path / "page.png", "-o", tmp_path / "out", model=model)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
