"""The model in the box: small, there after installing, and better than nothing on pages that it never saw."""

import pytest
import torch

from manuscript_restore import Restorer
from manuscript_restore.checkpoint import find_released
from manuscript_restore.images import from_array, to_float
from manuscript_restore.metrics import psnr, ssim
from manuscript_restore.synthesis import generate_page
from tests.damage import preset


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
