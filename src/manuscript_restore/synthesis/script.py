"""An invented script and the hand that writes it: letters of random pen strokes, no text and no language."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Coverage = NDArray[np.uint8]
Path = NDArray[np.float64]  # (n, 2): x and y in bodies, y downwards from the headline to the baseline at 1

NUM_GLYPHS, NUM_VARIANTS = 30, 2
SUPERSAMPLING = 4
PAD_X, PAD_Y = 0.45, 0.65  # room around a glyph's body for what sticks out, in bodies


@dataclass(frozen=True)
class _Hand:
    """How a scribe writes; lengths in bodies."""

    size: float  # of a glyph's body, in pixels
    pen: float  # width of the nib
    flat: float  # thickness of the nib as a share of its width
    nib: float  # angle of the nib, in radians
    slant: float
    headline: bool
    gap: float  # between letters
    word_end: float  # its probability after a letter
    rubric: float  # probability of a red word
    red_stops: bool


def write_text(
    rng: np.random.Generator, height: int, width: int, hole: tuple[float, float, float] | None
) -> tuple[Coverage, Coverage]:
    """Fill a page with lines of one hand.

    Args:
        rng: Decides the script, the hand and every letter.
        height: Of the page in pixels.
        width: Of the page in pixels.
        hole: Centre (x, y) and radius in pixels of a place to leave free.

    Returns:
        Coverage by dark and by red ink, (height, width) uint8 each.
    """
    dark, red = np.zeros((2, height, width), np.uint8)
    hand = _make_hand(rng, min(height, width))
    size = hand.size
    alphabet = [_draw_glyph(rng, hand) for _ in range(NUM_GLYPHS)]
    stops = [
        _draw_strokes([np.array([[x, -0.05], [x, 1.05]]) for x in xs], 0.6, hand) for xs in ([0.2], [0.1, 0.45])
    ]
    left, right = width * rng.uniform(0.04, 0.13), width * (1 - rng.uniform(0.04, 0.13))
    columns = np.arange(width)
    swing = np.sin(columns / width * 5 + rng.uniform(0, 6)) * rng.uniform(0, 0.12) * size
    drift = rng.normal(0, 0.003) * (columns - left) + swing
    pitch = size * (rng.uniform(1.65, 2.5) if hand.headline else rng.uniform(2.1, 3.2))
    last = height * (1 - rng.uniform(0.04, 0.1)) - 1.3 * size
    for line_top in np.arange(min(last, height * rng.uniform(0.04, 0.1) + 0.4 * size), last + 1, pitch):
        start, end = left + rng.normal(0, 0.1) * size, right + rng.normal(0, 0.4) * size
        if rng.random() < 0.06:  # a paragraph ends
            end -= rng.uniform(0.2, 0.7) * (right - left)
        free = (np.inf, np.inf)
        if hole is not None and abs(line_top + size / 2 - hole[1]) < size + 2 * hole[2]:
            free = (hole[0] - 4 * hole[2], hole[0] + 2 * hole[2])
        _write_line(rng, hand, alphabet, stops, (dark, red), line_top + drift, (start, end), free)
    if rng.random() < 0.4 and width >= 128:
        _rule_margins(rng, red if rng.random() < 0.7 else dark, left, right, size)
    return dark, red


def _make_hand(rng: np.random.Generator, short_side: int) -> _Hand:
    headline = rng.random() < 0.5
    return _Hand(
        size=max(5.0, short_side * rng.uniform(0.021, 0.052) * (1 if headline else 0.85)),
        pen=rng.uniform(0.10, 0.19),
        flat=rng.uniform(0.25, 0.6),
        # A reed for Devanagari is cut the other way round than a Latin quill.
        nib=rng.uniform(0.5, 1.1) if headline else -rng.uniform(0.3, 0.9),
        slant=rng.normal(0, 0.04 if headline else 0.1),
        headline=headline,
        gap=rng.uniform(0.05, 0.2),
        word_end=rng.uniform(0.06, 0.25),
        rubric=rng.choice([0, 0.01, 0.06], p=[0.6, 0.25, 0.15]),
        red_stops=rng.random() < 0.25,
    )


def _write_line(
    rng: np.random.Generator,
    hand: _Hand,
    alphabet: list[tuple[Coverage, float]],
    stops: list[Coverage],
    inks: tuple[Coverage, Coverage],
    tops: NDArray[np.float64],
    span: tuple[float, float],
    free: tuple[float, float],
) -> None:
    """Write words along ``tops``, the headline's y by column, within ``span`` but outside ``free``."""
    size, (dark, red) = hand.size, inks
    ink, strength, (x, end) = dark, 1.0, span
    word = x
    while x < end:
        top = tops[min(len(tops) - 1, int(x))]
        # The pen runs dry, and is dipped again.
        strength = 1.0 if rng.random() < 0.06 else max(0.78, strength - rng.uniform(0, 0.02))
        variants, advance = alphabet[int(NUM_GLYPHS * rng.beta(1, 1.7))]  # some letters are common, some rare
        glyph = variants[rng.integers(NUM_VARIANTS)]
        _stamp(ink, glyph, top + rng.normal(0, 0.025) * size, x, hand, strength)
        x += (advance + hand.gap + rng.normal(0, 0.03)) * size
        stopped = free[0] < x < free[1]
        if x < end and not stopped and rng.random() > hand.word_end:
            continue
        if hand.headline:
            _draw_bar(ink, tops, word - 0.1 * size, x - hand.gap * size, 0.75 * hand.pen * size, strength)
        if rng.random() < 0.15 and x < end:
            stop_ink = red if hand.red_stops else ink
            _stamp(stop_ink, stops[rng.integers(2)], top, x + 0.2 * size, hand, strength)
            x += 0.6 * size
        x = max(x + rng.uniform(0.3, 0.6) * size, free[1] if stopped else 0)
        word, ink = x, red if rng.random() < hand.rubric else dark


