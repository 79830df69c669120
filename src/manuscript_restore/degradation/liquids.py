"""Spilt liquids: water with its tide lines, oil and grease."""

from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, smoothstep, uniform
from manuscript_restore.degradation.paint import absorb


def _blob(grid: Grid, params: Params, *, which: int, bend: float, octaves: int = 4) -> Tensor:
    """Signed distance inside a blob with a noisy outline, in short sides, about (b, 1, rows, columns)."""
    seeds = params["seed"]
    down, right = grid.offset(uniform(seeds, 2, layer=10 + which) * 1.2 - 0.1)
    stretch = column(0.6 + 0.8 * uniform(seeds, 1, layer=20 + which)[:, 0], down)
    radius = column(params["radius"] * (1 - 0.3 * which), down)
    outline = grid.noise(seeds, 4, octaves=octaves, layer=30 + which) - 0.5
    return radius * (1 + bend * outline) - ((down * stretch) ** 2 + (right / stretch) ** 2).sqrt()


class WaterStains(Degradation):
    """Large faint stains of water, each with a narrow brown tide line at its outline.

    Water dissolves dirt and degraded cellulose and leaves them where it dries, at the front (Dupont 1996,
    "Degradation of cellulose at the wet/dry interface"). The line is sharp outside and fades inwards; a second
    wetting leaves a second front.

    Args:
        radius: Range of the radius, in short sides.
        opacity: Range of the opacity of the tide line, in [0, 1].
        width: Range of the width of the tide line, in short sides.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        radius: Sequence[float] = (0.15, 0.6),
        opacity: Sequence[float] = (0.2, 0.6),
        width: Sequence[float] = (0.006, 0.02),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"radius": radius, "opacity": opacity, "width": width, "tone": (0, 1)}, high=1
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Stain in place."""
        grid = Grid(pages, 128)
        width = column(params["width"].clamp(min=1e-3), grid.y)
        passed = torch.ones((), device=grid.device)
        for which in range(2):
            inside = _blob(grid, params, which=which, bend=0.9)
            line = torch.exp(-(inside / width).clamp(0, 20)) * smoothstep(inside / width, -0.7, 0.1)
            carried = (0.3 + 1.1 * grid.noise(params["seed"], 5, octaves=2, layer=which)).clamp(0.1, 1)
            body = 0.22 * smoothstep(inside / width, -0.5, 1.5) * (0.6 + 0.4 * torch.exp(-inside.clamp(0, 5) * 6))
            passed = passed * (1 - (line * carried + body).clamp(0, 1) * (1.0 if which == 0 else 0.6))
        cover = column((severity * params["opacity"]).clamp(max=1), passed) * (1 - passed)
        dark, light = torch.tensor([0.50, 0.34, 0.16]), torch.tensor([0.72, 0.56, 0.38])
        return absorb(pages, cover, torch.lerp(dark, light, params["tone"][:, None]))


class OilSpots(Degradation):
    """Spots of oil, wax and grease: the support turns translucent, so darker and more saturated, with a soft edge.

    Oil fills the pores, whose scattering made the paper white (Kubelka and Munk 1931: less scattering at the same
    absorption); what is left is the colour of fibres and of the oil, which yellows.

    Args:
        radius: Range of the radius of the largest spot, in short sides.
        opacity: Range of the opacity, in [0, 1].
        count: Fewest and most spots on a page.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        radius: Sequence[float] = (0.03, 0.18),
        opacity: Sequence[float] = (0.25, 0.7),
        count: Sequence[int] = (1, 6),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"radius": radius, "opacity": opacity, "tone": (0, 1)}, high=1, counts={"count": count}
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Stain in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 64)
        size = uniform(seeds, most, layer=1)
        there = torch.arange(most) < params["count"][:, None]
        level = torch.full((), -1.0, device=grid.device)
        places = uniform(seeds, most, 2, layer=2)
        outline = grid.noise(seeds, 5, octaves=2, layer=3) - 0.5
        for spot in range(most):
            down, right = grid.offset(places[:, spot])
            radius = (params["radius"] * (0.25 + 0.75 * size[:, spot] ** 2) * there[:, spot]).clamp(min=1e-6)
            distance = (down**2 + right**2).sqrt() / column(radius, down)
            level = torch.maximum(level, (1 - distance + 0.5 * outline).clamp(min=-1))
        cover = smoothstep(level, -0.15, 0.35) * (0.75 + 0.5 * (grid.noise(seeds, 12, octaves=2, layer=4) - 0.5))
        cover = column((severity * params["opacity"]).clamp(max=1), cover) * cover.clamp(0, 1)
        dark, light = torch.tensor([0.48, 0.36, 0.18]), torch.tensor([0.80, 0.68, 0.40])
        return absorb(pages, cover, torch.lerp(dark, light, params["tone"][:, None]))
