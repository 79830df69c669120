"""Generated pages: the same everywhere, all sizes, and with something on them."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from manuscript_restore.synthesis import generate_page

HEIGHT, WIDTH = 192, 288  # a whole page seen from afar


def _page(index: int, seed: int = 7) -> NDArray[np.uint8]:
    return generate_page(seed, index, height=HEIGHT, width=WIDTH)


def test_a_page_depends_on_nothing_but_its_number() -> None:
    later = [_page(i) for i in (2, 0)]
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    np.testing.assert_array_equal(_page(0), later[1])
    np.testing.assert_array_equal(_page(2), later[0])


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    _page(0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def test_another_process_draws_the_same_page() -> None:
    code = (
        "import hashlib; from manuscript_restore.synthesis import generate_page as g;"
        f"print(hashlib.sha256(g(7, 3, height={HEIGHT}, width={WIDTH}).tobytes()).hexdigest())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == hashlib.sha256(_page(3).tobytes()).hexdigest()


def test_index_and_seed_both_change_the_page() -> None:
    assert (_page(0) != _page(1)).mean() > 0.5
    assert (_page(0, seed=7) != _page(0, seed=8)).mean() > 0.5
    assert (_page(1, seed=0) != _page(0, seed=1)).mean() > 0.5


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (40, 600), (601, 35), (255, 129)])
def test_any_size(size: tuple[int, int]) -> None:
    for index in range(5):  # every kind of support
        page = generate_page(0, index, height=size[0], width=size[1])
        assert page.shape == (*size, 3)
        assert page.dtype == np.uint8


def test_the_default_is_a_wide_scan() -> None:
    assert generate_page(0, 0).shape == (768, 1152, 3)


def test_too_small_is_refused_with_the_limit() -> None:
    with pytest.raises(ValueError, match=r"31x64.*32x32"):
        generate_page(0, 0, height=31, width=64)


def test_there_is_ink_on_a_support() -> None:
    for index in range(8):
        grey = _page(index).mean(axis=2)
        share = (grey < 0.65 * np.median(grey)).mean()  # of pixels clearly darker than the support
        assert 0.01 < share < 0.4, f"page {index}: {share:.3f} of it is dark"
        assert grey.std() > 8


def test_supports_range_from_near_white_to_brown() -> None:
    colours = np.array([np.median(_page(index).reshape(-1, 3), axis=0) for index in range(16)])
    assert colours.max(axis=0).mean() > 215
    assert colours.min(axis=0).mean() < 160
    assert (colours[:, 0] > colours[:, 2]).all()  # aged: yellow to brown, never blue
