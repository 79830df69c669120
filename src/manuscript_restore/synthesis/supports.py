"""What is written on: blank palm leaves, handmade paper and parchment, undamaged, drawn or photographed.

A support is white light through an optical depth (Beer and Lambert: reflectance is exp(-depth x absorption)): age,
mottling, fibres and dirty rims add up as depths, and aged cellulose takes blue first, then green, then red.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Material:
    """The ranges of one kind of support.

    Attributes:
        ages: Shares and ranges of the depth: lighter and darker sorts.
        height: Natural height in pixels.
        aspect: Width over height.
        grain: Standard deviation of the finest texture.
        mottle: Of slow changes.
        streaks: Strength of what runs along the length.
        corner: Radius of the corners, relative to the height.
    """

    ages: tuple[tuple[float, tuple[float, float]], ...]
    height: tuple[int, int]
    aspect: tuple[float, float]
    grain: tuple[float, float]
    mottle: tuple[float, float]
    streaks: tuple[float, float]
    corner: tuple[float, float]


MATERIALS = {
    "palm_leaf": Material(
        ages=((0.6, (0.35, 0.75)), (0.4, (0.2, 0.4))),
        height=(200, 420),
        aspect=(5.5, 9.0),
        grain=(0.018, 0.04),
        mottle=(0.03, 0.08),
        streaks=(0.5, 1.2),
        corner=(0.05, 0.28),
    ),
    "paper": Material(
        ages=((0.3, (0.03, 0.12)), (0.4, (0.12, 0.35)), (0.3, (0.35, 0.6))),
        height=(520, 1000),
        aspect=(1.9, 2.7),
        grain=(0.014, 0.04),
        mottle=(0.02, 0.06),
        streaks=(0.0, 0.25),
        corner=(0.0, 0.06),
    ),
    "parchment": Material(
        ages=((0.6, (0.08, 0.2)), (0.4, (0.2, 0.38))),
        height=(1700, 2300),
        aspect=(0.62, 0.75),
        grain=(0.012, 0.032),
        mottle=(0.015, 0.05),
        streaks=(0.0, 0.0),
        corner=(0.0, 0.03),
    ),
}
KINDS = tuple(MATERIALS)
ABSORPTION = np.array([0.62, 0.95, 1.55])
TALL_PAPER = 0.25
"""Share of paper leaves that stand upright, as in a codex."""
GRID = 4
"""Pixels per cell of what changes slowly."""
BACKGROUNDS = ((0.04, 0.04, 0.045), (0.25, 0.25, 0.27), (0.93, 0.93, 0.93), (0.45, 0.30, 0.18), (0.12, 0.13, 0.16))


@dataclass(frozen=True)
class Support:
    """A blank leaf.

    Attributes:
        image: uint8 (H, W, 3) RGB: the leaf on its background.
        grain: float32 (H, W), mean 0 and variance 1: the fine texture, which makes ink take unevenly.
        area: left, top, right, bottom of the leaf in pixels.
        holes: x, y, radius of its string holes in pixels.
        kind: One of `KINDS`.
    """

    image: Picture
    grain: Plane
    area: tuple[float, float, float, float]
    holes: tuple[tuple[float, float, float], ...]
    kind: str


def draw_size(rng: np.random.Generator, kind: str) -> tuple[int, int]:
    """Natural (height, width) in pixels of a leaf of this kind, as libraries scan them."""
    material = MATERIALS[kind]
    height = rng.uniform(*material.height)
    width = height * rng.uniform(*material.aspect)
    if kind == "paper" and rng.random() < TALL_PAPER:
        height, width = width * 0.9, height * 1.3
    return round(height), round(width)


def draw_support(
    rng: np.random.Generator, kind: str, height: int, width: int, *, texture: Picture | None = None
) -> Support:
    """Draw a blank leaf.

    Args:
        rng: Decides everything.
        kind: One of `KINDS`.
        height: Of the picture in pixels.
        width: Of the picture in pixels.
        texture: uint8 (h, w, 3) photograph of a blank page to use instead of a drawn texture.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in MATERIALS:
        raise ValueError(f"kind={kind}: unknown support; known: {', '.join(KINDS)}")
    material = MATERIALS[kind]
    short = min(height, width)
    on_background = short >= 96 and rng.random() < (0.6 if kind == "palm_leaf" else 0.35)
    inside, area = _outline(rng, material, height, width, on_background)
    holes = _place_holes(rng, area, short) if kind == "palm_leaf" else ()
    if texture is None:
        slow = _slow_depth(rng, material, kind, inside.shape, width / inside.shape[1]) + _rim(rng, inside, short)
        depth = cv2.resize(slow, (width, height), interpolation=cv2.INTER_LINEAR)
        fine = _fine_texture(rng, kind, height, width)
        depth += rng.uniform(*material.grain) * fine
        _add_streaks(rng, material, kind, depth)
        page = _to_light(rng, depth)
    else:
        page, fine = _fit_texture(rng, texture, height, width)
    if on_background:
        page = _lay_down(rng, page, cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR))
    seen = rng.choice([0.05, 0.15, 0.9], p=[0.5, 0.2, 0.3])  # through the holes: the next leaf, or the light
    for hole in holes:
        _punch(rng, page, hole, 255 * seen)
    return Support(page, fine, area, holes, kind)


