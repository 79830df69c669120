"""Decoration of a page: washes under the text, initials, frames, miniatures, drawings, stamps and seals."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis import painting
from manuscript_restore.synthesis.figures import FIGURES, Points, blob, circle, rectangle, spiral
from manuscript_restore.synthesis.layout import Layout, keep_free
from manuscript_restore.synthesis.painting import Colour, Paint
from manuscript_restore.synthesis.scribe import TextFlow
from manuscript_restore.synthesis.supports import Support
from manuscript_restore.synthesis.typeface import Typeface

Box = tuple[float, float, float, float]
Canvas = NDArray[np.uint8]
FIXED = 4  # bits of fraction in OpenCV's coordinates


@dataclass
class Easel:
    """Where a page's decoration is drawn; coordinates are the page's, in pixels."""

    rng: np.random.Generator
    size: tuple[int, int]  # height and width of the page
    body_px: float
    leaf: Colour  # what the leaf looks like
    paints: list[Paint] = field(default_factory=list)

    @property
    def pen_px(self) -> int:
        """Thickness of a line."""
        return max(1, round(self.rng.uniform(0.04, 0.14) * self.body_px))

    def paint(self) -> Colour:
        """Any paint, for a field."""
        return painting.PAINTS[self.rng.integers(len(painting.PAINTS))]

    def ink(self, *, black: float, ground: Colour | None = None) -> Colour:
        """A colour for lines that is seen on its ground, else on the leaf; ``black`` is how often it is that."""
        if self.rng.random() < black:
            return painting.CARBON
        return painting.pick(self.rng, painting.PAINTS, beside=ground or self.leaf)

    def fill(self, outline: Points, colour: Colour, opacity: float = 1.0, *, is_ink: bool = False) -> None:
        """Fill a polygon, points (n, 2): a field, which is no ink unless told."""
        found = self._canvas(outline, 1)
        if found:
            canvas, offset = found
            cv2.fillPoly(canvas, [_fixed(outline - offset)], 255, cv2.LINE_AA, FIXED)
            self._add(canvas, offset, colour, opacity, is_ink)

    def draw(self, lines: list[Points], colour: Colour, thickness: int, *, closed: bool = False) -> None:
        """Draw lines, points (n, 2) each; they are ink."""
        found = self._canvas(np.concatenate(lines), thickness)
        if found:
            canvas, offset = found
            fixed = [_fixed(line - offset) for line in lines]
            cv2.polylines(canvas, fixed, closed, 255, thickness, cv2.LINE_AA, FIXED)
            self._add(canvas, offset, colour, self.rng.uniform(0.75, 1), True)

    def _canvas(self, points: Points, margin: int) -> tuple[Canvas, Points] | None:
        """An empty plane that holds the points, as far as they lie on the page, and its left and top."""
        height, width = self.size
        low = np.maximum(np.floor(points.min(axis=0)) - margin - 1, 0)
        high = np.minimum(np.ceil(points.max(axis=0)) + margin + 2, (width, height))
        if (high - low < 2).any():
            return None
        columns, rows = (high - low).astype(int)
        return np.zeros((rows, columns), np.uint8), low

    def _add(self, canvas: Canvas, offset: Points, colour: Colour, opacity: float, is_ink: bool) -> None:
        self.paints.append(Paint(canvas, (int(offset[1]), int(offset[0])), colour, opacity, is_ink))


def decorate(
    rng: np.random.Generator, support: Support, layout: Layout, flow: TextFlow, typeface: Typeface
) -> list[Paint]:
    """Decorate a page before it is written; the lines of the layout make room.

    Args:
        rng: Decides everything.
        support: Palm leaves have less of it.
        layout: Its slots are cut where something is drawn.
        flow: Its next syllable is the initial.
        typeface: The initial's form.

    Returns:
        What is painted, lowest first.
    """
    height, width = support.grain.shape
    easel = Easel(rng, (height, width), layout.body_px, painting.tone_of(support))
    share = 0.5 if support.kind == "palm_leaf" else 1.0
    for probability, add in (
        (0.12, _washes),
        (0.12, _frame),
        (0.10, _miniature),
        (0.10, _drawing),
        (0.06, _rosettes),
    ):
        if rng.random() < probability * share:
            add(easel, layout)
    if rng.random() < 0.16 * share and layout.slots:
        _initial(easel, layout, flow, typeface)
    if rng.random() < 0.1:
        _stamp(easel, layout)
    if rng.random() < 0.06:
        _seal(easel, layout)
    return easel.paints


def _washes(easel: Easel, layout: Layout) -> None:
    """Colour under parts of the text: orpiment, red chalk."""
    rng, body = easel.rng, layout.body_px
    colour, opacity = easel.paint(), rng.uniform(0.25, 0.9)
    for slot in layout.slots:
        for left, right in slot.spans:
            if rng.random() < 0.25:
                start, end = np.sort(rng.uniform(left, right, 2))
                y = slot.baseline((start + end) / 2)
                easel.fill(rectangle((start, y - 1.3 * body, end, y + 0.4 * body)), colour, opacity)


def _frame(easel: Easel, layout: Layout) -> None:
    """Frame the text by lines and bands in several colours."""
    rng, body = easel.rng, layout.body_px
    left, top, right, bottom = layout.block
    away = 0.6 * body
    for _ in range(int(rng.integers(1, 5))):
        colour = easel.ink(black=0.2)
        corners = rectangle((left - away, top - away, right + away, bottom + away))
        if rng.random() < 0.25:
            band = max(2.0, rng.uniform(0.3, 1.2) * body)
            for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                low, high = np.minimum(start, end) - band / 2, np.maximum(start, end) + band / 2
                easel.fill(rectangle((*low, *high)), colour, rng.uniform(0.7, 1))
            away += band + 0.1 * body
        else:
            easel.draw([corners], colour, easel.pen_px, closed=True)
            away += rng.uniform(0.12, 0.4) * body


def _initial(easel: Easel, layout: Layout, flow: TextFlow, typeface: Typeface) -> None:
    """Begin with a large letter, on a field or with penwork about it."""
    rng, body, slot = easel.rng, layout.body_px, layout.slots[0]
    syllable = flow.next[0]
    size = body * rng.uniform(2, 6)
    if (
        syllable.isspace()
        or not slot.spans
        or typeface.advance(syllable) * size > 0.5 * (layout.block[2] - layout.block[0])
    ):
        return
    flow.take()
    width = typeface.advance(syllable) * size
    left = slot.spans[-1][1] - width if typeface.right_to_left else slot.spans[0][0]
    base = slot.baseline(left) - body + size
    box = (left, base - 1.25 * size, left + width, base + 0.3 * size)
    keep_free(layout.slots, box, body)
    letter = easel.ink(black=0.15)
    if rng.random() < 0.5:
        ground = easel.paint()
        easel.fill(rectangle(box), ground, rng.uniform(0.8, 1))
        easel.draw([rectangle(box)], easel.ink(black=0.3), easel.pen_px, closed=True)
        letter = easel.ink(black=0.1, ground=ground)
    coverage = np.zeros(easel.size, np.uint8)
    drawn = typeface.draw(typeface.shape(syllable), coverage, (left, base), np.eye(2) * size, weight=0.03 * size)
    if drawn:
        x0, y0, x1, y1 = drawn
        easel.paints.append(Paint(coverage[y0:y1, x0:x1].copy(), (y0, x0), letter, 0.95, True))
    if rng.random() < 0.5:
        centre = np.array([left + width / 2, base - size / 2])
        lines = [spiral(rng, centre + rng.normal(0, 0.5, 2) * size, 0.5 * size) for _ in range(4)]
        easel.draw(lines, easel.ink(black=0.2), easel.pen_px)


def _miniature(easel: Easel, layout: Layout) -> None:
    """A picture in the text: fields of colour, simple figures with their outlines, a border."""
    rng = easel.rng
    box = _place(easel, layout)
    if box is None:
        return
    left, top, right, bottom = box
    side = min(right - left, bottom - top)
    horizon = rng.uniform(top, bottom)
    easel.fill(rectangle(box), easel.paint(), rng.uniform(0.8, 1))
    if rng.random() < 0.6:
        easel.fill(rectangle((left, horizon, right, bottom)), easel.paint(), rng.uniform(0.8, 1))
    for _ in range(int(rng.integers(3, 12))):
        centre = rng.uniform((left, top), (right, bottom))
        outline = blob(rng, centre, rng.uniform(0.04, 0.22) * side).clip((left, top), (right, bottom))
        colour = easel.paint()
        easel.fill(outline, colour, rng.uniform(0.8, 1))
        if rng.random() < 0.8:
            easel.draw([outline], easel.ink(black=0.7, ground=colour), easel.pen_px, closed=True)
    easel.draw([rectangle(box)], easel.ink(black=0.3), max(easel.pen_px, round(0.02 * side)), closed=True)


def _drawing(easel: Easel, layout: Layout) -> None:
    """A drawing in lines alone."""
    rng = easel.rng
    box = _place(easel, layout)
    if box is None:
        return
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    radius = 0.46 * min(box[2] - box[0], box[3] - box[1])
    lines = FIGURES[rng.integers(len(FIGURES))](rng, centre, radius)
    easel.draw(lines, easel.ink(black=0.6), easel.pen_px)


def _rosettes(easel: Easel, layout: Layout) -> None:
    """Discs in the margins, ringed."""
    rng = easel.rng
    left, top, right, bottom = layout.margins
    middle, radius = (top + bottom) / 2, rng.uniform(0.5, 2) * layout.body_px
    for x in ((left + layout.block[0]) / 2, (layout.block[2] + right) / 2):
        disc = circle(np.array([x, middle]), radius)
        easel.fill(disc, easel.paint(), rng.uniform(0.8, 1))
        easel.draw([disc], easel.ink(black=0.3), easel.pen_px, closed=True)


def _stamp(easel: Easel, layout: Layout) -> None:
    """A library's stamp over the page: lines and letters, thin ink."""
    rng, (height, width) = easel.rng, easel.size
    half = np.array([rng.uniform(1.2, 4), rng.uniform(0.8, 2.5)]) * max(14.0, layout.body_px)
    side = np.ceil(2 * half + 8).astype(int)
    coverage = np.zeros((side[1], side[0]), np.uint8)
    centre = (int(side[0]) // 2, int(side[1]) // 2)
    for share in (1.0, 0.88) if rng.random() < 0.7 else (1.0,):
        axes = (int(half[0] * share), int(half[1] * share))
        if rng.random() < 0.7:
            cv2.ellipse(coverage, centre, axes, 0, 0, 360, 255, 1 + int(share == 1), cv2.LINE_AA)
        else:
            corners = (centre[0] - axes[0], centre[1] - axes[1]), (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(coverage, *corners, 255, 1)
    size = half[1] / 55
    for row in (-0.35, 0.1, 0.5):
        text = "".join(chr(65 + int(letter)) for letter in rng.integers(0, 26, int(rng.integers(3, 9))))
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_COMPLEX, size, 1)
        at = (int(centre[0] - wide / 2), int(centre[1] + row * half[1] + 8 * size))
        cv2.putText(coverage, text, at, cv2.FONT_HERSHEY_COMPLEX, size, 255, 1, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D(centre, rng.normal(0, 15), 1)
    coverage = cv2.warpAffine(coverage, turn, tuple(side.tolist()))
    top, left = int(rng.uniform(0, max(1, height - side[1]))), int(rng.uniform(0, max(1, width - side[0])))
    coverage = coverage[: height - top, : width - left]
    colours = (painting.VIOLET, painting.LAPIS, painting.VERMILION, painting.CARBON, painting.AZURITE)
    colour = colours[rng.integers(len(colours))]
    easel.paints.append(Paint(coverage, (top, left), colour, rng.uniform(0.5, 0.95), True, on_top=True))


def _seal(easel: Easel, layout: Layout) -> None:
    """A seal: wax or red paste in one piece, the device left free in it or a little lighter."""
    rng, (height, width) = easel.rng, easel.size
    radius = max(10.0, rng.uniform(0.8, 3) * layout.body_px)
    if min(height, width) < 4 * radius:
        return
    centre = rng.uniform(1.2 * radius, (width - 1.2 * radius, height - 1.2 * radius))
    colour = (painting.CARMINE, painting.VERMILION, (0.35, 0.12, 0.08), (0.55, 0.05, 0.05))[rng.integers(4)]
    outline = (
        blob(rng, centre, radius, 0.04) if rng.random() < 0.5 else rectangle((*centre - radius, *centre + radius))
    )
    before = len(easel.paints)
    easel.fill(outline, colour, rng.uniform(0.75, 1))
    device = FIGURES[rng.integers(len(FIGURES))](rng, centre, 0.7 * radius)
    light = (
        painting.WHITE
        if rng.random() < 0.5
        else (0.3 + 0.7 * colour[0], 0.3 + 0.5 * colour[1], 0.3 + 0.5 * colour[2])
    )
    easel.draw(device, light, max(1, round(0.08 * radius)))
    easel.paints[before:] = [
        Paint(paint.coverage, paint.corner, paint.colour, paint.opacity, False, on_top=True)
        for paint in easel.paints[before:]
    ]


def _place(easel: Easel, layout: Layout) -> Box | None:
    """Make room for a picture in the text block."""
    rng = easel.rng
    left, top, right, bottom = layout.block
    height = rng.uniform(0.25, 1) * min(bottom - top, 12 * layout.body_px + 0.3 * (bottom - top))
    width = min(rng.uniform(0.6, 2) * height, 0.7 * (right - left))
    if min(width, height) < 20:
        return None
    x = rng.uniform(left, right - width) if rng.random() < 0.6 else rng.choice([left, right - width])
    y = rng.uniform(top, bottom - height)
    box = (float(x), y, float(x + width), y + height)
    keep_free(layout.slots, box, layout.body_px)
    return box


def _fixed(points: Points) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(points * 2**FIXED).astype(np.int32)
    return fixed
