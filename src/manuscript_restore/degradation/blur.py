"""Blur of the camera."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params
from manuscript_restore.errors import UserError


class GaussianBlur(Degradation):
    """Gaussian blur with a kernel of random odd size, as in ``cv2.GaussianBlur(page, (k, k), 0)``.

    σ follows from the size as OpenCV has it, 0.3·((k − 1)/2 − 1) + 0.8; the severity scales σ.

    Args:
        kernel_size: Smallest and largest size in pixels, both odd.
        p: Probability per page.
    """

    def __init__(self, *, kernel_size: Sequence[int] = (3, 7), p: float = 0.5) -> None:
        if any(size % 2 == 0 for size in kernel_size):
            raise UserError(f"GaussianBlur.kernel_size={list(kernel_size)}: must be odd numbers, such as [3, 7]")
        super().__init__(p=p, ranges={"kernel_size": kernel_size})
        self.kernel_size = tuple(kernel_size)

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw odd sizes, all equally likely."""
        params = super().generate_parameters(batch_shape)
        low, high = self.kernel_size
        params["kernel_size"] = low + 2 * torch.randint((high - low) // 2 + 1, batch_shape[:1])
        return params

    def damage(self, pages: Tensor, params: Params, severity: float) -> None:
        """Blur in place, page by page: one page fits a CPU's cache, and a batch's convolution does not."""
        for page, size in zip(pages, params["kernel_size"].tolist(), strict=True):
            sigma = max(1e-3, severity * (0.3 * ((size - 1) * 0.5 - 1) + 0.8))  # its square must not underflow
            radius = round((size - 1) / 2 * max(1.0, severity))
            taps = torch.exp(-(torch.arange(radius + 1) ** 2) / (2 * sigma**2))
            taps /= taps[0] + 2 * taps[1:].sum()
            for dim in (1, 2):
                page.copy_(_convolve(page, taps.tolist(), dim))


def _convolve(page: Tensor, taps: list[float], dim: int) -> Tensor:
    """Symmetric filter along one dimension, borders mirrored with edge pixels once (OpenCV's BORDER_REFLECT_101).

    Args:
        page: (3, H, W).
        taps: The centre's weight, then those of its neighbours at distance 1, 2, ….
        dim: 1 or 2.
    """
    radius, side = len(taps) - 1, page.shape[dim]
    period = max(1, 2 * (side - 1))
    outside = torch.cat([torch.arange(-radius, 0), torch.arange(side, side + radius)]).remainder(period)
    border = page.index_select(dim, torch.where(outside < side, outside, period - outside).to(page.device))
    padded = torch.cat([border.narrow(dim, 0, radius), page, border.narrow(dim, radius, radius)], dim)
    filtered = page * taps[0]
    for distance, tap in enumerate(taps[1:], start=1):
        for start in (radius - distance, radius + distance):
            filtered.add_(padded.narrow(dim, start, side), alpha=tap)
    return filtered
