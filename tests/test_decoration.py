"""What is painted on a page and lies on its picture: which of it is ink, and that it is seen."""

import cv2
import numpy as np
import pytest

from manuscript_restore.synthesis import PageGenerator, surroundings
from manuscript_restore.synthesis.figures import FIGURES, rectangle
from manuscript_restore.synthesis.layout import keep_free
from manuscript_restore.synthesis.painting import CARBON, RUBRICS, WHITE, Paint, ink_mask, pick
from manuscript_restore.synthesis.scribe import Inks, Slot, constant
from manuscript_restore.synthesis.supports import draw_support

SIZE = (400, 560)


def solid(left, top, right, bottom, **options):
    coverage = np.full((bottom - top, right - left), 255, np.uint8)
    return Paint(coverage, (top, left), WHITE, **{"opacity": 1.0, "is_ink": False, **options})


def test_lines_are_ink_and_fields_are_not():
    inks = Inks.blank(60, 100)
    inks.dark[20:30, 10:20] = 255
    inks.red[20:30, 40:50] = 255
    field = solid(0, 0, 100, 60)
    line = solid(70, 5, 80, 55, is_ink=True)
    mask = ink_mask(inks, [line, field])
    assert mask.sum() == 200  # the field hides the line below it; the writing stands on the field
    assert mask[25, 15]
    assert mask[25, 45]
    assert ink_mask(inks, [field, line])[5:55, 70:80].all()


def test_a_seal_hides_what_it_covers_and_a_stamp_adds_to_it():
    inks = Inks.blank(60, 100)
    inks.dark[:, 10:20] = 255
    assert ink_mask(inks, [solid(0, 0, 100, 30, on_top=True)]).sum() == 300
    assert ink_mask(inks, [solid(30, 0, 40, 30, on_top=True, is_ink=True)]).sum() == 900


def test_a_rubric_is_seen_on_its_leaf():
    rng = np.random.default_rng(0)
    for leaf in [(0.8, 0.62, 0.25), (0.6, 0.14, 0.1), (0.9, 0.9, 0.85), (0.1, 0.1, 0.1)]:
        for _ in range(20):
            colour = pick(rng, RUBRICS, beside=leaf)
            assert colour == CARBON or max(abs(a - b) for a, b in zip(colour, leaf, strict=True)) > 0.2


def test_text_keeps_clear_of_a_box():
    slots = [Slot(constant(y), [(0.0, 400.0)]) for y in (50, 150, 250)]
    keep_free(slots, (100, 130, 220, 180), 10)
    assert slots[0].spans == slots[2].spans == [(0, 400)]
    assert slots[1].spans == [(0, 95), (225, 400)]
    keep_free(slots, (-50, 0, 500, 300), 10)
    assert not any(slot.spans for slot in slots)


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_have_their_size(figure):
    for seed in range(5):
        points = np.concatenate(figure(np.random.default_rng(seed), np.array([100.0, 50.0]), 40.0))
        assert points.shape[1] == 2
        assert np.abs(points.mean(axis=0) - (100, 50)).max() < 40
        assert 15 < np.ptp(points, axis=0).max() < 250


def test_rectangle():
    np.testing.assert_array_equal(rectangle((1, 2, 5, 8)), [(1, 2), (5, 2), (5, 8), (1, 8)])


@pytest.mark.parametrize(
    "draw", [surroundings._ruler, surroundings._checker, surroundings._strip, surroundings._label]
)
def test_no_ink_is_left_below_an_object(draw):
    support = draw_support(np.random.default_rng(0), "paper", *SIZE, wild=True)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        thing = draw(rng, SIZE)
        page, ink = np.full((*SIZE, 3), 77, np.uint8), np.ones(SIZE, bool)
        surroundings._lay(rng, support, page, ink, thing)
        assert (~ink).sum() == np.prod(
            [min(have, most - 2) for have, most in zip(thing.shape, SIZE, strict=False)]
        )
        left, top, width, height = cv2.boundingRect((~ink).astype(np.uint8))
        placed = page[top : top + height, left : left + width]
        turned = [thing, np.rot90(thing)]
        assert any(placed.shape == one.shape and (placed == one).all() for one in turned)
        around = page[ink]
        assert (around <= 77).all()  # nothing but its shadow


def test_objects_lie_beside_the_leaf_where_there_is_room():
    for seed in range(8):
        support = draw_support(np.random.default_rng(seed), "paper", *SIZE, wild=True)
        left, top, right, bottom = support.area
        if max(left, top, SIZE[1] - right, SIZE[0] - bottom) < 40:
            continue
        ink = np.ones(SIZE, bool)
        surroundings._lay(
            np.random.default_rng(seed),
            support,
            np.zeros((*SIZE, 3), np.uint8),
            ink,
            np.ones((20, 20, 3), np.uint8),
        )
        assert ink[round(top) + 1 : round(bottom) - 1, round(left) + 1 : round(right) - 1].all()


def test_a_colour_target_shows_its_patches():
    card = surroundings._checker(np.random.default_rng(1), (1000, 1500)).reshape(-1, 3).astype(int)
    for patch in [(175, 54, 60), (56, 61, 150), (231, 199, 31), (243, 243, 242), (52, 52, 52)]:
        assert np.abs(card - patch).max(axis=1).min() < 30


@pytest.fixture(scope="module")
def wild_pages():
    generator = PageGenerator(size=SIZE, variety=1.0)
    return [generator.page(0, index) for index in range(28)]


def test_the_ink_of_wild_pages_is_seen(wild_pages):
    """A pixel of ink differs from the mean of its surroundings, in some channel."""
    shares = []
    for page in wild_pages:
        picture = page.image.astype(np.float32)
        contrast = np.abs(picture - cv2.blur(picture, (31, 31))).max(axis=2)
        shares.append((contrast[page.ink] > 8).mean())
    assert np.median(shares) > 0.95
    assert np.min(shares) > 0.7


def test_wild_pages_have_vivid_colours_and_even_grounds(wild_pages):
    vivid = even = 0
    for page in wild_pages:
        lab = cv2.cvtColor(page.image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
        vivid += (np.hypot(lab[..., 1], lab[..., 2]) > 45).mean() > 0.003
        even += (page.image == page.image[0, 0]).all(axis=2).mean() > 0.02
    assert vivid >= 5
    assert even >= 3


def test_wild_pages_depend_on_nothing_but_their_number(wild_pages):
    again = PageGenerator(size=SIZE, variety=1.0)
    for index in (7,):
        page = again.page(0, index)
        np.testing.assert_array_equal(page.image, wild_pages[index].image)
        np.testing.assert_array_equal(page.ink, wild_pages[index].ink)


@pytest.mark.parametrize("size", [(32, 32), (33, 120), (300, 34), (97, 801)])
def test_wild_pages_of_any_size(size):
    generator = PageGenerator(size=size, variety=1.0)
    for index in range(8):
        page = generator.page(1, index)
        assert page.image.shape == (*size, 3)
        assert page.ink.shape == size
