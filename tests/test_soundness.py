"""The soundness head: what it measures, that it learns noise from strokes, and that a page is judged as one."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from manuscript_restore.inference import Restorer, Settings
from manuscript_restore.inference.restorer import SURELY
from manuscript_restore.inference.torch_engine import TorchBackend
from manuscript_restore.models import build_model
from manuscript_restore.models.soundness import NUM_TEXTURE, SoundnessHead, texture_statistics
from manuscript_restore.synthesis import generate_page
from tests.test_restorer import Function


def test_noise_is_measured_where_there_is_nothing_else():
    noise = torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [0.01, 0.04]
    ).view(2, 1, 1, 1)
    found = texture_statistics((0.6 + noise).expand(-1, 3, -1, -1))
    assert found.shape == (2, NUM_TEXTURE)
    median = 2 * (found[:, 3] - 1.5)  # of the deviation of grey at the finest scale
    for value, sigma in zip(median, (0.01, 0.04), strict=True):
        assert value.item() == pytest.approx(math.log(sigma * math.sqrt(1 - 1 / 9)), abs=0.03)


def test_blocks_of_jpeg_stand_out():
    blocks = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    page = blocks.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    assert texture_statistics(page)[0, -2:].tolist() == pytest.approx([math.log(8)] * 2, abs=0.01)
    smooth = texture_statistics(torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1)))[0, -2:]
    assert float(smooth.max()) < 0.1


def test_it_learns_in_seconds_which_pages_are_noisy():
    torch.manual_seed(0)
    pages = torch.stack([torch.from_numpy(generate_page(5, i, height=96, width=96)) for i in range(24)])
    clean = pages.permute(0, 3, 1, 2).float() / 255
    noisy = (clean + 0.02 * torch.randn(clean.shape)).clamp(0, 1)
    head = SoundnessHead()
    assert head(clean).abs().max() == 0
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    seen, truth = torch.cat([clean[:16], noisy[:16]]), torch.cat([torch.zeros(16, 1), torch.ones(16, 1)])
    for _ in range(60):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(head(seen), truth).backward()
        optimizer.step()
    with torch.no_grad():
        assert head(clean[16:]).max() < head(noisy[16:]).min()


def test_small_pictures_have_statistics_too():
    assert torch.isfinite(SoundnessHead()(torch.rand(2, 3, 5, 9))).all()


def test_tiles_are_judged_as_their_page_is():
    backend = Function(lambda tiles: torch.cat([tiles, torch.ones_like(tiles[:, :2])], dim=1), has_maps=True)
    page = torch.cat([torch.full((3, 128, 64), 0.2), torch.full((3, 128, 64), 0.8)], dim=2)
    Restorer(backend, settings=Settings(tile=64, overlap=16)).restore(page)
    assert backend.looked is not None
    assert backend.looked.item() == pytest.approx(0.5 + SURELY)  # it is damaged all over
    Restorer(backend, settings=Settings(tile=128, overlap=16)).restore(page)
    assert backend.looked is None, "a page of one tile is judged with the tile"


def test_the_network_uses_what_is_said_of_the_page():
    torch.manual_seed(0)
    options = {
        "encoder": "vit_tiny_patch16_224",
        "image_size": 64,
        "decoder": {"name": "progressive", "maps": True},
    }
    backend = TorchBackend(build_model(options), device="cpu")
    tiles = torch.rand(3, 3, 64, 64).numpy()
    assert backend.look(tiles).shape == (3, 1)
    assert backend(tiles, np.float32([[-30]]))[:, 3].max() == 0
    assert backend(tiles, np.float32([[30]]))[:, 3].min() == 1
