"""What lies on and beside a page in a picture of it: rulers, colour targets, labels, strings, gutters, edges.

None of it is damage, and none of it is ink, not even the figures of a ruler: what it hides is taken out of the
ink mask.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis.supports import MIN_SIDE, Support

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Rgb = tuple[int, int, int]

# The 24 patches of a ColorChecker, sRGB. Source: X-Rite's data of 2005, after BabelColor's averages.
CHECKER: tuple[Rgb, ...] = (
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
)  # fmt: skip
# The patches of a strip for print: cyan, green, yellow, red, magenta, blue, white, brown, black.
STRIP: tuple[Rgb, ...] = (
    (0, 150, 200), (0, 145, 80), (250, 225, 0), (215, 35, 40), (200, 40, 120), (50, 55, 140), (250, 250, 250),
    (110, 75, 55), (25, 25, 25),
)  # fmt: skip


def surround(rng: np.random.Generator, support: Support, page: Picture, ink: Mask) -> None:
    """Lay objects on the picture of a page, and bend or bind the leaf; changes ``page`` and ``ink`` in place.

    Args:
        rng: Decides everything.
        support: The leaf: its area and holes.
        page: uint8 (H, W, 3).
        ink: bool (H, W).
    """
    if min(ink.shape) < MIN_SIDE:
        return
    if support.kind != "palm_leaf" and rng.random() < 0.2:
        _gutter(rng, page)
    if support.kind != "palm_leaf" and rng.random() < 0.12:
        _fore_edge(rng, page, ink)
    if support.holes and rng.random() < 0.2:
        _string(rng, support, page, ink)
    for probability, draw in ((0.08, _ruler), (0.05, _checker), (0.06, _strip), (0.05, _label)):
        if rng.random() < probability:
            _lay(rng, support, page, ink, draw(rng, page.shape[:2]))
    if rng.random() < 0.04:  # a coloured border that a catalogue's software drew
        colour = rng.integers(0, 256, 3).tolist()
        width = int(rng.integers(1, 7))
        cv2.rectangle(page, (0, 0), (page.shape[1] - 1, page.shape[0] - 1), colour, width)
        ink[:width] = ink[-width:] = ink[:, :width] = ink[:, -width:] = False


def _lay(rng: np.random.Generator, support: Support, page: Picture, ink: Mask, thing: Picture) -> None:
    """Lay a thing beside the leaf where there is room, else on a side of it, with its shadow."""
    height, width = ink.shape
    if rng.random() < 0.5:
        thing = np.ascontiguousarray(np.rot90(thing))
    thing = thing[: height - 2, : width - 2]
    rows, columns = thing.shape[:2]
    left, top, right, bottom = support.area
    room = {
        "left": left - columns,
        "top": top - rows,
        "right": width - right - columns,
        "bottom": height - bottom - rows,
    }
    side = max(room, key=lambda name: (room[name] > 0, room[name] + rng.uniform(0, 0.2 * min(height, width))))
    free = max(0.0, room[side]) * rng.uniform(0.1, 0.9)
    x, y = rng.uniform(0, width - columns), rng.uniform(0, height - rows)
    x, y = {
        "left": (free, y),
        "top": (x, free),
        "right": (width - columns - free, y),
        "bottom": (x, height - rows - free),
    }[side]
    row, column = int(y), int(x)
    if rng.random() < 0.7:
        depth = int(rng.integers(2, 8))
        below = page[row : row + rows + depth, column : column + columns + depth]
        shadow = np.zeros(below.shape[:2], np.float32)
        shadow[depth // 2 : rows + depth // 2, depth // 2 : columns + depth // 2] = rng.uniform(0.2, 0.6)
        shadow = 1 - cv2.GaussianBlur(shadow, (0, 0), depth / 2)
        below[:] = cv2.multiply(np.ascontiguousarray(below), cv2.merge([shadow] * 3), dtype=cv2.CV_8U)
    page[row : row + rows, column : column + columns] = thing
    ink[row : row + rows, column : column + columns] = False


def _ruler(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A scale with ticks and figures; of paper, wood, steel or black plastic."""
    short, long = min(size), max(size)
    height = round(np.clip(rng.uniform(0.03, 0.09) * short, 14, 90))
    width = round(min(rng.uniform(0.2, 0.9) * long, 28 * height))
    ground, marks = _pair(rng)
    ruler = np.full((height, width, 3), ground, np.uint8)
    unit = rng.uniform(0.5, 1.6) * height  # a centimetre
    parts = int(rng.choice([2, 5, 10])) if unit > 24 else 2
    for number in range(int(width / unit * parts)):
        x = round((number + 0.5) * unit / parts)
        reach = (0.45 if number % parts == 0 else 0.32 if 2 * number % parts == 0 else 0.2) * height
        cv2.line(ruler, (x, 0), (x, round(reach)), marks, 1)
        if number % parts == 0:
            text = str(number // parts)
            cv2.putText(
                ruler, text, (x + 1, height - 3), cv2.FONT_HERSHEY_SIMPLEX, height / 62, marks, 1, cv2.LINE_AA
            )
        if rng.random() < 0.3 and number % (2 * parts) == 0:
            cv2.rectangle(ruler, (x, round(0.5 * height)), (round(x + unit), round(0.58 * height)), marks, -1)
    return ruler


def _checker(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A colour target of 24 patches on a black or grey card."""
    patch = round(np.clip(rng.uniform(0.02, 0.07) * min(size), 7, 80))
    gap = max(1, round(rng.uniform(0.08, 0.25) * patch))
    ground = int(rng.choice([15, 30, 60, 235]))
    card = np.full((4 * (patch + gap) + gap, 6 * (patch + gap) + gap, 3), ground, np.uint8)
    for number, colour in enumerate(CHECKER):
        row, column = (gap + place * (patch + gap) for place in divmod(number, 6))
        card[row : row + patch, column : column + patch] = _seen(rng, colour)
    return card


def _strip(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A strip of colours or of greys on a card, lettered."""
    side = round(np.clip(rng.uniform(0.02, 0.08) * min(size), 8, 90))
    number = int(rng.integers(8, 21))
    greys = [(value, value, value) for value in np.linspace(250, 10, number).astype(int).tolist()]
    colours = greys if rng.random() < 0.5 else STRIP
    ground, marks = _pair(rng)
    card = np.full((round(1.8 * side), side * len(colours) + side, 3), ground, np.uint8)
    for place, colour in enumerate(colours):
        left = side // 2 + place * side
        card[side // 3 : side // 3 + side, left : left + side] = _seen(rng, colour)
        if side > 16:
            cv2.putText(
                card,
                str(place),
                (left + 2, card.shape[0] - 3),
                cv2.FONT_HERSHEY_SIMPLEX,
                side / 80,
                marks,
                1,
                cv2.LINE_AA,
            )
    return card


def _label(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A slip with a shelf mark in type."""
    name = "".join(chr(97 + int(letter)) for letter in rng.integers(0, 26, int(rng.integers(3, 10))))
    text = f"{name} {rng.integers(1, 2000)}"
    scale = float(np.clip(min(size) / 1000 * rng.uniform(0.5, 1.8), 0.35, 2))
    font = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_DUPLEX)[rng.integers(3)]
    (width, height), base = cv2.getTextSize(text, font, scale, 1)
    ground, marks = _pair(rng)
    slip = np.full((2 * height + base, width + height, 3), ground, np.uint8)
    cv2.putText(slip, text, (height // 2, round(1.4 * height)), font, scale, marks, 1, cv2.LINE_AA)
    return slip


def _gutter(rng: np.random.Generator, page: Picture) -> None:
    """The leaf bends down to the binding at one side: a soft shadow, and light before it."""
    width = page.shape[1]
    along = np.linspace(0, 1, width, dtype=np.float32)
    if rng.random() < 0.5:
        along = along[::-1]
    gain = 1 - np.float32(rng.uniform(0.2, 0.75)) * np.exp(-along / np.float32(rng.uniform(0.01, 0.08)))
    gain += np.float32(rng.uniform(0, 0.06)) * np.exp(-(((along - 0.15) / 0.06) ** 2))
    shade = np.broadcast_to(gain[None, :, None], page.shape)
    page[:] = cv2.multiply(page, np.ascontiguousarray(shade), dtype=cv2.CV_8U)


def _fore_edge(rng: np.random.Generator, page: Picture, ink: Mask) -> None:
    """The edges of the leaves below, along one side."""
    height, width = ink.shape
    share = rng.uniform(0.01, 0.06)
    columns = max(4, round(share * width))
    tone = np.median(page[height // 3 : -height // 3 : 9, width // 3 : -width // 3 : 9], axis=(0, 1))
    lines = np.interp(
        np.arange(columns), np.arange(0, columns + 3, 3), rng.uniform(0.35, 1.05, len(range(0, columns + 3, 3)))
    )
    lines[-2:] *= 0.5
    rough = 1 + 0.06 * rng.standard_normal((height, 1))
    edge = (tone * lines[None, :, None] * rough[..., None]).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        page[:, -columns:], ink[:, -columns:] = edge[:, ::-1], False
    else:
        page[:, :columns], ink[:, :columns] = edge, False


def _string(rng: np.random.Generator, support: Support, page: Picture, ink: Mask) -> None:
    """The string through a hole, laid across the leaf."""
    x, y, radius = support.holes[0]
    thickness = max(2, round(radius * rng.uniform(0.25, 0.6)))
    end = (x + rng.normal(0, 0.3) * page.shape[0], -9.0 if rng.random() < 0.5 else page.shape[0] + 9.0)
    middle = ((x + end[0]) / 2 + rng.normal(0, radius), (y + end[1]) / 2)
    share = np.linspace(0, 1, 24)[:, None]
    points = (
        (1 - share) ** 2 * np.array([x, y]) + 2 * share * (1 - share) * np.array(middle) + share**2 * np.array(end)
    )
    cord = np.zeros(ink.shape, np.uint8)
    cv2.polylines(cord, [np.rint(points).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(cord)
    window = np.s_[top : top + height, left : left + width]
    alpha = cord[window][..., None] / 255
    rows, columns = np.mgrid[window]
    twist = 0.8 + 0.2 * np.sin((rows + columns) * (4 / thickness))[..., None]
    colour = np.array(((205, 190, 160), (150, 40, 35), (60, 50, 40), (225, 220, 210))[rng.integers(4)])
    page[window] = (page[window] * (1 - alpha) + (colour * twist).clip(0, 255) * alpha).astype(np.uint8)
    ink[window] &= cord[window] < 128


def _pair(rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    """A ground and the marks on it."""
    pairs: tuple[tuple[Rgb, Rgb], ...] = (
        ((245, 245, 243), (20, 20, 20)),
        ((22, 22, 24), (235, 235, 235)),
        ((205, 165, 105), (40, 30, 20)),
        ((185, 188, 190), (30, 30, 32)),
        ((240, 215, 60), (20, 20, 20)),
        ((128, 128, 128), (245, 245, 245)),
    )
    return pairs[rng.integers(len(pairs))]


def _seen(rng: np.random.Generator, colour: Rgb) -> NDArray[np.uint8]:
    """A patch as a camera shows it: about right."""
    return np.clip(np.array(colour) * rng.uniform(0.93, 1.05) + rng.normal(0, 3, 3), 0, 255).astype(np.uint8)
