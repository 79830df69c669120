"""The restorer: sizes, parameters, gradients, and what it does with other people's weights."""

import pytest
import timm
import torch

from manuscript_restore.errors import UserError
from manuscript_restore.models import ViTRestorer
from manuscript_restore.models.decoders import PhaseConv2d, _paint


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def tiny(decoder: str = "progressive", **options) -> ViTRestorer:
    return ViTRestorer(
        encoder=options.pop("encoder", "vit_tiny_patch16_224"),
        decoder={"name": decoder},
        image_size=options.pop("image_size", 64),
        **options,
    )


def test_reference_parameter_counts():
    restorer = ViTRestorer(encoder="vit_base_patch16_224", decoder={"name": "reference"}, image_size=256)
    assert num_parameters(restorer.encoder) == 85_843_200
    assert num_parameters(restorer.decoder.to_pixels) == 590_592
    assert num_parameters(restorer.decoder.merge) == 21
    assert num_parameters(restorer) == 86_433_813
    vit = restorer.encoder.vit
    assert vit.patch_embed.num_patches == 256
    assert vit.cls_token is None
    assert len(vit.blocks) == 12
    assert vit.blocks[0].attn.num_heads == 12


@pytest.mark.parametrize("decoder", ["reference", "progressive"])
@pytest.mark.parametrize("size", [(64, 64), (1, 1), (5, 300), (250, 100)])
def test_any_size_in_same_size_out(decoder, size):
    restorer = tiny(decoder).eval()
    with torch.inference_mode():
        restored = restorer(torch.rand(2, 3, *size))
    assert restored.shape == (2, 3, *size)
    assert restored.dtype == torch.float32
    assert restored.min() >= 0
    assert restored.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder",
    [
        "vit_tiny_patch16_224",
        "vit_small_patch16_dinov3",
        "vit_small_patch8_224",
        "vit_small_patch16_rope_224",
    ],
)
@pytest.mark.parametrize("decoder", ["reference", "progressive"])
def test_encoders_by_name(encoder, decoder):
    restorer = tiny(decoder, encoder=encoder, image_size=32).eval()
    with torch.inference_mode():
        assert restorer(torch.rand(1, 3, 48, 40)).shape == (1, 3, 48, 40)


@pytest.mark.parametrize("decoder", ["reference", "progressive"])
def test_every_parameter_gets_a_gradient(decoder):
    torch.manual_seed(0)
    restorer = tiny(decoder)
    optimizer = torch.optim.SGD(restorer.parameters(), lr=1e-2)
    degraded, clean = torch.rand(2, 2, 3, 64, 64)
    for _ in range(2):  # the zero-initialised output layers let gradients through after one step
        optimizer.zero_grad()
        (restorer(degraded) - clean).square().mean().backward()
        optimizer.step()
    missing = [n for n, p in restorer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


def test_layers_at_full_size_are_the_convolutions_that_they_stand_for():
    torch.manual_seed(0)
    image, context = torch.rand(2, 3, 12, 20), torch.rand(2, 5, 12, 20)
    phases = PhaseConv2d(3, 7, 3)
    plain = torch.nn.functional.conv2d(image, phases.weight, phases.bias, padding=1)
    torch.testing.assert_close(torch.nn.functional.pixel_shuffle(phases(image), 2), plain)
    last = torch.nn.Conv2d(5 + 7, 4, 3, padding=1)
    painted = _paint(torch.nn.functional.pixel_unshuffle(context, 2), phases(image), last.weight, last.bias)
    torch.testing.assert_close(painted, last(torch.cat([context, plain], dim=1)))


def test_progressive_starts_as_the_identity():
    degraded = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(tiny("progressive").eval()(degraded), degraded)


def test_saturated_pixels_still_learn():
    restorer = tiny("reference").train()
    with torch.no_grad():
        restorer.decoder.merge.bias.fill_(5.0)  # every pixel far above 1
    restored = restorer(torch.rand(1, 3, 32, 32))
    torch.testing.assert_close(restored, torch.ones_like(restored))
    restored.sum().backward()
    assert restorer.decoder.merge.bias.grad.abs().min() > 0


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "num_steps"), [("reference", 300), ("progressive", 150)])
def test_overfits_one_batch(decoder, num_steps):
    torch.manual_seed(0)
    restorer = tiny(decoder, encoder="test_vit", image_size=32)  # timm's smallest
    clean = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8), size=32, mode="bilinear")
    degraded = (0.7 * clean + 0.05 * torch.randn_like(clean)).clamp(0, 1)
    optimizer = torch.optim.AdamW(restorer.parameters(), lr=3e-3)
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = (restorer(degraded) - clean).square().mean()
        loss.backward()
        optimizer.step()
    psnr = -10 * torch.log10((restorer.eval()(degraded) - clean).square().mean())
    assert psnr > 30  # the input has 15 dB; both decoders pass 37


def test_encoder_weights_from_a_file(tmp_path):
    """A 224-pixel checkpoint with class token feeds a 64-pixel encoder without one."""
    torch.manual_seed(0)
    donor = timm.create_model("vit_tiny_patch16_224")
    torch.save(donor.state_dict(), tmp_path / "vit.pth")
    restorer = tiny(encoder_weights=str(tmp_path / "vit.pth"))
    torch.testing.assert_close(restorer.encoder.vit.blocks[3].mlp.fc1.weight, donor.blocks[3].mlp.fc1.weight)
    torch.testing.assert_close(restorer.encoder.vit.patch_embed.proj.weight, donor.patch_embed.proj.weight)
    assert restorer.encoder.vit.pos_embed.shape == (1, 16, 192)


def test_weights_of_another_encoder_are_refused(tmp_path):
    torch.save(timm.create_model("vit_small_patch16_224").state_dict(), tmp_path / "small.pth")
    with pytest.raises(UserError, match="not weights of vit_tiny_patch16_224"):
        tiny(encoder_weights=str(tmp_path / "small.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vit_bse_patch16_224"}, "timm has no such model"),
        ({"encoder": "resnet50"}, "not a plain Vision Transformer"),
        ({"encoder": "vit_tiny_r_s16_p8_224"}, "not a plain Vision Transformer"),  # a ConvNet makes its patches
        ({"image_size": 250}, "not a multiple of the patch size 16; use 256"),
        ({"encoder_weights": "nowhere.pth"}, "no such file"),
        ({"decoder": {"name": "linear"}}, "use one of reference, progressive"),
        ({"decoder": {"name": "progressive", "width": 3}}, r"model\.decoder\.width: unknown key.*widths"),
        ({"decoder": {"name": "progressive", "num_features": 13}}, "use 1 to 12"),
        ({"decoder": {"name": "progressive", "widths": [1, 2]}}, "five widths"),
    ],
)
def test_mistakes_are_explained(options, message):
    settings = {"encoder": "vit_tiny_patch16_224", "decoder": {"name": "progressive"}, "image_size": 64}
    with pytest.raises(UserError, match=message):
        ViTRestorer(**{**settings, **options})
