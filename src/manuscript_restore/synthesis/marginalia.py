"""What is written around the text: the leaf's number, and glosses."""

import numpy as np

from manuscript_restore.synthesis.layout import Layout
from manuscript_restore.synthesis.scribe import Line, Scribe, TextFlow, constant
from manuscript_restore.synthesis.scripts import numeral


def write(
    rng: np.random.Generator, scribe: Scribe, layout: Layout, flow: TextFlow, *, printed: bool
) -> list[Line | None]:
    """Write into the margins what there is room for; a printed page gets only its number."""
    left, _, right, bottom = layout.margins
    body = layout.body_px
    number = numeral(int(rng.integers(1, 250)), scribe.typeface.script)
    if printed:
        x = (left + right - scribe.measure(number)) / 2
        y = layout.block[3] + 0.4 * (bottom - layout.block[3]) + body
        return [scribe.write(number, constant(y), x, kind="folio")] if y < bottom else []
    lines: list[Line | None] = []
    small = Scribe(rng, scribe.typeface, scribe.hand.smaller(0.75), scribe.inks)
    room_left, room_right = layout.block[0] - left, right - layout.block[2]
    middle = (layout.block[1] + layout.block[3]) / 2
    if rng.random() < 0.6 and small.measure(number) < 0.7 * room_left:
        x = left + (room_left - small.measure(number)) * rng.uniform(0.3, 0.6)
        y = middle if rng.random() < 0.5 else layout.block[1] + body
        lines.append(small.write(number, constant(y), x, kind="folio"))
    if rng.random() < 0.6 and small.measure(number) < 0.7 * room_right:
        x = layout.block[2] + (room_right - small.measure(number)) * rng.uniform(0.4, 0.7)
        y = layout.block[3] if rng.random() < 0.7 else middle
        lines.append(small.write(number, constant(y), x, kind="folio"))
    if rng.random() < 0.3:
        lines += _gloss(rng, scribe, layout, flow)
    return lines


def _gloss(rng: np.random.Generator, scribe: Scribe, layout: Layout, flow: TextFlow) -> list[Line | None]:
    """A note in a small hand beside, above or below the text."""
    left, top, right, bottom = layout.margins
    hand = scribe.hand.smaller(rng.uniform(0.45, 0.65))
    small = Scribe(rng, scribe.typeface, hand, scribe.inks)
    body = hand.body_px
    places = {
        "left": (left + 0.8 * body, layout.block[1], layout.block[0] - 2.5 * body, layout.block[3]),
        "right": (layout.block[2] + 2.5 * body, layout.block[1], right - 0.8 * body, layout.block[3]),
        "top": (layout.block[0], top + 0.3 * body, layout.block[2], layout.block[1] - 0.8 * body),
        "bottom": (layout.block[0], layout.block[3] + 0.8 * body, layout.block[2], bottom - 0.3 * body),
    }
    fitting = [
        place for place in places.values() if place[2] - place[0] > 5 * body and place[3] - place[1] > 2.5 * body
    ]
    if not fitting:
        return []
    x0, y0, x1, y1 = fitting[int(rng.integers(len(fitting)))]
    most = int((y1 - y0) / (2.2 * body))
    num_lines = int(rng.integers(1, min(most, 8) + 1))
    y0 += rng.uniform(0, max(0.0, y1 - y0 - 2.2 * body * num_lines))
    width = min(x1 - x0, rng.uniform(8, 30) * body)
    x0 += rng.uniform(0, x1 - x0 - width)
    lines: list[Line | None] = []
    for number in range(num_lines):
        text = ""
        while small.measure(text + flow.next[0]) < width and flow.next[0] != "\n":
            text += flow.take()[0]
        lines.append(small.write(text, constant(y0 + (2.2 * number + 1.6) * body), x0, kind="gloss"))
    return lines
