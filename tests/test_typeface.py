"""Fonts, shaping and filling, against HarfBuzz and Pillow used directly."""

import unicodedata
from pathlib import Path

import devanagari_fonts
import numpy as np
import pytest
import uharfbuzz as hb
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from manuscript_restore.errors import UserError
from manuscript_restore.synthesis import fonts
from manuscript_restore.synthesis.fonts import (
    PRINTED,
    SCRIBAL,
    find_fonts,
    find_other_scripts,
    licence_of,
    load_typeface,
)
from manuscript_restore.synthesis.scripts import SCRIPTS
from manuscript_restore.synthesis.typeface import Typeface

SHOBHIKA = devanagari_fonts.font_path("Shobhika-1.05", style="Regular")
DOTTED_CIRCLE = "\u25cc"


@pytest.fixture(scope="module")
def typeface() -> Typeface:
    return Typeface(SHOBHIKA, "devanagari")


def draw(typeface, syllable, *, size=40.0, origin=(30, 90), **kwargs):
    plane = np.zeros((140, 140), np.uint8)
    box = typeface.draw(typeface.shape(syllable), plane, origin, np.eye(2) * size, **kwargs)
    return plane, box


@pytest.mark.parametrize("syllable", ["क", "क्ष", "र्त्स्न्य", "ष्ट्र्या", "द्ध्ये", "कि", "हृ", "ङ्क्ष्व", "ज्ञैः", "श्रीं"])
def test_a_conjunct_is_shaped_as_harfbuzz_shapes_it(typeface, syllable):
    face = hb.Face(hb.Blob.from_file_path(str(SHOBHIKA)))
    buffer = hb.Buffer()
    buffer.add_str(syllable)
    buffer.guess_segment_properties()
    hb.shape(hb.Font(face), buffer)
    cluster = typeface.shape(syllable)
    assert [glyph for glyph, _, _ in cluster.glyphs] == [info.codepoint for info in buffer.glyph_infos]
    assert cluster.advance == sum(position.x_advance for position in buffer.glyph_positions)


def test_shaping_joins_consonants_and_moves_marks(typeface):
    # Unshaped: one glyph per character. Shobhika has a ligature for ksha, and i-matra comes first.
    assert len(typeface.shape("क्ष").glyphs) == 1
    ka, i = (typeface.shape(c).glyphs[0][0] for c in ("क", "इ"))
    shaped = [glyph for glyph, _, _ in typeface.shape("कि").glyphs]
    assert len(shaped) == 2
    assert shaped[-1] == ka
    assert i not in shaped


def test_ink_lies_where_pillow_draws_it(typeface):
    """Pillow draws the same letter with its own FreeType; half a grey level apart at the edges, at most."""
    plane, _ = draw(typeface, "क", size=40)
    ppem = 40 * typeface._hb_face.upem / typeface.body
    font = ImageFont.truetype(str(SHOBHIKA), ppem, layout_engine=ImageFont.Layout.BASIC)
    image = Image.new("L", (140, 140))
    ImageDraw.Draw(image).text((30, 90), "क", fill=255, font=font, anchor="ls")
    difference = np.abs(plane.astype(int) - np.asarray(image).astype(int))
    assert difference.mean() < 1.5  # Pillow rounds the place and hints; a shift by a pixel would give 8
    assert abs(int(plane.sum()) - int(np.asarray(image).sum())) < 0.02 * plane.sum()


def test_the_body_reaches_from_the_headline_to_the_baseline(typeface):
    plane, box = draw(typeface, "क", size=40, origin=(30, 90))
    assert box is not None
    rows = np.flatnonzero(plane.max(axis=1))
    assert rows.min() == pytest.approx(50, abs=1.5)
    assert (box[1], box[3]) == (rows.min(), rows.max() + 1)


def test_weight_thickens_slant_leans_and_strength_pales(typeface):
    plain, _ = draw(typeface, "म")
    assert draw(typeface, "म", weight=1.5)[0].sum() > 1.15 * plain.sum()
    assert draw(typeface, "म", weight=-1.0)[0].sum() < 0.9 * plain.sum()
    pale, _ = draw(typeface, "म", strength=0.5)
    assert pale.max() == 127
    bent, _ = draw(typeface, "म", wobble=(0.03, 1.0))
    assert int(bent.sum()) == pytest.approx(int(plain.sum()), rel=0.05)
    assert np.abs(bent.astype(int) - plain).mean() > 1


@pytest.mark.parametrize("origin", [(-20, 90), (130, 90), (30, 5), (30, 190), (-500, -500)])
def test_what_falls_outside_is_cut_off(typeface, origin):
    far = np.zeros((1200, 1200), np.uint8)
    typeface.draw(typeface.shape("ज्ञ"), far, (origin[0] + 600, origin[1] + 600), np.eye(2) * 40)
    plane, box = draw(typeface, "ज्ञ", origin=origin)
    np.testing.assert_array_equal(plane, far[600:740, 600:740])
    if box is not None:
        assert 0 <= box[0] < box[2] <= 140
        assert 0 <= box[1] < box[3] <= 140


