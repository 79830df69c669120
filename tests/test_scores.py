"""Scores of pictures against scikit-image, and against definitions written out."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torchvision.models import squeezenet1_1

from manuscript_restore import metrics
from manuscript_restore.errors import UserError
from manuscript_restore.images.tensors import from_array, to_float
from manuscript_restore.metrics.learned import learned_score
from manuscript_restore.synthesis import generate_page


@pytest.fixture(scope="module")
def pictures():
    """Clean and degraded (2, 3, 200, 210), and the same as arrays (200, 210, 3)."""
    clean = torch.stack([to_float(from_array(generate_page(3, i, height=200, width=210))) for i in range(2)])
    noise = 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    degraded = (0.8 * clean + noise).clamp(0, 1)
    arrays = [batch.permute(0, 2, 3, 1).double().numpy() for batch in (degraded, clean)]
    return degraded, clean, list(zip(*arrays, strict=True))


def test_psnr_ssim_mse_and_delta_e_are_scikit_images(pictures):
    degraded, clean, arrays = pictures
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i, (one, other) in enumerate(arrays):
        expected = {
            "psnr": (peak_signal_noise_ratio(other, one, data_range=1), 1e-4),
            "mse": (mean_squared_error(one, other), 1e-8),
            "delta_e": (deltaE_ciede2000(rgb2lab(one), rgb2lab(other)).mean(), 1e-3),
        }
        for name, (value, tolerance) in expected.items():
            assert getattr(metrics, name)(degraded, clean)[i].item() == pytest.approx(value, abs=tolerance), name
        _, local = structural_similarity(one, other, channel_axis=2, data_range=1, full=True, **gaussian)
        assert metrics.ssim(degraded, clean)[i].item() == pytest.approx(local[5:-5, 5:-5].mean(), abs=1e-5)


def ms_ssim_reference(one, other):
    """Wang et al. 2003, eq. 7, on one channel: contrast and structure at five scales, luminance at the last."""
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x):
        return correlate1d(correlate1d(x, window, axis=0), window, axis=1)[5:-5, 5:-5]

    value = 1.0
    for scale, weight in enumerate(weights):
        a, b = blur(one), blur(other)
        var_a, var_b, covariance = blur(one**2) - a**2, blur(other**2) - b**2, blur(one * other) - a * b
        contrast = (2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)
        luminance = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
        last = scale == len(weights) - 1
        value *= (contrast * luminance if last else contrast).mean() ** weight
        height, width = (side // 2 for side in one.shape)
        one, other = (
            x[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)) for x in (one, other)
        )
    return value


def test_ms_ssim_is_its_definition(pictures):
    degraded, clean, arrays = pictures
    for i, (one, other) in enumerate(arrays):
        # torchmetrics averages over colours at each scale; on grey pictures that makes no difference.
        grey = torch.tensor(np.stack([one[..., :1], other[..., :1]])).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        # Its last scale counts mirrored borders, which the definition has not: up to 1.1e-3.
        value = metrics.ms_ssim(grey[:1].float(), grey[1:].float()).item()
        assert value == pytest.approx(ms_ssim_reference(one[..., 0], other[..., 0]), abs=2e-3), i
    assert metrics.ms_ssim(degraded, clean).shape == (2,)
    assert metrics.ms_ssim(degraded[..., :160, :], clean[..., :160, :]).isnan().all()


def test_the_colour_fit_is_least_squares(pictures):
    degraded, clean, arrays = pictures
    fitted = metrics.fit_colours(degraded, clean)
    for i, (one, other) in enumerate(arrays):
        design = np.c_[one.reshape(-1, 3), np.ones(one[..., 0].size)]
        solution = np.linalg.lstsq(design, other.reshape(-1, 3), rcond=None)[0]
        expected = (design @ solution).clip(0, 1).reshape(one.shape)
        np.testing.assert_allclose(fitted[i].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert (metrics.psnr_after_colour_fit(degraded, clean) >= metrics.psnr(degraded, clean)).all()


def test_the_colour_fit_undoes_any_affine_change_of_colours(pictures):
    _, clean, _ = pictures
    matrix = torch.tensor([[0.6, 0.1, 0.0], [0.05, 0.5, 0.1], [0.0, 0.1, 0.4]])
    tinted = torch.einsum("ij,bjhw->bihw", matrix, clean) + 0.1
    assert (metrics.psnr_after_colour_fit(tinted, clean) > 90).all()
    flat = torch.full_like(clean, 0.3)  # no colour to fit: the mean is what is left
    assert torch.isfinite(metrics.psnr_after_colour_fit(flat, clean)).all()


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-vgg", "lpips-squeeze", "dists"])
def test_learned_scores_without_weights_say_where_to_put_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"checkpoints.*does not exist; nothing is downloaded"):
        learned_score(name)


def test_unknown_learned_score():
    with pytest.raises(UserError, match=r"fid is unknown; use some of lpips-alex, .*dists"):
        learned_score("fid")


def test_lpips_with_the_users_weights_is_its_definition(tmp_path, monkeypatch, pictures):
    """Zhang et al. 2018, eq. 1, with random features in the place of SqueezeNet's and the true heads."""
    import torchmetrics.functional.image as tm

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    net = squeezenet1_1().eval()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(net.state_dict(), tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    degraded, clean, _ = pictures
    value = learned_score("lpips-squeeze")(degraded[:1], clean[:1])

    heads = torch.load(Path(tm.__file__).parent / "lpips_models" / "squeeze.pth", "cpu", weights_only=True)
    shift, scale = (torch.tensor(v).view(3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    ends = (2, 5, 8, 10, 11, 12, 13)
    expected = 0.0
    with torch.inference_mode():
        one, other = ((2 * x[:1] - 1 - shift) / scale for x in (degraded, clean))
        for depth, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
            one, other = (net.features[start:end](x) for x in (one, other))
            unit = [x / x.norm(dim=1, keepdim=True) for x in (one, other)]
            difference = (unit[0] - unit[1]).square()
            expected += (difference * heads[f"lin{depth}.model.1.weight"]).sum(1).mean().item()
    assert value.shape == (1,)
    assert value.item() == pytest.approx(expected, rel=1e-3)
    assert math.isfinite(expected)
    assert learned_score("lpips-squeeze")(clean[:1], clean[:1]).item() == pytest.approx(0, abs=1e-6)
