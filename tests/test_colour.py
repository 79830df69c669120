"""Colour differences against scikit-image and the published pairs."""

import numpy as np
import pytest
import torch
from skimage import color

from manuscript_restore.images.colour import delta_e_2000, to_grey, to_lab


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 4, 3, 32, 32, generator=generator)
    second[0] = (first[0] + 0.02 * torch.randn(3, 32, 32, generator=generator)).clamp(0, 1)
    second[1] = first[1].mean(dim=0, keepdim=True)  # greys, which have no hue
    first[2, :, 0], second[2, :, 0] = 0, 1
    return first, second


def reference(images: torch.Tensor) -> np.ndarray:
    return color.rgb2lab(images.movedim(-3, -1).double().numpy())


def test_lab_is_scikit_images(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    lab = to_lab(pictures[0].double()).movedim(-3, -1).numpy()
    np.testing.assert_allclose(lab, reference(pictures[0]), atol=2e-3)  # its white has fewer digits


def test_delta_e_is_scikit_images(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = color.deltaE_ciede2000(*(reference(p) for p in pictures))
    np.testing.assert_allclose(delta_e_2000(*pictures).numpy(), expected, atol=0.02)
    np.testing.assert_allclose(
        delta_e_2000(*(p.double() for p in pictures)).numpy(), expected, rtol=1e-3, atol=1e-3
    )


def test_delta_e_is_a_difference(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    first, second = pictures
    assert delta_e_2000(first, first).max() < 1e-3
    torch.testing.assert_close(delta_e_2000(first, second), delta_e_2000(second, first), atol=1e-3, rtol=1e-4)
    black, white = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    assert delta_e_2000(black, white).item() == pytest.approx(100, abs=0.01)


def test_grey_is_pillows(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    from PIL import Image

    from manuscript_restore.images import to_array, to_uint8

    picture = to_uint8(pictures[0][0])
    ours = to_grey(picture.float())[0].numpy()
    np.testing.assert_allclose(ours, np.asarray(Image.fromarray(to_array(picture)).convert("L")), atol=0.6)
