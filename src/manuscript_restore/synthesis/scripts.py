"""Writing systems: their syllables, and Sanskrit carried over from Devanagari into the Indic ones and Latin."""

import re
import unicodedata

SCRIPTS = {
    "devanagari": "Deva",
    "bengali": "Beng",
    "oriya": "Orya",
    "gujarati": "Gujr",
    "telugu": "Telu",
    "kannada": "Knda",
    "malayalam": "Mlym",
    "grantha": "Gran",
    "tamil": "Taml",
    "sinhala": "Sinh",
    "tibetan": "Tibt",
    "khmer": "Khmr",
    "arabic": "Arab",
    "hebrew": "Hebr",
    "greek": "Grek",
    "latin": "Latn",
}
"""Name in the configs → ISO 15924 tag, as HarfBuzz takes it."""

# The Indic blocks of Unicode are parallel: a letter has the same place in each.
BLOCKS = {
    "Deva": 0x0900,
    "Beng": 0x0980,
    "Gujr": 0x0A80,
    "Orya": 0x0B00,
    "Taml": 0x0B80,
    "Telu": 0x0C00,
    "Knda": 0x0C80,
    "Mlym": 0x0D00,
    "Gran": 0x11300,
}
SAMPLES = {
    "Latn": "xān", "Grek": "ωάπ", "Arab": "ابيح", "Hebr": "הבם", "Tibt": "ཀབརྡོ", "Khmr": "កនរា", "Sinh": "කනරා"
}  # fmt: skip
"""Letters that tell whether a font has the script, and the first its size; of the Indic blocks ka, na, ra, ā."""
ZEROS = {"Arab": "٠", "Tibt": "༠", "Khmr": "០"}
RIGHT_TO_LEFT = {"Arab", "Hebr"}
SPACED = {"latin", "greek", "arabic", "hebrew"}
"""Scripts whose scribes leave spaces between words."""


def _in_blocks(*places: tuple[int, int]) -> str:
    """Character class, without brackets, of these places of every Indic block."""
    return "".join(f"{chr(block + low)}-{chr(block + high)}" for block in BLOCKS.values() for low, high in places)


_CONSONANT = f"[{_in_blocks((0x15, 0x39), (0x58, 0x5F))}][{_in_blocks((0x3C, 0x3C))}]?"
_VIRAMA = f"[{_in_blocks((0x4D, 0x4D))}]"
_SIGNS = f"[{_in_blocks((0x00, 0x03), (0x3E, 0x4C), (0x51, 0x57), (0x62, 0x63))}\u1cd0-\u1cff]*"
_VOWEL = f"[{_in_blocks((0x04, 0x14), (0x60, 0x61))}]"
SYLLABLE = re.compile(
    f"{_CONSONANT}(?:{_VIRAMA}[\u200c\u200d]?{_CONSONANT})*(?:{_VIRAMA}[\u200c\u200d]?|{_SIGNS})"
    f"|{_VOWEL}{_SIGNS}"
    "|[\u0d85-\u0dc6](?:\u0dca\u200d[\u0d9a-\u0dc6])*[\u0d81-\u0d83\u0dca-\u0ddf]*"  # Sinhala
    "|[\u0f40-\u0f6c][\u0f71-\u0f84\u0f90-\u0fbc]*\u0f0b?"  # Tibetan, with its dot
    "|[\u1780-\u17b3](?:\u17d2[\u1780-\u17b3])*[\u17b6-\u17d1]*"  # Khmer
    "|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4-\u05c7\u05d0-\u05ea]+"  # Hebrew: a word
    "|[\u0621-\u0652\u0671-\u06d3]+"  # Arabic: a word
    "|\\s+|.[\u0300-\u036f]*",
    re.DOTALL,
)

VIRAMA = "\u094d"
VOWEL_SIGNS = dict(zip("अआइईउऊऋॠऌऍऎएऐऑऒओऔ", ["", *"ािीुूृॄॢॅॆेैॉॊोौ"], strict=True))
IAST_VOWELS = dict(
    zip("अआइईउऊऋॠऌएऐओऔ", ["a", "ā", "i", "ī", "u", "ū", "ṛ", "ṝ", "ḷ", "e", "ai", "o", "au"], strict=True)
)
IAST_CONSONANTS = dict(
    zip(
        "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहळ",
        [
            "k",
            "kh",
            "g",
            "gh",
            "ṅ",
            "c",
            "ch",
            "j",
            "jh",
            "ñ",
            "ṭ",
            "ṭh",
            "ḍ",
            "ḍh",
            "ṇ",
            "t",
            "th",
            "d",
            "dh",
            "n",
            "p",
            "ph",
            "b",
            "bh",
            "m",
            "y",
            "r",
            "l",
            "v",
            "ś",
            "ṣ",
            "s",
            "h",
            "ḻ",
        ],
        strict=True,
    )
)
IAST_OTHERS = {"ं": "ṃ", "ः": "ḥ", "ँ": "m̐", "ऽ": "’", "ॐ": "oṃ", "।": "|", "॥": "||"}


