"""The scribe: writes syllables along a line with a hand, and remembers what was written where."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis.hand import Hand
from manuscript_restore.synthesis.scripts import split_aksharas
from manuscript_restore.synthesis.text import TextSource
from manuscript_restore.synthesis.typeface import Coverage, Typeface

Box = tuple[int, int, int, int]
Syllable = tuple[str, str]  # text, and the kind of text that it belongs to
SPACE = 0.38  # between words, in bodies
AROUND_STOPS = 0.22


@dataclass(frozen=True)
class Line:
    """A written line; places in pixels from the page's top left.

    Attributes:
        text: What it says, in Unicode order.
        box: left, top, right, bottom of its ink.
        baseline: (x, y) of points along it.
        kind: ``"text"``, ``"folio"`` (the leaf's number) or ``"gloss"``.
    """

    text: str
    box: Box
    baseline: tuple[tuple[float, float], ...]
    kind: str = "text"


@dataclass
class Inks:
    """What each ink covers, (H, W) uint8 each."""

    dark: Coverage
    red: Coverage
    pigment: Coverage  # light paint that hides a mistake

    @classmethod
    def blank(cls, height: int, width: int) -> "Inks":
        """No ink yet."""
        return cls(*np.zeros((3, height, width), np.uint8))


@dataclass
class Slot:
    """Where one line goes.

    Attributes:
        baseline: y of the baseline by x, both in pixels.
        spans: Pieces (left, right) that may be written on: a string hole interrupts a line.
    """

    baseline: Callable[[float], float]
    spans: list[tuple[float, float]]


class TextFlow:
    """The syllables of a source, one by one; the next may be looked at before it is taken."""

    def __init__(
        self, source: TextSource, rng: np.random.Generator, typeface: Typeface, *, continuous: bool
    ) -> None:
        self._syllables = self._read(source, rng, typeface, continuous)
        self.next = next(self._syllables)

    def take(self) -> Syllable:
        """The next syllable, which is then gone."""
        taken, self.next = self.next, next(self._syllables)
        return taken

    @staticmethod
    def _read(
        source: TextSource, rng: np.random.Generator, typeface: Typeface, continuous: bool
    ) -> Iterator[Syllable]:
        for passage in source.passages(rng, continuous=continuous):
            for segment in passage.segments:
                for syllable in split_aksharas(segment.text):
                    # A user's text stays whole: what the font lacks becomes the font's own sign for that.
                    if source.text_file is not None or typeface.covers(syllable):
                        yield syllable, segment.kind
            if not continuous:
                yield "\n", "text"


@dataclass
class Scribe:
    """Writes lines with one hand; what is left in the pen goes on from line to line."""

    rng: np.random.Generator
    typeface: Typeface
    hand: Hand
    inks: Inks
    corrections: int = 0
    _since_dip: float = field(default=0.0)
    _lean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # slow drift: height, slant

    def write_line(self, flow: TextFlow, slot: Slot) -> Line | None:
        """Fill a slot from the flow; None where nothing fits."""
        text, boxes, points = "", [], []
        backwards = self.typeface.right_to_left
        for left, right in reversed(slot.spans) if backwards else slot.spans:
            syllables = self._fit(flow, right - left)
            ended = flow.next[0] == "\n"
            if not syllables:
                continue
            slack = (right - left) / max(1.0, self._width(syllables))
            stretch = 1.0 if ended and slack > 1.1 else float(np.clip(slack, 0.9, 1.15))
            part, box, point = self._write(syllables, slot.baseline, right if backwards else left, stretch)
            text += part
            boxes += box
            points += point
            if ended:
                break
        if flow.next[0] == "\n":
            flow.take()
        return _line(text, boxes, points, "text")

    def write(self, text: str, baseline: Callable[[float], float], left: float, *, kind: str) -> Line | None:
        """Write a given text so that it begins (or, of a script from right to left, ends) at ``left``."""
        syllables = [(syllable, kind) for syllable in split_aksharas(text) if self.typeface.covers(syllable)]
        start = left + self._width(syllables) if self.typeface.right_to_left else left
        return _line(*self._write(syllables, baseline, start, 1.0), kind)

    def measure(self, text: str) -> float:
        """Width of a text in pixels."""
        return self._width([(syllable, "text") for syllable in split_aksharas(text)])

    def _fit(self, flow: TextFlow, room: float) -> list[Syllable]:
        """Take what fits; stops and closing numbers may stick out rather than begin a line."""
        taken: list[Syllable] = []
        width = 0.0
        while flow.next[0] != "\n":
            syllable, kind = flow.next
            if syllable.isspace() and not taken:
                flow.take()
                continue
            width += self._advance(syllable, kind)
            closing = kind in ("danda", "verse_number") and width < room * 1.1
            if width > room and taken and not closing:
                break
            taken.append(flow.take())
            if width > room * 1.1:
                break  # one syllable wider than the line
        while taken and taken[-1][0].isspace():
            taken.pop()
        return taken

    def _width(self, syllables: Iterable[Syllable]) -> float:
        return sum(self._advance(*syllable) for syllable in syllables)

    def _advance(self, syllable: str, kind: str) -> float:
        hand = self.hand
        if syllable.isspace():
            return SPACE * hand.body_px
        stops = AROUND_STOPS if kind == "danda" else 0
        return (self.typeface.advance(syllable) * hand.width + hand.gap + stops) * hand.body_px

    def _write(
        self, syllables: list[Syllable], baseline: Callable[[float], float], start: float, stretch: float
    ) -> tuple[str, list[Box], list[tuple[float, float]]]:
        text, boxes, points, x = "", [], [], start
        forwards, backwards = (0, 1) if self.typeface.right_to_left else (1, 0)
        for syllable, kind in syllables:
            advance = self._advance(syllable, kind) * stretch
            text += syllable
            x -= backwards * advance
            if syllable.isspace():
                x += forwards * advance
                continue
            place = x + (AROUND_STOPS / 2 * self.hand.body_px if kind == "danda" else 0)
            if kind == "text" and self.rng.random() < self.hand.corrections:
                # Dittography: the syllable was written twice, and the first is struck out.
                box = self._ink(syllable, kind, place, baseline, stretch)
                if box is not None:
                    self._strike(box)
                    step = advance * (forwards - backwards)
                    x, place = x + step, place + step
            box = self._ink(syllable, kind, place, baseline, stretch)
            if box is not None:
                boxes.append(box)
                points.append((place, baseline(place)))
            x += forwards * advance
        return text, boxes, [*points, (x, baseline(x))] if points else []

    def _ink(
        self, syllable: str, kind: str, x: float, baseline: Callable[[float], float], stretch: float
    ) -> Box | None:
        hand, rng = self.hand, self.rng
        shaky, body = hand.unsteadiness, hand.body_px
        self._since_dip += 1
        if rng.random() < (self._since_dip / hand.dip) ** 2 / hand.dip:
            self._since_dip = 0
        dry = min(1.0, self._since_dip / hand.dip)
        dx, dy, grow, widen, turn, lean, heavier, amplitude = rng.standard_normal(8) * shaky
        self._lean = 0.93 * self._lean + rng.standard_normal(2) * (0.01, 0.012) * shaky
        y = baseline(x) + (0.016 * dy + self._lean[0]) * body
        slope = (baseline(x + body) - baseline(x)) / body
        angle = -np.arctan(slope) + 0.012 * turn
        size = body * (1 + 0.025 * grow)
        shear = hand.slant + self._lean[1] + 0.02 * lean
        cos, sin = np.cos(angle), np.sin(angle)
        letter = np.array([[hand.width * stretch * (1 + 0.025 * widen), shear], [0, 1]]) * size
        return self.typeface.draw(
            self.typeface.shape(syllable),
            self.inks.red if kind in hand.rubrics else self.inks.dark,
            (x + 0.015 * dx * body, y),
            np.array([[cos, -sin], [sin, cos]]) @ letter,
            weight=(hand.weight + (0.008 * heavier - 0.02 * hand.fade * dry) * min(1, shaky)) * body,
            strength=1 - hand.fade * dry,
            wobble=(0.012 * abs(amplitude), rng.uniform(0, 6.3)) if shaky else (0, 0),
        )

    def _strike(self, box: Box) -> None:
        """Cancel what a box holds: painted over with pigment, or marked by two strokes above."""
        left, top, right, bottom = box
        self.corrections += 1
        if self.rng.random() < 0.5:
            draw_bar(self.inks.pigment, constant(top - 1), left - 1, right + 1, bottom - top + 2)
            return
        body = self.hand.body_px
        for share in (0.35, 0.65):
            x = left + share * (right - left)
            draw_bar(self.inks.dark.T, constant(x), top - 0.3 * body, top - 0.05 * body, 0.1 * body)


def constant(value: float) -> Callable[[float], float]:
    """An edge that is level (or upright)."""
    return lambda _: value


def draw_bar(
    plane: Coverage,
    edge: Callable[[float], float],
    start: float,
    end: float,
    thickness: float,
    strength: float = 1,
) -> None:
    """Draw a nearly level bar, antialiased; ``edge`` is its upper edge by column. ``plane.T`` makes it upright."""
    columns = np.arange(max(0, round(start)), min(plane.shape[1], round(end)))
    if not columns.size:
        return
    stations = np.linspace(columns[0], columns[-1], 9)
    line = np.interp(columns, stations, [edge(float(x)) for x in stations])
    first = max(0, int(line.min()) - 1)
    target = plane[first : max(0, int(line.max() + thickness) + 2), columns[0] : columns[-1] + 1]
    y = np.arange(first, first + target.shape[0])[:, None]
    covered = (np.minimum(y + 1, line + thickness) - np.maximum(y, line)).clip(0, 1)
    np.maximum(target, (covered * 255 * strength).astype(np.uint8), out=target)


def _line(text: str, boxes: list[Box], points: list[tuple[float, float]], kind: str) -> Line | None:
    if not boxes:
        return None
    low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
    ends = points[:: max(1, len(points) // 8)] + points[-1:]  # a few suffice for a gentle curve
    return Line(
        text.strip(),
        (int(low[0]), int(low[1]), int(high[2]), int(high[3])),
        tuple((round(x, 1), round(y, 1)) for x, y in ends),
        kind,
    )
