"""Shapes of drawings and miniatures, points (n, 2) in pixels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Points = NDArray[np.float64]
CURVE = np.linspace(0, 2 * np.pi, 48, endpoint=False)


def circle(centre: Points, radius: float) -> Points:
    """A circle, not closed."""
    return np.asarray(centre + radius * np.stack([np.cos(CURVE), np.sin(CURVE)], axis=1))


def rectangle(box: Box) -> Points:
    """The corners of left, top, right, bottom."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def blob(rng: np.random.Generator, centre: Points, radius: float, bumps: float = 0.18) -> Points:
    """A smooth closed curve."""
    waves = [bumps / k * rng.normal() * np.cos(k * CURVE + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5)]
    away = 1 + np.sum(waves, axis=0)
    stretch = rng.uniform(0.6, 1.6) if bumps > 0.1 else 1.0
    return np.asarray(centre + (circle(np.zeros(2), radius) * away[:, None]) * (1 / stretch, stretch))


def spiral(rng: np.random.Generator, centre: Points, radius: float) -> Points:
    """A tendril of up to two turns."""
    turn = np.linspace(0, rng.uniform(3, 14), 60) * rng.choice([-1, 1]) + rng.uniform(0, 6.3)
    away = radius * np.linspace(0.05, 1, 60)[:, None]
    return np.asarray(centre + away * np.stack([np.cos(turn), np.sin(turn)], axis=1))


def _wheel(rng: np.random.Generator, centre: Points, radius: float) -> list[Points]:
    """Circles about one centre, and spokes."""
    shares = (1, *rng.uniform(0.2, 0.95, rng.integers(1, 4)))
    rings = [_closed(circle(centre, share * radius)) for share in shares]
    number = int(rng.choice([4, 6, 8, 12]))
    angles = 2 * np.pi * np.arange(number) / number
    ends = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    return [*rings, *(np.array([centre + 0.2 * end, centre + end]) for end in ends)]


def _table(rng: np.random.Generator, centre: Points, radius: float) -> list[Points]:
    """A table's rules."""
    left, top = centre - radius
    right, bottom = centre + radius
    rows, columns = np.linspace(top, bottom, rng.integers(3, 8)), np.linspace(left, right, rng.integers(3, 8))
    level = [np.array([(left, y), (right, y)]) for y in rows]
    return level + [np.array([(x, top), (x, bottom)]) for x in columns]


def _horoscope(_: np.random.Generator, centre: Points, radius: float) -> list[Points]:
    """A square with its diagonals and the square between its middles."""
    square = rectangle((*centre - radius, *centre + radius))
    middles = (square + np.roll(square, -1, axis=0)) / 2
    outlines = [_closed(shape) for shape in (square, middles)]
    return [*outlines, square[[0, 2]], square[[1, 3]]]


def _plant(rng: np.random.Generator, centre: Points, radius: float) -> list[Points]:
    """Tendrils and leaves."""
    tendrils = [spiral(rng, centre + rng.normal(0, 0.4, 2) * radius, 0.5 * radius) for _ in range(5)]
    leaves = [blob(rng, centre + rng.normal(0, 0.5, 2) * radius, 0.12 * radius) for _ in range(6)]
    return [*tendrils, *(_closed(leaf) for leaf in leaves)]


def _person(rng: np.random.Generator, centre: Points, radius: float) -> list[Points]:
    """A head, a body and limbs."""
    head = blob(rng, centre - (0, 0.7 * radius), 0.2 * radius, 0.05)
    body = blob(rng, centre, 0.38 * radius, 0.15)
    limbs = [
        centre
        + np.cumsum(np.vstack([(x, y), rng.normal((0.25 * np.sign(x), 0.2), 0.15, (3, 2))]), axis=0) * radius
        for x, y in ((-0.25, -0.2), (0.25, -0.2), (-0.2, 0.3), (0.2, 0.3))
    ]
    eyes = [
        centre - (0, 0.72 * radius) + (s * 0.07 * radius, 0) + np.array([(0, 0), (0.03 * radius, 0)])
        for s in (-1, 1)
    ]
    return [*(_closed(shape) for shape in (head, body)), *limbs, *eyes]


def _closed(outline: Points) -> Points:
    return np.concatenate([outline, outline[:1]])


Figure = Callable[[np.random.Generator, Points, float], list[Points]]
FIGURES: tuple[Figure, ...] = (_wheel, _table, _horoscope, _plant, _person)
