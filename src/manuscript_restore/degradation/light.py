"""Faulty lighting of a photograph: uneven, dark in the corners, shadowed, reflected, coloured."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, smoothstep, uniform
from manuscript_restore.degradation.paint import lay_over, multiply

CELLS = 32  # along the short side; light is smooth


class UnevenIllumination(Degradation):
    """A lamp at one side: the page gets darker away from it, and a little uneven where it is not flat.

    A linear fall-off across the page and low-frequency undulation.

    Args:
        strength: Range of how much darker the far side is, in [0, 1].
        undulation: Range of the depth of the undulation, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        strength: Sequence[float] = (0.15, 0.6),
        undulation: Sequence[float] = (0.05, 0.25),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "undulation": undulation, "direction": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Light unevenly, in place."""
        grid = Grid(pages, CELLS)
        angle = 2 * math.pi * params["direction"]
        down, right = column(angle.sin(), grid.y), column(angle.cos(), grid.y)
        slope = down * (grid.y / grid.height - 0.5) + right * (grid.x / grid.width - 0.5)
        far = (0.5 + slope / math.sqrt(2)).clamp(0, 1)
        waves = grid.noise(params["seed"], 2, octaves=2).clamp(0, 1)
        strength, depth = (column(severity * params[key], far) for key in ("strength", "undulation"))
        multiply(pages, ((1 - strength * far) * (1 - depth * waves)).clamp(min=0))


class NearLamp(Degradation):
    """A lamp close to the page: bright beneath it, perhaps too bright, and dark far from it.

    At a distance r from the point beneath a small lamp at height h, a flat page gets (1 + r²/h²)^(−3/2) of that
    point's light: the square of the distance, and the cosine of its slant. The exposure is set for the page's
    middle, or for less.

    Args:
        height: Range of the lamp's height, in short sides.
        exposure: Range of how far the exposure follows the middle, in [0, 1]; at 0 nothing is overexposed.
        p: Probability per page.
    """

    def __init__(
        self, *, height: Sequence[float] = (0.5, 2.0), exposure: Sequence[float] = (0.0, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"height": height, "exposure": exposure}, high=10)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Light in place."""
        grid = Grid(pages, CELLS)
        places = 1.8 * uniform(params["seed"], 2, layer=1) - 0.4
        down, right = grid.offset(places)
        height = params["height"].clamp(min=0.05)
        falloff = -1.5 * torch.log1p((down**2 + right**2) / column(height**2, down))
        middle = (places - 0.5) * torch.tensor([grid.height, grid.width])
        exposed = -1.5 * torch.log1p((middle**2).sum(1) / height**2) * params["exposure"]
        gain = torch.exp(column(severity * torch.ones_like(height), down) * (falloff - column(exposed, down)))
        multiply(pages, gain.clamp(max=4))


class Vignetting(Degradation):
    """Corners darker than the centre, by the cos⁴ law of a wide lens.

    Args:
        strength: Range of the loss of light in the corners, in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, strength: Sequence[float] = (0.2, 0.7), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"strength": strength}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Darken the corners in place."""
        grid = Grid(pages, CELLS)
        down, right = grid.offset(0.5 + 0.2 * (uniform(params["seed"], 2) - 0.5))
        radius = (down**2 + right**2) / (0.25 * (grid.height**2 + grid.width**2))  # 1 in the corners
        loss = (severity * params["strength"]).clamp(max=0.95)
        tangent = column((1 - loss).rsqrt() - 1, radius)  # tan² of the corner's angle: cos⁴ = 1 − loss there
        multiply(pages, (1 + tangent * radius) ** -2)


class CastShadow(Degradation):
    """The shadow of the photographer, a hand or the phone: a darker region with a soft, bent edge.

    The penumbra is as wide as the lamp is large and the object far.

    Args:
        strength: Range of the loss of light in the shadow, in [0, 1].
        softness: Range of the width of the penumbra, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.2, 0.6), softness: Sequence[float] = (0.08, 0.4), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "softness": softness, "direction": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Shade in place."""
        grid = Grid(pages, 2 * CELLS)
        angle = 2 * math.pi * params["direction"]
        down, right = grid.offset(0.2 + 0.6 * uniform(params["seed"], 2, layer=1))
        bend = 0.5 * (grid.noise(params["seed"], 2, octaves=2) - 0.5)
        into = down * column(angle.sin(), down) + right * column(angle.cos(), down) + bend
        shadow = smoothstep(into / column(params["softness"].clamp(min=0.01), down), -0.5, 0.5)
        cover = column((severity * params["strength"]).clamp(max=1), shadow) * shadow
        # Light from the sky fills a shadow: it is a little blue.
        multiply(pages, 1 - cover * torch.tensor([1.0, 0.98, 0.94], device=cover.device).view(1, 3, 1, 1))
        return cover


class Glare(Degradation):
    """The reflection of a lamp or window in shiny paper, leaf or glass: the page drowns in white.

    The specular lobe is a Gaussian of the place (Beckmann), lengthened across; it adds to what is seen, and clips.

    Args:
        strength: Range of the brightness at the centre, 1 being the page's white.
        size: Range of the radius at which it falls to a third, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.2, 0.8), size: Sequence[float] = (0.08, 0.4), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "size": size, "direction": (0, 1)}, high=2)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Dazzle in place."""
        grid = Grid(pages, 2 * CELLS)
        down, right = grid.offset(uniform(params["seed"], 2, layer=1))
        angle = column(math.pi * params["direction"], down)
        along, across = down * angle.sin() + right * angle.cos(), down * angle.cos() - right * angle.sin()
        stretch = 1 + 2 * column(uniform(params["seed"], 1, layer=2)[:, 0], down)
        size = column(params["size"].clamp(min=0.01), down)
        ripple = 1 + 0.5 * (grid.noise(params["seed"], 5, octaves=3) - 0.5)
        lobe = torch.exp(-(((along / stretch) ** 2 + across**2) / size**2 * ripple).clamp(0, 20))
        light = (column(severity * params["strength"], lobe) * lobe).clamp(0, 1)
        return lay_over(pages, light, torch.tensor([[1.0, 1.0, 0.98]]))


class ColourCast(Degradation):
    """White balance that is off: lamps too warm or shade too blue, with a little green or magenta.

    Gains of red and blue against each other along the Planckian locus, green across it.

    Args:
        strength: Range of the difference between red's and blue's gain, in [0, 1].
        p: Probability per page.
    """

    def __init__(self, *, strength: Sequence[float] = (0.05, 0.2), p: float = 0.5) -> None:
        super().__init__(p=p, ranges={"strength": strength, "warm": (0, 1), "green": (0, 1)}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Tint in place."""
        strength = (severity * params["strength"]).clamp(max=1)
        warm = 2 * (params["warm"] > 0.3) - 1  # warm lamps are the commoner
        gains = torch.stack(
            [warm * strength / 2, 0.3 * strength * (2 * params["green"] - 1), -warm * strength / 2], dim=1
        )
        gains = 1 + gains - gains.amax(dim=1, keepdim=True)  # nothing gets brighter than it was
        multiply(pages, column(gains, pages[0]))
