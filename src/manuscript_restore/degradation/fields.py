"""Random fields and shapes: what most kinds of damage are made of.

Everything is a function of small parameters drawn on the CPU. The numbers of a field are hashed from a seed: no
device's random generator is needed, and every device gives the same picture.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_CELLS = 2048  # of a grid's long side
STAMP = 40  # most pixels that the radius of a stamped disc may have
SENT = 2**14  # most numbers that are hashed on the CPU for another device: a driver takes 64 KiB without waiting
WORD = 0xFFFFFFFF
NOISE, TURNS = 1000, 2000  # layers of `uniform` that no transform uses


def uniform(seeds: Tensor, *shape: int, layer: int = 0) -> Tensor:
    """Numbers in [0, 1) that depend on the seed alone, (b, *shape), on the seeds' device.

    Source: the 32-bit finaliser of C. Wellons' "hash prospector" (triple32's first rounds).

    Args:
        seeds: (b,) integers.
        shape: Of what each seed gives.
        layer: Tells several draws with the same seeds apart.
    """
    index = torch.arange(math.prod(shape), device=seeds.device)
    words = _mix(_mix(seeds + 0x9E3779B1 * (layer + 1))[:, None] + index)
    return (words >> 8).float().div(2**24).view(len(seeds), *shape)


def _mix(words: Tensor) -> Tensor:
    words = words & WORD
    words = (words ^ (words >> 16)) * 0x21F0AAAD & WORD
    words = (words ^ (words >> 15)) * 0x735A2D97 & WORD
    return words ^ (words >> 15)


def column(values: Tensor, like: Tensor) -> Tensor:
    """(b,) as (b, 1, 1, 1), or (b, c) as (b, c, 1, 1), on the other tensor's device."""
    return values.to(like.device).view(len(values), -1, 1, 1)


def smoothstep(values: Tensor, low: float, high: float) -> Tensor:
    """0 below the low end, 1 above the high one, smooth between."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


class Grid:
    """A coarse raster over the pages, on which smooth fields are drawn before they are scaled up.

    Lengths are in units of the pages' short side: x and y run from 0 to 1 along it.

    Args:
        pages: (3, H, W) each.
        cells: Along the short side; never finer than the pages.
    """

    def __init__(self, pages: Sequence[Tensor], cells: int) -> None:
        height, width = pages[0].shape[-2:]
        short = min(height, width)
        self.device = pages[0].device
        self.height, self.width = height / short, width / short
        cells_short = min(cells, short, MAX_CELLS / max(self.height, self.width))
        self.rows, self.columns = (max(1, round(cells_short * side)) for side in (self.height, self.width))
        y = (torch.arange(self.rows, device=self.device) + 0.5) * (self.height / self.rows)
        x = (torch.arange(self.columns, device=self.device) + 0.5) * (self.width / self.columns)
        self.cells = self.rows / self.height
        self.y, self.x = y.view(1, 1, -1, 1), x.view(1, 1, 1, -1)

    def noise(
        self, seeds: Tensor, cells: float | tuple[float, float], *, octaves: int = 1, layer: int = 0
    ) -> Tensor:
        """Smooth noise about 0.5, nearly all in [0, 1]: value noise, each octave half as large and twice as fine.

        Args:
            seeds: (b,).
            cells: Bumps along a short side, or (down, across).
            octaves: How many are added.
            layer: Tells several fields of the same seeds apart.

        Returns:
            (b, 1, rows, columns).
        """
        down, across = cells if isinstance(cells, tuple) else (cells, cells)
        total, weight = 0.0, 0.0
        field = torch.zeros((), device=self.device, dtype=exact_type(self.device))
        for octave in range(octaves):
            shape = [
                max(2, min(limit, round(bumps * 2**octave * length) + 1))
                for bumps, length, limit in (
                    (down, self.height, self.rows),
                    (across, self.width, self.columns),
                )
            ]
            # Hashing a few numbers is a dozen launches on a GPU; to send them is one.
            small = len(seeds) * math.prod(shape) <= SENT
            hashed_on = seeds.device if small else self.device
            values = uniform(seeds.to(hashed_on), 1, *shape, layer=NOISE + 16 * layer + octave).to(self.device)
            # Two small matrix products: several times faster than F.interpolate
            down_to, across_to = (
                _spread(few, many, self.device) for few, many in zip(shape, (self.rows, self.columns), strict=True)
            )
            weight = 0.5**octave
            field = field + weight * (down_to @ values.to(field.dtype) @ across_to.T)
            total += weight**2
        # Sums of octaves are flatter than one: stretched back to the spread of a single one.
        return (0.5 + (field - 0.5 * (2 - weight)) / math.sqrt(total)).float()

    def offset(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """How far down and right of a place each cell lies.

        Args:
            places: (b, 2) as shares of height and width.

        Returns:
            (b, 1, rows, 1) and (b, 1, 1, columns), in short sides.
        """
        top, left = places.to(self.device).unbind(-1)
        return self.y - column(top * self.height, self.y), self.x - column(left * self.width, self.x)

    def stamp(self, places: Tensor, radii: Tensor, values: Tensor | None = None, *, soft: float = 0.0) -> Tensor:
        """Draw discs; where several overlap the strongest counts.

        Args:
            places: (b, n, 2) centres as shares of height and width, on the CPU; those outside are cut off.
            radii: (b, n) in short sides, on the CPU; discs thinner than a cell get fainter instead.
            values: (b, n) at the centre; 1 if not given.
            soft: Width of the edge as a share of the radius; at least one cell.

        Returns:
            (b, 1, rows, columns).
        """
        canvas = torch.zeros(len(places), self.rows * self.columns, device=self.device)
        cells = radii * self.cells  # radius in cells
        values = torch.ones_like(radii) if values is None else values
        values = values * (2 * cells).clamp(max=1)
        reach = min(STAMP, int(cells.max().item() * (1 + soft / 2) + 1.5)) if cells.numel() else 0
        cells = cells.clamp(0.5, STAMP)
        y, x = places[..., 0] * self.rows - 0.5, places[..., 1] * self.columns - 0.5
        top, left = y.round(), x.round()
        around = torch.arange(-reach, reach + 1)
        down = (top[..., None] + around).to(self.device)[..., :, None]  # (b, n, k, 1)
        right = (left[..., None] + around).to(self.device)[..., None, :]  # (b, n, 1, k)
        y, x, cells, values = (t.to(self.device)[..., None, None] for t in (y, x, cells, values))
        distance = ((down - y) ** 2 + (right - x) ** 2).sqrt()
        cover = values * ((cells - distance) / (soft * cells).clamp(min=1) + 0.5).clamp(0, 1)
        inside = (down >= 0) & (down < self.rows) & (right >= 0) & (right < self.columns)
        index = down.clamp(0, self.rows - 1) * self.columns + right.clamp(0, self.columns - 1)
        canvas.scatter_reduce_(1, index.long().flatten(1), (cover * inside).flatten(1), "amax")
        return canvas.view(-1, 1, self.rows, self.columns)

    def resize(self, field: Tensor) -> Tensor:
        """Scale a field of another grid to this one's size."""
        return scale_to(field, (self.rows, self.columns))


