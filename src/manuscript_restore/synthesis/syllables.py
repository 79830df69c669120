"""Endless meaningless text in scripts that Sanskrit is not carried over into: words of random syllables.

What it teaches is the letters' forms and how they join, so only what a reader of the script would take for words
matters: real onsets, vowel signs and endings, in spelling order.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Syllabary:
    """What a syllable may be made of; each a list of strings, where ``_`` stands for nothing.

    Attributes:
        onsets: Letters that begin it; the first third of them is the common ones.
        vowels: Signs or letters of vowels.
        codas: What may close it.
        endings: What may close a word, instead of a coda.
        joint: Between two syllables of a word, as the Tibetan tsheg.
        stop: Ends a sentence.
    """

    onsets: str
    vowels: str
    codas: str = "_"
    endings: str = "_"
    joint: str = ""
    stop: str = "."


SYLLABARIES = {
    "tamil": Syllabary(
        "க த ப ம ன வ ய ர ல ந ட ச ள ழ ற ண ங ஞ அ இ உ எ ஆ ஒ",
        "_ _ ா ி ு ை ே ெ ீ ூ ொ ோ",
        "_ _ _ க் ம் ன் ல் த் ர் ண்",
        stop="।",
    ),
    "sinhala": Syllabary(
        "ක ත න ම ය ර ල ව ස හ ද ප බ ග ච ජ ට ඩ ණ ශ ෂ ළ ක්‍ර ප්‍ර ද්‍ය අ ඉ උ එ ඔ",
        "_ _ ා ැ ෑ ි ී ු ූ ෙ ේ ො ෝ",
        "_ _ _ ං ම් න් ල් ක්",
        stop="෴",
    ),
    "tibetan": Syllabary(
        "ད བ ག པ ལ ན མ ས འ ཀ ཁ ང ཅ ཆ ཇ ཉ ཏ ཐ ཕ ཙ ཚ ཛ ཝ ཞ ཟ ཡ ར ཤ ཧ ཨ སྐ རྒ སྤྲ བྱ གྲ རྗ སྟོ རྣ སྨ ལྷ དྲ སྒྲུ ཀྱ ཁྲ རྡ སྙ",
        "_ _ _ ི ུ ེ ོ",
        "_ _ _ ད ན ས ང ག བ མ ར ལ གས ངས",
        joint="་",
        stop="།",
    ),
    "khmer": Syllabary(
        "ក ន ម រ ត ស ប ច ដ ព ល វ ហ ទ យ គ ង ជ ញ ណ ថ ធ ភ ឃ ខ ឆ ផ អ ប្រ ក្រ ត្រ ស្ត ព្រ ក្ម ខ្ល ឆ្ន",
        "_ ា ា ិ ី ុ ូ េ ែ ោ ៅ ំ ះ ើ",
        "_ _ _ ក ង ត ន ម រ ល",
        stop="។",
    ),
    "arabic": Syllabary(
        "ل م ن ر ب ع ت ه س ك ف د ق ح ج ش ص ط خ ذ ض ث ز غ ظ ء أ إ",
        "_ _ _ ا و ي ا",
        "_ _ _ م ن ر ل",
        "_ _ _ ة ه ت ى ين ون",
        stop="۝",
    ),
    "hebrew": Syllabary(
        "ה ל ב מ א ת ש ר נ ד כ ק ע ח פ ג ס צ ט ז",
        "_ _ _ ו י ָ ַ ִ ֵ ֶ ּ",
        "_ _ _ ל ר ת",
        "_ _ ם ן ה ת ך ים ות",
        stop="׃",
    ),
    "greek": Syllabary(
        "τ ν σ κ π λ μ ρ δ θ γ χ β φ ξ ψ ζ πρ στ κτ τρ _",
        "α ε ο ι η υ ω αι ει οι ου ά έ ό ί ή ύ ώ εῖ οῦ ῆ ῶ",
        "_ _ _ _ ν ρ λ σ",
        "ς ν _ ς",
        stop="·",
    ),
}


def compose(rng: np.random.Generator, script: str) -> list[tuple[str, bool]]:
    """Make up one or two sentences.

    Args:
        rng: Decides everything.
        script: A key of `SYLLABARIES`.

    Returns:
        Stretches of text with spaces between words, and whether each is a stop.
    """
    table = SYLLABARIES[script]
    stretches = []
    for _ in range(rng.integers(1, 3)):
        words = (_word(rng, table) for _ in range(rng.integers(4, 14)))
        stretches += [(" ".join(words), False), (table.stop, True)]
    return stretches


def _word(rng: np.random.Generator, table: Syllabary) -> str:
    onsets, vowels, codas, endings = map(str.split, (table.onsets, table.vowels, table.codas, table.endings))
    syllables = []
    number = int(rng.integers(1, 5))
    for place in range(number):
        onset = onsets[int(len(onsets) * rng.random() ** 1.6)]
        vowel = vowels[rng.integers(len(vowels))]
        if _is_independent_vowel(onset):
            vowel = "_"
        closing = endings if place + 1 == number and endings != ["_"] else codas
        syllables.append(onset + vowel + closing[rng.integers(len(closing))])
    return table.joint.join(syllables).replace("_", "") + table.joint


def _is_independent_vowel(onset: str) -> bool:
    """Tell the vowel letters of Tamil and Sinhala, which take no sign."""
    return "அ" <= onset <= "ஔ" or "අ" <= onset <= "ඖ"
