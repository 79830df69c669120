"""Legibility: what Tesseract reads on a page, and how far that is from what the page says."""

import os
import re
import shutil
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchmetrics.functional.text import char_error_rate

from manuscript_restore import images
from manuscript_restore.errors import UserError

IGNORED = re.compile("[\\s\u200c\u200d]+")


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


def character_error_rate(read: str, truth: str) -> float:
    """Edit distance over the truth's length, in code points (0 is perfect; it may exceed 1).

    Both are normalised first: NFC, no white space, no joiners. Manuscripts put no spaces between words, and
    Tesseract guesses them.
    """
    return float(char_error_rate([_normalise(read)], [_normalise(truth)]))


def _normalise(text: str) -> str:
    return IGNORED.sub("", unicodedata.normalize("NFC", text))
