"""Small layers that several networks share."""

from typing import TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of each pixel: (B, C, H, W) to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def residual_head(width: int) -> nn.Conv2d:
    """A 3×3 convolution to RGB that starts at zero: with the input added, the network starts as the identity."""
    return zero_init(nn.Conv2d(width, 3, 3, padding=1))


def zero_init(layer: Layer) -> Layer:
    """The layer, its weights and biases set to zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
