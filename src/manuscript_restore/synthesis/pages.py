"""Made-up manuscript pages, so that everything runs without any data.

The script is invented: an alphabet of random pen strokes per page, with or without a headline. It has the statistics of
writing (stroke widths, rhythm, ink on a mottled support) and none of its meaning.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.float32]

# Mean RGB of the support, its variation between pages, and whether fibres run along the page.
SUPPORTS = {
    "paper": ((0.88, 0.81, 0.67), 0.07, False),
    "white paper": ((0.93, 0.91, 0.86), 0.04, False),
    "parchment": ((0.86, 0.81, 0.71), 0.06, False),
    "palm leaf": ((0.72, 0.57, 0.38), 0.09, True),
}
BLACK, RED = (0.11, 0.08, 0.06), (0.55, 0.13, 0.08)
SUPERSAMPLING = 4
NUM_GLYPHS = 30


def generate_page(seed: int, index: int, *, height: int = 768, width: int = 1152) -> NDArray[np.uint8]:
    """Draw page ``index`` of the sequence ``seed``: the same picture in every process and order.

    Args:
        seed: Of the sequence, at least 0.
        index: Of the page, at least 0.
        height: At least 32 pixels.
        width: At least 32 pixels.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rng = np.random.default_rng([seed, index])
    page = _draw_support(rng, height, width)
    for ink, colour in zip(_write_text(rng, height, width), (BLACK, RED), strict=True):
        shade = np.array(colour, np.float32) + rng.uniform(-0.03, 0.08)
        page += ink[..., None] * (shade - page)
    return (page.clip(0, 1) * 255).round().astype(np.uint8)


def _draw_support(rng: np.random.Generator, height: int, width: int) -> Array:
    """Paper, parchment or leaf: mottled, fibrous, darker towards the edges; (H, W, 3) in [0, 1]."""
    mean, spread, along = SUPPORTS[str(rng.choice(list(SUPPORTS)))]
    colour = np.array(mean) * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 4, 3)
    mottle = sum(
        (_smooth_noise(rng, height, width, cells, cells) * amplitude for cells, amplitude in ((4, 0.05), (24, 0.02))),
        start=np.zeros((height, width), np.float32),
    )
    streaks = _smooth_noise(rng, height, width, height // 3, max(2, width // 120)) * (0.05 if along else 0.012)
    grain = rng.standard_normal((height, width), np.float32) * rng.uniform(0.004, 0.014)
    down, right = (np.minimum(np.arange(n), np.arange(n)[::-1]) / min(height, width) for n in (height, width))
    edge = np.exp(-down / 0.05)[:, None] + np.exp(-right / 0.05)[None]
    light = (1 + mottle + streaks + grain) * (1 - rng.uniform(0.02, 0.15) * edge)
    # What darkens a page also yellows it: blue follows the light more than red.
    tint = light[..., None] ** np.array([0.8, 1.0, 1.35])
    page: Array = (tint * colour).clip(0, 1).astype(np.float32)
    if along and min(height, width) >= 128:
        _punch_hole(rng, page)
    return page


def _punch_hole(rng: np.random.Generator, page: Array) -> None:
    """Make the hole through which the leaves of a bundle are strung."""
    height, width = page.shape[:2]
    centre, radius = (height / 2, width * rng.uniform(0.3, 0.5)), rng.uniform(0.015, 0.03) * height
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y - centre[0], x - centre[1])
    page *= (1 - 0.85 * (radius + 1 - distance).clip(0, 1))[..., None]


def _smooth_noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Array:
    """Normal noise of a few cells, interpolated to (H, W)."""
    cells = Image.fromarray(rng.standard_normal((max(2, rows), max(2, columns)), np.float32))
    return np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class _Hand:
    """How a scribe writes: sizes in pixels."""

    size: int  # of a glyph's body
    pen: float
    nib: float  # angle of the broad nib
    headline: bool
    alphabet: list[Array]


