"""Traces of bending and rubbing: cracks, creases, fold shadows, scratches."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, paths, uniform
from manuscript_restore.degradation.paint import lay_over, multiply


def _lines(grid: Grid, seeds: Tensor, num: int, *, layer: int) -> Tensor:
    """Signed distance to straight lines through random places, mostly along or across the page.

    Returns:
        (b, num, rows, columns) in short sides.
    """
    place, turn = uniform(seeds, num, 2, layer=layer), uniform(seeds, num, layer=layer + 1)
    across = uniform(seeds, num, layer=layer + 2) < 0.5
    angle = (0.3 * (turn - 0.5) + 0.5 * math.pi * across).to(grid.device)[..., None, None]
    place = place.to(grid.device)[..., None, None]
    down, right = grid.y - place[:, :, 0] * grid.height, grid.x - place[:, :, 1] * grid.width
    return down * angle.cos() - right * angle.sin()


class Cracks(Degradation):
    """Splits along the fibres of a leaf, and cracks of paint and brittle paper: thin, dark, jagged, tapering.

    A correlated random walk in one main direction with a small chance to turn; one lip catches the light.

    Args:
        count: Fewest and most cracks on a page.
        length: Range of the length, in short sides.
        opacity: Range of the opacity, in [0, 1].
        width: Range of half the width, in short sides; the severity scales it.
        slant: Range of the angle between a crack and the page's long side, in radians.
        p: Probability per page.
    """

    steps = 224

    def __init__(
        self,
        *,
        count: Sequence[int] = (1, 8),
        length: Sequence[float] = (0.1, 0.8),
        opacity: Sequence[float] = (0.5, 1.0),
        width: Sequence[float] = (0.001, 0.0035),
        slant: Sequence[float] = (0.0, 0.15),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p,
            ranges={"length": length, "opacity": opacity, "width": width, "slant": slant},
            high=2,
            counts={"count": count},
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Crack in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 512)
        size = torch.tensor([grid.height, grid.width])
        turn, length = uniform(seeds, 2, most, layer=1).unbind(1)
        heading = params["slant"][:, None] * (2 * turn - 1) + (0.5 * math.pi if grid.height > grid.width else 0)
        points = paths(
            seeds,
            uniform(seeds, most, 2, layer=2) * size,
            heading,
            steps=self.steps,
            stride=params["length"][:, None] * (0.3 + 0.7 * length) / self.steps,
            wander=torch.full((1, most), 0.02),
        )
        points = points + 0.0025 * (uniform(seeds, most, self.steps, 2, layer=3) - 0.5)
        taper = (1 - torch.linspace(-1, 1, self.steps).abs() ** 3) * (
            0.5 + uniform(seeds, most, self.steps, layer=4)
        )
        there = (torch.arange(most) < params["count"][:, None])[..., None]
        radii = (severity * params["width"])[:, None, None] * taper
        values = (there * (0.7 + 0.3 * taper)).clamp(max=1).flatten(1)
        places, radii = (points / size).flatten(1, 2), radii.flatten(1)
        opacity = column((severity * params["opacity"]).clamp(max=1), grid.y)
        cracks = opacity * grid.stamp(places, radii, values)
        lips = 0.35 * cracks.roll((1, 1), dims=(-2, -1))
        lay_over(pages, lips, torch.tensor([[0.93, 0.86, 0.74]]))
        lay_over(pages, cracks, torch.tensor([[0.10, 0.07, 0.05]]))
        return torch.maximum(cracks, lips)


class Creases(Degradation):
    """Creases of paper that was folded or crumpled: a lit and a shaded side, and ink worn along the ridge.

    Shading is the slope of a bent surface under light from one side (Lambert): odd across the line. The ridge is
    rubbed to the bare fibres.

    Args:
        count: Fewest and most creases on a page.
        strength: Range of the depth of the shading, in [0, 1].
        width: Range of the width, in short sides.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        count: Sequence[int] = (1, 5),
        strength: Sequence[float] = (0.1, 0.4),
        width: Sequence[float] = (0.004, 0.012),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "width": width}, high=1, counts={"count": count})

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Crease in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 160)
        bend = 0.03 * (grid.noise(seeds, 4, octaves=3) - 0.5)
        side, depth = uniform(seeds, 2, most, layer=5).unbind(1)
        amount = (0.4 + 0.6 * depth) * (torch.arange(most) < params["count"][:, None])
        amount = ((severity * params["strength"])[:, None] * amount).to(grid.device)[..., None, None]
        sign = (2 * (side > 0.5).float() - 1).to(grid.device)[..., None, None]
        across = (_lines(grid, seeds, most, layer=1) + bend) / column(params["width"].clamp(min=1e-3), grid.y)
        bell = torch.exp(-(across**2).clamp(max=20))
        fade = (0.3 + 1.4 * grid.noise(seeds, 3, layer=6)).clamp(0, 1)
        shading = (amount * sign * across * bell).sum(1, keepdim=True) * fade
        worn = (1.2 * amount * torch.exp(-(9 * across**2).clamp(max=20))).amax(1, keepdim=True) * fade
        multiply(pages, (1 + 1.6 * shading).clamp(0, 2))
        lay_over(pages, worn.clamp(0, 1), torch.tensor([[0.88, 0.83, 0.75]]))
        return (shading.abs() + worn).clamp(0, 1)


