"""Ageing of the support: yellowing, browned edges, dirt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, smoothstep, uniform
from manuscript_restore.degradation.paint import absorb

CELLS = 32
YELLOW, ORANGE = (1.0, 0.88, 0.45), (0.92, 0.74, 0.48)  # what an aged support lets through of red, green, blue
BROWN = (0.52, 0.36, 0.22)
SOOT = (0.35, 0.32, 0.29)


class Yellowing(Degradation):
    """Yellowing and darkening of paper and leaf, stronger in some places than in others.

    Oxidised cellulose and lignin absorb blue most, then green (Zervos 2010, "Natural and accelerated ageing of
    cellulose and paper"): the page is multiplied by a colour between yellow and orange-brown, unevenly.

    Args:
        strength: Range of how much of that colour a page takes on, in [0, 1].
        unevenness: Range of how much of the strength comes and goes over the page, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        strength: Sequence[float] = (0.15, 0.7),
        unevenness: Sequence[float] = (0.1, 0.6),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "unevenness": unevenness, "hue": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Tint in place."""
        grid = Grid(pages, CELLS)
        noise = grid.noise(params["seed"], 2.5, octaves=3)
        uneven = 1 - column(params["unevenness"], noise) * noise.clamp(0, 1)
        cover = column(severity * params["strength"], noise) * uneven
        colour = torch.lerp(torch.tensor(YELLOW), torch.tensor(ORANGE), params["hue"][:, None])
        return absorb(pages, cover.clamp(0, 1), colour)


class EdgeBrowning(Degradation):
    """Margins that air, light and hands have browned, or that have been near a fire.

    The stain falls off exponentially from each side, as oxygen diffuses in; its front is uneven. Each side of a
    page is hit with a strength of its own, some not at all.

    Args:
        strength: Range of the darkness at the edge, in [0, 1].
        depth: Range of the depth over which it falls to a third, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.4, 1.0), depth: Sequence[float] = (0.04, 0.2), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "depth": depth}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Brown in place."""
        grid = Grid(pages, CELLS)
        noise = grid.noise(params["seed"], 4, octaves=3)
        depth = column(params["depth"], noise) * (0.4 + 1.2 * noise.clamp(0, 1))
        sides = (1.6 * uniform(params["seed"], 4, layer=1) - 0.6).clamp(min=0)  # (b, 4)
        sides[sides.sum(1) == 0, 0] = 1  # one at least
        passed = torch.ones_like(noise)
        for side, distance in enumerate((grid.y, grid.height - grid.y, grid.x, grid.width - grid.x)):
            passed = passed * (1 - column(sides[:, side], noise) * torch.exp(-(distance / depth).clamp(max=20)))
        cover = column(severity * params["strength"], noise) * (1 - passed)
        return absorb(pages, cover.clamp(0, 1), torch.tensor([BROWN]))


class Dirt(Degradation):
    """Dirt and soot: grey-brown clouds where a page was handled or smoked, and specks.

    Args:
        strength: Range of the darkness of clouds and specks, in [0, 1].
        coverage: Range of the share of the page under clouds, in [0, 1].
        specks: Fewest and most specks on a page.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        strength: Sequence[float] = (0.2, 0.7),
        coverage: Sequence[float] = (0.1, 0.6),
        specks: Sequence[int] = (5, 60),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"strength": strength, "coverage": coverage}, high=1, counts={"specks": specks}
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Soil in place."""
        grid, coarse = Grid(pages, 256), Grid(pages, 64)
        seeds, most = params["seed"], self.counts["specks"][1]
        clouds = coarse.noise(seeds, 3, octaves=4)
        clouds = 0.6 * smoothstep(clouds - 1 + column(params["coverage"], clouds), -0.3, 0.4)
        size, value = uniform(seeds, 2, most, layer=1).unbind(1)
        value = (0.3 + 0.7 * value) * (torch.arange(most) < params["specks"][:, None])
        specks = grid.stamp(uniform(seeds, most, 2, layer=2), 0.002 + 0.005 * size**4, value, soft=1)
        strength = column((severity * params["strength"]).clamp(max=1), specks)
        cover = strength * (1 - (1 - specks) * (1 - grid.resize(clouds)))
        return absorb(pages, cover, torch.tensor([SOOT]))
