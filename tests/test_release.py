"""The model in the box: small, there after installing, and better than nothing on pages that it never saw."""

import json

import numpy as np
import pytest
import torch

from manuscript_restore import Restorer
from manuscript_restore.images.colour import to_lab
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.metrics import psnr, ssim
from manuscript_restore.released import find_released
from manuscript_restore.synthesis import generate_page
from tests.damage import preset

MODEL = json.loads((find_released("default") / "config.json").read_text())["model"]
has_maps = pytest.mark.skipif(not MODEL["decoder"].get("maps"), reason="the model in the box has no damage map")


def test_it_is_small():
    assert 1e6 < (find_released("default") / "model.safetensors").stat().st_size <= 16 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gain"), [("reference", 2.0), ("palm_leaf", 2.0)])
def test_it_restores_pages_of_a_seed_that_never_trained(name, gain):
    restorer = Restorer.from_pretrained(device="cpu")
    damage = preset(name)
    gains, similarities = [], []
    for seed in range(8):
        clean = to_float(from_array(generate_page(991, seed, height=256, width=256)))
        degraded = damage(clean[None], seed=seed)[0]
        restored = restorer.restore(degraded)
        gains.append(psnr(restored[None], clean[None]) - psnr(degraded[None], clean[None]))
        similarities.append(ssim(restored[None], clean[None]) - ssim(degraded[None], clean[None]))
    assert torch.stack(gains).mean() > gain
    assert torch.stack(similarities).mean() > 0


def noisy(picture):
    """(3, H, W) with the grain of a scanner, in the levels of a file."""
    rng = np.random.default_rng(0)
    grain = torch.from_numpy(rng.normal(0, 2 / 255, picture.shape)).float()
    return ((picture + grain).clamp(0, 1) * 255).round() / 255


def block_changes(restored, original):
    """How the means of blocks of 16×16 pixels changed, in levels of 256: (3, h, w)."""
    return 255 * torch.nn.functional.avg_pool2d(restored - original, 16)


@has_maps
@pytest.mark.slow
@pytest.mark.parametrize("area", ["dark", "light", "gradient"])
def test_flat_areas_show_no_tiles(area):
    start, end = {"dark": (0.1, 0.1), "light": (0.95, 0.95), "gradient": (0.1, 0.9)}[area]
    original = noisy(torch.linspace(start, end, 608).expand(3, 608, 608))
    changes = block_changes(Restorer.from_pretrained(device="cpu").restore(original), original)
    assert changes.diff(dim=1).abs().max() <= 3
    assert changes.diff(dim=2).abs().max() <= 3


@has_maps
@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "none"])
def test_a_dark_border_stays(name):
    page = to_float(from_array(generate_page(991, 1, height=512, width=512)))
    scan = torch.full((3, 832, 832), 27 / 255)
    scan[:, 160:672, 160:672] = preset(name)(page[None], seed=3)[0]
    scan = noisy(scan)
    changes = block_changes(Restorer.from_pretrained(device="cpu").restore(scan), scan)
    changes[:, 8:44, 8:44] = 0  # the page, and two blocks about it
    assert changes.abs().max() <= 3


def rubricated_crops(number, *, side=400):
    """Crops of pages at a resolution for reading where most is red, with the red ink: (3, H, W), bool (H, W)."""
    found = []
    for seed in range(100):
        page = to_float(from_array(generate_page(991, seed, height=1600, width=1200)))
        lightness, a, b = torch.from_numpy(to_lab(page.numpy()))
        red = (a > 20) & (torch.hypot(a, b) > 35) & (lightness < 70)
        share = torch.nn.functional.avg_pool2d(red[None].float(), side, stride=100)[0]
        top, left = (100 * int(place) for place in np.unravel_index(int(share.argmax()), share.shape))
        if share.max() * side**2 > 400:
            crop = np.s_[..., top : top + side, left : left + side]
            found.append((seed, page[crop], red[crop]))
        if len(found) == number:
            return found
    raise AssertionError("the generator has given up red ink")


@has_maps
@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "none"])
def test_red_ink_stays_red(name):
    """Rubrication keeps 0.9 of its chroma, on pages that are sound and on pages that were damaged."""
    restorer, damage = Restorer.from_pretrained(device="cpu"), preset(name)
    chromas = []
    for seed, clean, red in rubricated_crops(6):
        restored = restorer.restore(damage(clean[None], seed=seed)[0])
        chromas.append(
            [
                torch.hypot(*torch.from_numpy(to_lab(picture.numpy())[1:]))[red].mean()
                for picture in (restored, clean)
            ]
        )
    restored, clean = torch.tensor(chromas).mean(dim=0)
    assert restored >= 0.9 * clean
