"""Blank leaves: any size, the colours of old leaf, paper and skin, a texture that is theirs."""

import cv2
import numpy as np
import pytest

from manuscript_restore.synthesis.supports import KINDS, draw_size, draw_support


def draw(kind, seed=0, size=(300, 500), **options):
    return draw_support(np.random.default_rng(seed), kind, *size, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(32, 32), (40, 600), (601, 35), (97, 1501)])
@pytest.mark.parametrize("wild", [False, True])
def test_any_size(kind, size, wild):
    for seed in range(4):
        support = draw(kind, seed, size, wild=wild)
        assert support.image.shape == (*size, 3)
        assert support.image.dtype == np.uint8
        assert support.grain.shape == size
        assert support.grain.dtype == np.float32
        left, top, right, bottom = support.area
        assert 0 <= left < right <= size[1]
        assert 0 <= top < bottom <= size[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_support_depends_on_its_generator_alone(kind):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = draw(kind, 5), draw(kind, 5)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.grain, two.grain)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert (one.image != draw(kind, 6).image).mean() > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_old_supports_are_light_and_yellowish(kind):
    for seed in range(12):
        support = draw(kind, seed)
        left, top, right, bottom = (int(side) for side in support.area)
        red, green, blue = np.median(support.image[top + 20 : bottom - 20, left + 20 : right - 20], axis=(0, 1))
        assert red >= green >= blue
        assert red > (75 if kind == "palm_leaf" else 150)  # of the darkest real ones: 89 and 187


@pytest.mark.parametrize("kind", KINDS)
def test_wild_supports_have_every_lightness_and_many_colours(kind):
    tones = []
    for seed in range(40):
        support = draw(kind, seed, wild=True)
        left, top, right, bottom = (int(side) for side in support.area)
        leaf = support.image[top + 20 : bottom - 20, left + 20 : right - 20]
        tones.append(
            cv2.cvtColor(np.median(leaf, axis=(0, 1))[None, None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
        )
    light, a, b = np.array(tones).reshape(-1, 3).T
    assert light.min() < 48
    assert light.max() > 84
    assert light.std() > 10
    assert b.min() < 8  # greyish
    assert b.max() > 22  # brown or yellow
    assert a.max() < 40


def test_wild_leaves_lie_on_grounds_flat_and_rough_dark_and_light():
    grounds = []
    for seed in range(60):
        corner = draw("paper", seed, (300, 400), wild=True).image[:6, :6].reshape(-1, 3).astype(float)
        grounds.append((corner.mean(), corner.std(axis=0).max()))
    light, rough = np.transpose(grounds)
    assert (light[rough == 0] < 30).any()
    assert (light[rough == 0] > 225).any()
    assert (light[rough > 0.5] < 60).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_grain_is_normal(kind):
    for seed in range(4):
        grain = draw(kind, seed, (400, 700)).grain
        assert abs(grain.mean()) < 0.05
        assert grain.std() == pytest.approx(1, abs=0.1)


def test_a_leaf_has_veins_along_it_and_paper_has_none():
    """Ratio of the changes across the length to those along it."""
    ratios = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for seed in range(10):
            support = draw(kind, seed, (500, 900))
            light = cv2.GaussianBlur(support.image[100:400, 100:800].mean(axis=2), (0, 0), 1.5)
            ratios[kind].append(np.abs(np.diff(light, axis=0)).mean() / np.abs(np.diff(light, axis=1)).mean())
    assert np.median(ratios["palm_leaf"]) > 1.3
    assert np.median(ratios["parchment"]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ["paper", "parchment"])
def test_the_texture_is_neither_white_noise_nor_blurred(kind):
    """Correlation of pixels 1 and 3 apart; blank places of real pages have 0.5 to 0.78 and 0.05 to 0.35."""
    found = []
    for seed in range(8):
        light = draw(kind, seed, (400, 600)).image[100:300, 100:500].mean(axis=2)
        light -= cv2.GaussianBlur(light, (0, 0), 11)
        found.append([(light[:, lag:] * light[:, :-lag]).mean() / (light**2).mean() for lag in (1, 3)])
    near, far = np.median(found, axis=0)
    assert 0.5 < near < 0.78
    assert 0.05 < far < 0.35


def test_string_holes_lie_in_the_leaf_and_differ_from_it():
    found = 0
    for seed in range(20):
        support = draw("palm_leaf", seed, (300, 1800))
        left, top, right, bottom = support.area
        for x, y, radius in support.holes:
            assert left + radius < x < right - radius
            assert top + radius < y < bottom - radius
            inside = float(support.image[round(y), round(x)].mean())
            around = float(np.median(support.image[round(y) - 60 : round(y) + 60, round(x) - 60 : round(x) + 60]))
            found += abs(inside - around) > 25
    assert found >= 15
    assert not draw("paper").holes


def test_the_same_is_seen_through_both_holes():
    supports = [draw("palm_leaf", seed, (300, 1800)) for seed in range(12)]
    pairs = [support for support in supports if len(support.holes) == 2]
    assert pairs
    for support in pairs:
        one, two = (support.image[round(y), round(x)].astype(int) for x, y, _ in support.holes)
        assert np.abs(one - two).max() <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_area_is_leaf_up_to_its_sides(kind):
    for seed in range(10):
        support = draw(kind, seed, (400, 1200))
        left, top, right, bottom = (int(side) for side in support.area)
        leaf = np.median(support.image[top + 40 : bottom - 40, left + 40 : right - 40], axis=(0, 1))
        middle = slice(left + (right - left) // 5, right - (right - left) // 5)
        for row in (top + 12, bottom - 13):
            assert np.abs(np.median(support.image[row, middle], axis=0) - leaf).max() < 70  # a worn edge is darker


@pytest.mark.parametrize("kind", KINDS)
def test_natural_sizes(kind):
    sizes = np.array([draw_size(np.random.default_rng(seed), kind) for seed in range(50)])
    aspect = np.median(sizes[:, 1] / sizes[:, 0])
    low, high = {"palm_leaf": (5, 9), "paper": (1.5, 2.8), "parchment": (0.6, 0.8)}[kind]
    assert low < aspect < high
    assert sizes.min() >= 200
    assert sizes.prod(axis=1).max() < 6e6


def test_a_photograph_is_taken_for_the_texture():
    blue = np.zeros((100, 120, 3), np.uint8) + np.array([60, 90, 180], np.uint8)
    blue[::2] += 10
    for seed in range(3):
        support = draw("paper", seed, texture=blue)
        centre = np.median(support.image[100:200, 150:350], axis=(0, 1))
        np.testing.assert_allclose(centre, [65, 95, 185], rtol=0.12)
        assert support.grain.std() == pytest.approx(1, abs=0.1)


def test_an_unknown_kind_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"papyrus.*palm_leaf, paper, parchment"):
        draw("papyrus")