def exact_type(device: torch.device) -> torch.dtype:
    """What to multiply matrices in: on a GPU, float32 may mean TF32, whose three digits would be seen."""
    return torch.float64 if device.type == "cuda" else torch.float32


@lru_cache(maxsize=128)
@torch.inference_mode(False)
def _spread(few: int, many: int, device: torch.device) -> Tensor:
    """(many, few): cubic interpolation as a matrix."""
    unit = torch.eye(few, dtype=torch.float64)[:, None]  # (few, 1, few)
    spread = F.interpolate(unit[:, :, None], (1, many), mode="bicubic", align_corners=True)[:, 0, 0]
    return spread.T.to(device, exact_type(device)).contiguous()


def scale_to(field: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Scale (b, c, h, w) to a size, bilinearly; a single value stands for all."""
    if field.shape[-2:] in (size, (1, 1)):
        return field
    return F.interpolate(field, size, mode="bilinear")


def paths(
    seeds: Tensor, starts: Tensor, headings: Tensor, *, steps: int, stride: Tensor, wander: Tensor
) -> Tensor:
    """Points along winding lines.

    Args:
        seeds: (b,).
        starts: (b, n, 2) in short sides, down and right.
        headings: (b, n) in radians; 0 runs to the right, π/2 down.
        steps: Points of each line.
        stride: Between points, in short sides, (b, n).
        wander: Most that the heading changes at a step, in radians, (b, n).

    Returns:
        (b, n, steps, 2) in short sides.
    """
    turns = uniform(seeds, starts.shape[1], steps, layer=TURNS) * 2 - 1
    heading = headings[..., None] + (turns * wander[..., None]).cumsum(-1)
    moves = torch.stack([heading.sin(), heading.cos()], dim=-1) * stride[..., None, None]
    return starts[..., None, :] + moves.cumsum(-2)
