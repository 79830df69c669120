"""Endless pseudo-Sanskrit: meaningless words made of Sanskrit syllables.

Consonants join only as they do in real words. So every conjunct that a font can form comes up, even those that a
few thousand verses never show. Verses keep the metre (anuṣṭubh, the common pathyā form).
"""

import numpy as np

VIRAMA = "्"
_SINGLE = """
त 9 र 7 म 7 न 7 व 6.5 य 6 स 5.5 द 4.5 प 4.5 क 4 ह 3 श 2.5 ध 2.5 भ 2.5 ग 2 ज 2 ण 2 ष 1.5 ल 2 च 2 ब 1.5 थ 1
ख 0.5 ठ 0.3 ट 0.6 घ 0.4 छ 0.3 ड 0.3 फ 0.3 झ 0.05 ढ 0.1
"""
SINGLE = dict(zip(_SINGLE.split()[::2], map(float, _SINGLE.split()[1::2]), strict=True))
"""Single consonants and how often they come, in per cent, about; ङ and ञ come in conjuncts only."""

_INITIAL = """
प्र त्र क्र श्र स्व स्त स्थ स्न स्म द्व ध्य न्य व्य ज्ञ क्ष ब्र भ्र ग्र घ्र द्र ह्र त्व त्य स्प स्फ
स्क स्ख श्ल श्व क्ल ग्ल प्ल म्ल म्र व्र स्त्र स्य श्य च्य ह्य ज्य ध्र ध्व ध्न क्व ख्य श्च्य त्स प्स
ज्व ह्ल ह्व
"""
INITIAL = tuple(_INITIAL.split())
_MEDIAL = """
क्क क्ख क्त क्त्य क्त्र क्त्व क्थ क्न क्म क्य क्र क्ल क्व क्ष क्ष्ण क्ष्म क्ष्म्य क्ष्य क्ष्व क्स
ख्य ख्र ग्ध ग्ध्य ग्ध्व ग्न ग्न्य ग्भ ग्म ग्य ग्र ग्र्य ग्ल ग्व घ्न घ्र घ्न्य ङ्क ङ्क्त ङ्क्ष ङ्क्य
ङ्ख ङ्ख्य ङ्ग ङ्ग्य ङ्घ ङ्म च्च च्छ च्छ्र च्म च्य ज्ज ज्ज्ञ ज्ज्य ज्झ ज्ञ ज्म ज्य ज्र ज्व ञ्च ञ्छ
ञ्ज ञ्ज्ञ ट्क ट्ट ट्प ट्य ट्स ड्ग ड्ड ड्भ ड्य ड्र ढ्य ढ्र ण्ट ण्ठ ण्ठ्य ण्ड ण्ड्य ण्ड्र ण्ढ ण्ण ण्म
ण्य ण्व त्क त्त त्त्र त्त्व त्थ त्न त्न्य त्प त्प्र त्फ त्म त्म्य त्य त्र त्र्य त्व त्स त्स्न
त्स्न्य त्स्य त्स्व थ्य थ्व द्ग द्ग्र द्घ द्द द्द्र द्ध द्ध्य द्ध्व द्न द्ब द्भ द्भ्य द्म द्य द्र
द्र्य द्व द्व्य ध्न ध्म ध्य ध्र ध्र्य ध्व न्त न्त्य न्त्र न्त्र्य न्त्व न्थ न्द न्द्य न्द्र न्द्व
न्ध न्ध्य न्ध्र न्न न्म न्य न्र न्व न्स न्ह प्त प्त्य प्त्व प्न प्प प्म प्य प्र प्ल प्स ब्ज ब्द ब्ध
ब्ध्व ब्ब ब्भ ब्य ब्र भ्य भ्र भ्व म्न म्प म्प्र म्ब म्ब्य म्भ म्म म्य म्र म्ल य्य र्क र्क्य र्ख र्ग
र्ग्य र्घ र्घ्य र्च र्छ र्ज र्ज्ञ र्ज्य र्ण र्ण्य र्त र्त्त र्त्म र्त्य र्त्र र्त्स र्त्स्न्य र्थ
र्थ्य र्द र्द्ध र्द्र र्द्व र्ध र्ध्न र्ध्य र्ध्व र्न र्प र्ब र्ब्र र्भ र्भ्य र्म र्म्य र्य र्ल र्व
र्व्य र्श र्श्य र्श्व र्ष र्ष्ट र्ष्ण र्ष्य र्ह र्ह्य ल्क ल्ग ल्प ल्प्य ल्म ल्य ल्ल ल्व ल्ह व्य व्र
श्च श्छ श्न श्म श्य श्र श्ल श्व ष्क ष्क्र ष्ट ष्ट्य ष्ट्र ष्ट्व ष्ठ ष्ठ्य ष्ण ष्ण्य ष्प ष्प्र ष्म
ष्य ष्व स्क स्ख स्त स्त्य स्त्र स्त्व स्थ स्थ्य स्न स्न्य स्प स्फ स्म स्म्य स्य स्र स्व ह्ण ह्न ह्म
ह्य ह्र ह्ल ह्व
"""
MEDIAL = tuple(_MEDIAL.split())
_COMMON = """
प्र त्र क्ष स्य त्य त्त न्त र्म र्थ र्व ज्ञ त्व स्त न्द द्ध श्च ष्ट म्य क्त र्य ह्म न्य द्य ष्ठ र्ण
स्व ञ्च व्य श्र ध्य र्त ष्य द्व ल्प ङ्ग न्ध प्त न्न त्म स्म द्र ण्ड
"""
COMMON = tuple(_COMMON.split())
SHORT, LONG = ("", "ि", "ु", "ृ"), ("ा", "ी", "ू", "े", "ै", "ो", "ौ")
SHORT_WEIGHTS, LONG_WEIGHTS = (20.0, 5.0, 4.0, 0.8), (9.0, 1.8, 0.8, 4.5, 0.6, 2.2, 0.2)
INDEPENDENT = dict(zip(SHORT + LONG, ("अ", "इ", "उ", "ऋ", "आ", "ई", "ऊ", "ए", "ऐ", "ओ", "औ"), strict=True))
ODD, EVEN = (0, 0, 0, 0, -1, 1, 1, 0), (0, 0, 0, 0, -1, 1, -1, 0)
"""Weights of a pāda's syllables: -1 light, 1 heavy, 0 either. Syllables 2 and 3 are not both light."""


