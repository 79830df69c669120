"""Poor reproductions: halftone, microfilm, photocopy, binarised scan."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manuscript_restore.degradation.base import Degradation, Params, Severity, per_page
from manuscript_restore.degradation.fields import Grid, column, scale_to, uniform
from manuscript_restore.degradation.ink import find_support
from manuscript_restore.degradation.noise import grain, grain_places
from manuscript_restore.degradation.paint import grey, soften

WHITE = 0.9  # what the support of an exposed page is


def _blend(page: Tensor, target: Tensor, share: float) -> None:
    """Replace a share of the page in place, at most all of it, by the target, (1 or 3, H, W)."""
    share = min(share, 1.0)
    page *= 1 - share
    page += share * target
    page.clamp_(0, 1)


def _exposed(page: Tensor) -> Tensor:
    """Luminance (1, H, W), exposed so that the support is nearly white whatever its colour."""
    before = page.detach()
    return grey(before) * (WHITE / grey(find_support(before)).mean().clamp(min=0.05))


def _contrast(values: Tensor, middle: Tensor | float, gain: float) -> Tensor:
    """A steep, smooth tone curve: black below the middle, white above it."""
    return torch.sigmoid(4 * gain * (values - middle))


class Halftone(Degradation):
    """Print of photographs: tones as dots of varying size, on a turned screen.

    A clustered-dot screen of two cosines, thresholded (Ulichney 1987, "Digital Halftoning").

    Args:
        pitch: Range of the distance between dots in pixels.
        strength: Range of how fully the dots replace the tones, in [0, 1].
        p: Probability per page.
    """

    def __init__(
        self, *, pitch: Sequence[float] = (3.0, 6.0), strength: Sequence[float] = (0.4, 1.0), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"pitch": pitch, "strength": strength, "angle": (0, 1)}, high=32)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Print in place."""
        height, width = pages[0].shape[-2:]
        y = torch.arange(height, device=pages[0].device)[:, None]
        x = torch.arange(width, device=pages[0].device)
        pitches, angles = params["pitch"].clamp(min=2).tolist(), params["angle"].tolist()
        strengths = (severity * params["strength"]).tolist()
        for page, pitch, angle, strength in zip(pages, pitches, angles, strengths, strict=True):
            # Sines and cosines of each row and column, not of each pixel
            sine, cosine = (2 * math.pi / pitch * f(math.pi / 2 * angle) for f in (math.sin, math.cos))
            u = (y * sine).cos() * (x * cosine).cos() - (y * sine).sin() * (x * cosine).sin()
            v = (y * cosine).cos() * (x * sine).cos() + (y * cosine).sin() * (x * sine).sin()
            screen = 0.5 + 0.24 * (u + v)
            tones = page.detach().float()
            dots = ((tones - screen) * 3 + 0.5).clamp(0, 1)
            _blend(page, 0.08 + 0.88 * dots, strength)


class Microfilm(Degradation):
    """A frame of microfilm: grey, hard, grainy, unevenly exposed, with scratches along the film.

    Grain is correlated noise, strongest in the middle tones, as silver's density fluctuates (Selwyn 1935).

    Args:
        contrast: Range of the gain of the tone curve.
        grain: Range of the deviation of the grain.
        scratches: Fewest and most scratches along the film.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        contrast: Sequence[float] = (1.2, 2.5),
        grain: Sequence[float] = (0.02, 0.08),
        scratches: Sequence[int] = (0, 5),
        p: float = 0.5,
    ) -> None:
        super().__init__(
            p=p, ranges={"contrast": contrast, "grain": grain}, high=8, counts={"scratches": scratches}
        )

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Film in place."""
        grid, seeds, most = Grid(pages, 32), params["seed"], self.counts["scratches"][1]
        exposure = 0.16 * (grid.noise(seeds, 1.5, octaves=2) - 0.5)
        width, severities = pages[0].shape[-1], per_page(severity, len(pages))
        lanes = uniform(seeds, most, layer=3).sort(dim=1).values
        lines = (lanes * width).int().clamp(max=width - 1).tolist()
        numbers, contrasts = params["scratches"].tolist(), params["contrast"].tolist()
        grains, places = params["grain"].tolist(), grain_places(params)
        for i, page in enumerate(pages):
            light = scale_to(exposure[i : i + 1], page.shape[-2:])[0]
            tones = _contrast(soften(_exposed(page)) + light, 0.55, contrasts[i])
            speckle = grains[i] * max(1.0, severities[i]) * grain(page, places[i])
            tones = tones + speckle * (0.4 + 2.4 * tones * (1 - tones))
            for line in lines[i][: numbers[i]]:
                tones[:, :, line] = 0.5 * tones[:, :, line] + 0.5
            _blend(page, tones.clamp(0, 1), severities[i])


