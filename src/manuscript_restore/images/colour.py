"""How different two colours look: sRGB → CIELAB → CIEDE2000. All on the last three axes (3, H, W)."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Linear sRGB → XYZ, relative to the D65 white (IEC 61966-2-1).
_TO_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])
_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's mode L


def to_grey(images: Tensor) -> Tensor:
    """(…, 3, H, W) in [0, 1] → luma (…, 1, H, W), weighted as ITU-R BT.601 does."""
    return (images * _LUMA.to(images)[:, None, None]).sum(dim=-3, keepdim=True)


def to_lab(images: Tensor) -> Tensor:
    """sRGB (…, 3, H, W) in [0, 1] → CIELAB: L in [0, 100], a and b about ±100; white D65.

    Source: CIE 15:2004; sRGB after IEC 61966-2-1.
    """
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055).clamp(min=0) ** 2.4, images / 12.92)
    to_xyz = (_TO_XYZ / _WHITE[:, None]).to(images)
    xyz = torch.einsum("ij,...jhw->...ihw", to_xyz, linear)
    # The cube root is not differentiable at 0, nor needed below the linear part's limit.
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(dim=-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def delta_e_2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 colour difference of two sRGB pictures: (…, 3, H, W) in [0, 1] → (…, H, W), ≥ 0.

    About 1 is just visible side by side, 100 is black against white.

    Source: Sharma, Wu & Dalal 2005, eq. 2–22, with k_L = k_C = k_H = 1.
    """
    l1, a1, b1 = to_lab(first).unbind(dim=-3)
    l2, a2, b2 = to_lab(second).unbind(dim=-3)
    c7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * (c7 / (c7 + 25.0**7)).sqrt()
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1), torch.atan2(b2, a2)

    turn = torch.remainder(h2 - h1 + torch.pi, 2 * torch.pi) - torch.pi  # the shorter way round
    grey = c1 * c2 == 0  # a grey has no hue
    turn = turn.masked_fill(grey, 0)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = torch.where(grey, h1 + h2, h1 + turn / 2)

    t = (
        1
        - 0.17 * torch.cos(hue - torch.pi / 6)
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + torch.pi / 30)
        - 0.20 * torch.cos(4 * hue - 63 * torch.pi / 180)
    )
    centred = (lightness - 50) ** 2
    s_l = 1 + 0.015 * centred / (20 + centred).sqrt()
    s_c, s_h = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    degrees = torch.remainder(torch.rad2deg(hue), 360)
    rotation = torch.deg2rad(60 * torch.exp(-(((degrees - 275) / 25) ** 2)))
    c7 = chroma**7
    r_t = -2 * (c7 / (c7 + 25.0**7)).sqrt() * torch.sin(rotation)
    dl, dc, dh = dl / s_l, dc / s_c, dh / s_h
    return (dl**2 + dc**2 + dh**2 + r_t * dc * dh).clamp(min=0).sqrt()


def support_colour(images: Tensor, *, block: int = 32) -> Tensor:
    """The colour of the writing support at each pixel, as if nothing were written: (B, 3, H, W) → the same.

    Ink is darker than what it lies on: the support is the brightest of the 4×4 means in each ``block``, smoothed.
    Stains larger than a block belong to it.
    """
    height, width = images.shape[-2:]
    coarse = F.avg_pool2d(images, 4, ceil_mode=True, count_include_pad=False)
    brightest = F.max_pool2d(coarse, block // 4, ceil_mode=True)
    smooth = F.avg_pool2d(F.pad(brightest, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return F.interpolate(smooth, size=(height, width), mode="bilinear", align_corners=False)


def keep_support_colour(restored: Tensor, original: Tensor) -> Tensor:
    """Lay the restored ink on the original's own support: (B, 3, H, W) in [0, 1], both and the result.

    Per channel, ``restored`` is scaled by the ratio of the two support colours: support becomes the original's,
    ink, which is near black, hardly changes.
    """
    ratio = support_colour(original).clamp(min=1e-3) / support_colour(restored).clamp(min=1e-3)
    return (restored * ratio.clamp(0.25, 4)).clamp(0, 1)
