"""Tesseract reads what the generator wrote: the proof that text and shaping are right."""

import shutil

import numpy as np
import pytest

from manuscript_restore.errors import UserError
from manuscript_restore.ocr import character_error_rate, read_text
from manuscript_restore.synthesis import PageGenerator

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


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
