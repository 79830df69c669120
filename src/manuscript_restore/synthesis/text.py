"""The text of generated pages: Sanskrit in the public domain, and passages made up by a syllable grammar."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np

from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import grammar, syllables
from manuscript_restore.synthesis.scripts import SCRIPTS, SPACED, from_devanagari, join_words

Kind = Literal["text", "danda", "verse_number", "heading", "colophon"]
PARTS = re.compile(r"[।॥|]+|[०-९]+|[^।॥|०-९]+")


@dataclass(frozen=True)
class Segment:
    """A stretch of one kind of text: scribes write some kinds in red."""

    text: str
    kind: Kind


@dataclass(frozen=True)
class Passage:
    """A verse, a paragraph or a heading."""

    segments: tuple[Segment, ...]


class TextSource:
    """Passages to write, without end.

    Args:
        script: One of `scripts.SCRIPTS`. The packaged Sanskrit is carried over into it; for those of
            `syllables.SYLLABARIES`, which have no letters for it, all text is made up.
        text_file: UTF-8 text to write instead, as it is: a passage a paragraph; lines that begin with ``#`` are
            comments.
        generated_share: Part of the passages that the grammar makes up; of a ``text_file``, none.

    Raises:
        UserError: The script is unknown, or the file is missing, empty or not UTF-8.
    """

    def __init__(
        self, script: str = "devanagari", text_file: str | None = None, generated_share: float = 0.5
    ) -> None:
        if script not in SCRIPTS:
            raise UserError(f"generator.script={script}: unknown; known: {', '.join(SCRIPTS)}")
        self.script, self.text_file = script, text_file
        self.generated_share = generated_share if text_file is None else 0.0
        self._works()  # a mistake in the file should show now

    def passages(self, rng: np.random.Generator, *, continuous: bool) -> Iterator[Passage]:
        """Read on from a random place, as a leaf of a manuscript does; made-up passages come in between.

        Args:
            rng: Decides everything.
            continuous: Without spaces between words, but for the scripts of `SPACED`.
        """
        while self.text_file is None and self.script in syllables.SYLLABARIES:
            yield self._made_up(syllables.compose(rng, self.script), continuous)
        works = self._works()
        lengths = np.array([len(work) for work in works], float)
        number = int(rng.integers(1, 90))
        while True:
            work = works[int(rng.choice(len(works), p=lengths / lengths.sum()))]
            for text in work[int(rng.integers(len(work))) :]:
                while rng.random() < self.generated_share:
                    number += 1
                    yield self._passage(grammar.compose(rng, number), continuous)
                yield self._passage(text, continuous)

    def _works(self) -> tuple[tuple[str, ...], ...]:
        return packaged_works() if self.text_file is None else (_read_file(self.text_file),)

    def _made_up(self, stretches: list[tuple[str, bool]], continuous: bool) -> Passage:
        apart = not continuous or self.script in SPACED
        texts = [(text + " " if apart else text.replace(" ", ""), stop) for text, stop in stretches]
        return Passage(tuple(Segment(text, "danda" if stop else "text") for text, stop in texts))

    def _passage(self, text: str, continuous: bool) -> Passage:
        if self.script in SPACED:
            text += " "  # words stay apart, also from the next passage
        segments = []
        for place, part in enumerate(PARTS.findall(text)):
            kind = _kind(part, place)
            if continuous and self.script not in SPACED:
                part = join_words(part)
            if self.text_file is None:
                part = from_devanagari(part, self.script)
            if part:
                segments.append(Segment(part, kind))
        return Passage(tuple(segments))


def _kind(part: str, place: int) -> Kind:
    words = part.split()
    if not words or words[0][0] in "।॥|":
        return "danda"
    if words[0][0] in "०१२३४५६७८९":
        return "verse_number"
    if words[-1] in ("उवाच", "ऊचुः", "नमः") and len(words) <= 3 and place == 0:
        return "heading"
    if words[0] in ("इति", "इत्य्") and (words[-1] == "समाप्तम्" or words[-1].endswith("ध्यायः")):
        return "colophon"
    return "text"


@lru_cache(maxsize=1)
def packaged_works() -> tuple[tuple[str, ...], ...]:
    """The packaged texts: passages of each work, in Devanagari with spaces between words."""
    folder = resources.files("manuscript_restore.synthesis") / "texts"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".txt")), key=lambda file: file.name)
    return tuple(_paragraphs(file.read_text(encoding="utf-8")) for file in files)


@lru_cache(maxsize=4)
def _read_file(name: str) -> tuple[str, ...]:
    try:
        passages = _paragraphs(Path(name).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(
            f"generator.text_file={name}: cannot be read ({error.strerror}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"generator.text_file={name}: is not UTF-8 ({error.reason}); convert it") from error
    if not passages:
        raise UserError(f"generator.text_file={name}: holds no text; a passage a paragraph is what is wanted")
    return passages


def _paragraphs(text: str) -> tuple[str, ...]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    passages = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", kept))
    return tuple(passage for passage in passages if passage)
