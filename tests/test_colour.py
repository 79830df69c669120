"""Colour differences against scikit-image and the published pairs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import color

from manuscript_restore.images.colour import (
    delta_e_2000,
    hold_lightness,
    keep_support_colour,
    paper_colour,
    settle_colours,
    support_colour,
    to_grey,
    to_lab,
)

Pictures = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def pictures() -> Pictures:
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 4, 3, 32, 32), np.float32)
    second[0] = (first[0] + 0.02 * generator.standard_normal((3, 32, 32))).clip(0, 1)
    second[1] = first[1].mean(axis=0)  # greys, which have no hue
    first[2, :, 0], second[2, :, 0] = 0, 1
    return first, second


def reference(images: np.ndarray) -> np.ndarray:
    return color.rgb2lab(np.moveaxis(images, -3, -1).astype(float))


def test_lab_is_scikit_images(pictures: Pictures) -> None:
    lab = np.moveaxis(to_lab(pictures[0].astype(float)), -3, -1)
    np.testing.assert_allclose(lab, reference(pictures[0]), atol=2e-3)  # its white has fewer digits


def test_delta_e_is_scikit_images(pictures: Pictures) -> None:
    expected = color.deltaE_ciede2000(*(reference(p) for p in pictures))
    found = delta_e_2000(*pictures)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.02)
    np.testing.assert_allclose(delta_e_2000(*(p.astype(float) for p in pictures)), expected, rtol=1e-3, atol=1e-3)


def test_delta_e_is_a_difference(pictures: Pictures) -> None:
    first, second = pictures
    assert delta_e_2000(first, first).max() < 1e-3
    np.testing.assert_allclose(delta_e_2000(first, second), delta_e_2000(second, first), atol=1e-3, rtol=1e-4)
    black, white = np.zeros((3, 1, 1)), np.ones((3, 1, 1))
    assert delta_e_2000(black, white).item() == pytest.approx(100, abs=0.01)


def test_grey_is_pillows(pictures: Pictures) -> None:
    picture = np.rint(pictures[0][0] * 255).astype(np.uint8)
    ours = to_grey(picture.astype(np.float32))[0]
    expected = np.asarray(Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).convert("L"))
    np.testing.assert_allclose(ours, expected, atol=0.6)


@pytest.mark.parametrize("size", [(70, 45), (256, 256), (5, 9)])
def test_the_support_is_pytorchs_pooling(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((2, 3, *size), np.float32)
    coarse = F.avg_pool2d(torch.from_numpy(images), 4, ceil_mode=True, count_include_pad=False)
    brightest = F.max_pool2d(coarse, 8, ceil_mode=True)
    smooth = F.avg_pool2d(F.pad(brightest, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    expected = F.interpolate(smooth, size=size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(support_colour(images), expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(keep_support_colour(images, images), images, atol=1e-6)


PAPER = np.float32([0.80, 0.74, 0.62])[:, None, None]


def page(*, painted: list[float] | None = None, cast: float = 1.0) -> np.ndarray:
    """A page (1, 3, 64, 64) of paper, with a patch of paint, and a cast over all."""
    picture = np.broadcast_to(PAPER, (3, 64, 64)).copy()
    if painted is not None:
        picture[:, 16:48, 16:48] = np.float32(painted)[:, None, None]
    return picture[None] * np.float32([1, 1, cast])[:, None, None]


def hue_and_chroma(picture: np.ndarray) -> tuple[float, float]:
    """Of the middle of the page, in degrees and in CIELAB's units."""
    _, a, b = reference(picture[0])[32, 32]
    return float(np.rad2deg(np.arctan2(b, a)) % 360), float(np.hypot(a, b))


@pytest.mark.parametrize(
    ("paint", "guess"),
    [
        ([0.15, 0.25, 0.60], [0.15, 0.50, 0.55]),  # blue → teal
        ([0.70, 0.15, 0.12], [0.65, 0.45, 0.20]),  # red → ochre
        ([0.15, 0.45, 0.20], [0.40, 0.40, 0.35]),  # green → grey
    ],
)
def test_paint_keeps_its_colour(paint: list[float], guess: list[float]) -> None:
    original, restored = page(painted=paint), page(painted=guess)
    settled = settle_colours(restored, original, (PAPER, PAPER))
    hue, chroma = hue_and_chroma(original)
    found, strength = hue_and_chroma(settled)
    assert abs((found - hue + 180) % 360 - 180) < 8
    assert strength > 0.75 * chroma
    np.testing.assert_allclose(to_grey(settled), to_grey(restored), atol=0.03)  # as far as it can be shown


def test_a_colour_of_neither_page_nor_paper_goes() -> None:
    shadow = page(painted=[0.64, 0.60, 0.50])
    green = page(painted=[0.66, 0.72, 0.56])
    settled = settle_colours(green, shadow, (PAPER, PAPER))
    _, a, _ = reference(settled[0])[32, 32]
    _, was, _ = reference(green[0])[32, 32]
    assert was < -8
    assert a > -3


def test_stains_and_casts_may_go() -> None:
    clean = page()
    stained = page(painted=[0.66, 0.56, 0.42])
    np.testing.assert_allclose(settle_colours(clean, stained, (PAPER, PAPER)), clean, atol=0.02)
    yellow = page(cast=0.7)
    papers = paper_colour(yellow), paper_colour(clean)
    np.testing.assert_allclose(settle_colours(clean, yellow, papers), clean, atol=0.02)


@pytest.mark.parametrize(("stained", "cleaned", "expected"), [(0.4, 0.6, 0.6), (0.4, 0.8, 0.6), (0.7, 0.7, 0.7)])
def test_a_stain_goes_up_to_the_paper_and_no_further(stained: float, cleaned: float, expected: float) -> None:
    """On paper of 0.6: a stain that goes, one that would become a light blotch, and a place that is lighter."""
    original, restored = np.full((1, 3, 96, 96), stained), np.full((1, 3, 96, 96), cleaned)
    for picture, ink in ((original, 0.2), (restored, 0.1)):
        picture[..., 40:44, 10:80] = ink
    held = hold_lightness(restored, original, 0.6)
    np.testing.assert_allclose(held[..., 10:30, :], expected, rtol=1e-6)
    np.testing.assert_allclose(held[..., 40:44, 20:70], 0.1 * expected / cleaned, rtol=1e-6)


def test_a_picture_that_is_as_it_was_stays() -> None:
    images = np.random.default_rng(0).random((1, 3, 50, 70), np.float32)
    paper = paper_colour(images)
    np.testing.assert_allclose(settle_colours(images, images, (paper, paper)), images, atol=1e-6)


def test_the_paper_is_what_most_of_the_page_shows() -> None:
    np.testing.assert_allclose(paper_colour(page(painted=[0.1, 0.1, 0.6])), PAPER, atol=1e-6)
