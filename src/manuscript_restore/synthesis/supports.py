"""Writing supports: blank, undamaged palm leaves, handmade paper and parchment, drawn or photographed.

A support is white light through an optical depth (Beer and Lambert: reflectance is exp(-depth x absorption)): age,
mottling, fibres and dirty rims add up as depths, and aged cellulose takes blue first, then green, then red. Depths
are those of blue; depths and absorptions are what blank places of 51 real pages measure. Only the darkest palm
leaves (depths to 1.6) are left out: soot hardly shows on them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.synthesis import surfaces, textures
from manuscript_restore.synthesis.textures import Picture, Plane, draw_noise

Box = tuple[float, float, float, float]
Hole = tuple[float, float, float]


@dataclass(frozen=True)
class Sort:
    """Leaves of like colour.

    Attributes:
        share: Among the leaves of its kind.
        depth: Range of the optical depth in blue.
        red: Absorption relative to blue.
        green: The same.
    """

    share: float
    depth: tuple[float, float]
    red: float
    green: float


@dataclass(frozen=True)
class Material:
    """The ranges of one kind of support.

    Attributes:
        sorts: Its colours.
        grain: Standard deviation of the fine texture, as a share of the depth and 0.25.
        mottle: Of slow changes, the same.
        rim: How much the edge is deeper, the same.
        corner: Radius of the corners, relative to the short side.
        taper: How much narrower the ends are, relative to the height.
        on_background: Share of the leaves that lie on something; the others fill the picture.
    """

    sorts: tuple[Sort, ...]
    grain: tuple[float, float]
    mottle: tuple[float, float]
    rim: tuple[float, float]
    corner: tuple[float, float]
    taper: tuple[float, float]
    on_background: float


MATERIALS = {
    "palm_leaf": Material(
        sorts=(
            Sort(0.25, (0.75, 1.05), 0.62, 0.73),  # olive brown
            Sort(0.40, (0.65, 1.05), 0.46, 0.67),  # brown
            Sort(0.20, (0.4, 0.8), 0.38, 0.59),  # straw
            Sort(0.15, (0.75, 1.1), 0.17, 0.43),  # orange
        ),
        grain=(0.035, 0.105),
        mottle=(0.015, 0.06),
        rim=(0.05, 0.5),
        corner=(0.02, 0.14),
        taper=(0.0, 0.12),
        on_background=0.6,
    ),
    "paper": Material(
        sorts=(
            Sort(0.25, (0.17, 0.3), 0.22, 0.51),  # white
            Sort(0.30, (0.3, 0.58), 0.36, 0.59),  # cream
            Sort(0.22, (0.55, 0.85), 0.36, 0.58),  # brown
            Sort(0.10, (0.4, 0.7), 0.06, 0.26),  # yellow with orpiment, against insects
            Sort(0.04, (0.35, 0.5), 0.14, 0.62),  # pink
            Sort(0.09, (0.22, 0.45), 0.52, 0.68),  # greyish
        ),
        grain=(0.03, 0.1),
        mottle=(0.01, 0.05),
        rim=(0.02, 0.3),
        corner=(0.0, 0.05),
        taper=(0.0, 0.0),
        on_background=0.4,
    ),
    "parchment": Material(
        sorts=(
            Sort(0.5, (0.24, 0.44), 0.53, 0.67),  # ivory
            Sort(0.35, (0.27, 0.6), 0.44, 0.56),  # yellow
            Sort(0.15, (0.22, 0.33), 0.31, 0.5),  # white
        ),
        grain=(0.022, 0.062),
        mottle=(0.01, 0.05),
        rim=(0.02, 0.3),
        corner=(0.0, 0.03),
        taper=(0.0, 0.0),
        on_background=0.5,
    ),
}
KINDS = tuple(MATERIALS)
TALL_PAPER = 0.25
"""Share of paper leaves that stand upright, as in a codex."""
GRID = 4
"""Pixels per cell of what changes slowly."""
MIN_SIDE = 96
"""Of a picture with a background and string holes; a smaller one shows the texture alone."""
WOOD = (0.45, 0.30, 0.18)
BACKGROUNDS = ((0.04, 0.04, 0.045), (0.25, 0.25, 0.28), (0.95, 0.95, 0.95), WOOD, (0.12, 0.13, 0.16))


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
    area: Box
    holes: tuple[Hole, ...]
    kind: str


def draw_size(rng: np.random.Generator, kind: str) -> tuple[int, int]:
    """Natural (height, width) in pixels of a leaf of this kind, as libraries scan them."""
    if kind == "palm_leaf":
        return round(rng.uniform(200, 420)), round(rng.uniform(1800, 2600))
    if kind == "paper":
        width = rng.uniform(1400, 2300)
        height = min(max(width / rng.uniform(1.9, 2.8), 500), 1000)
        if rng.random() < TALL_PAPER:
            return round(0.9 * width), round(1.3 * height)
        return round(height), round(width)
    height = rng.uniform(1700, 2300)
    return round(height), round(min(max(height * rng.uniform(0.62, 0.75), 1200), 1500))


def draw_support(
    rng: np.random.Generator,
    kind: str,
    height: int,
    width: int,
    *,
    texture: Picture | None = None,
    wild: bool = False,
) -> Support:
    """Draw a blank leaf.

    Args:
        rng: Decides everything.
        kind: One of `KINDS`.
        height: Of the picture in pixels.
        width: Of the picture in pixels.
        texture: uint8 (h, w, 3) photograph of a blank page to use instead of a drawn texture.
        wild: Draw any sound surface, on any ground; else the common ones.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in MATERIALS:
        raise ValueError(f"kind={kind}: unknown support; known: {', '.join(KINDS)}")
    material = MATERIALS[kind]
    large = min(height, width) >= MIN_SIDE
    on_background = large and rng.random() < material.on_background
    backdrop = np.array(BACKGROUNDS[rng.integers(len(BACKGROUNDS))]) * (255 * rng.uniform(0.8, 1.05))
    inset = rng.uniform(0.02, 0.3) if wild and rng.random() < 0.6 else 0.06
    inside, area = _outline(rng, material, height, width, on_background, inset)
    if texture is None:
        page, fine = _draw_page(rng, kind, height, width, inside, wild)
    else:
        page, fine = textures.fit_texture(rng, texture, height, width)
    holes = _place_holes(rng, area) if kind == "palm_leaf" and large else ()
    beyond = backdrop
    if not on_background and rng.random() < 0.4:  # the next leaf of the bundle, in shadow
        beyond = rng.uniform(0.3, 0.6) * page[::16, ::16].mean(axis=(0, 1))
    for hole in holes:
        _punch(rng, page, hole, beyond)
    if on_background:
        inside = cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR)
        page = _lay_on_ground(rng, page, inside) if wild else _lay_down(rng, page, inside, backdrop)
    return Support(page, fine, area, holes, kind)


