"""Scores of ink masks against DoxaPy, and against definitions written out pixel by pixel."""

import cv2
import doxapy
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio
from skimage.morphology import skeletonize

from manuscript_restore.metrics.binary import binary_scores, drd, mpm, pseudo_f_measure
from manuscript_restore.metrics.strokes import Strokes, thin


def masks(height: int = 61, width: int = 87, seed: int = 0):
    """A line of letters, and what a bad threshold makes of it."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((height, width), np.uint8)
    cv2.putText(truth, "Rama", (4, height - 22), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1, 4)
    cv2.circle(truth, (width - 8, 8), 3, 1, -1)
    noisy = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 1.5) + rng.normal(0, 0.18, truth.shape)
    return noisy > 0.45, truth.astype(bool)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counts_are_doxapys(seed):
    result, truth = masks(seed=seed)
    scores = binary_scores(result, truth)
    doxa = doxapy.calculate_performance(*(np.where(mask, 0, 255).astype(np.uint8) for mask in (truth, result)))
    assert scores["f_measure"] == pytest.approx(doxa["fm"], abs=1e-9)
    assert scores["nrm"] == pytest.approx(doxa["nrm"], abs=1e-12)
    assert scores["binary_psnr"] == pytest.approx(doxa["psnr"], abs=1e-9)
    expected = peak_signal_noise_ratio(truth.astype(float), result.astype(float), data_range=1)
    assert scores["binary_psnr"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_drd_is_its_definition(seed):
    """Lu, Kot & Shi 2004, eq. 4 to 7: every wrong pixel against the 5×5 pixels of the truth around it."""
    result, truth = masks(seed=seed)
    weights = np.array([[0 if x == y == 0 else 1 / np.hypot(x, y) for x in range(-2, 3)] for y in range(-2, 3)])
    weights /= weights.sum()
    total = 0.0
    for y, x in zip(*np.nonzero(result != truth), strict=True):
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                if 0 <= y + dy < truth.shape[0] and 0 <= x + dx < truth.shape[1]:
                    total += weights[dy + 2, dx + 2] * (truth[y + dy, x + dx] != result[y, x])
    blocks = [truth[y : y + 8, x : x + 8] for y in range(0, 61 - 7, 8) for x in range(0, 87 - 7, 8)]
    mixed = sum(block.any() and not block.all() for block in blocks)
    assert drd(result, truth) == pytest.approx(total / mixed, rel=1e-9)


def contour(truth):
    padded = np.pad(truth, 1)
    sides = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.argwhere(truth & ~np.logical_and.reduce(sides))


def test_mpm_is_its_definition():
    result, truth = masks()
    places = contour(truth)
    distance = np.array(
        [[np.hypot(*(places - (y, x)).T).min() for x in range(truth.shape[1])] for y in range(truth.shape[0])]
    )
    false, missed = distance[result & ~truth].sum(), distance[truth & ~result].sum()
    assert mpm(result, truth) == pytest.approx((false + missed) / 2 / distance.sum(), rel=1e-5)


@pytest.mark.parametrize(("width", "across"), [(5, [0, 1, 2, 1, 0]), (6, [0, 1, 2, 2, 1, 0]), (1, [1])])
def test_recall_weights_sum_to_one_across_a_stroke(width, across):
    """Eq. 2 and 3: chessboard distances from the contour over their sum across the stroke."""
    ink = np.zeros((30, 80), bool)
    ink[10 : 10 + width, 5:75] = True
    weights = Strokes(ink).recall_weights()[10 : 10 + width, 40]
    np.testing.assert_allclose(weights, np.array(across) / sum(across))


def test_precision_weights_grow_to_the_middle_of_a_gap():
    """Eq. 10 and 11: distance over the stroke's width, or over half the gap to a nearer stroke."""
    ink = np.zeros((60, 80), bool)
    ink[10:15, 5:75] = True  # five pixels wide: a half-width of 2, a width of 4
    ink[20:25, 5:75] = True  # five pixels further
    weights = Strokes(ink).precision_weights()[:, 40]
    np.testing.assert_allclose(weights[10:15], 1)
    below = [1 + d / 4 for d in (1, 2, 3, 4)]
    np.testing.assert_allclose(weights[25:30], [*below, 1])
    half = Strokes.contour_distance(ink)[17, 40]  # the middle of the gap: 3
    np.testing.assert_allclose(weights[15:18], 1 + np.array([1, 2, 3]) / half)


def test_pseudo_f_measure_is_a_weighted_f_measure():
    result, truth = masks()
    strokes = Strokes(truth)
    recall = strokes.recall_weights()[result & truth].sum() / strokes.recall_weights().sum()
    precision = (result & truth).sum() / strokes.precision_weights()[result].sum()
    expected = 100 * 2 / (1 / recall + 1 / precision)
    assert pseudo_f_measure(result, truth) == pytest.approx(expected, rel=1e-9)


def test_a_break_costs_more_than_a_worn_edge():
    ink = np.zeros((40, 100), bool)
    ink[15:22, 5:95] = True
    broken, worn = ink.copy(), ink.copy()
    broken[:, 50:53] = False  # 21 pixels through the stroke
    worn[15, 30:51] = False  # 21 pixels along its edge
    assert binary_scores(broken, ink)["f_measure"] == binary_scores(worn, ink)["f_measure"]
    assert pseudo_f_measure(broken, ink) < pseudo_f_measure(worn, ink)


def test_perfect_empty_and_full():
    _, truth = masks()
    perfect = binary_scores(truth, truth)
    assert perfect == pytest.approx(
        {"f_measure": 100, "pseudo_f_measure": 100, "binary_psnr": 100, "drd": 0, "nrm": 0, "mpm": 0}
    )
    for other in (np.zeros_like(truth), np.ones_like(truth)):
        assert all(np.isfinite(value) for value in binary_scores(other, truth).values())
    assert binary_scores(np.zeros_like(truth), truth)["f_measure"] == 0


def test_thinning_is_scikit_images():
    _, truth = masks(120, 200)
    assert (
        thin(truth) == skeletonize(truth, method="zhang")
    ).mean() > 0.995  # its tables delete a few corners more
    assert thin(truth).sum() == pytest.approx(skeletonize(truth, method="zhang").sum(), rel=0.1)


def test_dots_that_thinning_erases_keep_a_centre():
    ink = np.zeros((12, 12), bool)
    ink[2:4, 2:4] = True
    ink[8, 8] = True
    strokes = Strokes(ink)
    assert set(np.unique(strokes.labels[strokes.skeleton])) == {1, 2}
