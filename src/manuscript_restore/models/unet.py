"""A plain convolutional U-Net: the peer that shows what the transformer is worth."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from manuscript_restore.models.layers import residual_head
from manuscript_restore.models.network import RestorationNetwork, check_levels


class UNet(RestorationNetwork):
    """Double 3×3 convolutions with skips at every scale; learns a residual, and starts as the identity.

    Source: Ronneberger et al. 2015, with padding, stride-2 convolutions down, transposed ones up, and the input
    added to the output.

    Args:
        image_size: Side in pixels of the training views.
        widths: Channels at scales 1/1, 1/2, 1/4 and so on.
        colour_head: Correct the colours as a whole first; see `ColourHead`.
    """

    def __init__(
        self, *, image_size: int = 256, widths: Sequence[int] = (16, 32, 64, 128, 128), colour_head: bool = False
    ) -> None:
        widths = check_levels("model.widths", widths)
        super().__init__(multiple=2 ** (len(widths) - 1), image_size=image_size, colour_head=colour_head)
        pairs = list(pairwise(widths))
        self.stem = _double_conv(3, widths[0])
        self.downs = nn.ModuleList(nn.Conv2d(high, low, 2, stride=2) for high, low in pairs)
        self.encoders = nn.ModuleList(_double_conv(low, low) for _, low in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, stride=2) for high, low in reversed(pairs))
        self.decoders = nn.ModuleList(_double_conv(2 * high, high) for high, _ in reversed(pairs))
        self.head = residual_head(widths[0])

    def restore(self, padded: Tensor) -> Tensor:
        """Add the learnt residual."""
        x = self.stem(padded - 0.5)
        skips = []
        for down, encoder in zip(self.downs, self.encoders, strict=True):
            skips.append(x)
            x = encoder(down(x))
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(torch.cat([up(x), skips.pop()], dim=1))
        restored: Tensor = padded + self.head(x)
        return restored


def _double_conv(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(width_out, width_out, 3, padding=1),
        nn.GELU(),
    )
