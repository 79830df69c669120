"""Arrays ↔ tensors: a *tensor* is uint8 (3, H, W), a *float tensor* float32 (3, H, W) in [0, 1]."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 → float32 in [0, 1], any shape."""
    return images.to(torch.float32) / 255


def to_uint8(images: Tensor) -> Tensor:
    """Float in [0, 1] → uint8, rounded and clamped, any shape."""
    return (images.to(torch.float32).clamp(0, 1) * 255).round().to(torch.uint8)


def quantize(images: Tensor) -> Tensor:
    """Round float [0, 1] to the 256 values that an 8-bit file can hold."""
    return to_float(to_uint8(images))


def from_array(array: NDArray[np.uint8]) -> Tensor:
    """uint8 array (H, W, 3) → uint8 tensor (3, H, W), a copy."""
    return torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))


def to_array(image: Tensor) -> NDArray[np.uint8]:
    """uint8 tensor (3, H, W) → uint8 array (H, W, 3)."""
    return np.ascontiguousarray(image.detach().cpu().permute(1, 2, 0).numpy())
