"""Damage by living things: foxing, mould, insects."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, paths, smoothstep, uniform
from manuscript_restore.degradation.paint import absorb, lay_over


class Foxing(Degradation):
    """Foxing: many soft spots, rusty to light brown, in clusters.

    Fungi and iron in the paper oxidise around nuclei (Choi 2007, "Foxing on paper: a literature review"). Spots
    differ in size and density, have no outline, and leave the ink readable.

    Args:
        count: Fewest and most spots on a page.
        radius: Range of a page's typical radius, in short sides.
        opacity: Range of the opacity of the darkest spots, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        count: Sequence[int] = (10, 80),
        radius: Sequence[float] = (0.006, 0.02),
        opacity: Sequence[float] = (0.2, 0.7),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"radius": radius, "opacity": opacity}, high=1, counts={"count": count})

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Stain in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 128)
        size, faint, near = uniform(seeds, 3, most, layer=1).unbind(1)
        places, centres = uniform(seeds, most, 2, layer=2), uniform(seeds, 4, 2, layer=3)
        own = centres[:, torch.arange(most) % 4]  # (b, n, 2): each spot's cluster
        places = torch.lerp(places, own, 0.7 * near[..., None] ** 2)
        values = (0.25 + 0.75 * faint**2) * (torch.arange(most) < params["count"][:, None])
        spots = grid.stamp(places, params["radius"][:, None] * (0.4 + 1.4 * size**2), values, soft=1.6)
        spots = spots * (0.55 + 0.9 * (grid.noise(seeds, 40, octaves=2) - 0.5)).clamp(0.2, 1)
        cover = column(severity * 1.8 * params["opacity"], spots) * spots
        return absorb(pages, cover.clamp(0, 1), torch.tensor([[0.66, 0.42, 0.22]]))


class Mould(Degradation):
    """Colonies of mould: groups of round spots, dark at the heart, violet, grey or greenish, in a haze.

    The purple spots of damp parchment (Migliore et al. 2019, "Three ancient documents solve the jigsaw of the
    parchment purple spot deterioration"), and grey-green mould. Growth starts from spores and spreads evenly, so
    that each spot is a disc with a soft rim.

    Args:
        colonies: Fewest and most groups on a page.
        radius: Range of the radius of a spot, in short sides.
        opacity: Range of the opacity at the heart, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        colonies: Sequence[int] = (1, 4),
        radius: Sequence[float] = (0.006, 0.02),
        opacity: Sequence[float] = (0.25, 0.75),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p,
            ranges={"radius": radius, "opacity": opacity, "hue": (0, 1)},
            high=1,
            counts={"colonies": colonies},
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Stain in place."""
        seeds, most, spots = params["seed"], self.counts["colonies"][1], 14
        grid = Grid(pages, 128)
        centres = uniform(seeds, most, 2, layer=1)
        scatter = uniform(seeds, most, spots, 2, layer=2) + uniform(seeds, most, spots, 2, layer=3) - 1
        places = (centres[:, :, None] + 0.14 * scatter).flatten(1, 2)
        size, value = uniform(seeds, 2, most * spots, layer=4).unbind(1)
        there = (torch.arange(most) < params["colonies"][:, None]).repeat_interleave(spots, dim=1)
        radii = params["radius"][:, None] * (0.4 + 1.3 * size)
        values = there * (0.3 + 0.7 * value)
        hearts = grid.stamp(places, 0.5 * radii, 0.6 * values, soft=1.2) + grid.stamp(
            places, radii, 0.4 * values, soft=1
        )
        haze = Grid(pages, 32).stamp(
            centres, params["radius"][:, None].expand(-1, most) * 7, there[:, ::spots].float(), soft=1.8
        )
        rough = (0.4 + 1.2 * grid.noise(seeds, 24, octaves=3, layer=5)).clamp(0.2, 1.2)
        cover = (hearts + 0.3 * grid.resize(haze) * (1 - hearts)) * rough
        cover = (column(severity * params["opacity"], cover) * cover).clamp(0, 1)
        violet, green = torch.tensor([0.36, 0.26, 0.40]), torch.tensor([0.40, 0.42, 0.34])
        return absorb(pages, cover, torch.lerp(violet, green, params["hue"][:, None] ** 2))


