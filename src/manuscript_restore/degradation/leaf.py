"""Damage of palm leaves: raised fibres, and the string hole."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, scale_to, uniform
from manuscript_restore.degradation.missing import cut_away
from manuscript_restore.degradation.paint import absorb, lay_over, multiply

BEND = 0.12  # range over which ribs are displaced, in short sides


class LeafFibres(Degradation):
    """The surface fibres of a palm leaf, which rise with age: fine parallel streaks, light and dark.

    A leaf of Corypha or Borassus is ribbed along its length; dry, its epidermis splits into strips that catch
    light and dirt. Streaks are noise stretched along the page's long side.

    Args:
        strength: Range of the depth of the streaks, in [0, 1].
        pitch: Range of the distance between ribs, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.08, 0.3), pitch: Sequence[float] = (0.008, 0.03), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "pitch": pitch}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Streak in place."""
        grid, seeds = Grid(pages, 192), params["seed"]
        upright = grid.height > grid.width
        # Pitches in thirds of an octave: pages that share one are drawn at once.
        ribs = 2 ** ((1 / params["pitch"].clamp(min=2e-3)).log2() * 3).round().div(3)
        streaks = torch.zeros(len(seeds), 1, grid.rows, grid.columns, device=grid.device)
        for pitch in set(ribs.tolist()):
            alike = ribs == pitch
            layers = (
                (0.50, 1.5, 2 * pitch),
                (0.35, 0.7, pitch / 3),
                (0.20, 2 * pitch, pitch),
            )  # the last: cross-grain
            for i, (share, along, over) in enumerate(layers):
                bumps = (along, over) if upright else (over, along)
                streaks[alike] += share * (grid.noise(seeds[alike], bumps, layer=i) - 0.5)
        field = self.bend(grid, streaks, seeds, upright)
        field = field * (0.4 + 1.2 * grid.noise(seeds, 3, octaves=2, layer=3)).clamp(0.2, 1.6)
        depth = column(severity * params["strength"], field)
        dirty = (depth * (-0.25 - field) * 4).clamp(0, 0.8)
        multiply(pages, (1 + 1.5 * depth * field).clamp(0, 2) * (1 - 0.8 * dirty))
        raised = (depth * (field - 0.22) * 4).clamp(0, 0.8)
        lay_over(pages, raised, torch.tensor([[0.80, 0.68, 0.50]]))

    @staticmethod
    def bend(grid: Grid, field: Tensor, seeds: Tensor, upright: bool) -> Tensor:
        """Displace the streaks a little, as a leaf's ribs fan out and bend."""
        aside = BEND * (grid.noise(seeds, 1, layer=4)[:, 0] - 0.5)  # (b, rows, columns) in short sides
        x = (grid.x[0] * 2 / grid.width - 1).expand_as(aside)
        y = (grid.y[0] * 2 / grid.height - 1).expand_as(aside)
        where = torch.stack(
            [x + aside * 2 / grid.width * upright, y + aside * 2 / grid.height * (not upright)], dim=-1
        )
        return F.grid_sample(field, where, padding_mode="border", align_corners=False)


class StringHole(Degradation):
    """The hole for the string of a palm-leaf book, worn wide, and the dark wear around it.

    A leaf has one hole in the middle or two at about a third of its length; the cord frays their edges and hands
    darken the leaf around. The mask is the hole and the wear.

    Args:
        radius: Range of the radius, in short sides; the severity scales it.
        wear: Range of the darkness of the wear, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, radius: Sequence[float] = (0.02, 0.09), wear: Sequence[float] = (0.2, 0.8), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"radius": radius, "wear": wear, "backdrop": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Pierce in place."""
        grid, seeds = Grid(pages, 192), params["seed"]
        place, scatter = uniform(seeds, 2, layer=1), torch.tensor([0.35, 0.8])
        down, right = grid.offset(0.5 + scatter * (place - 0.5))
        radius = column((severity * params["radius"]).clamp(min=1e-4), down)
        frayed = grid.noise(seeds, 20, octaves=3) - 0.5
        distance = (down**2 + right**2).sqrt()
        inside = radius * (1 + 0.25 * frayed) - distance
        wear = torch.exp((inside / radius).clamp(-20, 0) / 1.5)
        wear = column((severity * params["wear"]).clamp(max=1), wear) * wear * (1 + frayed).clamp(0, 1)
        absorb(pages, wear, torch.tensor([[0.42, 0.30, 0.18]]))
        lost = cut_away(pages, inside, params, rim=0.006)
        return torch.maximum(lost, scale_to(wear, lost.shape[-2:]))
