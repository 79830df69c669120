"""Tesseract reads what the generator wrote: the proof that text and shaping are right."""

import random
import shutil

import numpy as np
import pytest
from torchmetrics.functional.text import char_error_rate, word_error_rate

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.ocr import (
    ReadingErrors,
    character_error_rate,
    character_errors,
    read_text,
    word_errors,
)
from manuscript_restore.synthesis import PageGenerator

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


@pytest.mark.slow
@needs_tesseract
@pytest.mark.parametrize("support", ["paper", "parchment", "palm_leaf"])
def test_printed_pages_are_read(support):
    size = [500, 1800] if support == "palm_leaf" else [1000, 1400]
    generator = PageGenerator(style="printed", supports={support: 1.0}, size=size, irregularity=0.0)
    rates = []
    for index in range(3):
        page = generator.page(5, index)
        truth = "\n".join(line.text for line in page.lines)
        rates.append(character_error_rate(read_text(page.image, language="Devanagari"), truth))
    assert np.median(rates) < 0.12, rates  # text of other letters than those drawn gives above 0.7


@pytest.mark.slow
@needs_tesseract
def test_another_pages_text_does_not_fit():
    generator = PageGenerator(style="printed", supports={"paper": 1.0}, size=[600, 1000])
    page, other = generator.page(5, 0), generator.page(5, 1)
    read = read_text(page.image, language="Devanagari")
    assert character_error_rate(read, "\n".join(line.text for line in other.lines)) > 0.5


@needs_tesseract
def test_a_missing_model_is_named():
    with pytest.raises(UserError, match="tesseract -l klingon failed"):
        read_text(np.full((50, 50, 3), 255, np.uint8), language="klingon")


def test_missing_tesseract_is_told_how_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt install tesseract-ocr"):
        read_text(np.full((50, 50, 3), 255, np.uint8))


def test_error_rate_counts_code_points_and_ignores_spaces():
    # Hand-counted: one of seven code points differs.
    assert character_error_rate("धर्म क्षे", "धर्मक्षो") == pytest.approx(1 / 8)
    assert character_error_rate("क\n ख", "कख") == 0
    assert character_error_rate("", "कख") == 1


@pytest.mark.parametrize(
    ("read", "truth", "expected"),
    [
        ("abcd", "abcd", (0, 0, 0)),
        ("abxd", "abcd", (1, 0, 0)),
        ("abd", "abcd", (0, 0, 1)),
        ("abccd", "abcd", (0, 1, 0)),
        ("xbce", "abcd", (2, 0, 0)),
        ("", "abcd", (0, 0, 4)),
        ("ab", "", (0, 2, 0)),
    ],
)
def test_unsafe_errors_are_told_from_safe_ones(read, truth, expected):
    errors = character_errors(read, truth)
    assert (errors.substitutions, errors.insertions, errors.deletions) == expected
    substitutions, insertions, deletions = expected
    assert errors.unsafe_rate == (substitutions + insertions) / max(1, len(truth))
    assert errors.safe_rate == deletions / max(1, len(truth))


def edits(read, truth):
    """Fewest edits by the recurrence of Wagner and Fischer 1974."""
    row = list(range(len(read) + 1))
    for i, wanted in enumerate(truth, 1):
        before, row = row, [i]
        for j, found in enumerate(read, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (found != wanted)))
    return row[-1]


def test_rates_are_those_of_independent_implementations():
    rng = random.Random(0)
    for _ in range(20):
        truth = " ".join("".join(rng.choices("कखगधन", k=rng.randint(1, 6))) for _ in range(8))
        read = "".join(c for c in truth if rng.random() > 0.1).replace("ग", "घ", 2)
        characters, words = character_errors(read, truth), word_errors(read, truth)
        plain = [text.replace(" ", "") for text in (read, truth)]
        assert characters.rate == pytest.approx(float(char_error_rate([plain[0]], [plain[1]])), abs=1e-6)
        assert words.rate == pytest.approx(float(word_error_rate([read], [truth])), abs=1e-6)
        total = characters.substitutions + characters.insertions + characters.deletions
        assert total == edits(*plain)
        assert characters.insertions - characters.deletions == len(plain[0]) - len(plain[1])


def test_word_errors_part_at_white_space():
    assert word_errors("राम वनं गच्छति", "रामः वनं\nगच्छति") == ReadingErrors(1, 0, 0, 3)
