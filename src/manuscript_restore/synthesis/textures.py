"""Fine textures of leaves, papers and skins, and photographs of them; fast, as every generated page takes several.

Measured on blank places of real pages, the texture has energy in every octave from 1 to 20 pixels, a little less
towards the coarse end: white noise is too sharp, a blurred one too soft. Such noise is made once per process and
read at random places.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Picture = NDArray[np.uint8]

PLATE = 1536
COARSEST_PX = 64
SLOPE = 0.75
"""Amplitude falls with this power of the frequency; 1 would be equal energy per octave."""
PAPER_SLOPE = 0.55
"""Pulp is finer than leaf and skin."""
LEAF_STRETCH = 5.0
"""Length over width of the spots of a leaf: they lie along its veins."""


def draw_noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Plane:
    """Normal noise of a few cells, float32 interpolated to (H, W)."""
    cells = rng.standard_normal((max(2, rows), max(2, columns)), np.float32)
    smooth: Plane = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth


def read_plate(
    rng: np.random.Generator, height: int, width: int, stretch: float = 1.0, slope: float = SLOPE
) -> Plane:
    """Noise of all scales up to `COARSEST_PX`, float32 (H, W), mean 0, variance 1.

    Args:
        rng: Chooses the place and the flips.
        height: In pixels.
        width: In pixels.
        stretch: Width over height of its spots.
        slope: How much stronger the coarse ones are, like `SLOPE`.
    """
    plate = _plate(stretch, slope)
    above, beside = (int(offset) for offset in rng.integers(0, PLATE, 2))
    noise = np.empty((height, width), np.float32)
    for y in range(-above, height, PLATE):
        for x in range(-beside, width, PLATE):
            part = noise[max(0, y) : y + PLATE, max(0, x) : x + PLATE]
            part[:] = plate[max(0, -y) :, max(0, -x) :][: part.shape[0], : part.shape[1]]
    flipped: Plane = cv2.flip(noise, int(rng.integers(-1, 2)))
    return flipped


@lru_cache(maxsize=4)
def _plate(stretch: float, slope: float) -> Plane:
    """Periodic noise of `PLATE` squared pixels; always the same."""
    rng = np.random.default_rng(0)
    down = np.fft.fftfreq(PLATE)[:, None]
    along = np.fft.rfftfreq(PLATE)[None]
    frequency = np.hypot(down, along * stretch)
    sharpness = np.exp(-(np.hypot(down, along) ** 2) / 0.5**2)  # lenses and JPEG
    spectrum = np.fft.rfft2(rng.standard_normal((PLATE, PLATE)))
    spectrum *= sharpness / np.hypot(frequency, 1 / COARSEST_PX) ** slope
    spectrum[0, 0] = 0
    plate = np.fft.irfft2(spectrum, (PLATE, PLATE))
    return np.asarray(plate / plate.std(), np.float32)


def draw_paper(rng: np.random.Generator, height: int, width: int, *, scale: float) -> Plane:
    """Grain, hairs and specks, at times the wires of a mould.

    Args:
        rng: Decides everything.
        height: In pixels.
        width: In pixels.
        scale: Size of a pixel of a full scan in pixels: less than 1 where a leaf is seen from farther away.

    Returns:
        float32 (H, W), mean 0, variance 1.
    """
    fine = read_plate(rng, height, width, slope=PAPER_SLOPE)
    fine += rng.uniform(0.004, 0.015) * _draw_hairs(rng, height, width)
    period = scale * rng.uniform(6, 12)
    if rng.random() < 0.35 and period > 3:  # a wire every millimetre, and the chains that hold them
        strength = rng.uniform(0.15, 0.5)
        rows, columns = np.arange(height), np.arange(width)
        chain = rng.uniform(12, 18) * period
        from_chain = (columns + rng.uniform(0, chain)) % chain - chain / 2
        wires = np.sin(rows * (2 * np.pi / period)) * (1 + 0.4 * np.sin(rows * (0.31 / period)))
        fine += (strength * wires).astype(np.float32)[:, None]
        fine += (strength * np.exp(-((from_chain / (0.3 * period)) ** 2))).astype(np.float32)
    elif rng.random() < 0.3:  # polished with a stone, or sized with a brush
        fine += rng.uniform(0.1, 0.5) * draw_noise(rng, height, width, height // 5, max(2, width // 300))
    return standardise(fine)


def draw_parchment(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Grain, and on the hair side follicles in patches; float32 (H, W), mean 0, variance 1."""
    fine = read_plate(rng, height, width)
    if rng.random() < 0.5:
        number = round(height * width / rng.uniform(400, 1200))
        places = rng.random((number, 2), np.float32)
        patches = draw_noise(rng, 64, 64, 6, 5)
        hairy = patches[(places[:, 0] * 64).astype(int), (places[:, 1] * 64).astype(int)] > rng.uniform(-0.5, 0.5)
        rows, columns = (places[hairy] * (height, width)).astype(int).T
        follicles = np.zeros((height, width), np.float32)
        follicles[rows, columns] = rng.uniform(2, 10, len(rows))
        fine += cv2.GaussianBlur(follicles, (0, 0), rng.uniform(0.7, 1.1))
    return standardise(fine)