def compose(rng: np.random.Generator, number: int) -> str:
    """Make up a passage: a verse of two lines with its number, or a sentence or two of prose.

    Args:
        rng: Decides everything.
        number: Of the verse.

    Returns:
        Devanagari, with spaces between words, daṇḍas and digits.
    """
    if rng.random() < 0.6:
        quarters = [_words(rng, pattern) for pattern in (ODD, EVEN, ODD, EVEN)]
        digits = "".join(chr(ord("०") + int(digit)) for digit in str(number))
        return f"{quarters[0]} {quarters[1]} । {quarters[2]} {quarters[3]} ॥ {digits} ॥"
    sentences = [_words(rng, (0,) * int(rng.integers(14, 40))) for _ in range(rng.integers(1, 4))]
    return " । ".join(sentences) + " ।"


def _words(rng: np.random.Generator, pattern: tuple[int, ...]) -> str:
    weights = [weight or int(rng.choice((-1, 1))) for weight in pattern]
    if len(pattern) == 8 and weights[1] == weights[2] == -1:
        weights[1 + int(rng.integers(2))] = 1
    starts = _starts(rng, len(weights))
    onsets = [_onset(rng, place in starts, place == 0 or weights[place - 1] == 1) for place in range(len(weights))]
    written = ""
    for place, (onset, weight) in enumerate(zip(onsets, weights, strict=True)):
        if place in starts and place:
            written += " "
        last = place + 1 == len(weights) or place + 1 in starts
        closed = place + 1 < len(onsets) and VIRAMA in onsets[place + 1]
        written += _syllable(rng, onset, heavy=weight == 1, closed=closed, last=last)
    return written


def _starts(rng: np.random.Generator, number: int) -> set[int]:
    """Where words begin: after two to five syllables, none of one."""
    starts, place = {0}, 0
    while True:
        place += int(rng.integers(2, 6))
        if place > number - 2:
            return starts
        starts.add(place)


def _onset(rng: np.random.Generator, initial: bool, may_join: bool) -> str:
    if initial and rng.random() < 0.12:
        return ""
    if may_join and rng.random() < 0.45:
        if initial:
            return str(rng.choice(INITIAL))
        return str(rng.choice(COMMON if rng.random() < 0.6 else MEDIAL))
    consonants = [c for c in SINGLE if not (initial and c in "णठ")]
    shares = np.array([SINGLE[c] for c in consonants])
    return str(rng.choice(consonants, p=shares / shares.sum()))


def _syllable(rng: np.random.Generator, onset: str, *, heavy: bool, closed: bool, last: bool) -> str:
    """Give an onset its vowel; a short one is heavy before a conjunct, or with a nasal or a breath after it."""
    ending = ""
    if heavy and not closed and (last or rng.random() < 0.15) and rng.random() < 0.5:
        ending = str(rng.choice(("ं", "ः") if last else ("ं",)))
    short = not heavy or ((closed or ending) and rng.random() < 0.6)
    vowels, weights = (SHORT, SHORT_WEIGHTS) if short else (LONG, LONG_WEIGHTS)
    allowed = 3 if onset.endswith("र") else len(vowels)  # no vowel r after the consonant r
    vowel = str(rng.choice(vowels[:allowed], p=np.array(weights[:allowed]) / sum(weights[:allowed])))
    if not onset:
        return INDEPENDENT[vowel] + ending
    return onset + vowel + ending
