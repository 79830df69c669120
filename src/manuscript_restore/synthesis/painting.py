"""Inks and paints on a leaf: their colours, and how they lie, spread, take unevenly and pool."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis.scribe import Inks
from manuscript_restore.synthesis.supports import Support

Colour = tuple[float, float, float]
Picture = NDArray[np.uint8]

CARBON, SOOT, GALL = (0.08, 0.075, 0.075), (0.30, 0.25, 0.21), (0.40, 0.28, 0.18)
VERMILION, OCHRE = (0.70, 0.14, 0.08), (0.60, 0.24, 0.14)
PIGMENT = (0.93, 0.86, 0.62)  # orpiment, which hides a mistake

RED_LEAD, CARMINE, LAPIS, AZURITE = (0.86, 0.29, 0.13), (0.66, 0.08, 0.18), (0.13, 0.22, 0.60), (0.20, 0.40, 0.68)
INDIGO, VERDIGRIS, GOLD, LEAF_GOLD = (0.13, 0.17, 0.35), (0.16, 0.48, 0.34), (0.78, 0.60, 0.22), (0.88, 0.74, 0.38)
YELLOW, PINK, WHITE, VIOLET = (0.93, 0.77, 0.22), (0.87, 0.58, 0.56), (0.94, 0.92, 0.87), (0.36, 0.20, 0.48)
RUBRICS = (VERMILION, VERMILION, RED_LEAD, CARMINE, LAPIS, AZURITE, VERDIGRIS, GOLD)
PAINTS = (VERMILION, RED_LEAD, CARMINE, LAPIS, AZURITE, INDIGO, VERDIGRIS, GOLD, LEAF_GOLD, YELLOW, PINK, WHITE)
WRITING = (
    CARBON,
    CARBON,
    SOOT,
    GALL,
    (0.28, 0.16, 0.08),
    (0.12, 0.14, 0.36),
    (0.25, 0.10, 0.22),
    (0.10, 0.20, 0.15),
)
"""Carbon, soot, gall, sepia, and the blue, violet and green inks of later hands."""

GREY_SHARE = {"palm_leaf": 0.3, "paper": 0.06, "parchment": 0.03}
"""Part of the pages that are black-and-white photographs."""


@dataclass(frozen=True)
class Paint:
    """Colour in a part of the page, other than writing.

    Attributes:
        coverage: uint8 (h, w).
        corner: (top, left) of it on the page.
        colour: RGB in [0, 1].
        opacity: Of full coverage, in [0, 1].
        is_ink: Lines and letters are ink; the fields that they lie on are not.
        on_top: Above the writing, as a stamp is, or below it.
    """

    coverage: NDArray[np.uint8]
    corner: tuple[int, int]
    colour: Colour
    opacity: float
    is_ink: bool
    on_top: bool = False

    @property
    def window(self) -> tuple[slice, slice]:
        """Its part of the page."""
        (top, left), (height, width) = self.corner, self.coverage.shape
        return slice(top, top + height), slice(left, left + width)


def apply(
    rng: np.random.Generator,
    support: Support,
    inks: Inks,
    body_px: float,
    *,
    paints: list[Paint],
    wild: bool = False,
) -> Picture:
    """Lay inks and paints on the support's picture, which is changed and returned.

    Args:
        rng: Decides the inks' colours and how they take.
        support: The leaf.
        inks: What each ink covers.
        body_px: Size of the writing.
        paints: Decoration, lowest first.
        wild: Inks of all colours; on a dark leaf they are blacker.
    """
    height, width = support.grain.shape
    page = support.image
    # Pens flow unevenly over the page, and the support's grain takes ink unevenly.
    cells = rng.standard_normal((max(2, height // 60), max(2, width // 60)), np.float32)
    flow = np.abs(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC))
    uneven = cv2.addWeighted(flow, -rng.uniform(0.02, 0.15), support.grain, -rng.uniform(0, 0.1), 1)
    dark_ink = _between(rng, CARBON, SOOT if support.kind != "parchment" else GALL)
    red_ink = _between(rng, VERMILION, OCHRE)
    if wild:
        dark_ink = _darker_than(support, WRITING[rng.integers(len(WRITING))] if rng.random() < 0.5 else dark_ink)
        red_ink = pick(rng, RUBRICS, beside=tone_of(support))
    spread = rng.uniform(0.45, 1.1) * min(1.0, body_px / 20)
    smear = 0.07 if support.kind == "palm_leaf" else 0.0
    for paint in paints:
        if not paint.on_top:
            _lay_paint(page, paint, uneven, spread)
    _lay(page, inks.pigment, PIGMENT, np.full_like(uneven, 0.85), 1.2)
    _lay(page, inks.red, red_ink, uneven, spread)
    _lay(page, inks.dark, dark_ink, uneven, spread, smear=smear, smear_px=0.25 * body_px)
    for paint in paints:
        if paint.on_top:
            _lay_paint(page, paint, uneven, spread)
    return page


def tone_of(support: Support) -> Colour:
    """Median colour of the leaf."""
    left, top, right, bottom = map(int, support.area)
    red, green, blue = np.median(support.image[top:bottom:9, left:right:9], axis=(0, 1)) / 255
    return float(red), float(green), float(blue)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], *, beside: Colour) -> Colour:
    """Choose one of the colours that are seen on another: 0.22 away from it in some channel, or black."""
    seen = [colour for colour in colours if np.abs(np.subtract(colour, beside)).max() > 0.22]
    return seen[rng.integers(len(seen))] if seen else CARBON


def ink_mask(inks: Inks, paints: list[Paint]) -> NDArray[np.bool_]:
    """Where ink of any colour covers at least half a pixel; bool (H, W)."""
    covered = np.zeros_like(inks.dark)
    _cover(covered, [paint for paint in paints if not paint.on_top])
    np.maximum(covered, inks.dark, out=covered)
    np.maximum(covered, inks.red, out=covered)
    _cover(covered, [paint for paint in paints if paint.on_top])
    return covered >= 128


def _cover(covered: NDArray[np.uint8], paints: list[Paint]) -> None:
    """Add the ink of paints to a mask, uint8 (H, W), in place; a field hides what lies below it."""
    for paint in paints:
        part = covered[paint.window]
        if paint.is_ink:
            np.maximum(part, paint.coverage, out=part)
        elif paint.opacity > 0.6:
            np.minimum(part, 255 - paint.coverage, out=part)


def reproduce_in_grey(rng: np.random.Generator, page: Picture, *, brighten: bool) -> Picture:
    """Photograph the page in black and white, its contrast stretched, a dark page's by as much as it is lit."""
    light = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gain, middle = rng.uniform(0.9, 1.5), float(np.median(light[::7, ::7]))
    paper = 255 * rng.uniform(0.55, 0.88)
    if brighten:
        gain = max(gain, paper / max(middle, 60))
    light = (light - middle) * gain + paper
    grey: Picture = cv2.merge([np.rint(light.clip(0, 255)).astype(np.uint8)] * 3)
    return grey


