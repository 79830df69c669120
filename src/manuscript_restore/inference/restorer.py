"""The public face: a trained network as a function from a page to a restored page, of any size."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manuscript_restore.descriptor import OVERLAP, TILE
from manuscript_restore.errors import UserError
from manuscript_restore.images import as_floats
from manuscript_restore.images.colour import (
    hold_lightness,
    keep_support_colour,
    paper_colour,
    settle_colours,
    to_grey,
)
from manuscript_restore.inference.backends import Backend, Floats
from manuscript_restore.inference.engines import open_backend
from manuscript_restore.inference.evidence import Band, change, confidence
from manuscript_restore.inference.look import Look, lightness_of
from manuscript_restore.inference.pictures import as_stored, check_range, check_shape, is_tensor, to_tensor
from manuscript_restore.inference.tiling import ReadRows, Tiling, restore_rows
from manuscript_restore.inference.tone import SAMPLES, Tone, blend, fit_tone, follow, sample_starts
from manuscript_restore.inference.views import FLIPS, as_view, turned
from manuscript_restore.released import ModelIdentity, find_released, identify

if TYPE_CHECKING:
    from torch import Tensor

SOUND_PAGE = 0.05
"""Mean of the damage map in a first look below which a page is sound, and is left as it is …"""
SOUND_TILE = 2 * SOUND_PAGE
"""… but for tiles with more damage than this."""
DAMAGED_PAGE = 0.15
"""Mean of the damage map in a first look from which on a page counts as damaged …"""
DOUBT = 1.0
"""… and is taken to be so where that is doubtful, by so much of a logit. (Hysteresis, as in Canny 1986.)"""
WHOLE_PAGE = 0.4
"""The same from which on the page is damaged as a whole: what ails it ails it everywhere, and a restoration that
comes and goes would show as blotches …"""
SURELY = 3.0
"""… so that it is taken for damaged by so much of a logit; so is a page that we are told is damaged."""
COLOURLESS = 2 / 255
"""Difference of a tile's colours up to which it has none."""
Picture = TypeVar("Picture", Image.Image, NDArray[Any], "Tensor")
FloatPicture = TypeVar("FloatPicture", NDArray[Any], "Tensor")


@dataclass(frozen=True)
class Settings:
    """What is done to every page; all of it is written into the record.

    Args:
        strength: 0 leaves the page as it is, 1 takes the restoration whole; between, they are blended.
        keep_colour: Restore ink and legibility, but leave the support its own colour.
        flips: Average four views of every tile, flipped and shifted: a little better, four times slower.
        confidence: Measure how far those views agree, whether or not they are averaged.
        page_tone: Decide on fading and tint once for a page of several tiles; else every tile for itself.
        tile: Side of the tiles, pixels.
        overlap: Pixels that tiles share.
        batch: Tiles at once; None: what suits the device.
        like: Look of sound pages of the same manuscript, which the restored page is given; None: its own.
        damaged: The page is known to be damaged: whether it is, is not judged, and what is doubtful is restored.
    """

    strength: float = 1.0
    keep_colour: bool = False
    flips: bool = False
    confidence: bool = False
    page_tone: bool = True
    tile: int = TILE
    overlap: int = OVERLAP
    batch: int | None = None
    like: Look | None = None
    damaged: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength={self.strength}: must be between 0 and 1")
        if not isinstance(self.like, Look | None):
            raise UserError(f"like={self.like}: must be the look of pages; write Look.of({self.like!r})")
        if self.like and self.keep_colour:
            raise UserError("like and keep_colour: the paper cannot have two colours; leave one of them out")
        Tiling(self.tile, self.overlap, 1 if self.batch is None else self.batch)  # checks them


@dataclass(frozen=True)
class Restored:
    """A restored page with its evidence, all float32, as arrays or tensors; see `inference.evidence`.

    ``image`` is (C, H, W) in [0, 1], ``change`` (H, W) in CIEDE2000. The others are (H, W) in [0, 1]:
    ``confidence`` if it was measured, ``damage`` and ``ink`` if the network has these maps, else None.
    """

    image: Any
    change: Any
    confidence: Any = None
    damage: Any = None
    ink: Any = None


