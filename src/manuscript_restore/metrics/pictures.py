"""Scores of whole pictures against the clean ones, (B, 3, H, W) in [0, 1] to (B,)."""

import torch
from kornia.metrics import ssim as ssim_map
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
)

from manuscript_restore.images import as_floats
from manuscript_restore.images.colour import delta_e_2000

PSNR_CAP_DB = 100.0
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
"""Of pictures in [0, 1]."""
MS_SSIM_MIN_SIDE = 161
"""Below, the smallest of the five scales has no room for the window."""


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


def ssim_of_crops(restored: Tensor, clean: Tensor) -> Tensor:
    """`ssim` of crops, for a loss: the same values and gradients, in half the time on a CPU.

    The window is separable, and along a line it is a multiplication by a banded matrix: what processors do best.
    The work grows with the third power of the sides, so it is not for whole pages. The clean crops need no
    gradient, and get none.

    Args:
        restored: (B, 3, H, W) in [0, 1], sides of at least `SSIM_WINDOW`.
        clean: The same.
    """
    down, across = (_windows(side, like=clean) for side in clean.shape[-2:])

    def blur(pictures: Tensor) -> Tensor:
        return down @ (pictures @ across.T)

    with torch.no_grad():
        mean_y = blur(clean)
        variance_y = blur(clean.square()) - mean_y.square()
    mean_x = blur(restored)
    variance_x = blur(restored.square()) - mean_x.square()
    covariance = blur(restored * clean) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x.square() + mean_y.square() + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (variance_x + variance_y + SSIM_C2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _windows(side: int, *, like: Tensor) -> Tensor:
    """The window at each place where it fits along a line of ``side`` pixels: (side − 10, side)."""
    offsets = torch.arange(SSIM_WINDOW, device=like.device, dtype=like.dtype) - SSIM_WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    window = window / window.sum()
    matrix = like.new_zeros(side - SSIM_WINDOW + 1, side)
    for offset, weight in enumerate(window):
        matrix.diagonal(offset).fill_(weight)
    return matrix


def ms_ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """SSIM over five scales; NaN for pictures with a side of 160 pixels or less.

    Source: Wang, Simoncelli & Bovik 2003, eq. 7; torchmetrics' implementation.
    """
    if min(restored.shape[-2:]) < MS_SSIM_MIN_SIDE:
        return torch.full((len(restored),), torch.nan)
    values: Tensor = multiscale_structural_similarity_index_measure(
        restored.float(), clean.float(), data_range=1.0, reduction="none"
    )
    return values.reshape(-1)  # torchmetrics drops the batch axis of a single image


def mse(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean squared error."""
    return (restored - clean).square().mean(dim=(1, 2, 3))


def delta_e(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean CIEDE2000 over the pixels: about 1 is just visible, 100 is black against white."""
    differences = delta_e_2000(as_floats(restored), as_floats(clean)).mean(axis=(1, 2))
    return torch.from_numpy(differences).to(restored.device)


def psnr_after_colour_fit(restored: Tensor, clean: Tensor) -> Tensor:
    """PSNR in dB after the one affine map of colours that brings each restored picture nearest to the clean one.

    Paper is yellow by itself, so the tint and contrast that damage added cannot be told from what was there. This
    score leaves that question out and judges the strokes.
    """
    return psnr(fit_colours(restored, clean), clean)


def fit_colours(restored: Tensor, clean: Tensor, *, clamp: bool = True) -> Tensor:
    """Map each picture's colours by the 3×4 matrix of least squares, then clamp to [0, 1].

    Without the clamp the gradient with respect to ``restored`` is that of the best map, held fixed: at a minimum
    its own change does not count.
    """
    matrix, centre, goal = _colour_map(restored, clean)
    fitted = torch.einsum("bchw,bcd->bdhw", restored - centre, matrix) + goal
    return fitted.clamp(0, 1) if clamp else fitted


@torch.no_grad()
def _colour_map(restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Map of least squares, (B, 3, 3), of the departure from the mean; the means of both, (B, 3, 1, 1) each."""
    source = restored.flatten(2).transpose(1, 2).double()  # (b, 3, h, w) -> (b, n, 3)
    target = clean.flatten(2).transpose(1, 2).double()
    centre, goal = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    centred = source - centre
    matrix = torch.linalg.pinv(centred.mT @ centred, hermitian=True) @ (centred.mT @ (target - goal))
    means = (mean.transpose(1, 2)[..., None].to(restored.dtype) for mean in (centre, goal))
    return (matrix.to(restored.dtype), *means)
