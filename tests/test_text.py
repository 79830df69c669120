"""The texts and the syllable grammar: against Unicode's own tables, metre counted by hand, and HarfBuzz."""

import re
import unicodedata

import numpy as np
import pytest

from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import grammar, syllables
from manuscript_restore.synthesis.fonts import PRINTED, _packaged, load_typeface
from manuscript_restore.synthesis.scripts import (
    BLOCKS,
    SCRIPTS,
    from_devanagari,
    join_words,
    numeral,
    split_aksharas,
)
from manuscript_restore.synthesis.text import TextSource, packaged_works

VOWELS = re.compile("[अ-औ]|[क-ह](?!़?्)")  # every vowel: an independent one, or a consonant that is not dead
GITA = "धर्मक्षेत्रे कुरुक्षेत्रे समवेता युयुत्सवः । मामकाः पाण्डवाश्चैव किमकुर्वत सञ्जय ॥ १ ॥"


def passages(number: int, *, continuous: bool = False, seed: int = 0, **settings: object) -> list[str]:
    source = TextSource(**settings).passages(np.random.default_rng(seed), continuous=continuous)
    return ["".join(segment.text for segment in next(source).segments) for _ in range(number)]


def verses() -> list[str]:
    return [
        text
        for work in packaged_works()
        for text in work
        if re.search(r"॥ [०-९]+ ॥$", text) and text.count("॥") == 2
    ]


def syllable_weights(quarter: str) -> str:
    """Light (u) and heavy (-) syllables: heavy are long vowels, and those before two consonants, ं or ः."""
    text = join_words(quarter)
    consonants = re.compile("[क-ह]़?")
    weights, units = "", [u for u in split_aksharas(text) if not u.endswith("्")]
    for number, unit in enumerate(units):
        following = units[number + 1] if number + 1 < len(units) else ""
        closed = len(consonants.findall(following)) > 1
        long = re.search("[ाीूेैोौ]", unit) or re.match("[आईऊएऐओऔ]", unit)
        weights += "-" if long or re.search("[ंः]", unit) or closed else "u"
    return weights


def test_splitting_against_a_verse_counted_by_hand():
    assert split_aksharas("धर्मक्षेत्रे कुरुक्षेत्रे") == ["ध", "र्म", "क्षे", "त्रे", " ", "कु", "रु", "क्षे", "त्रे"]
    assert split_aksharas("तत् त्वम् ॐ ऽ ॥१२॥") == [
        "त",
        "त्",
        " ",
        "त्व",
        "म्",
        " ",
        "ॐ",
        " ",
        "ऽ",
        " ",
        "॥",
        "१",
        "२",
        "॥",
    ]
    assert split_aksharas("कार्त्स्न्यं") == ["का", "र्त्स्न्यं"]
    assert split_aksharas("ṛṣiḥ") == ["ṛ", "ṣ", "i", "ḥ"]
    assert split_aksharas(unicodedata.normalize("NFD", "ṛṣi")) == ["r\u0323", "s\u0323", "i"]


@pytest.mark.parametrize(
    "script", sorted(name for name, tag in SCRIPTS.items() if tag in BLOCKS and tag != "Taml")
)
def test_syllables_are_the_same_in_every_indic_script(script):
    written = from_devanagari(GITA, script)
    assert len(split_aksharas(written)) == len(split_aksharas(GITA))
    assert "".join(split_aksharas(written)) == written
    name = {
        "Beng": "BENGALI",
        "Telu": "TELUGU",
        "Knda": "KANNADA",
        "Mlym": "MALAYALAM",
        "Gran": "GRANTHA",
        "Deva": "DEVANAGARI",
        "Gujr": "GUJARATI",
        "Orya": "ORIYA",
    }
    letters = [character for character in written if character not in " ।॥" and not character.isdigit()]
    assert all(unicodedata.name(letter).startswith(name[SCRIPTS[script]]) for letter in letters)


