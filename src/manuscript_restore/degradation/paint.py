"""Ways to lay fields on pages and to inspect pages. Most work page by page: a page fits into a CPU's cache."""

import torch
from torch import Tensor

from manuscript_restore.degradation.fields import column, scale_to


def absorb(pages: list[Tensor], cover: Tensor, colour: Tensor) -> Tensor:
    """Multiply the pages by what a stain lets through: 1 where nothing covers, its colour where it covers wholly.

    Args:
        pages: (3, H, W), changed in place.
        cover: (b, 1, h, w) in [0, 1], scaled up to the pages.
        colour: (b, 3) or (1, 3), what a full cover lets through.

    Returns:
        The cover.
    """
    taken = (column(colour, cover) - 1).expand(len(pages), -1, -1, -1)
    for page, each, colours in zip(pages, cover, taken, strict=True):
        page *= scale_to(each[None], page.shape[-2:])[0].clamp(0, 1) * colours + 1
    return cover


def lay_over(pages: list[Tensor], cover: Tensor, colour: Tensor) -> Tensor:
    """Cover the pages with an opaque colour.

    Args:
        pages: (3, H, W), changed in place.
        cover: (b, 1, h, w) in [0, 1], scaled up to the pages.
        colour: (b, 3) or (b, 3, h, w), grey with 1 channel for 3; or the same for all pages.

    Returns:
        The cover.
    """
    size = pages[0].shape[-2:]
    if colour.dim() == 2:
        colour = column(colour, cover)
    colours = colour.expand(len(pages), *colour.shape[1:])
    for page, each, paint in zip(pages, cover, colours, strict=True):
        opacity = scale_to(each[None], size)[0].clamp(0, 1)
        page *= 1 - opacity
        page += opacity * scale_to(paint[:, None], size)[:, 0]
        page.clamp_(0, 1)  # rounding of half-precision pages
    return cover


def multiply(pages: list[Tensor], gain: Tensor) -> None:
    """Multiply the pages in place by a gain (b, 1 or 3, h, w), scaled up; what exceeds white is cut off."""
    for page, each in zip(pages, gain, strict=True):
        page *= scale_to(each[:, None], page.shape[-2:])[:, 0]
        page.clamp_(0, 1)


def grey(page: Tensor) -> Tensor:
    """Luminance (1, H, W) in float32 of a page (3, H, W), by the weights of BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=page.device)
    return torch.einsum("c,chw->hw", weights, page.float())[None]


def darkest(page: Tensor) -> Tensor:
    """The darkest of each pixel's 3×3 neighbours, (c, H, W), as shifted minima: F.max_pool2d is slow on a CPU."""
    for dim in (-1, -2):
        side = page.shape[dim]
        low = page.clone()
        low.narrow(dim, 1, side - 1).copy_(
            torch.minimum(page.narrow(dim, 1, side - 1), page.narrow(dim, 0, side - 1))
        )
        kept = low.narrow(dim, 0, side - 1)
        kept.copy_(torch.minimum(kept, page.narrow(dim, 1, side - 1)))
        page = low
    return page


def soften(field: Tensor) -> Tensor:
    """Average each 3×3 neighbourhood of (…, H, W), weighted 1-2-1 each way; borders are repeated."""
    for dim in (-1, -2):
        side = field.shape[dim]
        soft = 2 * field
        soft.narrow(dim, 1, side - 1).add_(field.narrow(dim, 0, side - 1))
        soft.narrow(dim, 0, side - 1).add_(field.narrow(dim, 1, side - 1))
        soft.select(dim, 0).add_(field.select(dim, 0))
        soft.select(dim, -1).add_(field.select(dim, -1))
        field = soft.mul_(0.25)
    return field
