"""Writing from the other side, or from the facing page, that is seen on this one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, smoothstep
from manuscript_restore.degradation.ink import find_ink, find_support
from manuscript_restore.degradation.paint import absorb, soften


class _OtherSide(Degradation):
    """The ink of a partner page of the batch, mirrored and slightly out of place; of a page alone its own.

    A page's result depends on its own pixels and its partner's only.
    """

    cells: int  # along the short side, of the raster on which the other side is seen

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> Params:
        """Draw the partner, and how far it lies askew."""
        params = super().generate_parameters(batch_shape)
        num = batch_shape[0]
        params["partner"] = (torch.arange(num) + torch.randint(1, max(2, num), (num,))) % num
        params["askew"] = 0.12 * (torch.rand(num, 2) - 0.5)  # down and right, as shares of the page
        return params

    def borrow(self, batch: Tensor, params: Params) -> Params:
        """The partners' ink, (b, 1, h, w), mirrored and displaced."""
        partners = [batch[i].detach() for i in params["partner"].tolist()]
        grid = Grid(partners, self.cells)
        size = (grid.rows, grid.columns)
        small = [page.float() for page in partners]
        if batch.shape[-2:] != size:
            small = [F.interpolate(page[None], size, mode="area")[0] for page in small]
        ink = [find_ink(page, find_support(page)).flip(-1) for page in small]
        shifts = params["askew"] * torch.tensor([grid.rows, grid.columns])
        return {
            "verso": torch.stack(
                [
                    F.pad(each, (right, -right, down, -down))  # what is shifted in is blank
                    for each, (down, right) in zip(ink, shifts.int().tolist(), strict=True)
                ]
            )
        }


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

    cells = 256

    def __init__(
        self, *, strength: Sequence[float] = (0.2, 0.7), coverage: Sequence[float] = (0.4, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "coverage": coverage}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Let ink through in place."""
        verso = params["verso"]
        patches = Grid(pages, self.cells).noise(params["seed"], 4, octaves=3)
        patches = smoothstep(patches - 1 + column(params["coverage"], patches), -0.25, 0.25)
        cover = column((severity * params["strength"]).clamp(max=1), verso) * patches * verso
        return absorb(pages, cover, torch.tensor([[0.45, 0.32, 0.20]]))


class ShowThrough(_OtherSide):
    """The other side's writing, seen through thin paper: faint, grey, blurred by scattering, everywhere.

    Source: the scanner model of Sharma 2001, "Show-through cancellation in scans of duplex printed documents":
    the verso's density, convolved with a spread function, adds to the density of the front.

    Args:
        strength: Range of the darkness of what is seen, in [0, 1].
        blur: Range of how much blurrier than thin paper it is, in [0, 1].
        p: Probability per page.
    """

    cells = 128

    def __init__(
        self, *, strength: Sequence[float] = (0.08, 0.35), blur: Sequence[float] = (0.0, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "blur": blur}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> Tensor:
        """Let the verso be seen, in place."""
        verso = params["verso"]
        verso = torch.lerp(verso, soften(soften(verso)), column(params["blur"], verso))
        cover = column((severity * params["strength"]).clamp(max=1), verso) * verso
        return absorb(pages, cover, torch.tensor([[0.25, 0.22, 0.20]]))