def test_stroke_width_agrees_with_the_distance_transform(typeface):
    """Twice the mean distance from the skeleton to the edge, as scikit-image and SciPy measure it."""
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    plane, _ = draw(typeface, "क", size=90, origin=(10, 110))
    ink = plane > 127
    measured = 2 * distance_transform_edt(ink)[skeletonize(ink)].mean() / 90
    assert typeface.stroke == pytest.approx(measured, rel=0.35)


@pytest.mark.parametrize("family", sorted(SCRIBAL | PRINTED))
def test_every_packaged_family_shapes_sanskrit(family):
    (path,) = [p for p in find_all() if p.parent.name == family]
    typeface = load_typeface(path, "devanagari")
    circle = typeface._face.get_char_index(DOTTED_CIRCLE)
    for syllable in (
        "र्म",
        "क्षे",
        "त्रै",
        "ज्ञा",
        "श्चै",
        "ङ्क",
        "ञ्ज",
        "ष्ट्य",
        "द्ध",
        "द्म",
        "ह्म",
        "ॐ",
        "ऽ",
        "॥",
        "१",
        "क्ति",
        "तृ",
        "दुः",
    ):
        glyphs = [glyph for glyph, _, _ in typeface.shape(syllable).glyphs]
        assert 0 not in glyphs, f"{syllable} is not in the font"
        assert not circle or circle not in glyphs, f"{syllable} falls apart"
    assert 0.03 < typeface.stroke < 0.35
    assert "OFL" in licence_of(path) or "Open Font" in licence_of(path)


def find_all() -> list[Path]:
    found = [find_fonts("devanagari", style, folder=None, system=False) for style in ("scribe", "printed")]
    return sorted(set(found[0]) | set(found[1]))


def test_latin_needs_no_other_package():
    (path,) = find_fonts("latin", "scribe", folder=None, system=False)
    assert load_typeface(path, "latin").covers(unicodedata.normalize("NFC", "dharmakṣetre śrīḥ ṛṅñṭḍṇ"))


def test_a_script_without_a_font_is_told_where_to_get_one():
    with pytest.raises(UserError, match=r"generator\.script=grantha.*fonts-noto-core.*system_fonts.*fonts_dir"):
        find_fonts("grantha", "scribe", folder=None, system=False)


def test_a_folder_of_fonts_replaces_the_packaged_ones(tmp_path):
    (tmp_path / "mine.otf").write_bytes(SHOBHIKA.read_bytes())
    (tmp_path / "broken.ttf").write_bytes(b"no font at all")
    assert list(find_fonts("devanagari", "scribe", folder=str(tmp_path), system=False)) == [tmp_path / "mine.otf"]
    with pytest.raises(UserError, match=r"generator\.fonts_dir=.*no font with letters of the script telugu"):
        find_fonts("telugu", "scribe", folder=str(tmp_path), system=False)
    with pytest.raises(UserError, match=r"generator\.fonts_dir=nowhere: no such folder"):
        find_fonts("devanagari", "scribe", folder="nowhere", system=False)


def test_a_broken_font_is_named(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font at all")
    with pytest.raises(UserError, match=r"broken\.ttf: is not a font"):
        Typeface(tmp_path / "broken.ttf", "devanagari")


def test_scripts_are_iso_15924_tags():
    assert {len(tag) for tag in SCRIPTS.values()} == {4}


DEJAVU = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # has Arabic, comes with Matplotlib


@pytest.mark.parametrize("word", ["بسم", "كتاب", "لا", "محمد"])
def test_arabic_is_joined_from_right_to_left_as_harfbuzz_does_it(word):
    buffer = hb.Buffer()
    buffer.add_str(word)
    buffer.guess_segment_properties()
    assert buffer.direction == "rtl"
    hb.shape(hb.Font(hb.Face(hb.Blob.from_file_path(str(DEJAVU)))), buffer)
    typeface = Typeface(DEJAVU, "arabic")
    assert [glyph for glyph, _, _ in typeface.shape(word).glyphs] == [
        info.codepoint for info in buffer.glyph_infos
    ]


def test_a_script_needs_more_than_one_letter_of_its_font(tmp_path):
    (tmp_path / "sans.ttf").write_bytes(DEJAVU.read_bytes())
    for script in ("greek", "latin", "arabic", "hebrew"):
        assert find_fonts(script, "scribe", folder=str(tmp_path), system=False)
    for script in ("tibetan", "khmer", "tamil", "sinhala"):
        with pytest.raises(UserError, match=f"letters of the script {script}"):
            find_fonts(script, "scribe", folder=str(tmp_path), system=False)


def test_other_scripts_are_those_that_there_are_fonts_for(tmp_path, monkeypatch):
    (tmp_path / "sans.ttf").write_bytes(DEJAVU.read_bytes())
    (tmp_path / "mono.txt").write_bytes(b"")
    monkeypatch.setattr(fonts, "FONT_PACKAGES", ())
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", (str(tmp_path), str(tmp_path / "nowhere")))
    assert set(find_other_scripts("devanagari")) == {"greek", "latin", "arabic", "hebrew"}
    assert set(find_other_scripts("latin")) == {"greek", "arabic", "hebrew"}
    monkeypatch.setattr(fonts, "SYSTEM_FOLDERS", ())
    assert set(find_other_scripts("devanagari")) == {"latin"}
    assert find_other_scripts("latin") == {}
