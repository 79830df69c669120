"""Damage to the tone of a whole page: fading and yellowing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity


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