def draw_leaf(rng: np.random.Generator, height: int, width: int, *, scale: float) -> Plane:
    """Spots and veins along a palm leaf, the finer ribs across them; float32 (H, W), mean 0, variance 1."""
    fine = read_plate(rng, height, width, LEAF_STRETCH)
    cv2.scaleAdd(read_plate(rng, height, width), rng.uniform(0.4, 0.9), fine, fine)
    if rng.random() < 0.4:
        across = read_plate(rng, width, height, LEAF_STRETCH)
        cv2.scaleAdd(cv2.transpose(across), rng.uniform(0.2, 0.6), fine, fine)
    columns = max(2, round(width / rng.uniform(150, 500)))
    streaks = rng.uniform(0.2, 0.6) * rng.standard_normal((height, columns), np.float32)
    for thickness in (4, 14):
        streaks += rng.uniform(0.3, 0.8) * draw_noise(rng, columns, height, columns, height // thickness).T
    number = round(height / max(2, scale * rng.uniform(6, 30)))
    veins = rng.integers(0, height, number)
    streaks[veins] += rng.normal(1.2, 2.0, (number, 1)) * rng.uniform(0.3, 1, (number, columns))
    streaks = cv2.GaussianBlur(streaks, (1, 0), sigmaX=0.01, sigmaY=rng.uniform(0.6, 1.0))
    fine += cv2.resize(streaks, (width, height), interpolation=cv2.INTER_LINEAR)
    return standardise(fine)


def fit_texture(rng: np.random.Generator, texture: Picture, height: int, width: int) -> tuple[Picture, Plane]:
    """Cut a photograph to size, mirrored outwards where it is too small, and vary its light a little.

    Returns:
        uint8 (H, W, 3), and its fine texture: float32 (H, W), mean 0, variance 1.
    """
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
    return page, standardise(cv2.GaussianBlur(light, (0, 0), 4) - light)  # dark is dense


def standardise(plane: Plane) -> Plane:
    """Mean 0 and variance 1, in place; estimated on every 16th pixel."""
    sample = plane[::4, ::4]
    plane -= sample.mean()
    plane /= sample.std() + np.float32(1e-6)
    return plane


def _draw_hairs(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Short hairs and specks, sparse; float32 in [0, 255]."""
    canvas = np.zeros((height, width), np.uint8)
    number = round(height * width / rng.uniform(4000, 20000))
    starts = rng.uniform((0, 0), (width, height), (number, 2))
    ends = starts + rng.normal(0, 5, (number, 2))
    for start, end, value in zip(
        (8 * starts).astype(int), (8 * ends).astype(int), rng.integers(60, 255, number), strict=True
    ):
        cv2.line(canvas, start, end, int(value), 1, cv2.LINE_AA, shift=3)
    hairs: Plane = cv2.GaussianBlur(canvas, (0, 0), 0.7).astype(np.float32)
    return hairs
