"""Sound surfaces that are easily taken for damaged ones, and what a leaf lies on.

Brown, grey and dark leaves, fibres like strokes, splits along the veins, laid wires, follicles, clouded tone: none
of it is damage. All are optical depths, as in `supports`, relative to the depth of the leaf and 0.25.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis import textures
from manuscript_restore.synthesis.textures import Picture, Plane, draw_noise

LIGHT = {"palm_leaf": (0.30, 0.9), "paper": (0.36, 0.97), "parchment": (0.36, 0.97)}
"""Grey value of the leaf, in [0, 1]: lightness 32 to 97."""
DARK_SHARE = {"palm_leaf": 0.55, "paper": 0.35, "parchment": 0.35}
"""Leaves of the darker half of this range."""
HUES = {
    "palm_leaf": ((0.62, 0.73), (0.46, 0.67), (0.38, 0.59), (0.17, 0.43), (0.8, 0.88)),
    "paper": (
        (0.22, 0.51), (0.36, 0.59), (0.06, 0.3), (0.14, 0.62), (0.52, 0.68), (0.9, 0.92), (1.0, 1.0), (1.1, 0.95)
    ),
    "parchment": ((0.53, 0.67), (0.44, 0.56), (0.31, 0.5), (0.75, 0.82), (0.2, 0.55)),
}  # fmt: skip
"""Absorption of red and of green, relative to blue: olive, brown, straw, orange, grey, bluish."""

FLAT = ((0, 0, 0), (8, 8, 9), (255, 255, 255), (246, 246, 244), (128, 128, 128), (22, 20, 18))
"""Grounds that a scanner or a retoucher made even, RGB of 255."""
GROUNDS = (
    (14, 14, 15), (34, 33, 33), (62, 62, 66), (110, 110, 112), (150, 150, 148), (205, 204, 200), (242, 242, 240),
    (120, 80, 46), (84, 50, 28), (30, 44, 84), (96, 26, 28), (34, 74, 50), (170, 160, 138), (70, 84, 100),
)  # fmt: skip
"""Cloth, felt, board and tables of all colours, RGB of 255."""


def draw_tone(rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
    """Draw a leaf's colour: its depth in blue, and the absorption of red and green relative to blue."""
    low, high = LIGHT[kind]
    middle = (low + high) / 2
    light = rng.uniform(low, middle) if rng.random() < DARK_SHARE[kind] else rng.uniform(middle, high)
    red, green = HUES[kind][rng.integers(len(HUES[kind]))]
    pale = rng.uniform(0, 0.5) ** 1.5  # towards grey
    red, green = red + pale * (1 - red), green + pale * (1 - green)
    red = max(red, 0.8 * (0.75 - light))  # what is dark is never as vivid as what is light
    green = max(green, red)
    # 0.3, 0.59 and 0.11 make the grey value of a colour; for the depths that is near enough.
    return float(-np.log(light) / (0.3 * red + 0.59 * green + 0.11)), red, green


