"""How a scribe, or a press, writes: the parameters of one hand."""

from dataclasses import dataclass, replace

import numpy as np

from manuscript_restore.synthesis.typeface import Typeface

# Thickness of strokes in bodies, by support: reeds on paper, quills on parchment, a stylus on leaves.
STROKES = {"paper": (0.09, 0.19), "parchment": (0.08, 0.15), "palm_leaf": (0.08, 0.14)}


@dataclass(frozen=True)
class Hand:
    """One hand; lengths in bodies unless their name ends in ``_px``."""

    body_px: float
    weight: float  # growth of the font's strokes
    slant: float  # horizontal shift per height
    width: float  # of letters, relative to the font's
    unsteadiness: float  # 0: a press; 1: an average scribe
    gap: float  # between syllables
    dip: float  # syllables between two dips of the pen
    fade: float  # coverage that is lost at the end of a dip
    rubrics: frozenset[str]  # kinds of text that are red
    corrections: float  # probability per syllable

    def smaller(self, factor: float) -> "Hand":
        """The same hand, writing smaller, as in the margin."""
        return replace(self, body_px=self.body_px * factor, corrections=0.0)


def draw_hand(
    rng: np.random.Generator, typeface: Typeface, support: str, body_px: float, unsteadiness: float
) -> Hand:
    """Draw the hand of a scribe who writes with this font's letters.

    Args:
        rng: Decides everything else.
        typeface: The letters' forms.
        support: Kind of the support, a key of `STROKES`.
        body_px: Size of the writing.
        unsteadiness: In [0, 1].
    """
    stroke = rng.uniform(*STROKES[support])
    kinds = ("danda", "verse_number", "heading", "colophon")
    # What is cut into a leaf and blackened is seldom rubricated.
    share = rng.choice([0.0, 0.5, 1.0], p=[0.9, 0.05, 0.05] if support == "palm_leaf" else [0.4, 0.25, 0.35])
    return Hand(
        body_px=body_px,
        weight=float(np.clip(stroke - typeface.stroke, -0.045, 0.07)),
        slant=rng.normal(0, 0.05),
        width=rng.uniform(0.85, 1.12),
        unsteadiness=unsteadiness * rng.uniform(0.5, 1.6),
        gap=rng.uniform(-0.02, 0.1),
        dip=rng.uniform(12, 60),
        fade=rng.uniform(0, 0.3) ** 1.5,
        rubrics=frozenset(kind for kind in kinds if rng.random() < share),
        corrections=rng.choice([0, 0.002, 0.006]),
    )


def printing_hand(body_px: float) -> Hand:
    """Movable type: steady, black, uncorrected."""
    return Hand(body_px, 0, 0, 1, 0, 0, 1e9, 0, frozenset(), 0)
