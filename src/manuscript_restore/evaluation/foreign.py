"""Damage by another library, to judge by: what no training of ours can have learned from.

Kinds of Augraphy 8 (Groleau et al. 2023), with the values of its default pipeline where that has them. Left out
are those that move or resize what is on the page, write or draw on it, or leave nothing to restore.
"""

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manuscript_restore.data.sources import stable_hash
from manuscript_restore.degradation.base import check_range
from manuscript_restore.errors import UserError
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8

KINDS: Mapping[str, Mapping[str, Any]] = {
    # Ink
    "InkBleed": {"intensity_range": (0.1, 0.2), "kernel_size": (5, 5), "severity": (0.4, 0.6)},
    "BleedThrough": {"intensity_range": (0.1, 0.3), "alpha": 0.2, "offsets": (10, 20)},
    "Letterpress": {
        "n_samples": (100, 400),
        "n_clusters": (200, 400),
        "std_range": (500, 3000),
        "value_range": (150, 224),
        "value_threshold_range": (96, 128),
    },
    "LowInkRandomLines": {"count_range": (5, 10), "use_consistent_lines": False},
    "InkMottling": {"ink_mottling_alpha_range": (0.2, 0.3)},
    # Paper
    "ColorPaper": {"hue_range": (0, 255), "saturation_range": (10, 40)},
    "NoiseTexturize": {"sigma_range": (3, 10), "turbulence_range": (2, 5)},
    "BrightnessTexturize": {"texturize_range": (0.9, 0.99), "deviation": 0.03},
    "Stains": {},
    # Copying and photographing
    "ColorShift": {"color_shift_offset_x_range": (1, 2), "color_shift_offset_y_range": (1, 2)},
    "DirtyDrum": {"line_width_range": (1, 6), "line_concentration": 0.1, "noise_intensity": 0.8},
    "DirtyRollers": {"line_width_range": (2, 32), "scanline_type": 0},
    "DirtyScreen": {},
    "BadPhotoCopy": {
        "noise_value": (128, 196),
        "noise_sparsity": (0.3, 0.6),
        "noise_concentration": (0.1, 0.6),
    },
    "NoisyLines": {"noisy_lines_number_range": (5, 20)},
    "LightingGradient": {},
    "ShadowCast": {"shadow_opacity_range": (0.2, 0.9)},
    "Brightness": {"brightness_range": (0.8, 1.2)},
    "Gamma": {"gamma_range": (0.7, 1.3)},
    "LowLightNoise": {},
    "SubtleNoise": {"subtle_range": 10},
    "Jpeg": {"quality_range": (25, 95)},
}
"""Name of the class → its arguments, in the order of application."""
BLANK = 0.25
"""A kind that leaves less than this share of the page's contrast is taken back."""


class ForeignDamage(nn.Module):
    """Called as the pipelines of `manuscript_restore.degradation`: the same pages and seed give the same damage.

    Args:
        num_per_page: Fewest and most kinds that a page gets, drawn without repeating one.

    Raises:
        UserError: Augraphy is not installed, or the numbers are no range.
    """

    def __init__(self, num_per_page: Sequence[int] = (2, 4)) -> None:
        super().__init__()
        check_range("degradation.num_per_page", num_per_page, high=len(KINDS), whole=True)
        self.num_per_page = (num_per_page[0], num_per_page[1])
        self._applied: list[tuple[str, ...]] = []
        _augraphy()

    def forward(self, clean: Tensor, *, seed: int) -> Tensor:
        """(B, 3, H, W) in [0, 1] → the same, in steps of 1/255."""
        damaged, self._applied = [], []
        for index, page in enumerate(clean):
            picture, applied = self._damage(to_array(to_uint8(page)), stable_hash("foreign", seed, index))
            damaged.append(to_float(from_array(picture)))
            self._applied.append(applied)
        return torch.stack(damaged).to(clean.device)

    def applied(self, page: int = 0) -> tuple[str, ...]:
        """Names of the kinds that a page of the last call got, in order."""
        return self._applied[page]

    def _damage(self, page: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        draw = random.Random(seed)
        chosen = set(draw.sample(list(KINDS), draw.randint(*self.num_per_page)))
        picture, applied = page, []
        for kind in KINDS:
            if kind not in chosen:
                continue
            changed = _apply(kind, picture, stable_hash(seed, kind) % 2**32)
            if changed.std() >= BLANK * page.std() and not np.array_equal(changed, picture):
                picture = changed
                applied.append(kind)
        return picture, tuple(applied)


def _apply(kind: str, page: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """One kind of damage of a page (H, W, 3), RGB."""
    with _seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        augmentation = getattr(_augraphy(), kind)(**KINDS[kind], p=1)
        changed = augmentation(np.ascontiguousarray(page[..., ::-1]), force=True)  # BGR is its order
    if changed.shape != page.shape:
        raise RuntimeError(f"Augraphy's {kind} made {changed.shape} of {page.shape}")
    return np.ascontiguousarray(np.clip(changed, 0, 255).astype(np.uint8)[..., ::-1])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all the global generators that Augraphy draws from; those of Python and NumPy are put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    cv2.setRNGSeed(seed % 2**31)
    _seed_numba()(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@cache
def _seed_numba() -> Any:
    """A compiled function that seeds the generators that compiled functions draw from."""
    import numba

    def seed_all(seed: int) -> None:
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)

    return numba.njit(seed_all)


@cache
def _augraphy() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import augraphy
    except ImportError as error:
        raise UserError(
            f"degradation=foreign: is made by Augraphy, which cannot be imported ({error}); "
            "pip install 'manuscript-restore[foreign]', then pip install --no-deps augraphy==8.2.6"
        ) from error
    return augraphy
