"""From a page of any size to a square picture: the view, and the augmentation of the clean page.

The only file that knows Albumentations.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before the import, which else asks the network for a version

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from manuscript_restore.data.ink import split_ink
from manuscript_restore.errors import UserError

Page = NDArray[np.uint8]


@dataclass(frozen=True)
class Augment:
    """Random change of the clean page (``data.augment``).

    Args:
        hflip: Probability of a horizontal flip.
        vflip: Probability of a vertical flip.
        scale: Range of the enlargement of a crop; (1, 1) keeps the scan's resolution.
        photometric: Strength in [0, 1] of the variety of paper and light: at 1, brightness and contrast
            ±15 %, gamma 0.75–1.25, each colour's gain ±10 %; at 0 none.
        photometric_p: Probability of that change. The pages that keep their own tone let a network know the
            collections that it is trained on, the others keep it from taking every page for one of them.
    """

    hflip: float = 0.5
    vflip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    photometric: float = 0.0
    photometric_p: float = 1.0

    def __post_init__(self) -> None:
        for name in ("hflip", "vflip", "photometric", "photometric_p"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value <= 1):
                raise UserError(f"data.augment.{name}={value}: must be between 0 and 1")
        numbers = isinstance(self.scale, Sequence) and all(isinstance(s, int | float) for s in self.scale)
        if not (numbers and len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise UserError(f"data.augment.scale={self.scale}: must be [low, high] with 0 < low <= high")

    def compose(self) -> A.Compose:
        """Build everything but the scale, which belongs to the crop."""
        strength = self.photometric
        tone = [
            A.RandomBrightnessContrast(0.15 * strength, 0.15 * strength, p=1),
            A.RandomGamma((100 - 25 * strength, 100 + 25 * strength), p=1),
            A.MultiplicativeNoise((1 - 0.1 * strength, 1 + 0.1 * strength), per_channel=True, p=1),
        ]
        flips = [A.HorizontalFlip(p=self.hflip), A.VerticalFlip(p=self.vflip)]
        return A.Compose([*flips, A.Sequential(tone, p=self.photometric_p)] if strength else flips)


class View:
    """Turns a page into a picture, uint8 (S, S, 3); of a page with its ink as a fourth channel, (S, S, 4).

    Args:
        mode: ``"resize"``: the whole page, squeezed; ``"crop"``: a square of it at its own resolution,
            mirrored outwards where the page is smaller.
        image_size: S.
        augment: Change of the training pages.
    """

    def __init__(self, mode: str, image_size: int, augment: Augment | None = None) -> None:
        augment = augment or Augment()
        if mode not in ("resize", "crop"):
            raise UserError(f"data.view={mode}: must be resize or crop")
        if mode == "resize" and tuple(augment.scale) != (1, 1):
            raise UserError("data.augment.scale: has no meaning with data.view=resize; use data.view=crop")
        self.mode, self.size = mode, image_size
        self.scale_low, self.scale_high = augment.scale
        self.compose = augment.compose()

    @property
    def tag(self) -> str:
        """Identity of `prepare`, for a cache."""
        return f"resize-{self.size}" if self.mode == "resize" else "whole"

    def prepare(self, page: Page) -> Page:
        """Do what is the same in every epoch: shrink the page (resize), or nothing (crop)."""
        return _resize(page, self.size) if self.mode == "resize" else page

    def train(self, page: Page, key: Sequence[int]) -> Page:
        """Random picture of a prepared page: a pure function of the page and the key (seed, epoch, index)."""
        rng = reseed(self.compose, *key)
        if self.mode == "crop":
            window = max(1, round(self.size / rng.uniform(self.scale_low, self.scale_high)))
            page = _resize(_crop(page, window, rng), self.size)
        colours, ink = split_ink(page)
        if ink is None:
            augmented: Page = self.compose(image=np.array(colours))["image"]
            return augmented
        both = self.compose(image=np.array(colours), mask=np.array(ink))
        return np.dstack([both["image"], both["mask"]])

    def fixed(self, page: Page, key: Sequence[int]) -> Page:
        """Picture of a prepared page without augmentation; the key alone places a crop."""
        return page if self.mode == "resize" else _crop(page, self.size, np.random.default_rng(key))


def reseed(compose: A.Compose, *key: int) -> np.random.Generator:
    """Give a composition the one random state that belongs to the key, and return it.

    ``set_random_seed`` would give every transform a generator of its own with the same seed: their draws
    correlate. Unseeded, the workers repeat each other.
    """
    numpy_seed, python_seed = np.random.SeedSequence(key).spawn(2)
    rng = np.random.default_rng(numpy_seed)
    compose.set_random_state(rng, random.Random(int(python_seed.generate_state(1, np.uint64)[0])))
    return rng


def _resize(page: Page, size: int) -> Page:
    height, width = page.shape[:2]
    # INTER_AREA is right for shrinking only; a narrow page shrinks along one side and grows along the other.
    shrunk = cv2.resize(page, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    resized: Page = cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_CUBIC)
    return resized


def _crop(page: Page, size: int, rng: np.random.Generator) -> Page:
    top, left = (int(rng.integers(max(side - size, 0) + 1)) for side in page.shape[:2])
    window = np.ascontiguousarray(page[top : top + size, left : left + size])
    down, right = size - window.shape[0], size - window.shape[1]
    border = (down // 2, down - down // 2, right // 2, right - right // 2)
    picture: Page = cv2.copyMakeBorder(window, *border, cv2.BORDER_REFLECT_101)
    return picture