def _lay_paint(page: Picture, paint: Paint, uneven: NDArray[np.float32], spread: float) -> None:
    part = np.ascontiguousarray(page[paint.window])
    _lay(part, paint.coverage, paint.colour, uneven[paint.window] * np.float32(paint.opacity), spread)
    page[paint.window] = part


def _lay(
    page: Picture,
    coverage: NDArray[np.uint8],
    colour: Colour,
    uneven: NDArray[np.float32],
    spread: float,
    *,
    smear: float = 0,
    smear_px: float = 1,
) -> None:
    """Lay one ink on the page, in place.

    Args:
        page: uint8 (H, W, 3).
        coverage: (H, W).
        colour: RGB in [0, 1].
        uneven: (H, W): opacity of full coverage.
        spread: Standard deviation of the ink's spreading, in pixels.
        smear: Opacity of the soot that was rubbed into cuts and wiped off: a little stays around them.
        smear_px: How far.
    """
    margin = round(3 * spread + smear_px) + 1
    left, top, width, height = cv2.boundingRect(coverage)
    if not width:
        return
    window = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
    inked = coverage[window].astype(np.float32) / np.float32(255)
    alpha = cv2.GaussianBlur(inked, (0, 0), max(spread, 0.05)) * uneven[window]
    if smear:
        side = 2 * round(smear_px) + 1
        alpha += smear * cv2.blur(inked, (side, side))
    alpha = alpha.clip(0, 1)
    part = np.ascontiguousarray(page[window])
    # Three times NumPy's speed for page + alpha * (colour - page).
    ink = np.full_like(part, [round(255 * value) for value in colour])
    page[window] = cv2.blendLinear(part, ink, 1 - alpha, alpha)


def _darker_than(support: Support, colour: Colour) -> Colour:
    """The ink, at most 0.4 times as light as the leaf: what is written on a dark leaf is blacker."""
    gain = min(1.0, 0.4 * tone_of(support)[1] / max(colour))
    red, green, blue = (gain * value for value in colour)
    return red, green, blue


def _between(rng: np.random.Generator, one: Colour, other: Colour) -> Colour:
    share = rng.uniform()
    red, green, blue = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return red, green, blue
