"""From the scores of pages to means with confidence intervals, by resampling manuscripts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Row:
    """One score of one method on one page or crop.

    Args:
        task: Name of the task.
        name: Of the page or crop.
        page: Page or manuscript that it is resampled with.
        damage: What it got.
        method: That restored it.
        score: Name of the score.
        value: The score.
        input_value: The degraded input's own; NaN where it has none.
        gain: Improvement over the input, positive is better; NaN where there is none.
        index: Of the pair in its task.
        groups: Of pages that it belongs to.
    """

    task: str
    name: str
    page: str
    damage: tuple[str, ...]
    method: str
    score: str
    value: float
    input_value: float
    gain: float
    index: int = 0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % confidence interval; NaN bounds where there is only one page."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Means over the pages of one task, method and score; of all of them, or of a group.

    ``better`` is the share of the pairs that gain.
    """

    task: str
    method: str
    score: str
    num_pairs: int
    num_pages: int
    value: Estimate
    input_mean: float
    gain: Estimate
    better: float = np.nan
    group: str = ""


def bootstrap(values: Sequence[float], pages: Sequence[str], *, seed: int = 0) -> Estimate:
    """Mean of the values and its percentile interval when whole pages are drawn with replacement.

    Crops of a page, or pages of a manuscript, are alike. Drawing them one by one would make the interval too
    narrow. The draws depend only on the seed and the number of pages, so they are the same for every method.

    Source: Efron & Tibshirani 1993, ch. 13; the cluster bootstrap of Field & Welsh 2007.

    Args:
        values: Of the pairs.
        pages: The page of each.
        seed: Of the draws.
    """
    _, owner = np.unique(np.asarray(pages), return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Estimate(mean, np.nan, np.nan)
    draws = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means: NDArray[np.float64] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high))


def summarise(rows: Iterable[Row], *, group: str = "") -> list[Summary]:
    """Means and intervals by task, method and score, in the order in which they first come; NaNs are left out.

    Args:
        rows: Of all pages, or of those of a group.
        group: Its name.
    """
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if not np.isnan(row.value):
            found.setdefault((row.task, row.method, row.score), []).append(row)
    return [
        Summary(
            *key,
            num_pairs=len(members),
            num_pages=len({row.page for row in members}),
            value=_estimate(members, "value"),
            input_mean=_mean([row.input_value for row in members]),
            gain=_estimate(members, "gain"),
            better=_mean([float(row.gain > 0) for row in members if not np.isnan(row.gain)]),
            group=group,
        )
        for key, members in found.items()
    ]


def by_group(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by each group that their page belongs to; the largest come first."""
    return _parts(rows, lambda row: row.groups)


def by_damage(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by each damage that their page got, a page under all of its damages; the commonest come first."""
    return _parts(rows, lambda row: row.damage or ("none",))


def _parts(rows: Iterable[Row], names: Callable[[Row], Sequence[str]]) -> dict[str, list[Row]]:
    parts: dict[str, list[Row]] = {}
    for row in rows:
        for name in names(row):
            parts.setdefault(name, []).append(row)
    return dict(sorted(parts.items(), key=lambda item: (-len(item[1]), item[0])))


def _estimate(rows: Sequence[Row], field: str) -> Estimate:
    kept = [row for row in rows if not np.isnan(getattr(row, field))]
    if not kept:
        return Estimate(np.nan, np.nan, np.nan)
    return bootstrap([getattr(row, field) for row in kept], [row.page for row in kept])


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if not np.isnan(value)]
    return float(np.mean(kept)) if kept else np.nan