def _write_text(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Array]:
    """Coverage by black and by red ink, (H, W) in [0, 1] each."""
    black, red = np.zeros((2, height, width), np.float32)
    hand = _make_hand(rng, min(height, width))
    pitch = hand.size * rng.uniform(1.8, 2.6)
    left, right = width * rng.uniform(0.04, 0.1), width * (1 - rng.uniform(0.04, 0.1))
    slope, wave, phase = rng.normal(0, 0.004), rng.uniform(0, 0.12) * hand.size, rng.uniform(0, 6)
    for line_top in np.arange(height * rng.uniform(0.04, 0.08), height - 1.6 * hand.size, pitch):
        ink = red if rng.random() < 0.05 else black
        x, run, end = left + rng.normal(0, 0.2) * hand.size, left, right + rng.normal(0, 0.6) * hand.size
        strength = rng.uniform(0.8, 1.0)
        while x < end:
            top = line_top + slope * (x - left) + wave * np.sin(x / width * 5 + phase)
            glyph = hand.alphabet[rng.integers(NUM_GLYPHS)]
            strength = min(1.0, max(0.55, strength + rng.normal(0, 0.05)))  # the pen runs dry and is dipped
            _stamp(ink, glyph * strength, top + rng.normal(0, 0.03) * hand.size, x)
            x += glyph.shape[1] * rng.uniform(0.6, 0.72)
            if x >= end or rng.random() < 0.12:  # a word ends
                if hand.headline:
                    bar = np.full((max(1, round(hand.pen)), max(1, int(x - run))), strength, np.float32)
                    _stamp(ink, bar, top + 0.25 * hand.size, run)
                x += hand.size * rng.uniform(0.2, 0.7)
                run = x
    if rng.random() < 0.4 and width >= 128:  # ruled margins
        for x in (left * 0.7, left * 0.8, right + left * 0.2, right + left * 0.3):
            _stamp(red, np.full((height, max(1, width // 600)), 0.8, np.float32), 0, x)
    return black, red


def _stamp(ink: Array, mask: Array, top: float, left: float) -> None:
    """Darken ``ink`` to at least ``mask`` at a place; what falls outside is cut off."""
    y, x = max(0, round(top)), max(0, round(left))
    target = ink[y : y + mask.shape[0], x : x + mask.shape[1]]
    np.maximum(target, mask[: target.shape[0], : target.shape[1]], out=target)


def _make_hand(rng: np.random.Generator, short_side: int) -> _Hand:
    size = int(np.clip(short_side * rng.uniform(0.022, 0.05), 6, 40))
    pen, nib, headline = size * rng.uniform(0.1, 0.17), rng.uniform(0.4, 1.2), rng.random() < 0.6
    alphabet = [_draw_glyph(rng, size, pen, nib, headline) for _ in range(NUM_GLYPHS)]
    return _Hand(size, pen, nib, headline, alphabet)


def _draw_glyph(rng: np.random.Generator, size: int, pen: float, nib: float, headline: bool) -> Array:
    """A few pen strokes around a body of ``size``²; (1.5 size, 1.5 size) coverage in [0, 1]."""
    side = round(1.5 * size * SUPERSAMPLING)
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    body, origin = size * SUPERSAMPLING, 0.25 * size * SUPERSAMPLING
    strokes = [rng.uniform(0, 1, (3, 2)) for _ in range(rng.integers(1, 4))]
    if headline:  # a stem that hangs from it
        strokes.append(np.array([[0.85, 0.0], [0.85, 0.5], [0.85, 1.0]]) + rng.normal(0, 0.02, (3, 2)))
        strokes[0][0] = (0.85, rng.uniform(0.3, 0.8))
    if rng.random() < 0.25:  # a sign above or below
        strokes.append(np.array([0.5, rng.choice([-0.15, 1.15])]) + rng.uniform(-0.15, 0.15, (3, 2)))
    t = np.linspace(0, 1, 28)[:, None]
    for a, b, c in strokes:
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * (2 * b - (a + c) / 2) + t**2 * c  # through b at t = 1/2
        direction = np.gradient(curve, axis=0)
        angle = np.arctan2(direction[:, 1], direction[:, 0])
        radii = 0.5 * pen * SUPERSAMPLING * (0.45 + 0.55 * np.abs(np.sin(angle - nib)))
        for (x, y), r in zip(origin + curve.clip(-0.2, 1.2) * body, radii, strict=True):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    small = canvas.resize((round(1.5 * size),) * 2, Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255
