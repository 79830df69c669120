"""The public face: a trained network as a function from a page to a restored page, of any size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from manuscript_restore.checkpoint import ModelIdentity, find_released, identify, load_model
from manuscript_restore.errors import UserError
from manuscript_restore.images import to_rgb
from manuscript_restore.images.colour import keep_support_colour, to_grey
from manuscript_restore.inference.backends import Backend, TorchBackend
from manuscript_restore.inference.evidence import Band, change, confidence
from manuscript_restore.inference.tiling import ReadRows, Tiling, restore_rows
from manuscript_restore.inference.tone import Tone, fit_tone, follow, sample_starts

SAMPLES = (4, 3)
"""Tiles down and across that decide on a page's tone."""
Picture = TypeVar("Picture", Image.Image, NDArray[Any], Tensor)
VIEW_SHIFT = 8
"""Pixels by which each view of an ensemble is shifted: half a patch, so that the patches fall elsewhere."""


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
    """

    strength: float = 1.0
    keep_colour: bool = False
    flips: bool = False
    confidence: bool = False
    page_tone: bool = True
    tile: int = 256
    overlap: int = 32
    batch: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise UserError(f"strength={self.strength}: must be between 0 and 1")
        Tiling(self.tile, self.overlap, self.batch or 1)  # checks them


@dataclass(frozen=True)
class Restored:
    """A restored page with its evidence, all float32; see `manuscript_restore.inference.evidence`.

    ``image`` is (3, H, W) in [0, 1], ``change`` (H, W) in CIEDE2000, ``confidence`` (H, W) in [0, 1] or None.
    """

    image: Tensor
    change: Tensor
    confidence: Tensor | None


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
        settings: Settings | None = None,
    ) -> Self:
        """Load a training checkpoint or the folder of a released model; nothing in the file is executed.

        Raises:
            UserError: The file is missing, damaged or of another project, or the device is not there.
        """
        backend = TorchBackend(load_model(path), device=device, precision=precision, compile=compile)
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
        """Restore a float tensor (3, H, W) in [0, 1] and say where, how much and how surely it changed."""
        _check(image)
        if not image.is_floating_point():
            raise UserError(f"restore: values of type {image.dtype}; evidence takes float in [0, 1]")
        _, height, width = image.shape
        image = image.detach().cpu().float()
        bands = list(self.bands(lambda top, bottom: image[:, top:bottom], height=height, width=width))
        spreads = [confidence(band.spread) for band in bands if band.spread is not None]
        return Restored(
            image=torch.cat([band.restored for band in bands], dim=1),
            change=torch.cat([change(band) for band in bands]),
            confidence=torch.cat(spreads) if spreads else None,
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
        tone = self._look(read, height, width, orientation)
        latest = torch.empty(0)  # the rows that were read last, with their alpha

        def read_colours(top: int, bottom: int) -> Tensor:
            nonlocal latest
            latest = read(top, bottom)
            return latest[: 1 if latest.shape[0] < 3 else 3]

        restore = _turned(lambda tiles: self._restore_tiles(tiles, tone), orientation)
        for top, rows in restore_rows(read_colours, restore, height=height, width=width, tiling=self.tiling):
            original = latest[:, : rows.shape[1]]
            num_colours = 1 if original.shape[0] < 3 else 3
            restored = torch.cat([rows[:num_colours], original[num_colours:]])  # alpha as it was
            yield Band(top, original, restored, rows[-1] if self._measures_spread else None)

    @property
    def _measures_spread(self) -> bool:
        return self.settings.flips or self.settings.confidence

    def _look(self, read: ReadRows, height: int, width: int, orientation: int) -> Tone | None:
        """What the network makes of this page's colours, from a few of its tiles."""
        tile = self.settings.tile
        if not self.settings.page_tone or max(height, width) <= tile:
            return None
        sampled = []
        for top in sample_starts(height, tile=tile, count=SAMPLES[0]):
            rows = read(top, min(height, top + tile))
            rows = rows[: 1 if rows.shape[0] < 3 else 3].expand(3, -1, -1)
            columns = sample_starts(width, tile=tile, count=SAMPLES[1])
            tiles = torch.stack([rows[..., left : left + tile] for left in columns])
            sampled.append((tiles, _turned(self.backend, orientation)(tiles)))
        return fit_tone(*(torch.cat(tiles) for tiles in zip(*sampled, strict=True)))

    def _restore_tiles(self, tiles: Tensor, tone: Tone | None) -> Tensor:
        """(B, 1 or 3, h, w) → restored (B, the same, h, w), with one more channel, the spread, if measured."""
        settings = self.settings
        original = tiles.expand(-1, 3, -1, -1)
        views = [self.backend(original)]
        if self._measures_spread:
            views += [_as_view(self.backend, original, axes) for axes in ((-1,), (-2,), (-1, -2))]
        restored = torch.stack(views).mean(dim=0) if settings.flips else views[0]
        if tone:
            restored = follow(tone, restored, original)
        if settings.keep_colour:
            restored = keep_support_colour(restored, original)
        if settings.strength < 1:
            restored = torch.lerp(original, restored, settings.strength)
        if tiles.shape[1] == 1:
            restored = to_grey(restored)
        if len(views) == 1:
            return restored
        spread = torch.stack(views).std(dim=0, correction=0).mean(dim=1, keepdim=True)
        return torch.cat([restored, settings.strength * spread], dim=1)

    def _restore_tensor(self, image: Tensor) -> Tensor:
        _check(image)
        scale = _full_scale(image)
        _, height, width = image.shape
        stored = image.detach().cpu()
        if scale == 1 and stored.max() > 2:  # a little above 1 is rounding, or a filter that overshoots
            raise UserError(f"restore: float values up to {stored.max():.4g}; divide them so that white is 1")
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


def _as_view(backend: Backend, tiles: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Restore flipped and shifted tiles, and bring the result back."""
    flipped = tiles.flip(axes)
    shift = (VIEW_SHIFT * (-1 in axes), 0, VIEW_SHIFT * (-2 in axes), 0)  # left, right, top, bottom
    restored = backend(torch.nn.functional.pad(flipped, shift, mode="replicate"))
    return restored[..., shift[2] :, shift[0] :].flip(axes)


# EXIF orientation → (flip of rows, flip of columns, transpose), applied in this order to what is stored.
_UPRIGHT = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}


def _turned(restore: Callable[[Tensor], Tensor], orientation: int) -> Callable[[Tensor], Tensor]:
    """``restore`` for tiles that are stored turned: it sees them upright."""
    rows, columns, transpose = _UPRIGHT.get(orientation, _UPRIGHT[1])
    axes = [axis for axis, flipped in ((-2, rows), (-1, columns)) if flipped]

    def turned(tiles: Tensor) -> Tensor:
        upright = tiles.flip(axes)
        if not transpose:
            return restore(upright).flip(axes)
        return restore(upright.transpose(-1, -2)).transpose(-1, -2).flip(axes)

    return turned


def _check(image: Tensor) -> None:
    if image.dim() != 3 or not 1 <= image.shape[0] <= 4 or 0 in image.shape:
        raise UserError(f"restore: a tensor of shape {tuple(image.shape)}; it must be (C, H, W), C from 1 to 4")


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
