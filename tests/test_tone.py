"""One tone for a page: no patches, and what was restored within a tile stays."""

import numpy as np
import pytest

from manuscript_restore.inference.tone import Tone, fit_tone, follow, sample_starts

ALL = np.ones((4, 1, 32, 32), np.float32)
SAME = Tone(np.ones((3, 1, 1), np.float32), np.zeros((3, 1, 1), np.float32))


def tiles(count: int = 4) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, 32, 32), np.float32)


def flat(value: float, side: int = 32) -> np.ndarray:
    return np.full((1, 3, side, side), value, np.float32)


def test_the_fit_is_numpys() -> None:
    original = tiles()
    restored = (0.8 * original + 0.1 + 0.05 * tiles(5)[1:]).clip(0, 1)
    tone = fit_tone(original, restored, ALL)
    assert tone
    for channel in range(3):
        expected = np.polyfit(original[:, channel].ravel(), restored[:, channel].ravel(), 1)
        assert tone.gain[channel].item() == pytest.approx(expected[0], abs=2e-3)
        assert tone.offset[channel].item() == pytest.approx(expected[1], abs=2e-3)


def test_a_page_of_one_colour_has_a_tone() -> None:
    page = flat(0.5, 16)
    tone = fit_tone(page, page + 0.2, ALL[:1, :, :16, :16])
    assert tone
    np.testing.assert_allclose(tone(page), page + 0.2, atol=1e-5)
    np.testing.assert_allclose(tone.gain, 1, atol=1e-5)


def test_tiles_that_judge_for_themselves_are_brought_together() -> None:
    original = 0.4 + 0.5 * tiles()
    judged = original + np.array([-0.05, 0.0, 0.04, 0.1], np.float32)[:, None, None, None]
    together = follow(SAME, judged, original, ALL)
    np.testing.assert_allclose(together, original, atol=1e-6)


def test_what_was_taken_away_within_a_tile_stays_away() -> None:
    paper = flat(0.8)
    stained = paper.copy()
    stained[..., :10, :20] = 0.5
    together = follow(SAME, paper + 0.1, stained, ALL[:1])
    np.testing.assert_allclose(together, paper, atol=1e-6)


def test_black_stays_black() -> None:
    original = flat(0.6)
    original[..., :4] = 0
    together = follow(Tone(SAME.gain, np.full((3, 1, 1), 0.2, np.float32)), original, original, ALL[:1])
    assert together[..., :4].max() == 0
    np.testing.assert_allclose(together[..., 4:], original[..., 4:] + 0.2, atol=1e-6)


def test_only_what_is_damaged_decides_and_moves() -> None:
    """The right half is a surround that the network left alone, whatever its colour."""
    damage = ALL.copy()
    damage[..., 16:] = 0
    original = 0.2 + 0.5 * tiles()
    restored = np.where(damage > 0, 1.2 * original + 0.1, original)
    tone = fit_tone(original, restored, damage)
    assert tone
    assert tone.gain.flatten().tolist() == pytest.approx([1.2] * 3, abs=1e-3)
    judged = restored + 0.1 * damage
    together = follow(tone, judged, original, damage)
    assert (together[..., 16:] == original[..., 16:]).all()
    np.testing.assert_allclose(together[..., :16], restored[..., :16] + 0.05, atol=1e-3)  # half the tile's
    assert fit_tone(original, restored, 0 * damage) is None


@pytest.mark.parametrize(("length", "expected"), [(20, [0]), (63, [15]), (70, [0, 38]), (300, [0, 134, 268])])
def test_samples_are_spread(length: int, expected: list[int]) -> None:
    assert sample_starts(length, tile=32, count=3) == expected
