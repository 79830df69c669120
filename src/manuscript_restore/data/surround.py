"""What a camera sees beside the page: cloth, board, a colour target. It is no page, and stays as it is."""

import math

import torch
from torch import Tensor

DARK = 0.6
"""Share of dark surrounds: black cloth and microfilm frames are the most frequent ones."""
TARGET = 0.25
"""Share of surrounds with a colour target."""
NOTHING_ELSE = 0.1
"""Share of the views with a surround that show nothing of the page."""
SHADES = (0.08, 0.08, 0.08, 0.4)
"""How far a surround's light may differ from its middle to its sides: one in four lies in a lamp's cone."""
GRAIN = 0.008
"""Most of the standard deviation of a camera's noise there."""


def lay_surround(degraded: Tensor, clean: Tensor, ink: Tensor | None, *, p: float, seed: int) -> None:
    """Cover an edge of some pages of a batch by what is no page, in place: the same, damaged and clean.

    Args:
        degraded: (B, 3, H, W) in [0, 1].
        clean: The same.
        ink: (B, 1, H, W), 1 is ink: none is left there; or None.
        p: Share of the pages that get one.
        seed: Another seed, another surround; drawn on the CPU, whatever the device.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(len(clean), generator=generator) < p).nonzero().flatten().tolist()
    for index in chosen:
        size = (int(clean.shape[-2]), int(clean.shape[-1]))
        outside = _beyond_an_edge(size, generator)
        surround = _surround(size, generator)
        outside, surround = outside.to(clean.device), surround.to(clean.device)
        for pages in (degraded, clean):
            pages[index] = torch.where(outside, surround, pages[index])
        if ink is not None:
            ink[index] = torch.where(outside, 0, ink[index])


def _draw(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _coordinates(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(H, 1) and (1, W) from −1 to 1."""
    return torch.linspace(-1, 1, size[0])[:, None], torch.linspace(-1, 1, size[1])[None]


def _beyond_an_edge(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Bool (H, W): beyond a page's edge, nearly parallel to a side; of one in three at a corner, beyond two.

    Of `NOTHING_ELSE` everything.
    """
    y, x = _coordinates(size)
    side = int(torch.randint(4, (), generator=generator))
    outside = torch.full(size, _draw(generator, 0, 1) < NOTHING_ELSE)
    for turn in range(1 + (_draw(generator, 0, 1) < 1 / 3)):
        angle = math.pi / 2 * (side + turn) + _draw(generator, -0.06, 0.06)
        outside |= x * math.cos(angle) + y * math.sin(angle) > _draw(generator, -0.6, 0.9)
    return outside


def _surround(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(3, H, W): flat or shaded, nearly neutral, with the grain of a camera; perhaps with a target's patches."""
    y, x = _coordinates(size)
    dark = _draw(generator, 0, 1) < DARK
    tone = _draw(generator, 0.0, 0.2) if dark else _draw(generator, 0.2, 1.0)
    colour = torch.tensor([tone + _draw(generator, -0.04, 0.04) for _ in range(3)])[:, None, None]
    most = SHADES[int(torch.randint(len(SHADES), (), generator=generator))]
    shade = _draw(generator, -most, most) * x + _draw(generator, -most, most) * y
    surround = colour + shade * (_draw(generator, 0, 1) < 0.5)
    if _draw(generator, 0, 1) < TARGET:
        surround = _patches(size, generator)
    noise = torch.randn(3, *size, generator=generator) * _draw(generator, 0, GRAIN)
    return (surround + noise).clamp(0, 1)


def _patches(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(3, H, W): squares of flat colours in a grid, as on a colour target, or of a ruler's black and white."""
    side = int(torch.randint(12, 64, (), generator=generator))
    down, across = (-(-length // side) for length in size)
    colours = torch.rand(3, down, across, generator=generator)
    if _draw(generator, 0, 1) < 1 / 3:
        colours = (colours[:1] > 0.5).float().expand(3, -1, -1)
    grid = colours.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)
    return grid[:, : size[0], : size[1]]
