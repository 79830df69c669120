"""Faults of presses, copiers and screens: dirty rollers, spilt toner, plates out of register, moiré."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, exact_type, scale_to, smoothstep, uniform
from manuscript_restore.degradation.noise import grain, grain_places
from manuscript_restore.degradation.paint import absorb

TONER = (0.30, 0.29, 0.28)
DENSEST = 0.3  # the share of the page that is under particles where they lie densest


class RollerStreaks(Degradation):
    """Streaks of dirty rollers in a copier or a scanner's feeder, along the sheet's way.

    Dirt sits at a place across the sheet and smears along it. A lump marks the sheet each time the roller has
    turned: the streak swells at even distances, the roller's circumference.

    Args:
        count: Fewest and most streaks.
        strength: Range of the darkness of the darkest, in [0, 1].
        width: Range of half the width of a streak, in short sides.
        turn: Range of the roller's circumference, in short sides.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        count: Sequence[int] = (1, 8),
        strength: Sequence[float] = (0.15, 0.7),
        width: Sequence[float] = (0.004, 0.03),
        turn: Sequence[float] = (0.1, 0.6),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"strength": strength, "width": width, "turn": turn}, high=2, counts={"count": count}
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Smear in place."""
        seeds, most = params["seed"], self.counts["count"][1]
        grid = Grid(pages, 192)
        place, size, faint, phase = uniform(seeds, 4, most, layer=1).unbind(1)
        width = (params["width"][:, None] * (0.3 + 0.7 * size)).clamp(min=1e-3)
        dark = (0.3 + 0.7 * faint) * (torch.arange(most) < params["count"][:, None])
        sideways = column((uniform(seeds, 1, layer=2)[:, 0] < 0.5).float(), grid.y)[..., 0] > 0.5  # (b, 1, 1)
        profiles = []  # down and across the page, (b, most, rows or columns)
        for cells, length, along in (
            (grid.y.flatten(), grid.height, ~sideways),
            (grid.x.flatten(), grid.width, sideways),
        ):
            off, turns, start, wide = (
                column(each, cells)[..., 0] for each in (place * length, params["turn"], phase, width)
            )
            lane = torch.exp(-(((cells - off) / wide) ** 2).clamp(max=20))
            lumps = smoothstep(torch.cos(2 * math.pi * (cells / turns.clamp(min=0.02) + start)), 0.5, 1.0)
            profiles.append(torch.where(along, 0.4 + 0.6 * lumps, lane).to(exact_type(grid.device)))
        down, across = profiles
        streaks = torch.einsum("bnr,bnc->brc", down * column(dark, down)[..., 0], across)[:, None].float()
        patchy = (0.4 + 1.2 * grid.noise(seeds, 8, octaves=3, layer=3)).clamp(0.2, 1.2)
        cover = column(severity * params["strength"], streaks) * (streaks * patchy).clamp(max=1)
        return absorb(pages, cover.clamp(0, 1), torch.tensor([TONER]))


class TonerBlotches(Degradation):
    """Toner where none should be: clouds of black particles on a grey fog, and a dark margin at an open lid.

    A drum that keeps charge attracts toner by its density: in each place particles lie with the probability that a
    smooth field gives.

    Args:
        strength: Range of how dense they lie where they are densest, in [0, 1].
        coverage: Range of the share of the page under clouds, in [0, 1].
        margin: Range of the depth of the dark margin, in short sides.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        strength: Sequence[float] = (0.3, 0.9),
        coverage: Sequence[float] = (0.1, 0.7),
        margin: Sequence[float] = (0.0, 0.15),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"strength": strength, "coverage": coverage, "margin": margin, "side": (0, 1)}, high=1
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Spill in place."""
        grid, seeds = Grid(pages, 96), params["seed"]
        clouds = grid.noise(seeds, 4, octaves=4)
        density = smoothstep(clouds - 1 + column(params["coverage"], clouds), -0.25, 0.4)
        sides = (grid.y, grid.height - grid.y, grid.x, grid.width - grid.x)
        side = (4 * params["side"]).long().clamp(max=3)
        for number, distance in enumerate(sides):
            reach = column(torch.where(side == number, params["margin"], 0).clamp(min=1e-4), clouds)
            density = torch.maximum(density, torch.exp(-(distance / reach).clamp(max=20)))
        density = column((severity * params["strength"]).clamp(max=1), density) * density
        # Normal numbers beyond this quantile are particles.
        quantile = math.sqrt(2) * torch.erfinv(1 - 2 * (DENSEST * density).clamp(min=1e-5))
        for page, fog, bound, place in zip(pages, 0.15 * density, quantile, grain_places(params), strict=True):
            fog, bound = (scale_to(each[None], page.shape[-2:])[0] for each in (fog, bound))
            particles = ((grain(page, place) - bound) * 3 + 0.5).clamp(0, 1)
            page *= 1 - (fog + 0.8 * particles)


class Misregistration(Degradation):
    """Colour plates, or the lines of a colour scanner, out of register: coloured fringes at every stroke.

    The middle plate stays; each of the other two is shifted on its own, by parts of a pixel too.

    Args:
        shift: Range of the distance in pixels; the severity scales it.
        p: Probability per page.
    """

    def __init__(self, *, shift: Sequence[float] = (0.3, 2.5), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"shift": shift}, high=16)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Shift in place."""
        turns, shares = (2 * math.pi * uniform(params["seed"], 2)), 0.3 + 0.7 * uniform(params["seed"], 2, layer=1)
        lengths = (severity * params["shift"])[:, None] * shares
        down, right = (lengths * turns.sin()).tolist(), (lengths * turns.cos()).tolist()
        for page, downs, rights in zip(pages, down, right, strict=True):
            moved = [_shifted(page[c], y, x) for c, y, x in zip((0, 2), downs, rights, strict=True)]
            page[0], page[2] = moved


