"""Noise of the camera: Gaussian, salt and pepper."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import uniform
from manuscript_restore.degradation.paint import soften

PLATE_SIZE = 1024


class GaussianNoise(Degradation):
    """White Gaussian noise.

    Each channel of each page reads its own random place, with a random sign, of one plate of 1024² normal
    numbers that is always the same: ten times cheaper than drawing them anew, and equal on every device. Where the
    windows of two channels overlap their noise is a shifted copy; beyond 1024 pixels it repeats.

    Args:
        sigma: Range of the standard deviation, for values in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, sigma: Sequence[float] = (0.01, 0.08), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"sigma": sigma})

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw σ, and a place on the plate for each channel."""
        params = super().generate_parameters(batch_shape)
        params["place"] = torch.randint(PLATE_SIZE, (*batch_shape[:2], 2))
        params["sign"] = 1 - 2 * torch.randint(2, batch_shape[:2])
        return params

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Add noise in place."""
        height, width = pages[0].shape[-2:]
        numbers = plate(pages[0].device, height + PLATE_SIZE, width + PLATE_SIZE)
        strengths = (severity * params["sigma"])[:, None] * params["sign"]  # (b, 3)
        for page, alphas, places in zip(pages, strengths.tolist(), params["place"].tolist(), strict=True):
            for channel, (alpha, (top, left)) in enumerate(zip(alphas, places, strict=True)):
                page[channel].add_(numbers[top : top + height, left : left + width], alpha=alpha)
            page.clamp_(0, 1)


def plate(device: torch.device, height: int, width: int) -> Tensor:
    """Normal numbers, always the same ones, repeated until they are at least so high and wide."""
    return _plate(device, -(-height // PLATE_SIZE), -(-width // PLATE_SIZE))


@cache  # here, not in the module: a pickled pipeline stays small
def _plate(device: torch.device, rows: int, columns: int) -> Tensor:
    numbers = torch.randn(PLATE_SIZE, PLATE_SIZE, generator=torch.Generator().manual_seed(0))
    return numbers.repeat(rows, columns).to(device)


def grain(page: Tensor, place: list[int]) -> Tensor:
    """A window of the plate, (1, H, W), softened, of unit variance."""
    height, width = page.shape[-2:]
    top, left = place
    window = plate(page.device, height + 512, width + 512)[top : top + height, left : left + width][None]
    return soften(window) * 8 / 3  # (1, 2, 1)/4 each way leaves 3/8 of the deviation


def grain_places(params: Params) -> list[list[int]]:
    """A random window of each page."""
    return (512 * uniform(params["seed"], 2, layer=50)).int().tolist()


class SaltAndPepper(Degradation):
    """Single pixels that are white or black, all channels together.

    Args:
        amount: Range of the share of the pixels, in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, amount: Sequence[float] = (0.001, 0.01), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"amount": amount}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Set pixels in place; more of the same ones as the severity grows."""
        num_pixels = pages[0][0].numel()
        amounts = (severity * params["amount"]).clamp(max=1).tolist()
        for page, amount, seed in zip(pages, amounts, params["seed"].tolist(), strict=True):
            generator = torch.Generator().manual_seed(seed)
            # N random hits touch a share 1 − exp(−N / pixels); to touch the very last pixel could take for ever.
            num_hits = round(-num_pixels * math.log1p(-min(amount, 1 - 0.5 / num_pixels)))
            hits = torch.randint(2 * num_pixels, (num_hits,), generator=generator).numpy()
            # The first hit of a pixel counts: CUDA leaves open which of several writes to one place stays.
            places, first = np.unique(hits // 2, return_index=True)
            values = torch.from_numpy(hits[first] % 2).to(page.device, page.dtype)
            page.flatten(1)[:, torch.from_numpy(places).to(page.device)] = values