def test_other_scripts_against_spellings_from_books():
    assert from_devanagari("धर्मक्षेत्रे कुरुक्षेत्रे", "telugu") == "ధర్మక్షేత్రే కురుక్షేత్రే"
    assert from_devanagari("श्रीगणेशाय नमः", "bengali") == "শ্রীগণেশায নমঃ"
    assert from_devanagari("श्रीगणेशाय नमः", "kannada") == "ಶ್ರೀಗಣೇಶಾಯ ನಮಃ"
    iast = "dharmakṣetre kurukṣetre samavetā yuyutsavaḥ | māmakāḥ pāṇḍavāścaiva kimakurvata sañjaya || 1 ||"
    assert from_devanagari(GITA, "latin") == iast
    assert from_devanagari("कॢप्तौ ऋषिः पितॄन् ॐ", "latin") == "kḷptau ṛṣiḥ pitṝn oṃ"


def test_words_are_joined_as_manuscripts_join_them():
    assert join_words("तम् उवाच हृषीकेशः") == "तमुवाचहृषीकेशः"
    assert join_words("तत् त्वम् असि") == "तत्त्वमसि"
    assert join_words("वाक् एव । इति") == "वाकेव।इति"  # no sandhi of consonants


def test_numerals():
    assert numeral(1024, "devanagari") == "१०२४"
    assert numeral(305, "telugu") == "౩౦౫"
    assert numeral(7, "latin") == "7"
    assert numeral(29, "tibetan") == "༢༩"
    assert numeral(29, "arabic") == "٢٩"
    assert numeral(29, "hebrew") == "29"


@pytest.mark.parametrize("text", [text for work in packaged_works() for text in work])
def test_packaged_text_is_well_formed(text):
    assert unicodedata.is_normalized("NFC", text)
    assert set(text) <= {chr(code) for code in range(0x900, 0x980)} | {" "}
    for unit in split_aksharas(text.replace(" ", "")):
        assert not unicodedata.category(unit[0]).startswith("M"), f"{unit!r} has a mark without a letter"
    assert text.endswith(("॥", "।"))


def test_packaged_anustubh_verses_have_their_syllables():
    """Eight by four; a wrong or missing vowel sign would show. Others count by their own metres."""
    counts = [len(VOWELS.findall(re.sub(" ॥.*", "", verse))) for verse in verses()]
    # Anuṣṭubh, indravajrā/upajāti/triṣṭubh, mandākrāntā.
    assert set(counts) <= {32, 44, 68}
    assert counts.count(32) > 60


def test_made_up_verses_keep_the_metre():
    rng = np.random.default_rng(3)
    made = [verse for verse in (grammar.compose(rng, 7) for _ in range(200)) if "॥" in verse]
    assert len(made) > 80
    for verse in made:
        for line in verse.split("॥")[0].split("।"):
            weights = syllable_weights(line)
            assert len(weights) == 16
            odd, even = weights[:8], weights[8:]
            assert (odd[4:7], even[4:7]) == ("u--", "u-u"), f"{line}: {weights}"
            assert odd[1:3] != "uu"
            assert even[1:3] != "uu"


@pytest.mark.slow
def test_every_syllable_that_is_made_up_can_be_shaped():
    rng = np.random.default_rng(0)
    units = {unit for _ in range(1500) for unit in split_aksharas(join_words(grammar.compose(rng, 108)))}
    assert len(units) > 2500
    for family in ("Shobhika-1.05", "Tiro Devanagari Sanskrit"):
        assert family in PRINTED
        typeface = load_typeface(_packaged(family), "devanagari")
        circle = typeface._face.get_char_index("\u25cc")
        for unit in units:
            glyphs = {glyph for glyph, _, _ in typeface.shape(unit).glyphs}
            assert not glyphs & {0, circle}, f"{unit} in {family}"


def test_conjuncts_are_many_and_of_consonants():
    conjuncts = set(grammar.MEDIAL) | set(grammar.INITIAL)
    assert len(conjuncts) > 280
    assert set(grammar.COMMON) <= conjuncts
    for conjunct in conjuncts:
        assert re.fullmatch("[क-ह](्[क-ह])+", conjunct), conjunct


