"""Stains: spots of dirt and dried liquids."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity, check_range

GRID = 64  # pixels of the short side of the grid that stains are drawn on: their edges are soft
MAX_GRID = 1024  # of its long side
OUTLINE = 24  # cells of the noise that bends the outlines, along each side
BEND = 0.6  # strength of that noise, in radii
RIM = (0.9, 0.15)  # place and width of the dark rim, in radii
EDGE = 0.25  # width of the soft edge, in radii
DARK, LIGHT = (0.25, 0.12, 0.02), (0.75, 0.55, 0.30)  # colours between which a spot's lies


class Stains(Degradation):
    """Brown spots of irregular outline, darkest at the rim, where a drying liquid leaves what it carried.

    A spot is a disc whose radius is bent by smooth noise. It absorbs light: the page is multiplied by
    1 − opacity · (1 − colour), and spots that overlap multiply. The rim is the coffee-ring effect (Deegan et
    al. 1997).

    Args:
        count: Fewest and most spots on a page.
        radius: Range of the radius, as a share of the page's short side.
        opacity: Range of the opacity at the rim, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        count: Sequence[int] = (1, 5),
        radius: Sequence[float] = (0.02, 0.15),
        opacity: Sequence[float] = (0.1, 0.5),
        p: float = 0.5,
    ) -> None:
        check_range("Stains.count", count, whole=True)
        super().__init__(p=p, ranges={"radius": radius, "opacity": opacity}, high=1)
        self.count = tuple(count)

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw for each page a number of spots, and place, size, opacity, colour and outline of each."""
        num_pages, most = batch_shape[0], self.count[1]
        params = super().generate_parameters((num_pages * most, *batch_shape[1:]))
        params = {key: value.view(num_pages, most) for key, value in params.items()}
        present = torch.arange(most) < torch.randint(self.count[0], most + 1, (num_pages, 1))
        params["opacity"] = params["opacity"] * present
        params["place"] = torch.rand(num_pages, most, 2)
        params["colour"] = torch.rand(num_pages, most)
        params["outline"] = torch.rand(num_pages, 1, OUTLINE, OUTLINE)
        return params

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Stain in place."""
        height, width = pages[0].shape[-2:]
        device = pages[0].device
        short = min(height, width)
        rows, columns = (min(MAX_GRID, round(GRID * side / short)) for side in (height, width))
        y = torch.linspace(0, height / short, rows, device=device).view(1, 1, -1, 1)
        x = torch.linspace(0, width / short, columns, device=device).view(1, 1, 1, -1)
        outline = F.interpolate(params["outline"].to(device), (rows, columns), mode="bicubic")
        bend = BEND * (outline - 0.5)
        dark, light = torch.tensor(DARK), torch.tensor(LIGHT)

        # Share of the light that the spots let through; float32 whatever the pages are, for the coordinates' sake
        passed = y.new_ones(len(pages), 3, rows, columns)
        for spot in range(params["radius"].shape[1]):
            drawn = {key: value[:, spot] for key, value in params.items() if key != "outline"}
            top, left = drawn["place"].unbind(-1)
            down = y - _per_page(top * height / short, y)
            right = x - _per_page(left * width / short, x)
            radii = (down**2 + right**2).sqrt() / _per_page(drawn["radius"], y) + bend
            inside = ((1 - radii) / EDGE + 0.5).clamp(0, 1)
            off_rim = ((radii - RIM[0]) / RIM[1]).clamp(max=5)  # beyond, exp underflows, which is slow
            rim = torch.exp(-(off_rim**2))
            opacity = _per_page((severity * drawn["opacity"]).clamp(max=1), y)
            cover = opacity * inside * (0.6 + 0.4 * rim)
            colour = dark + drawn["colour"][:, None] * (light - dark)  # (b, 3)
            passed *= 1 - cover * (1 - colour.to(device)[:, :, None, None])
        for page, light_passed in zip(pages, passed, strict=True):
            # channels as a batch: twice as fast as a batch of one
            page *= F.interpolate(light_passed[:, None], (height, width), mode="bilinear")[:, 0].clamp_(0, 1)


def _per_page(values: Tensor, like: Tensor) -> Tensor:
    """(B,) parameters as (B, 1, 1, 1) on the other tensor's device."""
    return values.to(like.device).view(-1, 1, 1, 1)
