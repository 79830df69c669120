"""How well a page was restored: PSNR, SSIM and MSE as means of per-image values."""

from kornia.metrics import ssim as ssim_map
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.functional.image import peak_signal_noise_ratio

PSNR_CAP_DB = 100.0
SSIM_WINDOW = 11


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """PSNR of each image in dB, (B, 3, H, W) in [0, 1] to (B,).

    Capped at 100 dB: identical images have an infinite PSNR, and one of them would swallow every mean.
    """
    values = peak_signal_noise_ratio(restored, clean, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return values.clamp(max=PSNR_CAP_DB)


def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """SSIM of each image, (B, 3, H, W) in [0, 1] to (B,), differentiable, computed in float32.

    Gaussian window of 11 pixels, σ 1.5, no border: what scikit-image computes with ``gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False``. torchmetrics' default counts mirrored borders and differs by 0.5 %.

    Images smaller than the window are compared with a window as large as fits.

    Source: Wang et al. 2004, eq. 13.
    """
    shortest = min(restored.shape[-2:])
    window = min(SSIM_WINDOW, shortest - 1 + shortest % 2)
    values: Tensor = ssim_map(restored.float(), clean.float(), window, padding="valid").mean(dim=(1, 2, 3))
    return values


class MeanPSNR(MeanMetric):
    """Mean over images of `psnr`."""

    def update(self, restored: Tensor, clean: Tensor) -> None:  # type: ignore[override]
        """Add a batch."""
        super().update(psnr(restored, clean))


class MeanSSIM(MeanMetric):
    """Mean over images of `ssim`."""

    def update(self, restored: Tensor, clean: Tensor) -> None:  # type: ignore[override]
        """Add a batch."""
        super().update(ssim(restored, clean))


class MeanMSE(MeanMetric):
    """Mean over images of the mean squared error."""

    def update(self, restored: Tensor, clean: Tensor) -> None:  # type: ignore[override]
        """Add a batch."""
        super().update((restored - clean).square().mean(dim=(1, 2, 3)))


class RestorationMetrics(MetricCollection):
    """PSNR, SSIM and MSE, updated with (images, clean), named ``{prefix}psnr`` and so on."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            {"psnr": MeanPSNR(), "ssim": MeanSSIM(), "mse": MeanMSE()}, prefix=prefix, compute_groups=False
        )