def test_it_reads_on_in_order_from_a_random_place():
    read = passages(12, generated_share=0.0)
    assert any(read[:3] == list(work[i : i + 3]) for work in packaged_works() for i in range(len(work)))
    assert passages(5, seed=1) == passages(5, seed=1)
    assert passages(5, seed=1) != passages(5, seed=2)


def test_kinds_tell_what_a_scribe_rubricates():
    source = TextSource(generated_share=0.0).passages(np.random.default_rng(0), continuous=True)
    kinds: dict[str, str] = {}
    for _ in range(400):
        for segment in next(source).segments:
            kinds.setdefault(segment.kind, segment.text)
            assert " " not in segment.text
    assert set(kinds) == {"text", "danda", "verse_number", "heading", "colophon"}
    assert re.fullmatch("[।॥]+", kinds["danda"])
    assert re.fullmatch("[०-९]+", kinds["verse_number"])


def test_a_users_file(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("# a comment\nஅகர முதல\nஎழுத்தெல்லாம்\n\nஆதி பகவன்\n", encoding="utf-8")
    read = passages(30, script="tamil", text_file=str(file))
    assert set(read) == {"அகர முதல எழுத்தெல்லாம்", "ஆதி பகவன்"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "holds no text"),
        (b"# only this\n", "holds no text"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_mistakes_in_a_users_file(tmp_path, content, message):
    file = tmp_path / "mine.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=rf"generator\.text_file=.*mine\.txt: .*{message}"):
        TextSource(text_file=str(file))


def test_an_unknown_script_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r"generator\.script=klingon.*devanagari"):
        TextSource("klingon")


@pytest.mark.parametrize("script", ["tamil", "greek", "tibetan"])
def test_sanskrit_is_not_carried_over_where_letters_lack(script):
    with pytest.raises(ValueError, match=f"script={script}"):
        from_devanagari("धर्म", script)


def test_every_script_has_text():
    for script, tag in SCRIPTS.items():
        assert (script in syllables.SYLLABARIES) == (tag == "Taml" or (tag not in BLOCKS and tag != "Latn"))


@pytest.mark.parametrize("script", sorted(syllables.SYLLABARIES))
def test_made_up_text_is_of_its_script(script):
    """By Unicode's names of the letters; no mark stands alone; it splits and joins again."""
    written = "".join(passages(60, script=script))
    letters = [c for c in written if unicodedata.category(c)[0] in "LM" and c not in "\u0964"]
    assert len(letters) > 1500
    named = [unicodedata.name(letter).split()[0] for letter in letters if letter != "\u200d"]
    assert set(named) == {script.upper()}
    units = split_aksharas(written)
    assert "".join(units) == written
    assert not [unit for unit in units if unicodedata.category(unit[0]).startswith("M")]
    assert len(set(units)) > 35


def test_words_of_arabic_and_hebrew_stay_whole():
    assert split_aksharas("بسم الله") == ["بسم", " ", "الله"]
    assert split_aksharas("בְּרֵאשִׁית ברא׃") == ["בְּרֵאשִׁית", " ", "ברא", "׃"]


def test_syllables_of_other_scripts_against_books():
    assert split_aksharas("བསྒྲུབས་པ") == ["བ", "སྒྲུ", "བ", "ས་", "པ"]
    assert split_aksharas("ភ្នំពេញ") == ["ភ្នំ", "ពេ", "ញ"]
    assert split_aksharas("ශ්‍රී ලංකා") == ["ශ්‍රී", " ", "ලං", "කා"]
    assert split_aksharas("தமிழ்") == ["த", "மி", "ழ்"]
    assert split_aksharas("λόγος") == ["λ", "ό", "γ", "ο", "ς"]


@pytest.mark.parametrize(
    ("script", "apart"), [("arabic", True), ("greek", True), ("tamil", False), ("khmer", False)]
)
def test_where_scribes_leave_spaces(script, apart):
    assert any(" " in text.strip() for text in passages(5, script=script, continuous=True)) == apart
    assert any(" " in text.strip() for text in passages(5, script=script, continuous=False))
