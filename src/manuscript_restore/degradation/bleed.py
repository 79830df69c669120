"""Writing of the other side, or of a page that lay opposite, seen on this one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params
from manuscript_restore.degradation.fields import Grid, absorb, column, smoothstep
from manuscript_restore.degradation.ink import find_ink, find_support

CELLS = 192  # of the short side: what comes through is soft


class _OtherSide(Degradation):
    """The ink of a partner page of the batch, mirrored and slightly out of place; of the page itself if it is alone.

    A page's result depends on its own pixels and its partner's only.
    """

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw the partner, and how far it lies askew."""
        params = super().generate_parameters(batch_shape)
        num = batch_shape[0]
        params["partner"] = (torch.arange(num) + torch.randint(1, max(2, num), (num,))) % num
        params["askew"] = 2 * torch.rand(num, 3) - 1  # down, right, rotation
        return params

    def borrow(self, batch: Tensor, params: Params) -> Params:
        """The partners' ink, (b, 1, h, w), mirrored and displaced."""
        partners = [batch[i].detach() for i in params["partner"].tolist()]
        grid = Grid(partners, CELLS)
        ink = [find_ink(page, find_support(page))[None] for page in partners]
        coarse = torch.cat([F.interpolate(each, (grid.rows, grid.columns), mode="area") for each in ink])
        down, right, turn = (params["askew"] * torch.tensor([0.06, 0.06, 0.02])).unbind(1)
        aspect = grid.width / grid.height
        rows = [[-turn.cos(), turn.sin() / aspect, right], [turn.sin() * aspect, turn.cos(), down]]
        affine = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).to(coarse)  # mirrored: x -> -x
        where = F.affine_grid(affine, [len(partners), 1, grid.rows, grid.columns], align_corners=False)
        return {"verso": F.grid_sample(coarse, where, padding_mode="zeros", align_corners=False)}


class BleedThrough(_OtherSide):
    """Ink that has eaten through from the other side: brown, in patches, nearly as sharp as it was written.

    Iron-gall ink corrodes; it comes through where it was thick or the page damp. The verso is mirrored and
    registered as in Tonazzini et al. 2007, "Fast correction of bleed-through distortion"; attenuation
    multiplies, as there.

    Args:
        strength: Range of the darkness of what comes through, in [0, 1].
        coverage: Range of the share of the page where it does, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.2, 0.7), coverage: Sequence[float] = (0.4, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "coverage": coverage}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: float) -> Tensor:
        """Let ink through in place."""
        verso = params["verso"]
        grid = Grid(pages, CELLS)
        patches = grid.resize(Grid(pages, 32).noise(params["seed"], 4, octaves=3))
        patches = smoothstep(patches - 1 + column(params["coverage"], patches), -0.25, 0.25)
        verso = F.avg_pool2d(verso, 3, stride=1, padding=1, count_include_pad=False)
        cover = column((severity * params["strength"]).clamp(max=1), verso) * patches * verso
        return absorb(pages, cover, torch.tensor([[0.45, 0.32, 0.20]]))


class ShowThrough(_OtherSide):
    """The other side's writing, seen through thin paper: faint, grey, blurred by the paper's scattering, everywhere.

    Source: the scanner model of Sharma 2001, "Show-through cancellation in scans of duplex printed documents":
    the verso's density, convolved with a spread function, adds to the density of the front.

    Args:
        strength: Range of the darkness of what is seen, in [0, 1].
        blur: Range of the width of the spread, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.08, 0.35), blur: Sequence[float] = (0.005, 0.02), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "blur": blur}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: float) -> Tensor:
        """Let the verso be seen, in place."""
        verso = params["verso"]
        softened = []
        for each, blur in zip(verso, (params["blur"] * min(verso.shape[-2:])).tolist(), strict=True):
            radius = max(1, round(blur))
            soft = each[None]
            for _ in range(2):
                soft = F.avg_pool2d(soft, 2 * radius + 1, stride=1, padding=radius)
            softened.append(soft)
        cover = column((severity * params["strength"]).clamp(max=1), verso) * torch.cat(softened)
        return absorb(pages, cover, torch.tensor([[0.25, 0.22, 0.20]]))
