"""The public face: a trained network as a function from a page to a restored page, of any size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from manuscript_restore.checkpoint import ModelIdentity, find_released, identify
from manuscript_restore.errors import UserError
from manuscript_restore.images import to_rgb
from manuscript_restore.images.colour import keep_support_colour, to_grey
from manuscript_restore.inference.backends import Backend
from manuscript_restore.inference.engines import open_backend
from manuscript_restore.inference.evidence import Band, change, confidence
from manuscript_restore.inference.look import Look
from manuscript_restore.inference.tiling import ReadRows, Tiling, restore_rows
from manuscript_restore.inference.tone import SAMPLES, Tone, fit_tone, follow, sample_starts
from manuscript_restore.inference.views import FLIPS, as_view, turned

SOUND_PAGE = 0.05
"""Mean of the damage map in a first look below which a page is sound, and is left as it is …"""
SOUND_TILE = 2 * SOUND_PAGE
"""… but for tiles with more damage than this."""
DAMAGED_PAGE = 0.15
"""Mean of the damage map in a first look from which on a page counts as damaged …"""
DOUBT = 1.0
"""… and is taken to be so where that is doubtful, by so much of a logit: what ails a page ails it everywhere, and
a restoration that comes and goes shows as blotches. (Hysteresis, as in Canny 1986.)"""
Picture = TypeVar("Picture", Image.Image, NDArray[Any], Tensor)


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
    """

    strength: float = 1.0
    keep_colour: bool = False
    flips: bool = False
    confidence: bool = False
    page_tone: bool = True
    tile: int = 256
    overlap: int = 32
    batch: int | None = None
    like: Look | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength={self.strength}: must be between 0 and 1")
        if not isinstance(self.like, Look | None):
            raise UserError(f"like={self.like}: must be the look of pages; write Look.of({self.like!r})")
        if self.like and self.keep_colour:
            raise UserError("like and keep_colour: the paper cannot have two colours; leave one of them out")
        Tiling(self.tile, self.overlap, self.batch or 1)  # checks them


@dataclass(frozen=True)
class Restored:
    """A restored page with its evidence, all float32; see `manuscript_restore.inference.evidence`.

    ``image`` is (C, H, W) in [0, 1], ``change`` (H, W) in CIEDE2000. The others are (H, W) in [0, 1]:
    ``confidence`` if it was measured, ``damage`` and ``ink`` if the network has these maps, else None.
    """

    image: Tensor
    change: Tensor
    confidence: Tensor | None
    damage: Tensor | None = None
    ink: Tensor | None = None


