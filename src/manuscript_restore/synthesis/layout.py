"""The layout of a leaf: lines, columns, margins, rules, and the space around string holes."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis.scribe import Inks, Slot, constant, draw_bar
from manuscript_restore.synthesis.supports import Support

# By kind of support and shape of the leaf (wide or tall): the lines of a page, and the margins as a share of
# the leaf's width (left, right) and height (top, bottom).
LINES = {
    "palm_leaf": {"wide": (4, 9), "tall": (10, 18)},
    "paper": {"wide": (7, 15), "tall": (13, 26)},
    "parchment": {"wide": (10, 18), "tall": (18, 36)},
}
MARGINS = {
    "palm_leaf": {"wide": (0.03, 0.07, 0.06, 0.14), "tall": (0.06, 0.12, 0.05, 0.1)},
    "paper": {"wide": (0.06, 0.14, 0.07, 0.16), "tall": (0.1, 0.18, 0.07, 0.14)},
    "parchment": {"wide": (0.08, 0.15, 0.08, 0.15), "tall": (0.1, 0.2, 0.08, 0.18)},
}
MIN_BODY_PX = 4.5
CLEARANCE = 2.2
"""Free space around a string hole, in radii."""


@dataclass(frozen=True)
class Layout:
    """The plan of one page; lengths in pixels.

    Attributes:
        slots: Its lines, in reading order.
        body_px: Size of the writing.
        block: left, top, right, bottom of the writing.
        margins: left, top, right, bottom of the leaf.
        columns: (left, right) of each column.
        wander: How far any line strays from level: y by x.
        ornaments: x, y, radius of the discs left free in imitation of string holes, as on Jain paper.
    """

    slots: list[Slot]
    body_px: float
    block: tuple[float, float, float, float]
    margins: tuple[float, float, float, float]
    columns: list[tuple[float, float]]
    wander: Callable[[float], float]
    ornaments: tuple[tuple[float, float, float], ...] = ()


def plan(rng: np.random.Generator, support: Support, *, printed: bool, right_to_left: bool = False) -> Layout:
    """Plan a page of a support; of two columns the right one may come first."""
    left, top, right, bottom = support.area
    width, height = right - left, bottom - top
    shape = "wide" if width > 1.2 * height else "tall"
    x_low, x_high, y_low, y_high = MARGINS[support.kind][shape]
    # A leaf much longer than high has its margin measured by the height as well.
    span = min(width, 3.2 * height)
    block = (
        left + span * rng.uniform(x_low, x_high),
        top + height * rng.uniform(y_low, y_high),
        right - span * rng.uniform(x_low, x_high),
        bottom - height * rng.uniform(y_low, y_high),
    )
    leading = 2.4 if printed else rng.uniform(1.7, 2.6)  # bodies between two baselines
    most = max(1, int((block[3] - block[1]) / (leading * MIN_BODY_PX)))
    num_lines = min(most, int(rng.integers(*LINES[support.kind][shape], endpoint=True)))
    pitch = (block[3] - block[1]) / num_lines
    body = pitch / leading
    wander = _wander(rng, 0.0 if printed else body, width, left)
    columns = _columns(rng, block, body, support.kind, shape, printed)
    ornaments = _ornaments(rng, block, pitch, support.kind, shape) if not printed else ()
    slots = []
    for column in reversed(columns) if right_to_left else columns:
        for number in range(num_lines):
            # The marks above the first line's headline need room within the block.
            y = block[1] + number * pitch + 0.5 * (pitch - body) + body
            ragged = np.zeros(3) if printed else rng.normal(0, (0.1, 0.3, 0.03)) * body
            spans = [(column[0] + ragged[0], column[1] + ragged[1])]
            spans = _free_spans(spans, support.holes + ornaments, y - 1.5 * body, y + 0.6 * body)
            slots.append(Slot(_baseline(y + ragged[2], wander), spans))
    return Layout(slots, body, block, support.area, columns, wander, ornaments)


def _wander(rng: np.random.Generator, body: float, width: float, left: float) -> Callable[[float], float]:
    tilt, bend, phase = rng.normal(0, 0.002), rng.uniform(0, 0.15) * body, rng.uniform(0, 6.3)
    if not body:
        tilt = 0.0

    def stray(x: float) -> float:
        return float(tilt * (x - left - width / 2) + bend * np.sin(5 * (x - left) / width + phase))

    return stray


def _baseline(y: float, wander: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: y + wander(x)


def _columns(
    rng: np.random.Generator,
    block: tuple[float, float, float, float],
    body: float,
    kind: str,
    shape: str,
    printed: bool,
) -> list[tuple[float, float]]:
    """One column; on parchment sometimes two, if a line keeps some twelve letters."""
    left, right = block[0], block[2]
    two = kind == "parchment" and shape == "tall" and not printed and rng.random() < 0.4
    if not two or right - left < 30 * body:
        return [(left, right)]
    gutter = rng.uniform(0.06, 0.1) * (right - left)
    middle = (left + right) / 2
    return [(left, middle - gutter / 2), (middle + gutter / 2, right)]


def _ornaments(
    rng: np.random.Generator, block: tuple[float, float, float, float], pitch: float, kind: str, shape: str
) -> tuple[tuple[float, float, float], ...]:
    if kind != "paper" or shape != "wide" or rng.random() > 0.2:
        return ()
    middle = (block[1] + block[3]) / 2
    radius = rng.uniform(0.5, 1.1) * pitch
    return (((block[0] + block[2]) / 2, middle, radius),)


def _free_spans(
    spans: list[tuple[float, float]], holes: tuple[tuple[float, float, float], ...], top: float, bottom: float
) -> list[tuple[float, float]]:
    """Cut the space of string holes out of a line's spans."""
    for x, y, radius in holes:
        if not top - CLEARANCE * radius < y < bottom + CLEARANCE * radius:
            continue
        near, far = x - CLEARANCE * radius, x + CLEARANCE * radius
        cut = []
        for left, right in spans:
            if near > left and far < right:
                cut += [(left, near), (far, right)]
            else:
                cut.append(
                    (left, right) if far < left or near > right else (left, near) if near > left else (far, right)
                )
        spans = cut
    return [(left, right) for left, right in spans if right > left]


