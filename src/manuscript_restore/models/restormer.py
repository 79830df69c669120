"""A small Restormer: a transformer peer from general image restoration, written from its paper."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.models.layers import LayerNorm2d, residual_head
from manuscript_restore.models.network import RestorationNetwork, check_levels


class ChannelSelfAttention(nn.Module):
    """Multi-Dconv-head transposed attention: channels attend to channels, so that the cost is linear in pixels.

    Source: Zamir et al. 2022, eq. 1.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.to_qkv = nn.Sequential(
            nn.Conv2d(width, 3 * width, 1, bias=False),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False),
        )
        self.project = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        height, width = x.shape[-2:]
        # (b, 3c, h, w) -> 3 × (b, heads, c / heads, h·w)
        query, key, value = self.to_qkv(x).flatten(2).unflatten(1, (3, self.num_heads, -1)).unbind(1)
        affinity = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-1, -2)
        mixed = (self.temperature * affinity).softmax(dim=-1) @ value
        projected: Tensor = self.project(mixed.flatten(1, 2).unflatten(-1, (height, width)))
        return projected


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward: one half, through a GELU, gates the other.

    Source: Zamir et al. 2022, eq. 2.
    """

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.expand = nn.Sequential(
            nn.Conv2d(width, 2 * hidden, 1, bias=False),
            nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False),
        )
        self.project = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        gate, content = self.expand(x).chunk(2, dim=1)
        projected: Tensor = self.project(F.gelu(gate) * content)
        return projected


class RestormerBlock(nn.Module):
    """Channel attention and gated feed-forward, each after a norm and added to what came in."""

    def __init__(self, width: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.attend = nn.Sequential(LayerNorm2d(width), ChannelSelfAttention(width, num_heads))
        self.feed_forward = nn.Sequential(LayerNorm2d(width), GatedFeedForward(width, expansion))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = x + self.attend(x)
        refined: Tensor = x + self.feed_forward(x)
        return refined


class Restormer(RestorationNetwork):
    """A U-Net of channel transformers, the input added to the output; starts as the identity.

    Source: Zamir et al. 2022, "Restormer: Efficient Transformer for High-Resolution Image Restoration". The
    paper's network has 48 channels and 44 blocks (141 GMAC per 256²); the defaults here cost about as much as our
    small ViT. Two things differ: the top level of the decoder keeps ``width`` channels, and ours starts at zero.

    Args:
        image_size: Side in pixels of the training views.
        width: Channels at full resolution; they double at each level.
        num_blocks: Blocks at 1/1, 1/2, 1/4 and so on, the same on the way up.
        num_heads: Attention heads at each level.
        refinement_blocks: Blocks after the last upsampling.
        expansion: Hidden channels of the feed-forward, relative to the width.
        colour_head: Correct the colours as a whole first; see `ColourHead`.
    """

    def __init__(
        self,
        *,
        image_size: int = 256,
        width: int = 16,
        num_blocks: Sequence[int] = (1, 1, 1, 1),
        num_heads: Sequence[int] = (1, 2, 4, 8),
        refinement_blocks: int = 1,
        expansion: float = 2.66,
        colour_head: bool = False,
    ) -> None:
        num_blocks = check_levels("model.num_blocks", num_blocks)
        num_heads = check_levels("model.num_heads", num_heads, count=len(num_blocks))
        widths = [width * 2**level for level in range(len(num_blocks))]
        for each, heads in zip(widths, num_heads, strict=True):
            if each % heads:
                raise UserError(f"model.num_heads={num_heads}: {heads} heads do not share {each} channels evenly")
        super().__init__(multiple=2 ** (len(num_blocks) - 1), image_size=image_size, colour_head=colour_head)

        def stage(level: int, number: int) -> nn.Sequential:
            return nn.Sequential(
                *(RestormerBlock(widths[level], num_heads[level], expansion) for _ in range(number))
            )

        levels = range(len(widths) - 1)
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(stage(level, number) for level, number in enumerate(num_blocks))
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(each, each // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))
            for each in widths[:-1]
        )
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(each, 2 * each, 3, padding=1, bias=False), nn.PixelShuffle(2))
            for each in reversed(widths[1:])
        )
        self.joins = nn.ModuleList(nn.Conv2d(2 * widths[level], widths[level], 1) for level in reversed(levels))
        self.decoders = nn.ModuleList(stage(level, num_blocks[level]) for level in reversed(levels))
        self.refine = stage(0, refinement_blocks)
        self.head = residual_head(width)

    def restore(self, padded: Tensor) -> Tensor:
        """Add the learnt residual."""
        x = self.encoders[0](self.stem(padded))
        skips = []
        for down, encoder in zip(self.downs, list(self.encoders)[1:], strict=True):
            skips.append(x)
            x = encoder(down(x))
        for up, join, decoder in zip(self.ups, self.joins, self.decoders, strict=True):
            x = decoder(join(torch.cat([up(x), skips.pop()], dim=1)))
        restored: Tensor = padded + self.head(self.refine(x))
        return restored
