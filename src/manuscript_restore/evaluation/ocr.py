"""Legibility: what Tesseract reads on a page, and how far that is from what the page says."""

import os
import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from manuscript_restore import images
from manuscript_restore.errors import UserError

SPACE = re.compile(r"\s+")
JOINERS = re.compile("[\u200c\u200d]")


def read_text(image: NDArray[np.uint8], *, language: str = "san", layout: int = 6) -> str:
    """Read a page with the program ``tesseract``.

    Args:
        image: uint8 (H, W, 3) RGB.
        language: Of Tesseract's models: ``"san"``, ``"Devanagari"``, ``"san+eng"``.
        layout: Tesseract's page segmentation mode; 6 takes the page as one block of lines.

    Raises:
        UserError: Tesseract or its model is not installed, or it fails on the page.
    """
    if shutil.which("tesseract") is None:
        raise UserError(
            "tesseract is not installed; on Debian: apt install tesseract-ocr tesseract-ocr-san "
            "tesseract-ocr-script-deva"
        )
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        images.write(image, picture)
        command = ["tesseract", str(picture), "stdout", "-l", language, "--psm", str(layout)]
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}  # its threads cost more than they bring
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise UserError(f"tesseract -l {language} failed: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class ReadingErrors:
    """The fewest edits that make a reading of its truth.

    Where several sequences of edits are equally few, one is taken; their sum, and insertions minus deletions, are
    the same in all.

    Args:
        substitutions, insertions: *Unsafe* errors: a reader sees something that was not written.
        deletions: *Safe* errors: a reader sees that something is missing.
        length: Of the truth, in the same units.
    """

    substitutions: int
    insertions: int
    deletions: int
    length: int

    @property
    def rate(self) -> float:
        """Error rate: 0 is perfect, it may exceed 1."""
        return self.unsafe_rate + self.safe_rate

    @property
    def unsafe_rate(self) -> float:
        """Substitutions and insertions over the truth's length."""
        return (self.substitutions + self.insertions) / max(1, self.length)

    @property
    def safe_rate(self) -> float:
        """Deletions over the truth's length."""
        return self.deletions / max(1, self.length)


def character_errors(read: str, truth: str) -> ReadingErrors:
    """Errors in code points.

    Both are normalised first: NFC, no white space, no joiners. Manuscripts put no spaces between words, and
    Tesseract guesses them.
    """
    return _errors(SPACE.sub("", _normalise(read)), SPACE.sub("", _normalise(truth)))


def word_errors(read: str, truth: str) -> ReadingErrors:
    """Errors in words as white space parts them, NFC, without joiners."""
    return _errors(_normalise(read).split(), _normalise(truth).split())


def character_error_rate(read: str, truth: str) -> float:
    """Edit distance over the truth's length, as `character_errors` counts."""
    return character_errors(read, truth).rate


def _errors(read: Sequence[str], truth: Sequence[str]) -> ReadingErrors:
    counts = Counter(edit.tag for edit in Levenshtein.editops(truth, read))
    return ReadingErrors(counts["replace"], counts["insert"], counts["delete"], len(truth))


def _normalise(text: str) -> str:
    return JOINERS.sub("", unicodedata.normalize("NFC", text))
