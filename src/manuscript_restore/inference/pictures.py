"""Pictures of every kind that is restored: Pillow's, arrays and tensors, as arrays (C, H, W) and back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from manuscript_restore.errors import UserError
from manuscript_restore.images import as_floats, to_rgb

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """A picture's numbers.

    Args:
        pixels: (C, H, W) of uint8, uint16 or a float, C from 1 to 4.
        scale: What stands for white in them: 255, 65535 or 1.
        back: Makes a picture of the first kind of an array of the same shape and type.
    """

    pixels: NDArray[Any]
    scale: int
    back: Callable[[NDArray[Any]], Any]


def as_stored(picture: Any) -> Stored:
    """The numbers of a picture of any kind that `Restorer.restore` takes.

    Raises:
        UserError: Another shape or type.
    """
    if isinstance(picture, Image.Image):
        return _of_pillow(picture)
    return _of_tensor(picture) if is_tensor(picture) else _of_array(np.asarray(picture))


def _of_pillow(image: Image.Image) -> Stored:
    if image.mode in ("I", "F"):
        image = Image.fromarray(to_rgb(image))  # Pillow would cut them off at 255
    elif image.mode not in ("L", "LA", "RGB", "RGBA") and not image.mode.startswith("I;16"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    stored = _of_array(np.asarray(image))
    return Stored(stored.pixels, stored.scale, lambda restored: Image.fromarray(stored.back(restored)))


def _of_tensor(image: "Tensor") -> Stored:
    check_shape(image.shape)
    scale = _full_scale(str(image.dtype).removeprefix("torch."))
    pixels = as_floats(image) if scale == 1 else image.detach().cpu().numpy()
    return Stored(pixels, scale, lambda restored: to_tensor(restored).to(image.device, image.dtype))


def _of_array(array: NDArray[Any]) -> Stored:
    if array.ndim not in (2, 3) or array.dtype.kind not in "uf" or array.dtype.itemsize > 8:
        raise UserError(
            f"restore: an array of shape {array.shape} and type {array.dtype}; it must be (H, W) or (H, W, C), "
            "of uint8, uint16 or float"
        )
    pixels = (array[..., None] if array.ndim == 2 else array).transpose(2, 0, 1)
    check_shape(pixels.shape)
    scale = _full_scale(array.dtype.name)
    return Stored(pixels, scale, lambda restored: restored.transpose(1, 2, 0).reshape(array.shape))


def is_tensor(picture: Any) -> "TypeGuard[Tensor]":
    """Whether it is one of PyTorch, which need not be there."""
    return hasattr(picture, "detach")


def to_tensor(array: NDArray[Any]) -> "Tensor":
    """On the CPU, of the same memory."""
    import torch  # there already: whoever gives a tensor has it

    return torch.from_numpy(array)


def check_shape(shape: Sequence[int]) -> None:
    """Refuse what is not (C, H, W).

    Raises:
        UserError: It is not.
    """
    if len(shape) != 3 or not 1 <= shape[0] <= 4 or 0 in shape:
        raise UserError(f"restore: a picture of shape {tuple(shape)}; it must be (C, H, W), C from 1 to 4")


def check_range(floats: NDArray[Any]) -> None:
    """Refuse floats that are not in [0, 1].

    Raises:
        UserError: They are not, or are no numbers.
    """
    if np.isnan(floats).any():
        raise UserError("restore: some values are no numbers (NaN); replace them")
    # A little above 1 or below 0 is rounding, or a filter that overshoots.
    if (most := floats.max()) > 2:
        raise UserError(f"restore: float values up to {most:.4g}; divide them so that white is 1")
    if (least := floats.min()) < -1:
        raise UserError(f"restore: float values down to {least:.4g}; shift and scale them so that black is 0")


def _full_scale(name: str) -> int:
    if "float" in name:
        return 1
    scales = {"uint8": 255, "uint16": 65535}
    if name not in scales:
        raise UserError(f"restore: values of type {name}; they must be uint8, uint16, or float in [0, 1]")
    return scales[name]