def _slow_depth(
    rng: np.random.Generator, material: Material, kind: str, shape: tuple[int, int], step: float
) -> Plane:
    """Age and mottling on a coarse grid, ``step`` pixels a cell."""
    height, width = shape
    shares = [share for share, _ in material.ages]
    base = rng.uniform(*material.ages[rng.choice(len(shares), p=shares)][1])
    depth = np.full(shape, base, np.float32)
    mottle = rng.uniform(*material.mottle) * (0.5 + base)
    for cells, share in ((3, 0.7), (10, 0.5), (40, 0.35), (160, 0.2)):
        if cells * 2 < width:
            depth += mottle * share * _noise(rng, height, width, max(2, cells * height // width), cells)
    cell = rng.uniform(8, 20) / step
    depth += rng.uniform(0.008, 0.025) * _noise(rng, height, width, round(height / cell), round(width / cell))
    if kind == "parchment":
        veins = 1 - np.abs(_noise(rng, height, width, max(3, 5 * height // width), 5))
        depth += rng.uniform(0, 0.03) * veins.clip(0) ** 6
        if rng.random() < 0.5:  # towards the gutter
            side = np.arange(width, dtype=np.float32)[:: rng.choice([-1, 1])]
            depth += rng.uniform(0.05, 0.25) * np.exp(-side / (rng.uniform(0.02, 0.08) * width))
    return depth


def _add_streaks(rng: np.random.Generator, material: Material, kind: str, depth: Plane) -> None:
    """Veins of a leaf, brush strokes of the size on paper, the wires of a mould; in place."""
    height, width = depth.shape
    streaks = rng.uniform(*material.streaks)
    if streaks > 0.05:
        for thickness, share in ((1.5, 0.02), (4, 0.03), (12, 0.03)):
            depth += streaks * share * _noise(rng, height, width, int(height / thickness), max(2, width // 350))
    if kind == "paper" and rng.random() < 0.4:
        period, chain = rng.uniform(5, 10), rng.uniform(70, 140)
        strength = rng.uniform(0.003, 0.015)
        rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
        depth += (strength * np.sin(rows * (2 * np.pi / period)))[:, None]
        depth += strength * np.exp(-(((columns % chain) - chain / 2) ** 2) / 6)


def _fine_texture(rng: np.random.Generator, kind: str, height: int, width: int) -> Plane:
    """Grain and fibres, mean 0 and variance 1."""
    coarse = cv2.resize(_grain(rng, height // 2 + 1, width // 2 + 1), (width, height))
    fine: Plane = cv2.addWeighted(
        _grain(rng, height, width), rng.uniform(0.3, 0.8), coarse, rng.uniform(0.5, 1.2), 0
    )
    if kind == "palm_leaf":
        fine += rng.uniform(0.5, 1.0) * _noise(rng, height, width, height, max(2, width // 60))
        fine += rng.uniform(0.2, 0.5) * _noise(rng, height, width, max(2, height // 40), max(2, width // 2))
    else:
        fine = cv2.add(fine, rng.uniform(0.015, 0.05) * _fibres(rng, height, width))
    sample = fine[::4, ::4]
    fine -= sample.mean()
    fine /= sample.std() + np.float32(1e-6)
    return fine


def _fibres(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Short hairs and specks, sparse; float32 in [0, 255]."""
    canvas = np.zeros((height, width), np.uint8)
    number = round(height * width / rng.uniform(2500, 15000))
    starts = rng.uniform((0, 0), (width, height), (number, 2))
    ends = starts + rng.normal(0, 5, (number, 2))
    for start, end, value in zip(
        (8 * starts).astype(int), (8 * ends).astype(int), rng.integers(60, 255, number), strict=True
    ):
        cv2.line(canvas, start, end, int(value), 1, cv2.LINE_AA, shift=3)
    fibres: Plane = cv2.GaussianBlur(canvas, (0, 0), 0.7).astype(np.float32)
    return fibres


def _rim(rng: np.random.Generator, inside: Plane, short: int) -> Plane:
    """Hands, smoke and light darken what is near the edge, unevenly."""
    height, width = inside.shape
    near = np.exp(-inside.clip(0) / np.float32(rng.uniform(0.015, 0.08) * short))
    rim: Plane = rng.uniform(0.05, 0.35) * near * (1 + 0.5 * _noise(rng, height, width, 5, 9)).clip(0.1)
    return rim


def _outline(
    rng: np.random.Generator, material: Material, height: int, width: int, on_background: bool
) -> tuple[Plane, tuple[float, float, float, float]]:
    """How far inside the leaf (negative: outside) the cells of a coarse grid lie, in pixels; the leaf's box."""
    short = min(height, width)
    grid_height, grid_width = (-(-side // GRID) if short >= 8 * GRID else side for side in (height, width))
    inset = (rng.uniform(0.01, 0.07, 4) * short).tolist() if on_background else [-2.0] * 4
    rough = rng.uniform(0.001, 0.006) * short if on_background else 0.0
    rows = (np.arange(grid_height, dtype=np.float32)[:, None] + 0.5) * (height / grid_height)
    columns = (np.arange(grid_width, dtype=np.float32)[None] + 0.5) * (width / grid_width)
    left, right = inset[0] + _edge(rng, grid_height, rough), width - inset[1] - _edge(rng, grid_height, rough)
    top, bottom = inset[2] + _edge(rng, grid_width, rough), height - inset[3] - _edge(rng, grid_width, rough)
    dx = np.minimum(columns - left[:, None], right[:, None] - columns)
    dy = np.minimum(rows - top[None], bottom[None] - rows)
    inside = np.minimum(dx, dy)
    radius = rng.uniform(*material.corner) * height
    if on_background and radius > 1:
        np.minimum(inside, radius - np.hypot((radius - dx).clip(0), (radius - dy).clip(0)), out=inside)
    if not on_background:
        return inside, (0.0, 0.0, float(width), float(height))
    return inside, (float(left.max()), float(top.max()), float(right.min()), float(bottom.min()))


def _lay_down(rng: np.random.Generator, page: Picture, inside: Plane) -> Picture:
    """Lay the leaf on a table or a copy stand, with its shadow."""
    short = min(inside.shape)
    colour = np.array(BACKGROUNDS[rng.integers(len(BACKGROUNDS))]) * (255 * rng.uniform(0.8, 1.05))
    shadow = 1 - rng.uniform(0.1, 0.5) * np.exp(inside.clip(None, 0) / np.float32(0.01 * short + 2))
    beyond = cv2.merge([cv2.convertScaleAbs(shadow, alpha=value) for value in colour])
    alpha = (inside + 0.5).clip(0, 1)
    laid: Picture = cv2.blendLinear(page, beyond, alpha, 1 - alpha)
    return laid


def _edge(rng: np.random.Generator, length: int, rough: float) -> NDArray[np.float32]:
    """Offsets of an edge along its length: waves, and small nicks."""
    waves = np.interp(np.linspace(0, 7, length), range(8), rng.normal(0, 2, 8))
    nicks = np.interp(
        np.linspace(0, length // 12, length), range(length // 12 + 1), rng.normal(0, 0.25, length // 12 + 1)
    )
    return (np.abs(waves + nicks) * rough).astype(np.float32)


def _place_holes(
    rng: np.random.Generator, area: tuple[float, float, float, float], short: int
) -> tuple[tuple[float, float, float], ...]:
    """One or two holes for the string that holds the leaves of a bundle."""
    left, top, right, bottom = area
    if short < 96 or rng.random() < 0.15:
        return ()
    single = right - left < 4 * (bottom - top) or rng.random() < 0.35
    place = 0.5 if single else rng.uniform(0.24, 0.34)
    places = (place,) if single else (place, 1 - place)
    y = top + rng.uniform(0.46, 0.54) * (bottom - top)
    radius = rng.uniform(0.025, 0.05) * (bottom - top)
    return tuple((left + place * (right - left), y + rng.normal(0, 0.01) * short, radius) for place in places)


def _punch(rng: np.random.Generator, page: Picture, hole: tuple[float, float, float], seen: float) -> None:
    """Cut a hole, through which ``seen`` (0–255) shows; its rim is worn."""
    x, y, radius = hole
    top, left = max(0, int(y - 4 * radius)), max(0, int(x - 4 * radius))
    window = page[top : int(y + 4 * radius) + 1, left : int(x + 4 * radius) + 1]
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    beyond = (np.hypot(rows - y, columns - x) - radius).astype(np.float32)[..., None]
    light = window * (1 - rng.uniform(0.05, 0.3) * np.exp(-beyond.clip(0) / np.float32(radius)))
    window[:] = light + (0.5 - beyond).clip(0, 1) * (seen - light)


def _to_light(rng: np.random.Generator, depth: Plane) -> Picture:
    absorption = ABSORPTION * (1 + rng.normal(0, 0.06, 3))
    np.maximum(depth, 0.01, out=depth)
    page: Picture = cv2.merge([cv2.convertScaleAbs(cv2.exp(depth * -float(a)), alpha=255) for a in absorption])
    return page


def _fit_texture(rng: np.random.Generator, texture: Picture, height: int, width: int) -> tuple[Picture, Plane]:
    """Cut a photograph to size, mirrored outwards where it is too small, and vary its light a little."""
    turned = texture[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    top, left = (
        int(rng.integers(max(0, have - need) + 1))
        for have, need in zip(turned.shape, (height, width), strict=False)
    )
    window = turned[top : top + height, left : left + width]
    below, beside = height - window.shape[0], width - window.shape[1]
    window = np.pad(window, ((0, below), (0, beside), (0, 0)), mode="symmetric")
    gains = rng.uniform(0.9, 1.05) * rng.uniform(0.97, 1.03, 3)
    page = cv2.merge([cv2.convertScaleAbs(window[..., i], alpha=gains[i]) for i in range(3)])
    light = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(light, (0, 0), 4) - light  # dark is dense
    fine -= fine.mean()
    fine /= fine.std() + np.float32(1e-6)
    return page, fine


def _noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Plane:
    """Normal noise of a few cells, interpolated to (H, W)."""
    cells = rng.standard_normal((max(2, rows), max(2, columns)), np.float32)
    smooth: Plane = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


@lru_cache(maxsize=1)
def _plate() -> Plane:
    return np.random.default_rng(0).standard_normal((1536, 1536), np.float32)


def _grain(rng: np.random.Generator, height: int, width: int) -> Plane:
    """White noise, read at a random place of a fixed plate: much faster than drawing it."""
    plate = _plate()
    turned = np.roll(plate, tuple(rng.integers(0, len(plate), 2)), (0, 1))[
        :: rng.choice([-1, 1]), :: rng.choice([-1, 1])
    ]
    repeats = (-(-height // len(plate)), -(-width // len(plate)))
    return np.tile(turned[:height, :width] if repeats == (1, 1) else turned, repeats)[:height, :width]
