"""Damage that follows the writing and leaves the support alone: fading, flaking, spreading."""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity
from manuscript_restore.degradation.fields import Grid, column, scale_to, smoothstep, uniform
from manuscript_restore.degradation.noise import grain, grain_places
from manuscript_restore.degradation.paint import darkest, grey, soften

FAINTEST, DARKEST = 0.06, 0.25  # darkness below the support, as a share of it: from here on a pixel is (all) ink
SPREAD = 0.2  # standard deviation of the noise of flakes


def find_support(page: Tensor) -> Tensor:
    """The page without its writing: the brightest within some 16 pixels, smoothed.

    Args:
        page: (3, H, W).

    Returns:
        (3, H, W) in float32.
    """
    height, width = page.shape[-2:]
    # First averaged (2×2: bilinear at half the size), so that the support's grain does not count as bright
    small = F.interpolate(page[:, None].float(), (max(1, height // 2), max(1, width // 2)), mode="bilinear")
    bright = soften(soften(F.max_pool2d(small, 9, stride=4, padding=4)))
    return F.interpolate(bright, (height, width), mode="bilinear")[:, 0]


def find_ink(page: Tensor, support: Tensor) -> Tensor:
    """How much each pixel is ink, (1, H, W) in [0, 1], from its darkness below the support."""
    light = grey(support).clamp(min=0.05)
    return smoothstep(1 - grey(page) / light, FAINTEST, DARKEST)


def _take_ink(pages: list[Tensor], share: Iterable[Tensor]) -> None:
    """Replace ink in place by the support around it.

    Args:
        pages: (3, H, W).
        share: For each page (1, h, w) in [0, 1], of the ink that goes; scaled up to the page.
    """
    for page, each in zip(pages, share, strict=True):
        before = page.detach()
        support = find_support(before)
        gone = scale_to(each[None], page.shape[-2:])[0] * find_ink(before, support)
        page.lerp_(support.to(page.dtype), gone.to(page.dtype))


class InkFading(Degradation):
    """Ink that has faded or been rubbed off in patches, while the support stays.

    Light bleaches dyes and iron-gall ink unevenly, hands rub where they held the page: the ink is replaced by the
    support, with a share that varies smoothly. As in Seuret et al. 2015, "Gradient-domain degradations for
    improving historical documents images layout analysis" and DocCreator's character degradation, for tone.

    Args:
        strength: Range of the share of the ink that is gone where it faded most, in [0, 1].
        evenness: Range of how much of that is gone everywhere, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.3, 0.9), evenness: Sequence[float] = (0.2, 0.8), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"strength": strength, "evenness": evenness}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Fade in place."""
        grid = Grid(pages, 32)
        patches = smoothstep(grid.noise(params["seed"], 3, octaves=3), 0.25, 0.75)
        uneven = 1 - column(params["evenness"], patches)
        share = column(severity * params["strength"], patches) * (1 - uneven * (1 - patches))
        _take_ink(pages, share.clamp(max=1))


class InkFlaking(Degradation):
    """Ink lost in flakes: carbon ink and paint lift off in grains, most where the page was bent or damp.

    Flakes are where fine noise, together with coarse noise, exceeds a threshold; the ink there is gone. The idea
    of Kanungo et al. 1993 ("Global and local document degradation models"), with spatial correlation.

    Args:
        loss: Range of the share of the ink that is lost, in [0, 1].
        size: Range of the size of a flake, in short sides.
        p: Probability per page.
    """

    def __init__(
        self, *, loss: Sequence[float] = (0.1, 0.5), size: Sequence[float] = (0.006, 0.02), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"loss": loss, "size": size}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Flake in place."""
        grid = Grid(pages, 192)
        coarse = grid.noise(params["seed"], 4, octaves=2)
        fine = torch.cat(
            [
                grid.noise(seed[None], 0.6 / max(size, 1e-3), octaves=2, layer=1)
                for seed, size in zip(params["seed"], params["size"].tolist(), strict=True)
            ]
        )
        field = 0.5 + 0.75 * (fine - 0.5) + 0.55 * (coarse - 0.5)
        # The field is nearly normal: its quantile leaves the share that is lost.
        loss = (severity * params["loss"]).clamp(1e-4, 1 - 1e-4)
        threshold = column(0.5 + SPREAD * math.sqrt(2) * torch.erfinv(1 - 2 * loss), field)
        _take_ink(pages, smoothstep(field - threshold, -0.05, 0.05))


class InkSpread(Degradation):
    """Ink that has run into the support: strokes thicken and feather, more where it was damp.

    Each pixel takes the darkest value within reach, through noise that makes the fronts ragged, and is then
    softened: capillary spread as in Augraphy's ink bleed and DocCreator, on colours.

    Args:
        reach: Range of how far the ink runs, in pixels.
        softness: Range of how much the front is blurred, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, reach: Sequence[float] = (0.5, 2.0), softness: Sequence[float] = (0.3, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"reach": reach, "softness": softness}, high=3)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Spread in place."""
        grid = Grid(pages, 128)
        damp = smoothstep(grid.noise(params["seed"], 3, octaves=2), 0.1, 0.7)
        ragged = uniform(params["seed"].to(grid.device), 1, grid.rows, grid.columns, layer=2)
        share = (damp * (0.4 + 0.6 * ragged)).clamp(0, 1)
        reaches = (severity * params["reach"]).tolist()
        for page, each, reach, softness in zip(pages, share, reaches, params["softness"].tolist(), strict=True):
            before = page.detach().float()
            spread, left = before, reach
            while left > 0:  # a pixel's reach at a time, the last one in part
                spread = torch.lerp(spread, darkest(spread), min(1.0, left))
                left -= 1
            spread = torch.lerp(spread, soften(spread), min(1.0, reach) * min(1.0, softness))
            page += scale_to(each[None], page.shape[-2:])[0] * (spread - before)
            page.clamp_(0, 1)


class LetterpressWear(Degradation):
    """Print from worn type or with too little pressure: white grains in the letters, ink squeezed to their rims.

    Type touches the hills of the paper first. Where the pressure does not reach the valleys they stay white; it
    varies smoothly over the forme. Ink that was squeezed out stands in a rim around each stroke, which stays.

    Args:
        wear: Range of how much of the letters' inside stays white where the pressure is least, in [0, 1].
        rim: Range of the darkening of the rim, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, wear: Sequence[float] = (0.2, 0.9), rim: Sequence[float] = (0.0, 0.5), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"wear": wear, "rim": rim}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Wear in place."""
        pressure = Grid(pages, 32).noise(params["seed"], 2, octaves=3).clamp(0, 1)
        wears, rims = ((severity * params[key]).clamp(max=1.5) for key in ("wear", "rim"))
        lacks = column(wears, pressure) * (1.2 - pressure)
        drawn = zip(pages, lacks, rims.tolist(), grain_places(params), strict=True)
        for page, lack, rim, place in drawn:
            before = page.detach()
            support = find_support(before)
            ink = find_ink(before, support)
            inside = smoothstep(soften(ink), 0.3, 0.9)
            lack = scale_to(lack[None], page.shape[-2:])[0].clamp(0, 1)
            # The deeper the valleys that lack ink, the more of the normal heights lie below.
            white = ((grain(page, place) - 2.5 * (1 - lack)) * 1.5 + 0.5).clamp(0, 1) * (4 * lack).clamp(max=1)
            page.lerp_(support.to(page.dtype), (white * inside).to(page.dtype))
            page *= 1 - 0.6 * min(rim, 1.0) * ink * (1 - inside)


class LowInkLines(Degradation):
    """Lines without ink: clogged nozzles of a printer, a ribbon's worn bands, a fax's lost lines.

    Across the whole page, ink is paler along thin lines: at an even distance, which is the print head's height, or
    at random ones.

    Args:
        period: Range of the (mean) distance of the lines in pixels.
        width: Range of their width in pixels.
        strength: Range of the share of the ink that is gone there, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        period: Sequence[float] = (5.0, 25.0),
        width: Sequence[float] = (1.0, 5.0),
        strength: Sequence[float] = (0.3, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"period": period, "width": width, "strength": strength}, high=256)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Pale in place."""
        size, seeds = pages[0].shape[-2:], params["seed"]
        upright, random = (uniform(seeds, 2, layer=1) < 0.5).unbind(1)
        periods, widths = params["period"].clamp(min=2), params["width"]
        strengths = (severity * params["strength"]).clamp(max=1)
        shares = []
        for i, page in enumerate(pages):
            place = torch.arange(size[int(upright[i])]) / periods[i] + uniform(seeds[i : i + 1], 1, layer=2)[0]
            line = place.long()
            jitter, value = uniform(seeds[i : i + 1], 2, int(line.max()) + 1, layer=3)[0]
            centre = torch.where(random[i], 0.2 + 0.6 * jitter[line], 0.5)
            distance = (place - line - centre).abs() * periods[i]
            pale = ((widths[i] + 1) / 2 - distance).clamp(0, 1) * torch.where(
                random[i], 0.3 + 0.7 * value[line], 1.0
            )
            pale = (strengths[i] * pale).to(page.device)
            shares.append(pale.view(1, 1, -1) if upright[i] else pale.view(1, -1, 1))
        _take_ink(pages, shares)
