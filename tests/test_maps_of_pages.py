"""The network's maps through the batch job: sound files left as they are, damage maps, ink masks."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
import torch
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from manuscript_restore import Restorer
from manuscript_restore.archive.bilevel import BilevelTiff
from manuscript_restore.archive.metadata import Resolution
from manuscript_restore.cli import app
from manuscript_restore.images import read
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.models import build_model


def untrained(folder: Path, *, damage: float) -> Path:
    """A checkpoint of an untrained network with maps; ``damage`` is the logit that it gives everywhere."""
    torch.manual_seed(0)
    options = {
        "encoder": "vit_tiny_patch16_224",
        "decoder": {"name": "progressive", "maps": True},
        "image_size": 64,
    }
    network = build_model(options)
    torch.nn.init.normal_(network.decoder.to_residual.weight, std=0.05)
    maps = network.decoder.to_maps
    torch.nn.init.constant_(maps.damage.bias, damage / maps.SHARPNESS)
    torch.nn.init.normal_(maps.ink.weight)
    path = folder / "best.ckpt"
    state = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, path)
    return path


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("damaged"), damage=3)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("sound"), damage=-9)


def run(*arguments: object, model: Path) -> Result:
    command = ["restore", *map(str, arguments), "-m", str(model), "--device", "cpu"]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "page.jpg"
    noise = np.random.default_rng(0).integers(60, 200, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((280, 300)).save(path, quality=70, dpi=(300, 300))
    return path


def test_a_sound_file_is_copied(scan: Path, tmp_path: Path, sound: Path) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    result = run(scan, "-o", out, "--sidecar", "--damage-map", "--report", report, model=sound)
    assert result.exit_code == 0
    assert "1 page: 1 sound (left as is)" in result.stdout
    assert (out / "page.jpg").read_bytes() == scan.read_bytes()
    record = json.loads((out / "page.jpg.json").read_text())
    assert record["pages"][0]["sound"] is True
    assert record["input"]["sha256"] == record["output"]["sha256"]
    assert json.loads(report.read_text())[0]["status"] == "sound"
    assert not np.asarray(Image.open(out / "page.jpg.damage.png")).any()
    assert "1 sound" in run(scan, "-o", out, "--format", "tif", model=sound).stdout
    np.testing.assert_array_equal(read(out / "page.tif"), read(scan))


@pytest.mark.parametrize("size", [(280, 300), (600, 300)], ids=["one tile", "several"])
def test_a_page_that_is_told_to_be_damaged_is_restored(size: tuple[int, int], scan: Path, tmp_path: Path) -> None:
    """An eighth of a probability is no damage, unless the user knows better."""
    doubtful = untrained(tmp_path, damage=-2)
    Image.open(scan).resize(size).save(scan)
    out = tmp_path / "out"
    assert "1 sound (left as is)" in run(scan, "-o", out, model=doubtful).stdout
    options = ("--damaged", "--overwrite", "--sidecar")
    assert "1 restored" in run(scan, "-o", out, *options, model=doubtful).stdout
    record = json.loads((out / "page.jpg.json").read_text())
    assert record["settings"]["damaged"] is True
    assert record["pages"][0]["damage_mean"] == pytest.approx(1)  # of a logit of 1
    assert (read(out / "page.jpg") != read(scan)).mean() > 0.5


def test_the_maps_stand_beside_the_page(scan: Path, tmp_path: Path, damaged: Path) -> None:
    out = tmp_path / "out"
    assert "1 restored" in run(scan, "-o", out, "--sidecar", "--damage-map", "--ink", model=damaged).stdout
    page = to_float(from_array(read(scan)))
    expected = Restorer.from_checkpoint(damaged, device="cpu").restore_with_evidence(page)
    assert expected.damage is not None
    assert expected.ink is not None
    damage = np.asarray(Image.open(out / "page.jpg.damage.png"))
    np.testing.assert_allclose(damage, 255 * expected.damage, atol=0.51)
    recorded = json.loads((out / "page.jpg.json").read_text())["pages"][0]
    assert recorded["sound"] is False
    assert recorded["damage_mean"] == pytest.approx(expected.damage.mean().item(), abs=0.02)
    with Image.open(out / "page.jpg.ink.tif") as mask:
        assert (mask.mode, mask.size, mask.info["dpi"]) == ("1", (280, 300), (300, 300))
        assert mask.info["compression"] == "group4"
        black = ~np.asarray(mask)
    np.testing.assert_array_equal(black, expected.ink.numpy() > 0.5)
    assert 0 < black.mean() < 1


def test_a_network_without_maps_says_so(scan: Path, tmp_path: Path) -> None:
    options = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64}
    state = {f"model.{key}": value for key, value in build_model(options).state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options}}, tmp_path / "old.ckpt")
    result = run(scan, "-o", tmp_path / "out", "--ink", model=tmp_path / "old.ckpt")
    assert result.exit_code == 1
    assert result.stderr == "error: ink map: the model old.ckpt has none; leave it out, or give another model\n"
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("height", [1, 256, 700])
def test_other_readers_see_the_same_mask(tmp_path: Path, height: int, orientation: int) -> None:
    mask = np.random.default_rng(height).random((height, 333)) < 0.1
    file = BilevelTiff(333, resolution=Resolution(Fraction(400), Fraction(300)), orientation=orientation)
    for top in range(0, height, 111):
        file.add(mask[top : top + 111])
    path = tmp_path / "mask.tif"
    file.save(path)
    np.testing.assert_array_equal(tifffile.imread(path), mask)
    picture = pyvips.Image.new_from_file(str(path))
    np.testing.assert_array_equal(picture.numpy() > 0, ~mask)
    assert (round(picture.xres * 25.4), round(picture.yres * 25.4)) == (400, 300)
    turned = Image.fromarray(mask)
    turned.getexif()[274] = orientation
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), ~np.asarray(ImageOps.exif_transpose(turned)))
