"""The learned peers: sizes, costs, gradients, and that they can learn."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.utils.flop_counter import FlopCounterMode

from manuscript_restore.config import config_dir
from manuscript_restore.errors import UserError
from manuscript_restore.models import MODELS, build_model
from manuscript_restore.models.layers import LayerNorm2d
from manuscript_restore.models.nafnet import NAFBlock
from manuscript_restore.models.restormer import ChannelSelfAttention
from manuscript_restore.train import plain

SMALL = {
    "unet": {"widths": [8, 16, 16]},
    "nafnet": {"width": 8, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
    "restormer": {"width": 8, "num_blocks": [1, 1], "num_heads": [1, 2]},
}
PEERS = list(SMALL)


def small(name: str):
    return build_model({"name": name, "image_size": 32, **SMALL[name]})


def configured(name: str):
    with initialize_config_dir(config_dir(), version_base="1.3"):
        return plain(compose("train", ["experiment=crops", f"model={name}", "output_dir=out"]).model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [("vit_tiny", 6_009_378), ("unet", 1_491_571), ("nafnet", 2_803_851), ("restormer", 779_770)],
)
def test_peers_cost_as_much_as_the_small_vit(name, num_parameters):
    model = build_model(configured(name)).eval()
    assert sum(p.numel() for p in model.parameters()) == num_parameters
    with torch.inference_mode(), FlopCounterMode(display=False) as flops:
        model(torch.rand(1, 3, 256, 256))
    assert 3.0 < flops.get_total_flops() / 2e9 < 3.5  # GMAC


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("size", [(32, 32), (1, 1), (5, 70), (45, 38)])
def test_any_size_in_same_size_out(name, size):
    with torch.inference_mode():
        restored = small(name).eval()(torch.rand(2, 3, *size))
    assert restored.shape == (2, 3, *size)
    assert restored.min() >= 0
    assert restored.max() <= 1


@pytest.mark.parametrize("name", PEERS)
def test_starts_as_the_identity_and_knows_its_size(name):
    degraded = torch.rand(1, 3, 30, 33)
    model = small(name)
    torch.testing.assert_close(model.eval()(degraded), degraded)
    assert model.image_size == 32


@pytest.mark.parametrize("name", PEERS)
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    model = small(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-1)
    degraded, clean = torch.rand(2, 2, 3, 32, 32)
    for _ in range(3):  # zero-initialised heads and block scales let gradients through one step after another
        optimizer.zero_grad()
        (model(degraded) - clean).square().mean().backward()
        optimizer.step()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_overfits_one_batch(name):
    torch.manual_seed(0)
    model = small(name)
    clean = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8), size=32, mode="bilinear")
    degraded = (0.7 * clean + 0.02 * torch.randn_like(clean)).clamp(0, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        (model(degraded) - clean).square().mean().backward()
        optimizer.step()
    psnr = -10 * torch.log10((model.eval()(degraded) - clean).square().mean())
    assert psnr > 26  # the input has 15 dB


def test_naf_block_is_the_paper_s():
    """Eq. 5 and 7 and figure 3c, written out."""
    torch.manual_seed(0)
    block = NAFBlock(4)
    for scale in (block.mix_scale, block.feed_forward_scale):
        torch.nn.init.normal_(scale)
    x = torch.randn(2, 4, 6, 5)

    def norm(y):
        return (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()

    def conv(y, layer, **options):
        return torch.nn.functional.conv2d(y, layer.weight, layer.bias, **options)

    expand, depthwise, attention, project = block.mix[1], block.mix[2], block.mix[4].scale[1], block.mix[5]
    y = conv(conv(norm(x), expand), depthwise, padding=1, groups=8)
    y = y[:, :4] * y[:, 4:]
    y = y * conv(y.mean((2, 3), keepdim=True), attention)
    after = x + block.mix_scale * conv(y, project)
    y = conv(norm(after), block.feed_forward[1])
    expected = after + block.feed_forward_scale * conv(y[:, :4] * y[:, 4:], block.feed_forward[3])
    torch.testing.assert_close(block(x), expected)


def test_channel_attention_is_attention_among_channels():
    """Each head, by torch's own attention with the channels as tokens and the temperature as scale."""
    torch.manual_seed(0)
    attention = ChannelSelfAttention(8, 2)
    torch.nn.init.uniform_(attention.temperature)
    x = torch.randn(1, 8, 5, 7)
    query, key, value = (part.flatten(2)[0] for part in attention.to_qkv(x).chunk(3, dim=1))  # (8, 35)
    heads = []
    for head in range(2):
        q, k, v = (part[4 * head : 4 * head + 4] for part in (query, key, value))
        q, k = (part / part.norm(dim=1, keepdim=True) for part in (q, k))
        scale = attention.temperature[head].item()
        heads.append(torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], scale=scale)[0])
    expected = attention.project(torch.cat(heads).view(1, 8, 5, 7))
    torch.testing.assert_close(attention(x), expected)


def test_layer_norm_is_over_channels():
    x = torch.randn(2, 5, 4, 3) * 3 + 1
    torch.testing.assert_close(LayerNorm2d(5)(x).mean(1), torch.zeros(2, 4, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "unet", "widths": [3]}, r"model\.widths=\[3\]: must be two numbers or more"),
        ({"name": "nafnet", "decoder_blocks": [1]}, r"model\.decoder_blocks=\[1\]: must be 4 numbers"),
        ({"name": "restormer", "num_heads": [1, 2, 4, 5]}, "5 heads do not share 128 channels"),
        ({"name": "restormer", "num_blocks": [1, 0, 1, 1]}, "whole and at least 1"),
        ({"name": "unet", "decoder": {}}, r"model\.decoder: unknown key; known keys: colour_head"),
        ({"name": "gan"}, f"use one of {', '.join(MODELS)}"),
    ],
)
def test_mistakes_are_explained(options, message):
    with pytest.raises(UserError, match=message):
        build_model(options)


@pytest.mark.slow
def test_a_peer_trains_by_the_same_recipe(train):
    summary = train("experiment=smoke", "model=unet", "model.widths=[8,16]", "loss.perceptual.weight=0")
    assert summary["status"] == "finished"
    assert "test/psnr_gain" in summary["scores"]
