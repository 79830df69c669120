"""Parts of a page that are lost or covered: torn edges, lost corners, patches and tape."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.biology import backdrop
from manuscript_restore.degradation.fields import Grid, column, scale_to, uniform
from manuscript_restore.degradation.paint import absorb, lay_over


def cut_away(pages: list[Tensor], inside: Tensor, params: Params, *, rim: float) -> Tensor:
    """Replace in place what lies inside an outline by the backdrop, which the page's edge shades.

    Args:
        pages: (3, H, W).
        inside: (b, 1, h, w), how far inside the outline in short sides; negative where the page stays.
        params: With ``backdrop``, (b,) in [0, 1].
        rim: Width of the browned rim of the page, in short sides.

    Returns:
        (b, 1, H, W) in [0, 1]: 1 where it is lost, less on the rim.
    """
    height, width = pages[0].shape[-2:]
    browned = 0.5 * torch.exp((inside / rim).clamp(-20, 0))
    absorb(pages, browned, torch.tensor([[0.50, 0.36, 0.24]]))
    shade = 1 - 0.3 * torch.exp(-(inside / 0.01).clamp(0, 20))
    # The outline is scaled up before it is made sharp.
    lost = (scale_to(inside, (height, width)) * min(height, width) + 0.5).clamp(0, 1)
    lay_over(pages, lost, column(backdrop(params["backdrop"]), lost) * shade)
    return torch.maximum(lost, scale_to(browned, (height, width)))


class TornEdges(Degradation):
    """Edges that are torn, gnawed and crumbled away: along some sides a ragged strip of the page is gone.

    The outline is the side, displaced by fractal noise, as fracture surfaces are self-affine (Mandelbrot et al.
    1984). The mask is what is lost.

    Args:
        depth: Range of how deep the loss goes, in short sides; the severity scales it.
        roughness: Range of how ragged it is, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, depth: Sequence[float] = (0.02, 0.12), roughness: Sequence[float] = (0.4, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"depth": depth, "roughness": roughness, "backdrop": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Tear in place."""
        grid = Grid(pages, 192)
        noise = grid.noise(params["seed"], 5, octaves=5) - 0.5
        depth = column(severity * params["depth"], noise)
        reach = depth * (0.6 + 2.2 * column(params["roughness"], noise) * noise)
        torn = (uniform(params["seed"], 4, layer=1) < 0.5).float()
        torn[torn.sum(1) == 0, 0] = 1  # one side at least
        inside = torch.full_like(noise, -9.0)
        for side, distance in enumerate((grid.y, grid.height - grid.y, grid.x, grid.width - grid.x)):
            inside = torch.maximum(inside, reach - distance - 9 * (1 - column(torn[:, side], noise)))
        return cut_away(pages, inside, params, rim=0.012)


class MissingCorners(Degradation):
    """A corner torn or broken off, along a ragged, slightly bent line. The mask is what is lost.

    Args:
        size: Range of the length cut from each of the two sides, in short sides; the severity scales it.
        count: Fewest and most corners.
        p: Probability per page.
    """

    def __init__(
        self, *, size: Sequence[float] = (0.08, 0.35), count: Sequence[int] = (1, 2), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"size": size, "backdrop": (0, 1)}, high=2, counts={"count": count})

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Break corners off in place."""
        grid, seeds = Grid(pages, 192), params["seed"]
        noise = grid.noise(seeds, 4, octaves=5) - 0.5
        sizes = (severity * params["size"])[:, None, None] * (0.5 + 0.5 * uniform(seeds, 4, 2, layer=1))
        order = uniform(seeds, 4, layer=2).argsort(dim=1)
        inside = torch.full_like(noise, -9.0)
        for corner in range(4):
            down = grid.y if corner < 2 else grid.height - grid.y
            right = grid.x if corner % 2 else grid.width - grid.x
            high, wide = (column(sizes[:, corner, i].clamp(min=1e-4), noise) for i in range(2))
            there = column(order[:, corner] < params["count"], noise)
            gone = (1 - down / high - right / wide + 0.7 * noise) * torch.minimum(high, wide) * 0.7
            inside = torch.where(there, torch.maximum(inside, gone), inside)
        return cut_away(pages, inside, params, rim=0.01)


def _rectangle(grid: Grid, seeds: Tensor, half_height: Tensor, half_width: Tensor, *, turn: float) -> Tensor:
    """How far inside a turned rectangle at a random place, in short sides, (b, 1, rows, columns)."""
    down, right = grid.offset(uniform(seeds, 2, layer=1))
    draw, quarter = uniform(seeds, 2, layer=2).unbind(1)
    angle = column(turn * (2 * draw - 1) + 0.5 * math.pi * (quarter < 0.5), down)
    y, x = down * angle.cos() - right * angle.sin(), down * angle.sin() + right * angle.cos()
    return torch.minimum(column(half_height, down) - y.abs(), column(half_width, down) - x.abs())


class Tape(Degradation):
    """Adhesive tape: a translucent strip whose glue has yellowed, darker along its edges, with a dull shine.

    Args:
        width: Range of half the strip's width, in short sides.
        length: Range of half its length, in short sides.
        opacity: Range of how much it yellows, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        width: Sequence[float] = (0.03, 0.07),
        length: Sequence[float] = (0.1, 0.6),
        opacity: Sequence[float] = (0.3, 0.8),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"width": width, "length": length, "opacity": opacity}, high=2)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Stick in place."""
        grid, seeds = Grid(pages, 192), params["seed"]
        noise = grid.noise(seeds, 10, octaves=4) - 0.5
        inside = _rectangle(grid, seeds, params["width"], params["length"], turn=0.4)
        body = (inside * grid.cells + 0.5 + 2 * noise).clamp(0, 1)
        edge = torch.exp(-(inside / 0.006).clamp(0, 20))
        strength = column((severity * params["opacity"]).clamp(max=1), body)
        yellowed = strength * body * (0.7 + 0.6 * noise + 0.3 * edge).clamp(0, 1)
        absorb(pages, yellowed, torch.tensor([[0.82, 0.62, 0.30]]))
        shine = strength * body * (0.16 + 0.4 * noise).clamp(0, 0.4)
        lay_over(pages, shine, torch.tensor([[0.90, 0.84, 0.70]]))
        return strength * body


class RepairPatch(Degradation):
    """A patch of other paper glued over the page: it hides the writing, and casts a thin shadow.

    The mask is 1 where the page is covered, less in the shadow.

    Args:
        size: Range of half the sides, in short sides; the severity scales it.
        p: Probability per page.
    """

    def __init__(self, *, size: Sequence[float] = (0.04, 0.15), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"size": size, "tone": (0, 1), "fresh": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Patch in place."""
        grid, seeds = Grid(pages, 192), params["seed"]
        high, wide = ((severity * params["size"])[:, None] * (0.5 + uniform(seeds, 2, layer=5))).unbind(1)
        noise = grid.noise(seeds, 6, octaves=4) - 0.5
        inside = _rectangle(grid, seeds, high, wide, turn=0.25) + 0.008 * noise
        shadow = 0.5 * torch.exp((inside / 0.008).clamp(-20, 0))
        absorb(pages, shadow, torch.tensor([[0.35, 0.30, 0.26]]))
        texture = 1 + 0.16 * noise + 0.10 * (grid.noise(seeds, 80, octaves=2, layer=6) - 0.5)
        old, new = torch.tensor([0.78, 0.66, 0.46]), torch.tensor([0.93, 0.90, 0.82])
        colour = column(torch.lerp(old, new, params["fresh"][:, None]), noise) * texture
        patch = lay_over(pages, (inside * grid.cells + 0.5).clamp(0, 1), colour.clamp(0, 1))
        return torch.maximum(patch, shadow)