@dataclass(frozen=True)
class Survey:
    """What a first look at a few tiles says of a page.

    ``tone`` is what the network makes of its colours, and ``gain`` (3, 1, 1) takes these to the look that is asked
    for. Tiles with a mean damage below ``spared`` stay as they are. ``looked`` (1, 1) is what the network says of
    the page as a whole.
    """

    looked: Tensor | None = None
    tone: Tone | None = None
    gain: Tensor | None = None
    spared: float = 0.0


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
        if isinstance(image, Image.Image):
            return self._restore_pillow(image)
        if isinstance(image, Tensor):
            return self._restore_tensor(image)
        array = np.asarray(image)
        tensor = _from_array(array)
        restored = self._restore_tensor(tensor).numpy()
        return restored.transpose(1, 2, 0).reshape(array.shape).astype(array.dtype)

    def restore_with_evidence(self, image: Tensor) -> Restored:
        """Restore a float tensor (C, H, W) in [0, 1] and say where, how much and how surely it changed.

        Raises:
            UserError: Another shape, type or range.
        """
        if not isinstance(image, Tensor):
            raise UserError(f"restore: {type(image).__name__}; evidence takes a float tensor (C, H, W) in [0, 1]")
        _check(image)
        if not image.is_floating_point():
            raise UserError(f"restore: values of type {image.dtype}; evidence takes float in [0, 1]")
        _, height, width = image.shape
        image = image.detach().cpu().float()
        _check_range(image)
        bands = list(self.bands(lambda top, bottom: image[:, top:bottom], height=height, width=width))

        def joined(parts: list[Tensor | None]) -> Tensor | None:
            return torch.cat([part for part in parts if part is not None]) if parts[0] is not None else None

        return Restored(
            image=torch.cat([band.restored for band in bands], dim=1),
            change=torch.cat([change(band) for band in bands]),
            confidence=joined([None if band.spread is None else confidence(band.spread) for band in bands]),
            damage=joined([band.damage for band in bands]),
            ink=joined([band.ink for band in bands]),
        )

    def bands(self, read: ReadRows, *, height: int, width: int, orientation: int = 1) -> Iterator[Band]:
        """Restore a page from top to bottom, holding only a row of tiles.

        Args:
            read: (top, bottom) → rows (C, n, W) in [0, 1], with C as `restore` takes it; called downwards, a
                few samples first, then once for all.
            height: Of the page as stored, pixels.
            width: Of the page as stored, pixels.
            orientation: How EXIF says that the stored page is to be turned for looking at it, 1–8: the network
                sees it upright, the result is as stored.
        """
        survey = self._survey(read, height, width, orientation)
        latest = torch.empty(0)  # the rows that were read last, with their alpha

        def read_colours(top: int, bottom: int) -> Tensor:
            nonlocal latest
            latest = read(top, bottom)
            return latest[: 1 if latest.shape[0] < 3 else 3]

        change_of = turned(lambda tiles: self._change_tiles(tiles, survey), orientation)
        for top, rows in restore_rows(read_colours, change_of, height=height, width=width, tiling=self.tiling):
            original = latest[:, : rows.shape[1]]
            num_colours = 1 if original.shape[0] < 3 else 3
            # Only changes were faded into each other: where there is none, this is the page to the bit.
            colours = (original[:num_colours] + rows[:num_colours]).clamp(0, 1)
            restored = torch.cat([colours, original[num_colours:]])  # alpha as it was
            maps = rows[num_colours:]
            damage, ink = maps[:2].clamp(0, 1) if self.backend.has_maps else (None, None)
            yield Band(top, original, restored, maps[-1] if self._measures_spread else None, damage, ink)

    @property
    def _measures_spread(self) -> bool:
        return self.settings.flips or self.settings.confidence

    def _survey(self, read: ReadRows, height: int, width: int, orientation: int) -> Survey:
        settings, tile, has_maps = self.settings, self.settings.tile, self.backend.has_maps
        one_tile = max(height, width) <= tile
        if not settings.like and (one_tile or not (settings.page_tone or has_maps)):
            return Survey(spared=SOUND_PAGE if has_maps else 0)
        sampled = []
        for top in sample_starts(height, tile=tile, count=SAMPLES[0]):
            rows = read(top, min(height, top + tile))
            rows = rows[: 1 if rows.shape[0] < 3 else 3].expand(3, -1, -1)
            columns = sample_starts(width, tile=tile, count=SAMPLES[1])
            sampled.append(torch.stack([rows[..., left : left + tile] for left in columns]))
        original = torch.cat(sampled)
        looked = self._look(original, orientation) if has_maps and not one_tile else None
        see = turned(lambda tiles: self._see(tiles, looked), orientation)
        seen = torch.cat([see(tiles) for tiles in sampled])
        damage = seen[:, 3:4] if has_maps else torch.ones_like(seen[:, :1])
        of_tiles = damage.mean(dim=(1, 2, 3))
        if of_tiles.mean() < SOUND_PAGE and of_tiles.max() < SOUND_TILE:
            return Survey(looked, spared=SOUND_PAGE if one_tile else SOUND_TILE)
        if looked is not None and of_tiles.mean() >= DAMAGED_PAGE:
            looked = looked + DOUBT
        restored = seen[:, :3]
        tone = fit_tone(original, restored, damage) if settings.page_tone and not one_tile else None
        if tone and settings.like:
            restored = follow(tone, restored, original, damage)
        gain = settings.like.gain(restored.numpy(), damage.numpy()) if settings.like else None
        return Survey(looked, tone, None if gain is None else torch.from_numpy(gain)[:, None, None])

    def _change_tiles(self, tiles: Tensor, survey: Survey) -> Tensor:
        """How tiles change: (B, 1 or 3, h, w) in [0, 1] → the same in [−1, 1], with more channels behind.

        These are damage and ink if the network has maps, and the spread if it is measured. Every correction of
        what the network made is weighted by the damage: where that is 0, the change is exactly 0.
        """
        settings = self.settings
        original = tiles.expand(-1, 3, -1, -1)

        def changed(tiles: Tensor) -> Tensor:
            seen = self._see(tiles, survey.looked)
            return torch.cat([seen[:, :3] - tiles, seen[:, 3:]], dim=1)

        views = [changed(original)]
        if self._measures_spread:
            views += [as_view(changed, original, axes) for axes in FLIPS]
        seen = torch.stack(views).mean(dim=0) if settings.flips else views[0]
        change, maps = seen[:, :3], seen[:, 3:]
        damage = maps[:, :1] if self.backend.has_maps else torch.ones_like(seen[:, :1])
        damaged = damage.mean(dim=(1, 2, 3), keepdim=True) >= survey.spared
        damage = damage * damaged
        restored = original + change * damaged
        if survey.tone:
            restored = follow(survey.tone, restored, original, damage)
        if settings.keep_colour:
            restored = restored.lerp(keep_support_colour(restored, original), damage)
        if survey.gain is not None:
            restored = restored.lerp((restored * survey.gain).clamp(0, 1), damage)
        change = settings.strength * (restored - original)
        channels = [to_grey(change) if tiles.shape[1] == 1 else change]
        if self.backend.has_maps:
            channels += [damage, maps[:, 1:2]]
        if self._measures_spread:
            spread = torch.stack(views)[:, :, :3].std(dim=0, correction=0).mean(dim=1, keepdim=True)
            channels += [settings.strength * spread * damaged]
        return torch.cat(channels, dim=1)

    def _look(self, tiles: Tensor, orientation: int) -> Tensor:
        """What the network says of a page as a whole, (1, 1): the mean over some of its tiles, seen upright."""

        def look(upright: Tensor) -> Tensor:
            return self.backend.look(upright)[..., None, None].expand(-1, -1, *upright.shape[-2:])

        return turned(look, orientation)(tiles)[..., 0, 0].mean(dim=0, keepdim=True)

    def _see(self, tiles: Tensor, looked: Tensor | None) -> Tensor:
        return self.backend(tiles) if looked is None else self.backend(tiles, looked)

    def _restore_tensor(self, image: Tensor) -> Tensor:
        _check(image)
        scale = _full_scale(image)
        _, height, width = image.shape
        stored = image.detach().cpu()
        if scale == 1:
            _check_range(stored)
        bands = self.bands(lambda top, bottom: stored[:, top:bottom].float() / scale, height=height, width=width)
        restored = torch.cat([band.restored for band in bands], dim=1)
        if scale > 1:
            restored = (restored * scale).round()
        return restored.to(image.device, image.dtype)

    def _restore_pillow(self, image: Image.Image) -> Image.Image:
        if image.mode in ("I", "F"):
            image = Image.fromarray(to_rgb(image))  # Pillow would cut them off at 255
        elif image.mode not in ("L", "LA", "RGB", "RGBA") and not image.mode.startswith("I;16"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        return Image.fromarray(self.restore(np.asarray(image)))


def _check(image: Tensor) -> None:
    if image.dim() != 3 or not 1 <= image.shape[0] <= 4 or 0 in image.shape:
        raise UserError(f"restore: a tensor of shape {tuple(image.shape)}; it must be (C, H, W), C from 1 to 4")


def _check_range(image: Tensor) -> None:
    if image.isnan().any():
        raise UserError("restore: some values are no numbers (NaN); replace them")
    if image.max() > 2:  # a little above 1 is rounding, or a filter that overshoots
        raise UserError(f"restore: float values up to {image.max():.4g}; divide them so that white is 1")


def _full_scale(image: Tensor) -> int:
    if image.is_floating_point():
        return 1
    scales = {torch.uint8: 255, torch.uint16: 65535}
    if image.dtype not in scales:
        raise UserError(f"restore: values of type {image.dtype}; they must be uint8, uint16, or float in [0, 1]")
    return scales[image.dtype]


def _from_array(array: NDArray[Any]) -> Tensor:
    if array.ndim not in (2, 3) or array.dtype.kind not in "uf" or array.dtype.itemsize > 8:
        raise UserError(
            f"restore: an array of shape {array.shape} and type {array.dtype}; it must be (H, W) or (H, W, C), "
            "of uint8, uint16 or float"
        )
    channels_last = array[..., None] if array.ndim == 2 else array
    native = array.dtype.newbyteorder("=")
    # A copy: it may be read-only.
    return torch.from_numpy(np.array(channels_last.transpose(2, 0, 1), native, order="C"))