class _Holes(Degradation):
    """Holes through the page, with a browned rim; behind them lies a backdrop that is white, black or grey."""

    def pierce(self, pages: list[Tensor], holes: Tensor, rims: Tensor, params: Params) -> Tensor:
        """Darken the rims and cut the holes, in place.

        Args:
            pages: (3, H, W).
            holes: (b, 1, h, w) in [0, 1].
            rims: The same, wider and softer.
            params: With ``backdrop``, (b,) in [0, 1].
        """
        absorb(pages, 0.6 * rims, torch.tensor([[0.45, 0.28, 0.16]]))
        lay_over(pages, holes, backdrop(params["backdrop"]))
        return torch.maximum(holes, 0.6 * rims)


def backdrop(drawn: Tensor) -> Tensor:
    """Greys (b, 1) of what lies behind a page, of numbers in [0, 1]: mostly white or black."""
    return smoothstep(drawn, 0.25, 0.6)[:, None] * 0.96 + 0.03


class Wormholes(_Holes):
    """Round holes of bookworms, which bore straight through a book: beetles' larvae (Anobiidae).

    Args:
        count: Fewest and most holes on a page.
        radius: Range of a page's typical radius, in short sides; the severity scales it.
        p: Probability per page.
    """

    def __init__(
        self, *, count: Sequence[int] = (2, 20), radius: Sequence[float] = (0.004, 0.014), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"radius": radius, "backdrop": (0, 1)}, high=1, counts={"count": count})

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Pierce in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 512)
        places, size = uniform(seeds, most, 2, layer=1), uniform(seeds, most, layer=2)
        radii = (severity * params["radius"])[:, None] * (0.5 + size)
        # A hole is rarely a perfect disc: two overlapping ones.
        shift = (uniform(seeds, most, 2, layer=3) - 0.5) * 1.6 * radii[..., None]
        shift = shift / torch.tensor([grid.height, grid.width])
        there = (torch.arange(most) < params["count"][:, None]).float().repeat(1, 2)
        both, radii = torch.cat([places, places + shift], dim=1), torch.cat([radii, 0.7 * radii], dim=1)
        holes, rims = grid.stamp(both, radii, there), grid.stamp(both, 1.35 * radii, there, soft=0.6)
        return self.pierce(pages, holes, rims, params)


class InsectTracks(_Holes):
    """Winding slits that termites, silverfish and larvae eat into palm leaf and paper.

    A correlated random walk (Kareiva and Shigesada 1983), as wide as the animal, with browned rims.

    Args:
        count: Fewest and most tracks on a page.
        width: Range of half a track's width, in short sides; the severity scales it.
        length: Range of a track's length, in short sides; the severity scales it too.
        p: Probability per page.
    """

    steps = 48

    def __init__(
        self,
        *,
        count: Sequence[int] = (1, 6),
        width: Sequence[float] = (0.005, 0.014),
        length: Sequence[float] = (0.05, 0.3),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p,
            ranges={"width": width, "length": length, "backdrop": (0, 1)},
            high=1,
            counts={"count": count},
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Eat tracks in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 384)
        size = torch.tensor([grid.height, grid.width])
        heading, length, wander = uniform(seeds, 3, most, layer=1).unbind(1)
        shortened = (severity * torch.ones(len(pages))).clamp(max=1)
        points = paths(
            seeds,
            uniform(seeds, most, 2, layer=2) * size,
            2 * math.pi * heading,
            steps=self.steps,
            stride=(shortened * params["length"])[:, None] * (0.3 + 0.7 * length) / self.steps,
            wander=0.15 + 0.45 * wander,
        )
        thickness = F.avg_pool1d(uniform(seeds, most, self.steps, layer=3), 9, stride=1, padding=4)
        thickness = (0.2 + 1.4 * thickness) * torch.linspace(-1, 1, self.steps).pow(6).mul(-0.6).add(1)
        radii = (severity * params["width"])[:, None, None] * thickness  # (b, n, steps)
        there = (torch.arange(most) < params["count"][:, None]).float()[..., None].expand_as(radii)
        places, radii, there = (points / size).flatten(1, 2), radii.flatten(1), there.flatten(1)
        holes, rims = (
            grid.stamp(places, radii, there),
            grid.stamp(places[:, ::2], 1.4 * radii[:, ::2], there[:, ::2], soft=0.6),
        )
        return self.pierce(pages, holes, rims, params)