def keep_free(slots: list[Slot], box: tuple[float, float, float, float], body: float) -> None:
    """Cut a box (left, top, right, bottom) out of the lines, in place: something else is drawn there."""
    left, top, right, bottom = box
    for slot in slots:
        y = slot.baseline((left + right) / 2)
        if top < y + 0.5 * body and y - 1.4 * body < bottom:
            pieces = [
                piece
                for low, high in slot.spans
                for piece in ((low, min(high, left - 0.5 * body)), (max(low, right + 0.5 * body), high))
            ]
            slot.spans = [(low, high) for low, high in pieces if high - low > body]


def rule(rng: np.random.Generator, layout: Layout, inks: Inks, kind: str) -> None:
    """Rule the margins: two or three upright lines a side, or a band; parchment: fine lines for the writing."""
    left, top, right, bottom = layout.margins
    body, strength = layout.body_px, rng.uniform(0.5, 0.95)
    for x, y, radius in layout.ornaments:
        border = -1 if rng.random() < 0.5 else max(1, round(0.3 * radius))  # a disc, or a ring
        centre = (round(16 * x), round(16 * y))
        cv2.circle(inks.red, centre, round(16 * radius), 230, border, cv2.LINE_AA, shift=4)
    ink = inks.red if rng.random() < 0.8 else inks.dark
    if kind == "parchment":
        thickness, strength = max(0.7, 0.035 * body), rng.uniform(0.12, 0.35)
        for slot in layout.slots:
            draw_bar(inks.dark, slot.baseline, left, right, thickness, strength)
        for column in layout.columns:
            for edge in column:
                draw_bar(inks.dark.T, constant(edge), top, bottom, thickness, strength)
        return
    thickness = rng.choice([0.05, 0.08, 0.5], p=[0.5, 0.4, 0.1]) * body
    bend = rng.normal(0, 0.06, 2) * body
    count = 1 if thickness > 0.2 * body else int(rng.integers(2, 4))
    margin = min(layout.block[0] - left, right - layout.block[2])
    for number in range(count):
        away = min((0.5 + 0.3 * number) * body, 0.9 * margin - thickness)
        for x in (layout.block[0] - away - thickness, layout.block[2] + away):
            draw_bar(ink.T, _bent(x, (top, bottom), bend), top, bottom, thickness, strength)


def _bent(x: float, ends: tuple[float, float], bend: NDArray[np.float64]) -> Callable[[float], float]:
    """A line down the leaf, never quite straight: its x by y."""
    stations, offsets = (ends[0], sum(ends) / 2, ends[1]), (0, *bend)
    return lambda y: x + float(np.interp(y, stations, offsets))
