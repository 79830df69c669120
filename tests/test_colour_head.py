"""The colour head: what it measures, that it starts as the identity, and that it learns a lost tone."""

import numpy as np
import pytest
import torch

from manuscript_restore.models import build_model
from manuscript_restore.models.colour_head import LEVELS, ColourHead, colour_statistics

MODELS = {
    "vit": {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 32},
    "unet": {"widths": [4, 8]},
    "nafnet": {"width": 4, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
    "restormer": {"width": 4, "num_blocks": [1, 1], "num_heads": [1, 1]},
}


def test_statistics_are_numpys():
    images = torch.rand(3, 3, 40, 64)
    means = images.numpy().reshape(3, 3, 10, 4, 16, 4).mean(axis=(3, 5)).reshape(3, 3, -1)
    expected = 4 * (np.quantile(means, LEVELS, axis=2).transpose(1, 2, 0).reshape(3, -1) - 0.5)
    found = colour_statistics(images)
    assert found.shape == (3, 30)
    np.testing.assert_allclose(found[:, :27].numpy(), expected, atol=1e-5)


def test_statistics_hardly_depend_on_the_size_of_the_picture():
    whole = torch.rand(1, 3, 24, 24).repeat_interleave(16, 2).repeat_interleave(16, 3).repeat(1, 1, 4, 4)
    part = whole[..., :384, :384]
    assert (colour_statistics(whole) - colour_statistics(part))[:, :27].abs().max() < 0.1


@pytest.mark.parametrize("name", MODELS)
def test_every_network_may_have_one_and_starts_as_without(name):
    page = torch.rand(2, 3, 33, 50)
    options = {"name": name, **MODELS[name]}
    torch.manual_seed(0)
    with_head = build_model({**options, "colour_head": True}).eval()
    without = build_model(options).eval()
    without.load_state_dict({k: v for k, v in with_head.state_dict().items() if not k.startswith("colour.")})
    torch.testing.assert_close(with_head(page), without(page))
    assert sum(p.numel() for p in with_head.parameters()) - sum(p.numel() for p in without.parameters()) == (
        31 * 128 + 129 * 128 + 129 * 6
    )


def test_learns_a_tone_that_the_histogram_betrays():
    generator = torch.Generator().manual_seed(0)

    def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean = 0.7 + 0.2 * torch.rand(count, 3, 32, 32, generator=generator)
        alpha = 0.5 + 0.5 * torch.rand(count, 1, 1, 1, generator=generator)
        return clean, alpha * clean

    torch.manual_seed(0)
    head = ColourHead()
    optimizer = torch.optim.AdamW(head.parameters(), 3e-3)
    for _ in range(200):
        clean, faded = pairs(16)
        optimizer.zero_grad()
        (head(faded) - clean).abs().mean().backward()
        optimizer.step()
    clean, faded = pairs(64)
    with torch.no_grad():
        assert (head(faded) - clean).abs().mean() < 0.15 * (faded - clean).abs().mean()