@dataclass(frozen=True)
class Survey:
    """What a first look at a few tiles says of a page.

    ``looked`` (1, 1) is what the network says of the page as a whole, and ``papers`` the colour of its paper,
    (3, 1, 1), before and after. ``tone`` is what the network makes of the colours of what is damaged; of a page
    that is damaged in places, ``lightest`` is how light its paper is. ``gain`` (3, 1, 1) takes its colours to the
    look that is asked for. Tiles with a mean damage below ``spared`` stay as they are.
    """

    looked: Floats | None = None
    tone: Tone | None = None
    papers: tuple[Floats, Floats] | None = None
    gain: Floats | None = None
    spared: float = 0.0
    lightest: float | None = None


class Restorer:
    """Restores pages of any size, at their full resolution.

    >>> restorer = Restorer.from_checkpoint("outputs/train/…/best.ckpt")  # doctest: +SKIP
    >>> restored = restorer.restore(Image.open("page.jpg"))  # doctest: +SKIP

    Args:
        backend: What runs the network.
        settings: What is done to every page.
        identity: Of the network, for the record.
    """

    def __init__(
        self, backend: Backend, *, settings: Settings | None = None, identity: ModelIdentity | None = None
    ) -> None:
        self.backend = backend
        self.settings = settings or Settings()
        self.identity = identity
        batch = self.settings.batch or backend.default_batch(self.settings.tile)
        self.tiling = Tiling(self.settings.tile, self.settings.overlap, batch)
        self._pools: dict[int, ThreadPoolExecutor] = {}

    @property
    def _pool(self) -> ThreadPoolExecutor:
        """Of this process: a fork has none of the threads of the one that it came from."""
        if (pool := self._pools.get(os.getpid())) is None:
            made = ThreadPoolExecutor(self.backend.concurrency, thread_name_prefix="tiles")
            pool = self._pools.setdefault(os.getpid(), made)
        return pool

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        engine: str = "auto",
        settings: Settings | None = None,
    ) -> Self:
        """Load a training checkpoint or the folder of a released model; nothing in the file is executed.

        Args:
            path: Of the checkpoint or the folder.
            device: As `TorchBackend`.
            precision: As `TorchBackend`.
            compile: As `TorchBackend`.
            engine: ``onnx`` (ONNX Runtime), ``openvino``, ``torch``, or ``auto``: the first on a CPU, where the
                folder has its file.
            settings: What is done to every page.

        Raises:
            UserError: The file is missing, damaged or of another project, or the device is not there, or not for
                this engine.
        """
        backend = open_backend(path, device=device, precision=precision, compile=compile, engine=engine)
        return cls(backend, settings=settings, identity=identify(path))

    @classmethod
    def from_pretrained(cls, name: str = "default", **options: Any) -> Self:
        """Load a model that came with the package, by name; options as `from_checkpoint`.

        Raises:
            UserError: There is none of that name; those there are are listed.
        """
        return cls.from_checkpoint(find_released(name), **options)

    def restore(self, image: Picture) -> Picture:
        """Restore one picture; the result is of the same kind, size and range.

        Args:
            image: A Pillow image (modes L, LA, RGB, RGBA and I;16; others become RGB), an array (H, W) or
                (H, W, C) or a tensor (C, H, W) on any device, of uint8, uint16 or float in [0, 1]; C is
                1 (grey), 2 (grey, alpha), 3 or 4 (RGB, alpha). Alpha is left as it is.

        Raises:
            UserError: Another shape or type.
        """
        stored = as_stored(image)
        restored: Picture = stored.back(self._restore_stored(stored.pixels, stored.scale))
        return restored

    def restore_with_evidence(self, image: FloatPicture) -> Restored:
        """Restore floats (C, H, W) in [0, 1] and say where, how much and how surely they changed.

        Args:
            image: An array, or a tensor on any device; the results are of the same kind, tensors on the CPU.

        Raises:
            UserError: Another shape, type or range.
        """
        of_tensor = is_tensor(image)
        if not of_tensor and not isinstance(image, np.ndarray):
            raise UserError(f"restore: {type(image).__name__}; evidence takes floats (C, H, W) in [0, 1]")
        check_shape(image.shape)
        if "float" not in str(image.dtype):
            raise UserError(f"restore: values of type {image.dtype}; evidence takes float in [0, 1]")
        floats = as_floats(image)
        check_range(floats)
        bands = list(self._bands_of(floats))

        def result(parts: Sequence[Any], axis: int = 0) -> Any:
            if parts[0] is None:
                return None
            joined = np.concatenate(parts, axis=axis)
            return to_tensor(joined) if of_tensor else joined

        return Restored(
            image=result([band.restored for band in bands], axis=1),
            change=result([change(band) for band in bands]),
            confidence=result([None if band.spread is None else confidence(band.spread) for band in bands]),
            damage=result([band.damage for band in bands]),
            ink=result([band.ink for band in bands]),
        )

    def _bands_of(self, floats: Floats) -> Iterator[Band]:
        _, height, width = floats.shape
        return self.bands(lambda top, bottom: floats[:, top:bottom], height=height, width=width)

    def bands(
        self, read: ReadRows, *, height: int, width: int, orientation: int = 1, survey: Survey | None = None
    ) -> Iterator[Band]:
        """Restore a page from top to bottom, holding only a row of tiles.

        Args:
            read: (top, bottom) → rows (C, n, W) in [0, 1], with C as `restore` takes it; called downwards, a
                few samples first, then once for all.
            height: Of the page as stored, pixels.
            width: Of the page as stored, pixels.
            orientation: How EXIF says that the stored page is to be turned for looking at it, 1–8: the network
                sees it upright, the result is as stored.
            survey: Of the page that these rows are a part of; None: they are a page, and are looked at first.
        """
        survey = survey or self.survey(read, height=height, width=width, orientation=orientation)
        change = turned(lambda tiles: self._change_tiles(tiles, survey), orientation)
        ahead, pool = self.backend.concurrency, self._pool
        changes = restore_rows(
            read, change, height=height, width=width, tiling=self.tiling, pool=pool, ahead=ahead
        )
        return starmap(self._band, changes)

    def _band(self, top: int, original: Floats, rows: Floats) -> Band:
        """Changes and maps (C', n, W) added to the page's rows; in place: bands of wide pages are large."""
        num_colours = 1 if original.shape[0] < 3 else 3
        # Only changes were faded into each other: where there is none, this is the page to the bit.
        restored, maps = rows[:num_colours], rows[num_colours:]
        restored += original[:num_colours]
        np.clip(restored, 0, 1, out=restored)
        if len(original) > num_colours:  # alpha as it was
            restored = np.concatenate([restored, original[num_colours:]])
        damage, ink = np.clip(maps[:2], 0, 1, out=maps[:2]) if self.backend.has_maps else (None, None)
        return Band(top, original, restored, maps[-1] if self._measures_spread else None, damage, ink)

    @property
    def _measures_spread(self) -> bool:
        return self.settings.flips or self.settings.confidence

    def survey(self, read: ReadRows, *, height: int, width: int, orientation: int = 1) -> Survey:
        """A first look at a page; of the settings it depends on ``like`` and ``damaged``. Arguments as `bands`."""
        settings, tile, has_maps = self.settings, self.settings.tile, self.backend.has_maps
        one_tile = max(height, width) <= tile
        told = settings.damaged and has_maps
        if not settings.like and not told and (one_tile or not (settings.page_tone or has_maps)):
            return Survey(spared=SOUND_PAGE if has_maps else 0)
        sampled = []
        for top in sample_starts(height, tile=tile, count=SAMPLES[0]):
            rows = read(top, min(height, top + tile))
            rows = rows[: 1 if rows.shape[0] < 3 else 3]
            columns = sample_starts(width, tile=tile, count=SAMPLES[1])
            sampled += [_in_colour(rows[None, :, :, left : left + tile]) for left in columns]
        looked = self._look(sampled, orientation) if told or (has_maps and not one_tile) else None
        if looked is not None and told:
            looked = looked + SURELY
        see = turned(lambda tiles: self._see(tiles, looked), orientation)
        seen = np.concatenate(list(self._pool.map(see, sampled)))
        return self._judge(np.concatenate(sampled), seen, looked, page_tone=settings.page_tone and not one_tile)

    def _judge(self, original: Floats, seen: Floats, looked: Floats | None, *, page_tone: bool) -> Survey:
        """How a page is to be treated, after what the network has made of a few tiles of it."""
        settings, restored = self.settings, seen[:, :3]
        damage = seen[:, 3:4] if self.backend.has_maps else np.ones_like(seen[:, :1])
        of_tiles = damage.mean(axis=(1, 2, 3))
        share = 1.0 if settings.damaged else float(of_tiles.mean())
        before = paper_colour(original)
        if share < SOUND_PAGE and of_tiles.max() < SOUND_TILE:
            if looked is None:
                return Survey(spared=SOUND_PAGE)
            return Survey(looked, papers=(before, before), spared=SOUND_TILE, lightest=lightness_of(original))
        in_places = looked is not None and share < WHOLE_PAGE
        if looked is not None and not settings.damaged and share >= DAMAGED_PAGE:
            looked = looked + (DOUBT if in_places else SURELY)
        tone = fit_tone(original, restored, damage) if page_tone else None
        if tone and settings.like:
            restored = follow(tone, restored, original, damage)
        gain = settings.like.gain(restored, damage) if settings.like else None
        return Survey(
            looked,
            tone,
            papers=(before, before if in_places else paper_colour(restored)),
            gain=None if gain is None else gain[:, None, None],
            lightest=lightness_of(original) if in_places else None,
        )

    def _change_tiles(self, tiles: Floats, survey: Survey) -> Floats:
        """How the colours of tiles (B, C, h, w) in [0, 1] change: (B, 1 or 3, h, w) in [−1, 1], and more channels.

        These are damage and ink if the network has maps, and the spread if it is measured. Every correction of
        what the network made is weighted by the damage: where that is 0, the change is exactly 0.
        """
        settings = self.settings
        is_grey = tiles.shape[1] < 3
        original = _in_colour(tiles[:, : 1 if is_grey else 3])

        def changed(tiles: Floats) -> Floats:
            seen = self._see(tiles, survey.looked)
            return np.concatenate([seen[:, :3] - tiles, seen[:, 3:]], axis=1)

        views = [changed(original)]
        if self._measures_spread:
            views += [as_view(changed, original, axes) for axes in FLIPS]
        seen = np.mean(views, axis=0) if settings.flips else views[0]
        change, maps = seen[:, :3], seen[:, 3:]
        damage = maps[:, :1] if self.backend.has_maps else np.ones_like(seen[:, :1])
        damaged = damage.mean(axis=(1, 2, 3), keepdims=True) >= survey.spared
        damage = damage * damaged
        restored = original + change * damaged
        if survey.tone:
            restored = follow(survey.tone, restored, original, damage)
        if self.backend.has_maps:
            papers = survey.papers or (paper_colour(original), paper_colour(restored))
            settled = settle_colours(restored, original, papers)
            if survey.lightest is not None:
                settled = hold_lightness(settled, original, survey.lightest)
            restored = blend(restored, settled, damage)
        colourless = np.ptp(original, axis=1).max(axis=(1, 2)) <= COLOURLESS
        grey = original[colourless]  # a grey scan stays grey in RGB, too
        restored[colourless] = grey + to_grey(restored[colourless] - grey)
        if settings.keep_colour:
            restored = blend(restored, keep_support_colour(restored, original), damage)
        if survey.gain is not None:
            restored = blend(restored, (restored * survey.gain).clip(0, 1), damage)
        change = settings.strength * (restored - original)
        channels = [to_grey(change) if is_grey else change]
        if self.backend.has_maps:
            channels += [damage, maps[:, 1:2]]
        if self._measures_spread:
            spread = np.std([view[:, :3] for view in views], axis=0).mean(axis=1, keepdims=True)
            channels += [settings.strength * spread * damaged]
        changes: Floats = np.concatenate(channels, axis=1)
        return changes

    def _look(self, sampled: Sequence[Floats], orientation: int) -> Floats:
        """What the network says of a page as a whole, (1, 1): the mean over some of its tiles, seen upright."""

        def look(upright: Floats) -> Floats:
            return self.backend.look(upright)[..., None, None]

        looked = list(self._pool.map(turned(look, orientation), sampled))
        mean: Floats = np.concatenate(looked)[..., 0, 0].mean(axis=0, keepdims=True)
        return mean

    def _see(self, tiles: Floats, looked: Floats | None) -> Floats:
        return self.backend(tiles) if looked is None else self.backend(tiles, looked)

    def _restore_stored(self, stored: NDArray[Any], scale: int) -> NDArray[Any]:
        """Restore (C, H, W) of any type, white is ``scale``; the result is of the same type and layout."""
        if scale == 1:
            check_range(stored)
        _, height, width = stored.shape

        def read(top: int, bottom: int) -> Floats:
            return stored[:, top:bottom].astype(np.float32) / np.float32(scale)

        restored = np.empty_like(stored)
        for band in self.bands(read, height=height, width=width):
            rows = np.rint(band.restored * scale) if scale > 1 else band.restored
            restored[:, band.top : band.top + rows.shape[1]] = rows
        return restored


def _in_colour(tiles: Floats) -> Floats:
    """Grey tiles (B, 1, h, w) as grey in colour (B, 3, h, w); others as they are."""
    return np.repeat(tiles, 3, axis=1) if tiles.shape[1] == 1 else tiles
