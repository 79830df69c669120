"""Means over images, as torchmetrics: what training logs."""

from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from manuscript_restore.metrics.pictures import mse, psnr, ssim


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
        super().update(mse(restored, clean))


class RestorationMetrics(MetricCollection):
    """PSNR, SSIM and MSE, updated with (images, clean), named ``{prefix}psnr`` and so on."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            {"psnr": MeanPSNR(), "ssim": MeanSSIM(), "mse": MeanMSE()}, prefix=prefix, compute_groups=False
        )