def _rule_margins(rng: np.random.Generator, ink: Coverage, left: float, right: float, size: float) -> None:
    """Rule two or three lines down each margin, never quite straight."""
    bend = rng.normal(0, 0.06, 2) * size
    drift = np.interp(np.linspace(0, 1, ink.shape[0]), (0, 0.5, 1), (0, *bend))
    thickness, strength = rng.uniform(0.03, 0.06) * size, rng.uniform(0.5, 0.9)
    for k in range(int(rng.integers(2, 4))):
        for x in (left - (0.5 + 0.25 * k) * size, right + (0.5 + 0.25 * k) * size):
            _draw_bar(ink.T, x + drift, 0, ink.shape[0], thickness, strength)


def _draw_bar(
    ink: Coverage, top: NDArray[np.float64], start: float, end: float, thickness: float, strength: float
) -> None:
    """Draw a nearly level bar, antialiased; ``top`` is its upper edge by column."""
    columns = slice(max(0, round(start)), max(0, round(end)))
    edge = top[columns]
    if not edge.size:
        return
    first = max(0, int(edge.min()) - 1)
    target = ink[first : max(0, int(edge.max() + thickness) + 2), columns]
    y = np.arange(first, first + target.shape[0])[:, None]
    covered = (np.minimum(y + 1, edge + thickness) - np.maximum(y, edge)).clip(0, 1)
    np.maximum(target, (covered * 255 * strength).astype(np.uint8), out=target)


def _stamp(ink: Coverage, mask: Coverage, top: float, left: float, hand: _Hand, strength: float) -> None:
    """Ink a glyph with its body's corner at a place; what falls outside the page is cut off."""
    y, x = round(top - PAD_Y * hand.size), round(left - PAD_X * hand.size)
    mask = mask[max(0, -y) :, max(0, -x) :]
    y, x = max(0, y), max(0, x)
    target = ink[y : y + mask.shape[0], x : x + mask.shape[1]]
    inked = mask[: target.shape[0], : target.shape[1]] * np.float32(strength)
    np.maximum(target, inked.astype(np.uint8), out=target)


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Path:
    """Part of an ellipse around (x, y), from turn to turn (0 is right, 0.25 down); (14, 2)."""
    turns = 2 * np.pi * np.linspace(start, stop, 14)
    return np.column_stack((x + rx * np.cos(turns), y + ry * np.sin(turns)))