class Photocopy(Degradation):
    """A photocopy: grey, hard, toner too dark or too light in places, streaks along the drum, black specks.

    Args:
        contrast: Range of the gain of the tone curve.
        toner: Range of the depth of streaks and uneven toner, in [0, 1].
        specks: Range of the share of the pixels that are specks.
        p: Probability per page.
    """

    def __init__(
        self,
        *,
        contrast: Sequence[float] = (1.5, 4.0),
        toner: Sequence[float] = (0.1, 0.4),
        specks: Sequence[float] = (0.0005, 0.006),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p, ranges={"contrast": contrast, "toner": toner, "specks": specks}, high=16)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Copy in place."""
        grid, seeds = Grid(pages, 96), params["seed"]
        toner = 0.5 * (grid.noise(seeds, (0.5, 24), octaves=2) - 0.5)
        toner = toner + grid.noise(seeds, 3, octaves=2, layer=1) - 0.5
        toner = column(params["toner"], toner) * toner
        contrasts, specks, places = params["contrast"].tolist(), params["specks"].tolist(), grain_places(params)
        severities = per_page(severity, len(pages))
        for i, page in enumerate(pages):
            uneven = scale_to(toner[i : i + 1], page.shape[-2:])[0]
            tones = _contrast(_exposed(page) + uneven, 0.5, contrasts[i])
            # Normal numbers beyond this quantile are specks.
            quantile = math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - 2 * min(0.4, specks[i]))))
            black = ((grain(page, places[i]) - quantile) * 6).clamp(0, 1)
            _blend(page, tones * (1 - black) * 0.93 + 0.05, severities[i])


class Binarised(Degradation):
    """A page that somebody has already thresholded: black and white, strokes broken or swollen, pepper left over.

    Each pixel is compared with the support around it times a factor, as Sauvola's threshold does where the
    contrast is even; noise before the threshold makes outlines ragged, as in Kanungo et al. 1993.

    Args:
        threshold: Range of the threshold, as a share of the support's lightness.
        ragged: Range of the deviation of the noise before thresholding.
        p: Probability per page.
    """

    def __init__(
        self, *, threshold: Sequence[float] = (0.55, 0.88), ragged: Sequence[float] = (0.02, 0.12), p: float = 0.5
    ) -> None:
        super().__init__(p=p, ranges={"threshold": threshold, "ragged": ragged}, high=1)

    def damage(self, pages: list[Tensor], params: Params, severity: Severity) -> None:
        """Threshold in place."""
        thresholds, ragged, places = params["threshold"].tolist(), params["ragged"].tolist(), grain_places(params)
        drawn = zip(pages, thresholds, ragged, places, per_page(severity, len(pages)), strict=True)
        for page, threshold, deviation, place, share in drawn:
            before = page.detach().clone()
            light = grey(find_support(before)).clamp(min=0.05)
            tones = grey(before) / light + deviation * grain(before, place)
            _blend(page, ((tones - threshold) * 12 + 0.5).clamp(0, 1), share)
