"""A small NAFNet: a convolutional peer from general image restoration, written from its paper."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from manuscript_restore.models.layers import LayerNorm2d, residual_head
from manuscript_restore.models.network import RestorationNetwork, check_levels


class SimpleGate(nn.Module):
    """One half of the channels times the other: (B, 2C, H, W) to (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x``."""
        first, second = x.chunk(2, dim=1)
        return first * second


class ChannelAttention(nn.Module):
    """Simplified channel attention: each channel is scaled by a linear function of the channels' means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``x``."""
        scaled: Tensor = x * self.scale(x)
        return scaled


class NAFBlock(nn.Module):
    """Depthwise convolution, gate and channel attention, then a gated feed-forward: (B, C, H, W) to the same.

    Source: Chen et al. 2022, figure 3c, eq. 5 and 7; both branches start at zero (their skip scales β, γ).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            LayerNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width),
            SimpleGate(),
            ChannelAttention(width),
            nn.Conv2d(width, width, 1),
        )
        self.feed_forward = nn.Sequential(
            LayerNorm2d(width), nn.Conv2d(width, 2 * width, 1), SimpleGate(), nn.Conv2d(width, width, 1)
        )
        self.mix_scale = nn.Parameter(torch.zeros(width, 1, 1))
        self.feed_forward_scale = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x``."""
        x = x + self.mix_scale * self.mix(x)
        refined: Tensor = x + self.feed_forward_scale * self.feed_forward(x)
        return refined


class NAFNet(RestorationNetwork):
    """A U-Net of NAF blocks with additive skips, the input added to the output; starts as the identity.

    Source: Chen et al. 2022, "Simple Baselines for Image Restoration". The paper's network for denoising has 32
    channels and 36 blocks (16 GMAC per 256²); the defaults here cost about as much as our small ViT.

    Args:
        image_size: Side in pixels of the training views.
        width: Channels at full resolution; they double at each level.
        encoder_blocks: Blocks at 1/1, 1/2, 1/4 and so on.
        middle_blocks: Blocks below them.
        decoder_blocks: Blocks at the same levels on the way up, from the coarsest.
        colour_head: Correct the colours as a whole first; see `ColourHead`.
    """

    def __init__(
        self,
        *,
        image_size: int = 256,
        width: int = 24,
        encoder_blocks: Sequence[int] = (1, 1, 1, 2),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        colour_head: bool = False,
    ) -> None:
        encoder_blocks = check_levels("model.encoder_blocks", encoder_blocks, positive=False)
        count = len(encoder_blocks)
        decoder_blocks = check_levels("model.decoder_blocks", decoder_blocks, count=count, positive=False)
        super().__init__(multiple=2**count, image_size=image_size, colour_head=colour_head)
        widths = [width * 2**level for level in range(count + 1)]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            _blocks(each, number) for each, number in zip(widths, encoder_blocks, strict=False)
        )
        self.downs = nn.ModuleList(nn.Conv2d(each, 2 * each, 2, stride=2) for each in widths[:-1])
        self.middle = _blocks(widths[-1], middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(each, 2 * each, 1, bias=False), nn.PixelShuffle(2))
            for each in reversed(widths[1:])
        )
        self.decoders = nn.ModuleList(
            _blocks(each, number) for each, number in zip(reversed(widths[:-1]), decoder_blocks, strict=True)
        )
        self.head = residual_head(width)

    def restore(self, padded: Tensor) -> Tensor:
        """Add the learnt residual."""
        x = self.stem(padded)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        restored: Tensor = padded + self.head(x)
        return restored


def _blocks(width: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(width) for _ in range(number)))