class FoldShadow(Degradation):
    """The shadow along a fold or in the gutter of a bound book, where the page curves away from the light.

    The light falls off to one side of a line, as the page rolls away: sharp at the fold, soft away from it.

    Args:
        strength: Range of the darkness at the fold, in [0, 1].
        reach: Range of how far the shadow goes, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.2, 0.6), reach: Sequence[float] = (0.08, 0.4), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "reach": reach}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Shade in place."""
        grid = Grid(pages, 128)
        side = column(2.0 * (uniform(params["seed"], 1, layer=4)[:, 0] < 0.5) - 1, grid.y)
        away = side * _lines(grid, params["seed"], 1, layer=1) / column(params["reach"].clamp(min=1e-3), grid.y)
        shadow = torch.exp(-(2 * away.clamp(min=0))) * (1 + away / 0.06).clamp(0, 1)
        multiply(pages, 1 - column((severity * params["strength"]).clamp(max=1), grid.y) * shadow)


class Scratches(Degradation):
    """Scratches: long, hair-thin, nearly straight; light where they lay fibres bare, dark where dirt fills them.

    Args:
        count: Fewest and most scratches on a page.
        length: Range of the length, in short sides.
        opacity: Range of the opacity, in [0, 1].
        p: Probability per page.
    """

    steps = 176

    def __init__(
        self,
        *,
        count: Sequence[int] = (2, 14),
        length: Sequence[float] = (0.1, 0.7),
        opacity: Sequence[float] = (0.5, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"length": length, "opacity": opacity}, high=2, counts={"count": count})

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Scratch in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 512)
        size = torch.tensor([grid.height, grid.width])
        main, turn, length, faint = uniform(seeds, 4, most, layer=1).unbind(1)
        points = paths(
            seeds,
            uniform(seeds, most, 2, layer=2) * size,
            2 * math.pi * main[:, :1] + 1.5 * (turn - 0.5) ** 3 * 8,
            steps=self.steps,
            stride=params["length"][:, None] * (0.2 + 0.8 * length) / self.steps,
            wander=torch.full((1, most), 0.01),
        )
        there = (torch.arange(most) < params["count"][:, None]) * (0.3 + 0.7 * faint)
        skips = 0.4 + 0.6 * uniform(seeds, most, self.steps, layer=3)
        values = there[..., None] * skips * (1 - torch.linspace(-1, 1, self.steps) ** 4)
        values = (severity * params["opacity"])[:, None, None].clamp(max=1) * values
        places, radii = (points / size).flatten(1, 2), torch.full(values.shape, 0.0026).flatten(1)
        bare, dirty = torch.tensor([0.94, 0.90, 0.82]), torch.tensor([0.16, 0.13, 0.11])
        colour = torch.where(uniform(seeds, 1, layer=4) < 0.65, bare, dirty)
        return lay_over(pages, grid.stamp(places, radii, values.flatten(1)), colour)
