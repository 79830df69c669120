"""Made-up clean manuscript pages, so that everything runs without any data.

The script is invented, not real text: every page has an alphabet of random pen strokes, with or without a
headline. It has the statistics of writing (stroke widths, rhythm, ink on a mottled support) and no meaning.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from manuscript_restore.synthesis.script import write_text

Array = NDArray[np.float32]

# A support is white light through an ``age`` (an optical depth): how common it is, the range of its age,
# its grain and its share of long streaks.
SUPPORTS = {
    "white paper": (0.25, (0.03, 0.12), 0.008, 0.0),
    "cream paper": (0.25, (0.12, 0.35), 0.012, 0.1),
    "brown paper": (0.15, (0.35, 0.65), 0.018, 0.15),
    "parchment": (0.15, (0.10, 0.28), 0.008, 0.0),
    "palm leaf": (0.20, (0.40, 0.85), 0.025, 1.0),
}
# Of aged cellulose, by channel: it takes blue first, then green, then red.
ABSORPTION = np.array([0.6, 1.0, 1.75], np.float32)
BLACK, BROWN, RED = (0.07, 0.06, 0.06), (0.20, 0.12, 0.07), (0.66, 0.16, 0.10)


def generate_page(seed: int, index: int, *, height: int = 768, width: int = 1152) -> NDArray[np.uint8]:
    """Draw page ``index`` of the sequence ``seed``: the same picture in every process and order.

    The writing scales with the short side, so a small page is a whole page seen from further away.

    Args:
        seed: Of the sequence, at least 0.
        index: Of the page, at least 0.
        height: At least 32 pixels.
        width: At least 32 pixels.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: The page is too small to write on.
    """
    if min(height, width) < 32:
        raise ValueError(f"page of {height}x{width} is too small to write on; use at least 32x32")
    rng = np.random.default_rng([seed, index])
    kind = str(rng.choice(list(SUPPORTS), p=[share for share, *_ in SUPPORTS.values()]))
    page = _draw_support(rng, kind, height, width)
    hole = _place_hole(rng, height, width) if kind == "palm leaf" and min(height, width) >= 128 else None
    dark = np.array(BLACK) + rng.uniform(0, 1) ** 2 * (np.array(BROWN) - BLACK)
    blot = 1 - 0.08 * np.abs(_smooth_noise(rng, height, width, height // 10, width // 10))
    spread = ImageFilter.GaussianBlur(rng.uniform(0.3, 0.75) * min(1, min(height, width) / 768))
    for ink, colour in zip(write_text(rng, height, width, hole), (dark, np.array(RED)), strict=True):
        if ink.any():
            alpha = np.asarray(Image.fromarray(ink).filter(spread), np.float32) / 255 * blot.clip(0, 1)
            page += alpha[..., None] * (colour.astype(np.float32) - page)
    if hole is not None:
        _punch(page, hole)
    return (page.clip(0, 1) * 255).round().astype(np.uint8)


def _draw_support(rng: np.random.Generator, kind: str, height: int, width: int) -> Array:
    """Paper, parchment or leaf: mottled, fibrous, darker towards the edges; (H, W, 3) in [0, 1]."""
    _, ages, grain, streaks = SUPPORTS[kind]
    age = np.full((height, width), rng.uniform(*ages), np.float32)
    depth = rng.uniform(0.03, 0.12) * float(age[0, 0]) ** 0.5
    for cells, share in ((3, 0.7), (9, 0.4), (40, 0.2)):
        age += share * depth * _smooth_noise(rng, height, width, cells * height // width + 2, cells + 2)
    if streaks:  # the veins of a leaf, or the wires of a paper mould
        for thickness, share in ((2, 0.03), (7, 0.045)):
            rows, columns = height // thickness, max(2, width // 300)
            age += streaks * share * _smooth_noise(rng, height, width, rows, columns)
    age += _draw_fibres(rng, height, width) * rng.uniform(0.02, 0.08)
    coarse = _smooth_noise(rng, height, width, height // 2, width // 2)
    age += grain * (rng.standard_normal((height, width), np.float32) + coarse)
    # Handling darkens the rims, unevenly and more on some sides.
    sides = [
        np.arange(n, dtype=np.float32)[::step] / min(height, width) for n in (height, width) for step in (1, -1)
    ]
    top, bottom, left, right = (rng.uniform(0, 1) * np.exp(-s / rng.uniform(0.02, 0.09)) for s in sides)
    rim = (top + bottom)[:, None] + (left + right)[None]
    age += rng.uniform(0.05, 0.35) * rim * (1 + 0.4 * _smooth_noise(rng, height, width, 6, 8))
    absorption = ABSORPTION * (1 + rng.normal(0, 0.05, 3).astype(np.float32))
    page: Array = np.exp(-age.clip(0.01)[..., None] * absorption)
    return page


def _draw_fibres(rng: np.random.Generator, height: int, width: int) -> Array:
    """Short hairs and specks in the support; (H, W) in [0, 1]."""
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for _ in range(round(height * width / rng.uniform(1500, 12000))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        dx, dy = rng.normal(0, 4, 2)
        draw.line((x, y, x + dx, y + dy), fill=int(rng.integers(80, 255)))
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.6)), np.float32) / np.float32(255)


def _place_hole(rng: np.random.Generator, height: int, width: int) -> tuple[float, float, float]:
    """The hole through which the leaves of a bundle are strung: its centre (x, y) and radius in pixels."""
    return (
        width * rng.uniform(0.3, 0.7),
        height * rng.uniform(0.47, 0.53),
        min(height, width) * rng.uniform(0.015, 0.03),
    )


def _punch(page: Array, hole: tuple[float, float, float]) -> None:
    """Cut the hole: dark inside, its rim worn."""
    x, y, radius = hole
    rows, columns = np.ogrid[: page.shape[0], : page.shape[1]]
    beyond = np.hypot(rows - y, columns - x).astype(np.float32) - radius
    page *= (1 - 0.85 * (1 - beyond).clip(0, 1) - 0.15 * np.exp(-beyond.clip(0) / radius) * (beyond > 0))[
        ..., None
    ]


def _smooth_noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Array:
    """Normal noise of a few cells, interpolated to (H, W)."""
    cells = Image.fromarray(rng.standard_normal((max(2, rows), max(2, columns)), np.float32))
    return np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC))
