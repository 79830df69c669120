"""Colour differences against scikit-image and the published pairs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import color

from manuscript_restore.images.colour import delta_e_2000, keep_support_colour, support_colour, to_grey, to_lab

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
