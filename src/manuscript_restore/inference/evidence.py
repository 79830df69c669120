"""What a scholar may check: where a page changed, how surely, and a record of how it was made.

The maps are 8-bit grey pictures. *Change*: ten grey levels a unit of CIEDE2000, white at 25.5 and above.
*Confidence*: white where all views of the page agree, black where their standard deviation reaches a tenth of
the full scale. *Damage*: white where the network saw damage and its restoration was taken whole, black where the
page was left as it is. Maps of pages beyond `MAP_SIDE` are block means at a whole fraction of the size.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from manuscript_restore.archive.bilevel import BilevelTiff
from manuscript_restore.images import to_picture
from manuscript_restore.images.colour import delta_e_2000
from manuscript_restore.images.figures import contact_sheet
from manuscript_restore.inference.backends import Floats

MAP_SIDE = 6000
"""Longest side of a map, pixels."""
COMPARISON_SIDE = 1600
"""Longest side of each picture of the side-by-side, pixels."""
CHANGE_LEVELS = 10
"""Grey levels a unit of CIEDE2000."""
SPREAD_LIMIT = 0.1
"""Standard deviation of the views at which confidence is 0."""
VISIBLE = 2.3
"""CIEDE2000 of a just noticeable difference (Mahy et al. 1994)."""
INK = 0.5
"""Of the ink map, above which a pixel is ink."""
BINS_PER_UNIT = 20
SAMPLING = 5
"""Every so many-th row and column decides a page's mean change; odd: networks leave patterns of 2, 4, 8 pixels."""


@dataclass(frozen=True)
class Band:
    """Some rows of a page, restored.

    ``original`` and ``restored`` are (C, n, W) in [0, 1], C as given; ``spread`` is the standard deviation
    (n, W) of the views' restorations, averaged over the colours, or None. ``damage`` (what was applied: 0 where
    the page was left as it is) and ``ink`` are (n, W) in [0, 1], or None of a network without these maps.
    """

    top: int
    original: Floats
    restored: Floats
    spread: Floats | None
    damage: Floats | None = None
    ink: Floats | None = None


def change(band: Band) -> Floats:
    """CIEDE2000 between the original and the restored rows: (n, W)."""
    return delta_e_2000(_colours(band.original), _colours(band.restored)).astype(np.float32)


def confidence(spread: Floats) -> Floats:
    """Spread of the views (n, W) → confidence in [0, 1], 1 where they agree."""
    return (1 - spread / SPREAD_LIMIT).clip(0, 1)