def _draw_page(
    rng: np.random.Generator, kind: str, height: int, width: int, inside: Plane, wild: bool
) -> tuple[Picture, Plane]:
    """The colours of a leaf, uint8 (H, W, 3), and its fine texture, float32 (H, W)."""
    material = MATERIALS[kind]
    sort = material.sorts[rng.choice(len(material.sorts), p=[sort.share for sort in material.sorts])]
    base, red, green = surfaces.draw_tone(rng, kind) if wild else (rng.uniform(*sort.depth), sort.red, sort.green)
    scale = min(1.0, min(height, width) / (300 if kind == "palm_leaf" else 900))
    if kind == "palm_leaf":
        fine = textures.draw_leaf(rng, height, width, scale=scale)
    elif kind == "paper":
        fine = textures.draw_paper(rng, height, width, scale=scale)
    else:
        fine = textures.draw_parchment(rng, height, width)
    slow = base + (base + 0.25) * _slow_depth(rng, material, kind, inside, (height, width))
    if wild:
        slow += (base + 0.25) * surfaces.draw_clouds(rng, kind, *inside.shape)
        np.maximum(slow, 0.3 * base, out=slow)
    grain = (base + 0.25) * rng.uniform(*material.grain)
    depth = cv2.resize(slow, (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.scaleAdd(fine, grain, depth, depth)
    if wild and (relief := surfaces.draw_relief(rng, kind, height, width, scale=scale)) is not None:
        cv2.scaleAdd(relief, base + 0.25, depth, depth)
    absorption = np.array([red, green, 1]) * (1 + rng.normal(0, 1, 3) * (0.04, 0.02, 0))
    absorption[0] = min(absorption[0], 0.86 * absorption[1])  # beyond it the leaf is green
    return _to_light(depth, absorption, float(slow.min()) - 6 * grain, float(slow.max()) + 9 * grain), fine


def _to_light(depth: Plane, absorption: NDArray[np.float64], low: float, high: float) -> Picture:
    """Depths between ``low`` and ``high`` as RGB, by a table: four times the speed of an exponential."""
    depths = np.linspace(low, high, 256)
    tables = np.rint(255 * np.exp(-depths[:, None] * absorption)).clip(0, 255).astype(np.uint8)
    steps = cv2.convertScaleAbs(depth, alpha=255 / (high - low), beta=-255 * low / (high - low))
    page: Picture = cv2.merge([cv2.LUT(steps, tables[:, channel].copy()) for channel in range(3)])
    return page


def _slow_depth(
    rng: np.random.Generator, material: Material, kind: str, inside: Plane, size: tuple[int, int]
) -> Plane:
    """Mottling, worn edges and a slant of the light on a coarse grid, relative to the depth of the leaf."""
    height, width = inside.shape
    depth = np.zeros(inside.shape, np.float32)
    mottle = rng.uniform(*material.mottle)
    stretch = 3 if kind == "palm_leaf" else 1
    for cells, share in ((3, 1.0), (9, 0.6), (30, 0.5), (90, 0.4)):
        if cells * 2 < width:
            rows = max(2, stretch * cells * height // width)
            depth += mottle * share * draw_noise(rng, height, width, rows, cells)
    across, along = rng.normal(0, 0.05, 2)
    depth += np.linspace(-along, along, width, dtype=np.float32)
    depth += np.linspace(-across, across, height, dtype=np.float32)[:, None]
    near = np.exp(-inside.clip(0) / np.float32(rng.uniform(0.01, 0.06) * min(size)))
    uneven = (1 + 0.35 * draw_noise(rng, height, width, max(3, 14 * height // width), 14)).clip(0.1)
    depth += rng.uniform(*material.rim) * near * uneven
    place = np.linspace(0, 1, width, dtype=np.float32)
    if kind == "palm_leaf":  # held by its ends
        for ends in (place, place[::-1]):
            depth += rng.uniform(0, 0.45) * np.exp(-ends / np.float32(rng.uniform(0.01, 0.08)))
    if kind == "parchment":
        veins = 1 - np.abs(draw_noise(rng, height, width, max(3, 7 * height // width), 7))
        depth += rng.uniform(0, 0.05) * veins.clip(0) ** 16
        if rng.random() < 0.5:  # towards the gutter
            side = place if rng.random() < 0.5 else place[::-1]
            depth += rng.uniform(0.1, 0.5) * np.exp(-side / np.float32(rng.uniform(0.015, 0.06)))
    return depth


def _outline(
    rng: np.random.Generator, material: Material, height: int, width: int, on_background: bool, most: float
) -> tuple[Plane, Box]:
    """How far inside the leaf (negative: outside) the cells of a coarse grid lie, in pixels; the leaf's box."""
    short = min(height, width)
    rows, columns = (-(-side // GRID) if short >= 8 * GRID else side for side in (height, width))
    y = (np.arange(rows, dtype=np.float32) + 0.5) * (height / rows)
    x = (np.arange(columns, dtype=np.float32) + 0.5) * (width / columns)
    radius = max(1.0, rng.uniform(*material.corner) * short)
    # A side beyond the picture lies so far out that its worn edge and its corners do too, more or less.
    visible = (rng.random(4) < 0.85) & on_background
    inset = np.where(visible, rng.uniform(0.008, most, 4), -rng.uniform(0.01, 0.2, 4)) * short
    inset[~visible] -= radius
    rough = rng.uniform(0.0005, 0.003) * short if on_background else 0.0
    taper = (np.abs(np.linspace(-1, 1, columns) + rng.uniform(-0.1, 0.1)) ** rng.uniform(4, 14)).astype(np.float32)
    left, right, top, bottom = (
        edge + _edge(rng, length, rough)
        for edge, length in zip(inset.tolist(), (rows, rows, columns, columns), strict=True)
    )
    top, bottom = (side + rng.uniform(*material.taper) * height * taper for side in (top, bottom))
    dx = np.minimum(x - left[:, None], width - right[:, None] - x)
    dy = np.minimum(y[:, None] - top, height - bottom - y[:, None])
    inside = np.minimum(dx, dy)
    np.minimum(inside, radius - np.hypot((radius - dx).clip(0), (radius - dy).clip(0)), out=inside)
    middle = slice(columns // 16, columns - columns // 16)
    edges = [max(0.0, float(side.max())) for side in (left, top[middle], right, bottom[middle])]
    return inside, (edges[0], edges[1], width - edges[2], height - edges[3])


def _edge(rng: np.random.Generator, length: int, rough: float) -> Plane:
    """How far an edge strays along its length: a slant, a slow bend and small nicks; float32 (length,)."""
    slant = np.linspace(-1, 1, length, dtype=np.float32) * np.float32(rng.normal(0, 1.5))
    bends = sum(share * draw_noise(rng, 1, length, 2, cells)[0] for cells, share in ((4, 1.0), (20, 0.3)))
    nicks = 0.2 * draw_noise(rng, 1, length, 2, length // 4)[0]
    return np.asarray((slant + bends + nicks) * rough, np.float32)


def _lay_down(rng: np.random.Generator, page: Picture, inside: Plane, backdrop: NDArray[np.float64]) -> Picture:
    """Lay the leaf on a table or a copy stand, with its shadow."""
    height, width = inside.shape
    reach = np.float32(rng.uniform(0.004, 0.02) * min(inside.shape) + 2)
    shade = cv2.exp(np.minimum(inside, 0) / reach) * np.float32(-rng.uniform(0.1, 0.5)) + 1
    wooden = backdrop[0] > 1.5 * backdrop[2]
    stretch, strength = (textures.LEAF_STRETCH, 0.08) if wooden else (1.0, 0.015)
    cv2.scaleAdd(textures.read_plate(rng, height, width, stretch), strength, shade, shade)
    beyond = cv2.merge([cv2.convertScaleAbs(shade, alpha=value) for value in backdrop])
    alpha = (inside + 0.5).clip(0, 1)
    laid: Picture = cv2.blendLinear(page, beyond, alpha, 1 - alpha)
    return laid


def _lay_on_ground(rng: np.random.Generator, page: Picture, inside: Plane) -> Picture:
    """Lay the leaf on any ground; on a flat one, as of a scanner or a retoucher, it may throw no shadow."""
    ground, flat = surfaces.draw_ground(rng, *inside.shape)
    if not flat or rng.random() < 0.3:
        reach = np.float32(rng.uniform(0.002, 0.02) * min(inside.shape) + 2)
        shade = cv2.exp(np.minimum(inside, 0) / reach) * np.float32(-rng.uniform(0.1, 0.6)) + 1
        ground = cv2.multiply(ground, cv2.merge([shade] * 3), dtype=cv2.CV_8U)
    alpha = (inside + 0.5).clip(0, 1)
    laid: Picture = cv2.blendLinear(page, ground, alpha, 1 - alpha)
    return laid


def _place_holes(rng: np.random.Generator, area: Box) -> tuple[Hole, ...]:
    """One or two holes for the string that holds the leaves of a bundle."""
    left, top, right, bottom = area
    width, height = right - left, bottom - top
    if rng.random() < 0.15:
        return ()
    single = width < 4 * height or rng.random() < 0.35
    place = 0.5 if single else rng.uniform(0.24, 0.34)
    places = (place,) if single else (place, 1 - place)
    y = top + rng.uniform(0.44, 0.56) * height
    radius = rng.uniform(0.03, 0.09) * min(height, width)
    return tuple((left + place * width, y + rng.normal(0, 0.01) * height, radius) for place in places)


def _punch(rng: np.random.Generator, page: Picture, hole: Hole, beyond: NDArray[np.float64]) -> None:
    """Cut a hole, not quite round, with a worn rim, through which one sees ``beyond``; in place."""
    x, y, radius = hole
    top, left = max(0, int(y - 4 * radius)), max(0, int(x - 4 * radius))
    window = page[top : int(y + 4 * radius) + 1, left : int(x + 4 * radius) + 1]
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    angle = np.arctan2(rows - y, columns - x)
    wobble = 1 + 0.03 * np.cos(2 * angle + rng.uniform(0, 6.3)) + 0.015 * np.cos(3 * angle + rng.uniform(0, 6.3))
    outside = (np.hypot(rows - y, columns - x) - radius * wobble)[..., None]
    worn = rng.uniform(0.05, 0.3) * np.exp(-outside.clip(0) / (rng.uniform(0.2, 0.7) * radius))
    light = window * (1 - worn)
    window[:] = np.clip(light + (0.5 - outside).clip(0, 1) * (beyond - light), 0, 255)
