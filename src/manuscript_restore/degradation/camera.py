"""The camera: defocus, motion, sensor noise, resolution."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.noise import plate


def convolve(page: Tensor, kernel: Tensor) -> Tensor:
    """Filter a page (3, H, W) with a small kernel (k, k) of few taps, as shifted sums; borders are repeated."""
    radius = len(kernel) // 2
    height, width = page.shape[-2:]
    padded = F.pad(page.clone()[None], (radius,) * 4, mode="replicate")[0]
    filtered = torch.zeros_like(page)
    for row, column in kernel.nonzero().tolist():
        filtered.add_(padded[:, row : row + height, column : column + width], alpha=float(kernel[row, column]))
    return filtered


class Defocus(Degradation):
    """A lens out of focus: every point becomes a disc, the image of the aperture.

    Args:
        radius: Range of the disc's radius in pixels.
        p: Probability per page.
    """

    def __init__(self, *, radius: Sequence[float] = (0.7, 2.5), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"radius": radius}, high=8)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Blur in place."""
        for page, radius in zip(pages, (severity * params["radius"]).tolist(), strict=True):
            reach = math.ceil(radius)
            across = torch.arange(-reach, reach + 1).float()
            distance = (across[:, None] ** 2 + across**2).sqrt()
            disc = (radius + 0.5 - distance).clamp(0, 1)
            disc[reach, reach] = 1
            page.copy_(convolve(page, disc / disc.sum())).clamp_(0, 1)


class MotionBlur(Degradation):
    """A hand that shook: every point becomes a short straight line.

    Args:
        length: Range of the line's length in pixels.
        p: Probability per page.
    """

    def __init__(self, *, length: Sequence[float] = (2.0, 7.0), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"length": length, "direction": (0, 1)}, high=32)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Blur in place."""
        lengths, directions = (severity * params["length"]).tolist(), params["direction"].tolist()
        for page, length, direction in zip(pages, lengths, directions, strict=True):
            reach = math.ceil(length / 2)
            across = torch.arange(-reach, reach + 1).float()
            sine, cosine = math.sin(math.pi * direction), math.cos(math.pi * direction)
            along = (across[:, None] * sine + across * cosine).abs()
            beside = (across[:, None] * cosine - across * sine).abs()
            line = (1 - beside).clamp(min=0) * (length / 2 + 0.5 - along).clamp(0, 1)
            page.copy_(convolve(page, line / line.sum())).clamp_(0, 1)


class SensorNoise(Degradation):
    """Noise of a sensor: of the photons and of the electronics, in linear light.

    The variance is a · light + b² (Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling"), so that after
    the display's gamma (2, near enough) dark places are noisier than bright ones. Most of it is common to the
    channels, as demosaicking leaves it.

    Args:
        shot: Range of √a, the noise at full light from the photons.
        read: Range of b, the noise of the electronics.
        p: Probability per page.
    """

    def __init__(
        self, *, shot: Sequence[float] = (0.01, 0.08), read: Sequence[float] = (0.002, 0.02), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"shot": shot, "read": read}, high=1)

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw the strengths, and places on the plate of normal numbers."""
        params = super().generate_parameters(batch_shape)
        params["place"] = torch.randint(512, (batch_shape[0], 4, 2))
        return params

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Add noise in place."""
        height, width = pages[0].shape[-2:]
        numbers = plate(pages[0].device, height + 512, width + 512)
        drawn = zip((severity * params["shot"]).tolist(), (severity * params["read"]).tolist(), strict=True)
        for page, (shot, read), places in zip(pages, drawn, params["place"].tolist(), strict=True):
            light, *colour = (
                numbers[top : top + height, left : left + width].to(page.dtype) for top, left in places
            )
            linear = page.detach() ** 2
            deviation = (shot**2 * linear + read**2).sqrt_()
            for channel, tint in enumerate(colour):
                deviation[channel] *= 0.8 * light + 0.6 * tint
            # Gradients pass as if the noise were a constant that was added.
            noisy = (linear + deviation).clamp_(0, 1).sqrt_()
            page += noisy - page.detach()
            page.clamp_(0, 1)


class LowResolution(Degradation):
    """A scan of too few pixels: scaled down with antialiasing, and up again.

    Args:
        factor: Range of the factor of each side, at least 1.
        p: Probability per page.
    """

    def __init__(self, *, factor: Sequence[float] = (1.3, 3.0), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"factor": factor, "sharp": (0, 1)}, high=16)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Lose resolution in place."""
        size = pages[0].shape[-2:]
        factors = (1 + severity * (params["factor"] - 1).clamp(min=0)).tolist()
        for page, factor, sharp in zip(pages, factors, params["sharp"].tolist(), strict=True):
            small_size = [max(1, round(side / factor)) for side in size]
            small = F.interpolate(page.clone()[None].float(), small_size, mode="bilinear", antialias=True)
            mode = "bicubic" if sharp < 0.5 else "bilinear"
            # Enlarging needs no antialiasing, but torch's code for it is several times faster.
            page.copy_(F.interpolate(small, size, mode=mode, antialias=True)[0]).clamp_(0, 1)