class BlockMeans:
    """A picture (C, H, W) that arrives in bands of rows, reduced to at most ``longest`` pixels a side."""

    def __init__(self, height: int, width: int, *, longest: int, channels: int = 1) -> None:
        self.factor = max(1, -(-max(height, width) // longest))
        shape = (channels, -(-height // self.factor), -(-width // self.factor))
        self._sums = np.zeros(shape, np.float32)
        self._height, self._width = height, width

    def add(self, top: int, rows: Floats) -> None:
        """Add rows (C, n, W) that start at row ``top`` of the picture."""
        columns = np.arange(0, self._width, self.factor)
        across = np.add.reduceat(rows, columns, axis=2)
        blocks = (top + np.arange(rows.shape[1])) // self.factor
        starts = np.flatnonzero(np.r_[True, np.diff(blocks) > 0])
        self._sums[:, blocks[starts]] += np.add.reduceat(across, starts, axis=1)

    def means(self) -> Floats:
        """The reduced picture (C, h, w)."""
        heights, widths = (
            np.minimum(self.factor, side - np.arange(0, side, self.factor)) for side in (self._height, self._width)
        )
        means: Floats = self._sums / (heights[:, None] * widths)
        return means.astype(np.float32)


class Scores:
    """How much a page changed, from every fifth pixel in both directions; memory does not grow with the page."""

    def __init__(self) -> None:
        self._histogram = np.zeros(100 * BINS_PER_UNIT + 1, np.int64)
        self._change = 0.0
        self._confidence: float | None = None
        self._damage: float | None = None
        self._sound = True

    def add(self, band: Band) -> None:
        """Count a band."""
        first = -band.top % SAMPLING

        def sample(rows: Floats) -> Floats:
            return rows[..., first::SAMPLING, ::SAMPLING]

        changes = change(Band(band.top, sample(band.original), sample(band.restored), None)).ravel()
        bins = np.rint(changes * BINS_PER_UNIT).astype(np.int64).clip(max=len(self._histogram) - 1)
        self._histogram += np.bincount(bins, minlength=len(self._histogram))
        self._change += float(changes.sum(dtype=np.float64))
        if band.spread is not None:
            total = float(confidence(sample(band.spread)).sum(dtype=np.float64))
            self._confidence = (self._confidence or 0.0) + total
        if band.damage is not None:
            self._damage = (self._damage or 0.0) + float(sample(band.damage).sum(dtype=np.float64))
            self._sound = self._sound and not bool(band.damage.any())

    def summary(self) -> dict[str, float]:
        """Mean and 95th percentile of the change in CIEDE2000, and the share of pixels that changed visibly.

        The mean confidence if it was measured. Of a network with maps the mean damage, and whether the page is
        sound: without damage in any pixel.
        """
        share = self._histogram.cumsum() / max(1, self._histogram.sum())
        count = max(1, int(self._histogram.sum()))
        scores = {
            "change_mean": self._change / count,
            "change_95th_percentile": float(np.searchsorted(share, 0.95)) / BINS_PER_UNIT,
            "changed_share": float(1 - share[int(VISIBLE * BINS_PER_UNIT)]),
        }
        if self._confidence is not None:
            scores["confidence_mean"] = self._confidence / count
        if self._damage is not None:
            scores |= {"damage_mean": self._damage / count, "sound": self._sound}
        return scores


class Evidence:
    """Collects a page's bands and draws its pictures.

    Args:
        height, width: Of the page.
        maps: Which of ``change``, ``confidence``, ``damage`` and ``comparison`` are wanted.
        ink: Takes the ink, if that is wanted.
    """

    def __init__(self, height: int, width: int, *, maps: frozenset[str], ink: BilevelTiff | None = None) -> None:
        self.scores = Scores()
        self.ink = ink
        self._maps = {
            name: BlockMeans(height, width, longest=MAP_SIDE)
            for name in ("change", "confidence", "damage")
            if name in maps
        }
        self._pair = (
            [BlockMeans(height, width, longest=COMPARISON_SIDE, channels=3) for _ in range(2)]
            + [BlockMeans(height, width, longest=COMPARISON_SIDE)]
            if "comparison" in maps
            else []
        )

    def add(self, band: Band) -> None:
        """Add the next rows."""
        self.scores.add(band)
        if self.ink and band.ink is not None:
            self.ink.add(band.ink > INK)
        if "change" in self._maps or self._pair:
            changed = change(band)[None]
            if "change" in self._maps:
                self._maps["change"].add(band.top, changed)
            if self._pair:
                for means, rows in zip(
                    self._pair, (_colours(band.original), _colours(band.restored), changed), strict=True
                ):
                    means.add(band.top, rows)
        if "confidence" in self._maps and band.spread is not None:
            self._maps["confidence"].add(band.top, confidence(band.spread)[None])
        if "damage" in self._maps and band.damage is not None:
            self._maps["damage"].add(band.top, band.damage[None])

    def pictures(self) -> dict[str, Image.Image]:
        """The wanted pictures by name; to be asked for after the last band."""
        scales = {"change": CHANGE_LEVELS / 255, "confidence": 1, "damage": 1}
        drawn: dict[str, Image.Image] = {
            name: _grey_picture(means.means() * scales[name]) for name, means in self._maps.items()
        }
        if self._pair:
            original, restored, changed = (means.means() for means in self._pair)
            shown = np.repeat((changed * (CHANGE_LEVELS / 255)).clip(0, 1), 3, axis=0)
            panels = [(original, "before"), (restored, "after"), (shown, "change: white is CIEDE2000 25.5")]
            wide = original.shape[2] > 2 * original.shape[1]  # a palm leaf: one above the other
            rows = [[panel] for panel in panels] if wide else [panels]
            drawn["comparison"] = contact_sheet(
                [[picture for picture, _ in row] for row in rows],
                [[caption for _, caption in row] for row in rows],
            )
        return drawn

    @property
    def map_scale(self) -> dict[str, int]:
        """Pixels of the page that one pixel of each map stands for, along a side."""
        return {name: means.factor for name, means in self._maps.items()}


def _colours(rows: Floats) -> Floats:
    return rows[:3] if rows.shape[0] >= 3 else np.broadcast_to(rows[:1], (3, *rows.shape[1:]))


def _grey_picture(values: Floats) -> Image.Image:
    return Image.fromarray(to_picture(values)[..., 0])