def split_aksharas(text: str) -> list[str]:
    """Split into orthographic syllables, between any two of which a manuscript's line may be broken.

    A consonant cluster with its vowel sign and marks is one; so is an independent vowel with its marks, a daṇḍa,
    a digit, a run of white space; of Latin and Greek, a letter with its marks; of Arabic and Hebrew, a word.

    >>> split_aksharas("धर्मक्षेत्रे ॥१॥")
    ['ध', 'र्म', 'क्षे', 'त्रे', ' ', '॥', '१', '॥']
    """
    return SYLLABLE.findall(text)


def join_words(text: str) -> str:
    """Write Devanagari continuously, as manuscripts do: no spaces, and what meets is joined.

    A final consonant takes the vowel, or joins the consonant, that follows.

    >>> join_words("तम् उवाच हृषीकेशः")
    'तमुवाचहृषीकेशः'
    """
    joined = re.sub(r"\s+", "", text)
    return re.sub(f"{VIRAMA}([{''.join(VOWEL_SIGNS)}])", lambda match: VOWEL_SIGNS[match.group(1)], joined)


def numeral(number: int, script: str) -> str:
    """A number in the digits of a script."""
    tag = SCRIPTS[script]
    # Grantha has none of its own; manuscripts use Tamil's.
    zero = BLOCKS["Taml" if tag == "Gran" else tag] + 0x66 if tag in BLOCKS else ord(ZEROS.get(tag, "0"))
    return "".join(chr(zero + int(digit)) for digit in str(number))


def from_devanagari(text: str, script: str) -> str:
    """Carry Sanskrit in Devanagari over into another script: Latin by IAST, Indic ones letter by letter.

    >>> from_devanagari("धर्मक्षेत्रे", "latin"), from_devanagari("धर्म", "telugu")
    ('dharmakṣetre', 'ధర్మ')

    Raises:
        ValueError: The script has no letters for Sanskrit.
    """
    tag = SCRIPTS[script]
    if tag == "Deva":
        return text
    if tag == "Latn":
        return _to_iast(text)
    if tag not in BLOCKS or tag == "Taml":
        raise ValueError(f"script={script}: has no letters for Sanskrit")
    return "".join(_to_block(character, script) for character in text)


def _to_block(character: str, script: str) -> str:
    tag, place = SCRIPTS[script], ord(character) - BLOCKS["Deva"]
    if not 0 <= place < 0x80 or place in (0x64, 0x65):  # daṇḍas are shared
        return character
    if place == 0x50:
        return from_devanagari("ओं", script)
    if tag == "Beng" and place == 0x35:
        return "ব"  # va and ba are one letter
    if 0x66 <= place <= 0x6F:
        return numeral(place - 0x66, script)
    moved = chr(BLOCKS[tag] + place)
    return moved if unicodedata.category(moved) != "Cn" else ""


def _to_iast(text: str) -> str:
    signs = {sign: IAST_VOWELS[vowel] for vowel, sign in VOWEL_SIGNS.items() if sign and vowel in IAST_VOWELS}
    written = []
    for number, character in enumerate(text):
        following = text[number + 1 : number + 2]
        if character in IAST_CONSONANTS:
            inherent = "" if following == VIRAMA or (following in signs and following) else "a"
            written.append(IAST_CONSONANTS[character] + inherent)
        elif character in signs:
            written.append(signs[character])
        elif "०" <= character <= "९":
            written.append(str(ord(character) - ord("०")))
        elif character != VIRAMA:
            written.append(IAST_VOWELS.get(character) or IAST_OTHERS.get(character, character))
    return unicodedata.normalize("NFC", "".join(written))


def sample_letters(script: str) -> str:
    """A few common letters of a script; the first tells a font's size."""
    tag = SCRIPTS[script]
    return SAMPLES.get(tag) or "".join(chr(BLOCKS[tag] + place) for place in (0x15, 0x28, 0x30, 0x3E))