def _body(rng: np.random.Generator) -> list[Path]:
    """The strokes of one basic form in the unit square, y downwards, meant to meet a stem at x = 1."""
    m, h = rng.uniform(0.4, 0.62), rng.uniform(0.2, 0.32)
    forms: list[list[Path]] = [
        [_arc(0.52, m, 0.46, h, 0.0, 1.0)],  # bowl
        [np.array([[1.0, m], [0.3, m]]), _arc(0.22, m + 0.1, 0.16, 0.11, -0.3, 0.6)],  # bar and knob
        [_arc(0.98, 0.98, 0.86, 0.98 - m, -0.25, -0.52)],  # shoulder
        [np.vstack(([[0.1, 0.0]], _arc(0.56, m, 0.46, h, 0.5, 0.08)))],  # cup
        # three
        [np.vstack((_arc(0.4, 0.26, 0.4, 0.24, -0.35, 0.2), _arc(0.42, 0.74, 0.46, 0.26, -0.2, 0.35)))],
        [np.vstack(([[0.6, 0.0]], _arc(0.55, m + 0.05, 0.45, h, -0.25, -0.9)))],  # open round and curl
        [np.vstack(([[0.4, 0.0]], _arc(0.22, m, 0.18, 0.14, 0.0, 0.65)))],  # hook
        [np.vstack((_arc(0.5, 0.2, 0.3, 0.18, -0.5, 0.1), [[0.2, 0.62], [0.9, 0.95]]))],  # bow and leg
        [_arc(0.3, m, 0.26, h, -0.1, -0.9), _arc(0.8, m, 0.22, h, 0.5, -0.1)],  # twin rounds
    ]
    return forms[rng.integers(len(forms))]


def _draw_glyph(rng: np.random.Generator, hand: _Hand) -> tuple[Coverage, float]:
    """One letter: its variants, (NUM_VARIANTS, h, w) coverage, and how far the pen advances, in bodies."""
    width = rng.uniform(0.6, 0.95) if hand.headline else rng.uniform(0.4, 0.75)
    strokes = [p * (width, 1) for p in _body(rng)]
    if rng.random() < 0.25:  # a ligature
        strokes = [p * (0.85, 0.6) for p in strokes]
        strokes += [p * (width, 0.5) + (0, 0.5) for p in _body(rng)]
    if rng.random() < (0.75 if hand.headline else 0.4):
        x = width if hand.headline else rng.choice([0.0, width])
        reach = (-0.02, 1.0) if hand.headline else ((-0.55, 1.0), (0.0, 1.5), (0.0, 1.0))[rng.integers(3)]
        strokes.append(np.array([[x, reach[0]], [x, np.mean(reach)], [x, reach[1]]]))
    if rng.random() < 0.3:  # a vowel sign or an abbreviation mark
        strokes.append(
            (
                _arc(width * 0.6, -0.05, width * 0.5, 0.4, -0.5, 0.0),
                np.array([[width, -0.02], [width - 0.15, -0.3], [width - 0.4, -0.38]]),
                _arc(width * 0.5, -0.28, 0.03, 0.03, 0, 1),
                _arc(width * 0.8, 1.22, 0.22, 0.16, -0.2, 0.5),
            )[rng.integers(4)]
        )
    variants = []
    for _ in range(NUM_VARIANTS):  # no letter is written twice the same
        bent = [p @ (np.eye(2) + rng.normal(0, 0.025, (2, 2))) + rng.normal(0, 0.015, 2) for p in strokes]
        variants.append(_draw_strokes(bent, width, hand))
    return np.stack(variants), width


def _draw_strokes(strokes: list[Path], width: float, hand: _Hand) -> Coverage:
    """Draw paths with the hand's nib, a row of points held at an angle; (h, w) coverage."""
    scale = hand.size * SUPERSAMPLING
    w, h = (int(np.ceil(n * hand.size)) for n in (width + 2 * PAD_X, 1 + 2 * PAD_Y))
    canvas = Image.new("L", (w * SUPERSAMPLING, h * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    thin = max(1, round(hand.pen * hand.flat * scale))
    reach = 0.5 * hand.pen * (1 - hand.flat) * np.array([np.cos(hand.nib), np.sin(hand.nib)])
    for path in strokes:
        upright = path + np.column_stack(((0.5 - path[:, 1]) * hand.slant, np.zeros(len(path))))
        for offset in np.linspace(-1, 1, 4):
            points = (upright + (PAD_X, PAD_Y) + offset * reach) * scale
            draw.line([(x, y) for x, y in points], fill=255, width=thin, joint="curve")
            for x, y in points[[0, -1]]:
                draw.ellipse((x - thin / 2, y - thin / 2, x + thin / 2, y + thin / 2), fill=255)
    return np.asarray(canvas.resize((w, h), Image.Resampling.BOX))
