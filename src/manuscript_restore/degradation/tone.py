"""Damage to the tone of a whole page: fading, yellowing, paper of another colour."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column
from manuscript_restore.degradation.paint import absorb


class Fading(Degradation):
    """Loss of contrast: every value is multiplied by α, as in the reference system (OpenCV's ``convertScaleAbs``).

    Args:
        alpha: Range of α in [0, 1]; 1 is no fading.
        p: Probability per page.
    """

    def __init__(self, *, alpha: Sequence[float] = (0.6, 0.9), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"alpha": alpha}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Fade in place."""
        alphas = (1 - severity * (1 - params["alpha"])).clamp(min=0)
        for page, alpha in zip(pages, alphas.tolist(), strict=True):
            page *= alpha


class YellowTint(Degradation):
    """Yellowing of old paper: blue is lost most, green a little: RGB times (1, 1 − 0.25 s, 1 − 0.9 s).

    Args:
        strength: Range of s in [0, 1].
        p: Probability per page.
    """

    absorbed = (0.0, 0.25, 0.9)

    def __init__(self, *, strength: Sequence[float] = (0.05, 0.3), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"strength": strength}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Tint in place."""
        strengths = (severity * params["strength"]).clamp(max=1)
        gains = 1 - strengths[:, None] * torch.tensor(self.absorbed)  # (b, 3)
        for page, gain in zip(pages, gains.to(pages[0].device), strict=True):
            page *= gain[:, None, None]


class ColouredPaper(Degradation):
    """Paper of another colour: dyed, or made of coloured rags; blue, green, buff, pink or grey, a little mottled.

    A dye absorbs what is opposite to its hue, and the ink over it hardly changes, as under a filter.

    Args:
        strength: Range of the depth of the dye, in [0, 1].
        saturation: Range of how much of it has a hue, in [0, 1]; the rest is grey.
        mottle: Range of how unevenly the fibres took it, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        strength: Sequence[float] = (0.1, 0.8),
        saturation: Sequence[float] = (0.2, 1.0),
        mottle: Sequence[float] = (0.0, 0.3),
        p: float = 0.5,
    ) -> None:
        ranges = {"strength": strength, "saturation": saturation, "mottle": mottle, "hue": (0, 1)}
        super().__init__(p=p, ranges=ranges, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Dye in place."""
        grid = Grid(pages, 128)
        fibres = grid.noise(params["seed"], 12, octaves=4) - 0.5
        cover = column(severity * params["strength"], fibres) * (1 + column(params["mottle"], fibres) * fibres)
        opposite = 0.5 - 0.5 * torch.cos(2 * math.pi * (params["hue"][:, None] - torch.arange(3) / 3))  # (b, 3)
        taken = torch.lerp(torch.full((1, 3), 0.35), 0.6 * opposite, params["saturation"][:, None])
        return absorb(pages, cover.clamp(0, 1), 1 - taken)