def draw_clouds(rng: np.random.Generator, kind: str, height: int, width: int) -> Plane:
    """Uneven but sound tone over the leaf, on a coarse grid; float32 (H, W)."""
    clouds = np.zeros((height, width), np.float32)
    along = np.linspace(0, 1, width, dtype=np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:  # large patches, with more or less of an edge
        cells = int(rng.integers(2, 7))
        noise = draw_noise(rng, height, width, max(2, cells * height // width), cells)
        clouds += np.float32(rng.uniform(0.05, 0.45)) * np.tanh(noise * np.float32(rng.uniform(0.5, 4)))
    if rng.random() < 0.4:  # one side in less light, or more handled
        clouds += rng.uniform(-0.4, 0.4) * along + rng.uniform(-0.25, 0.25) * down
    if kind == "palm_leaf" and rng.random() < 0.5:  # bands along the leaf: it is no longer green everywhere alike
        rows = max(3, min(height // 2, int(rng.integers(3, 14))))
        clouds += rng.uniform(0.05, 0.4) * draw_noise(rng, height, width, rows, 3)
    if kind != "palm_leaf" and rng.random() < 0.3:  # edges that have browned evenly
        edge = np.minimum(np.minimum(along, 1 - along), np.minimum(down, 1 - down))
        clouds += rng.uniform(0.2, 0.7) * np.exp(-edge / np.float32(rng.uniform(0.03, 0.15)))
    return clouds


def draw_relief(rng: np.random.Generator, kind: str, height: int, width: int, *, scale: float) -> Plane | None:
    """Fibres, splits, wires or follicles at full resolution; float32 (H, W), or None on a plain surface."""
    relief: Plane | None = None
    for draw in RELIEFS[kind]:
        if rng.random() < 0.45:
            strength = np.float32(rng.uniform(0.1, 0.6))
            drawn = draw(rng, height, width, max(0.4, scale))
            relief = drawn * strength if relief is None else cv2.scaleAdd(drawn, float(strength), relief)
    return relief


def _fibres_along(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Dark and light dashes along a leaf, as long and as thick as the strokes of letters, and longer."""
    length = scale * rng.uniform(15, 120)
    return _dashes(rng, height, width, (length, 0.02 * length), scale * rng.uniform(1, 3.2), rng.uniform(0.3, 1))


def _fibres_about(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Fibres of bark, jute or straw in any direction."""
    length = scale * rng.uniform(8, 45)
    return _dashes(rng, height, width, (length, length), scale * rng.uniform(0.8, 2.2), rng.uniform(0.2, 1))


def _splits(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Fine splits along the veins, each of several pieces; some are dark, some light."""
    canvas = np.full((height, width), 128, np.uint8)
    for _ in range(int(rng.integers(2, 14))):
        count = int(rng.integers(4, 12))
        x = rng.uniform(-0.1, 1) * width + np.cumsum(scale * rng.uniform(5, 60, count))
        y = rng.uniform(0, height) + np.cumsum(scale * rng.normal(0, 1.5, count))
        points = np.rint(8 * np.stack([x, y], axis=1)).astype(np.int32)
        value = 255 if rng.random() < 0.75 else 40
        cv2.polylines(canvas, [points], False, value, int(rng.integers(1, 3)), cv2.LINE_AA, shift=3)
    return _as_depth(canvas, 0.5)


def _wires(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Laid and chain lines of a mould, light or dark, upright or level."""
    upright = rng.random() < 0.5
    length = width if upright else height
    place = np.arange(length, dtype=np.float32) / np.float32(scale)
    wires = np.sin(place * np.float32(2 * np.pi / rng.uniform(4.5, 11))) * np.float32(0.35)
    chain, phase = rng.uniform(70, 160), rng.uniform(0, 160)
    away = np.abs((place + phase) % chain - chain / 2)
    wires -= np.float32(rng.uniform(0.3, 1)) * np.exp(-((away / np.float32(rng.uniform(1.5, 5))) ** 2))
    plane: Plane = np.float32(0.6) + np.float32(0.4) * draw_noise(rng, height, width, 4, 5).clip(-1, 1)
    plane *= wires if upright else wires[:, None]
    return plane


def _flecks(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Bits of straw, bark and coarse pulp."""
    return _dashes(rng, height, width, (3 * scale, 3 * scale), scale * rng.uniform(1.5, 4), rng.uniform(0.3, 1))


def _follicles(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Dense dark points of the hair side, in rows and patches."""
    pitch = scale * rng.uniform(5, 14)
    count = round(height * width / pitch**2)
    length = scale * rng.uniform(0.5, 3)
    angle = rng.uniform(0, np.pi)
    reach = (length * abs(np.cos(angle)) + 0.1, length * abs(np.sin(angle)) + 0.1)
    points = _dashes(rng, height, width, reach, scale * rng.uniform(1.2, 2.2), 1, count=count)
    points *= (draw_noise(rng, height, width, 5, 5) + np.float32(0.6)).clip(0, 1)
    return points


RELIEFS = {
    "palm_leaf": (_fibres_along, _fibres_along, _splits),
    "paper": (_fibres_about, _wires, _flecks),
    "parchment": (_follicles, _fibres_about),
}


def _dashes(
    rng: np.random.Generator,
    height: int,
    width: int,
    reach: tuple[float, float],
    thickness: float,
    dark: float,
    *,
    count: int | None = None,
) -> Plane:
    """Short strokes: standard deviation of their extent (x, y) and thickness in pixels, share of the dark ones."""
    if count is None:
        count = round(height * width / (reach[0] + 8) / rng.uniform(30, 200))
    count = min(count, 12000)
    starts = rng.uniform(0, (width, height), (count, 2))
    bends = starts + rng.normal(0, reach, (count, 2)) / 2
    ends = bends + (bends - starts) + rng.normal(0, reach, (count, 2)) * 0.25
    points = np.rint(8 * np.stack([starts, bends, ends], axis=1)).astype(np.int32)
    canvas = np.full((height, width), 128, np.uint8)
    # Three levels of light ones and three of dark ones: one call each is ten times as fast as one call a stroke.
    order = np.split(points, np.linspace(0, count, 7).astype(int)[1:-1])
    for level, part in enumerate(order):
        value = 128 + round((42 * (level % 3 + 1)) * (1 if level / 6 < dark else -1))
        cv2.polylines(
            canvas, list(part), False, value, max(1, round(thickness * (0.6 + 0.2 * level))), cv2.LINE_AA, 3
        )
    return _as_depth(canvas, 0.6)


def _as_depth(canvas: NDArray[np.uint8], blur_px: float) -> Plane:
    """Strokes on 128 as a depth of -1 to 1, a little blurred."""
    depth: Plane = cv2.GaussianBlur(canvas, (0, 0), blur_px).astype(np.float32)
    depth -= 128
    depth /= 127
    return depth


def draw_ground(rng: np.random.Generator, height: int, width: int) -> tuple[Picture, bool]:
    """Draw what leaves are photographed on: uint8 (H, W, 3), and whether it is quite flat."""
    if rng.random() < 0.45:
        colour = np.array(FLAT[rng.integers(len(FLAT))], np.uint8)
        return np.broadcast_to(colour, (height, width, 3)).copy(), True
    colours = np.array(GROUNDS[rng.integers(len(GROUNDS))]) * rng.uniform(0.8, 1.1)
    material = rng.choice(["board", "cloth", "wood"], p=[0.45, 0.4, 0.15])
    if material == "cloth":
        shade = _weave(rng, height, width)
    else:
        stretch = textures.LEAF_STRETCH if material == "wood" else 1.0
        shade = textures.read_plate(rng, height, width, stretch) * np.float32(0.09 if material == "wood" else 0.02)
    slant = rng.normal(0, 0.08, 2)
    shade += np.linspace(-slant[0], slant[0], width, dtype=np.float32) + 1
    shade += np.linspace(-slant[1], slant[1], height, dtype=np.float32)[:, None]
    return cv2.merge([cv2.convertScaleAbs(shade, alpha=value) for value in colours]), False


def _weave(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Threads over and under each other; float32 (H, W), mean 0."""
    pitch = rng.uniform(2.5, 9)
    x = np.sin(np.arange(width, dtype=np.float32) * np.float32(2 * np.pi / pitch))
    y = np.sin(np.arange(height, dtype=np.float32) * np.float32(2 * np.pi / pitch))[:, None]
    weave: Plane = x * y * np.float32(rng.uniform(0.05, 0.3))
    weave += textures.read_plate(rng, height, width) * np.float32(rng.uniform(0.02, 0.06))
    return weave