def _shifted(channel: Tensor, down: float, right: float) -> Tensor:
    """(H, W) moved by parts of a pixel, bilinearly; borders are repeated."""
    height, width = channel.shape
    top, left = math.floor(-down), math.floor(-right)
    far = max(abs(top), abs(left)) + 1
    padded = F.pad(channel.clone()[None, None], (far,) * 4, mode="replicate")[0, 0]
    y, x = far + top, far + left
    rows = torch.lerp(padded[y : y + height], padded[y + 1 : y + 1 + height], -down - top)
    return torch.lerp(rows[:, x : x + width], rows[:, x + 1 : x + 1 + width], -right - left)


class Moire(Degradation):
    """A screen and a sensor that beat: bent waves over the page, not the same in red, green and blue.

    Two fine gratings that nearly agree give fringes of the difference of their frequencies (Amidror 2009, "The
    Theory of the Moiré Phenomenon"). A sensor samples each colour at another place: each has its own phase. At a
    pitch of a few pixels it is the grid of the screen itself that is seen.

    Args:
        pitch: Range of the distance between waves in pixels.
        strength: Range of their depth, in [0, 1].
        colour: Range of how much the colours' phases differ, 1 being a third of a wave.
        bend: Range of how much the waves bend over the page, in waves.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        pitch: Sequence[float] = (3.0, 40.0),
        strength: Sequence[float] = (0.03, 0.25),
        colour: Sequence[float] = (0.0, 1.0),
        bend: Sequence[float] = (0.0, 3.0),
        p: float = 0.5,
    ) -> None:
        ranges = {"pitch": pitch, "strength": strength, "colour": colour, "bend": bend, "angle": (0, 1)}
        super().__init__(p=p, ranges=ranges, high=256)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Lay waves over the pages."""
        height, width = pages[0].shape[-2:]
        grid = Grid(pages, 32)
        bends = grid.noise(params["seed"], 1.5, octaves=2)
        bends = 2 * math.pi * column(params["bend"], bends) * bends
        pitches = params["pitch"].clamp(min=2)
        down, right = (
            (2 * math.pi / pitches * f(math.pi * params["angle"])).tolist() for f in (torch.sin, torch.cos)
        )
        lag = 2 * math.pi / 3 * params["colour"][:, None] * torch.arange(3)  # (b, 3)
        depths = (severity * params["strength"]).clamp(max=1) / 2
        cosine, sine = (column(depths[:, None] * f(lag), bends) for f in (torch.cos, torch.sin))
        y = torch.arange(height, device=grid.device)[:, None]
        x = torch.arange(width, device=grid.device)
        for i, (page, depth) in enumerate(zip(pages, depths.tolist(), strict=True)):
            phase = y * down[i] + x * right[i] + scale_to(bends[i : i + 1], (height, width))[0]
            wave = phase.cos() * cosine[i] - phase.sin() * sine[i]  # cos(phase + lag) of each colour
            page *= 1 - depth - wave
