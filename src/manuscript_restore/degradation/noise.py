"""Noise of the camera: Gaussian, salt and pepper."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params

PLATE_SIZE = 1024


class GaussianNoise(Degradation):
    """White Gaussian noise, independent in every pixel and channel.

    Each channel of each page reads its own random place of one large plate of normal numbers that is drawn once:
    ten times cheaper than drawing them anew, and the same on every device.

    Args:
        sigma: Range of the standard deviation, for values in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, sigma: Sequence[float] = (0.01, 0.08), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"sigma": sigma})
        self._plates: dict[tuple[torch.device, int, int], Tensor] = {}

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw σ, and a place on the plate for each channel."""
        params = super().generate_parameters(batch_shape)
        params["place"] = torch.randint(PLATE_SIZE, (*batch_shape[:2], 2))
        return params

    def damage(self, pages: Tensor, params: Params, severity: float) -> None:
        """Add noise in place."""
        height, width = pages.shape[-2:]
        plate = self._plate(pages.device, height, width)
        sigmas = (severity * params["sigma"]).tolist()
        for page, sigma, places in zip(pages, sigmas, params["place"].tolist(), strict=True):
            for channel, (top, left) in zip(page, places, strict=True):
                channel.add_(plate[top : top + height, left : left + width], alpha=sigma)
        pages.clamp_(0, 1)

    def _plate(self, device: torch.device, height: int, width: int) -> Tensor:
        """Normal numbers, repeated so far that a window of the pages' size fits at every place."""
        rows, columns = (1 + -(-side // PLATE_SIZE) for side in (height, width))
        key = (device, rows, columns)
        if key not in self._plates:
            numbers = torch.randn(PLATE_SIZE, PLATE_SIZE, generator=torch.Generator().manual_seed(0))
            self._plates[key] = numbers.repeat(rows, columns).to(device)
        return self._plates[key]


class SaltAndPepper(Degradation):
    """Single pixels that are white or black, all channels together.

    Args:
        amount: Range of the share of the pixels, in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, amount: Sequence[float] = (0.001, 0.01), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"amount": amount}, high=1)

    def damage(self, pages: Tensor, params: Params, severity: float) -> None:
        """Set pixels in place; more of the same ones as the severity grows."""
        num_pixels = pages[0, 0].numel()
        amounts = (severity * params["amount"]).clamp(max=1).tolist()
        for page, amount, seed in zip(pages, amounts, params["seed"].tolist(), strict=True):
            generator = torch.Generator().manual_seed(seed)
            hits = torch.randint(2 * num_pixels, (round(amount * num_pixels),), generator=generator)
            values = (hits % 2).to(pages.dtype).to(pages.device)
            page.flatten(1)[:, (hits // 2).to(pages.device)] = values
