"""Generated pages: the same everywhere, all sizes, and with the text and ink that they say."""

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib import get_data_path

from manuscript_restore.errors import UserError
from manuscript_restore.images import write
from manuscript_restore.synthesis import PageGenerator, generate_page
from manuscript_restore.synthesis.hand import printing_hand
from manuscript_restore.synthesis.scribe import Inks, Scribe, constant
from manuscript_restore.synthesis.supports import KINDS
from manuscript_restore.synthesis.typeface import Typeface

DEJAVU = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # has Hebrew, comes with Matplotlib

SIZE = [240, 400]


@pytest.fixture(scope="module")
def generator():
    return PageGenerator(size=SIZE)


def test_a_page_depends_on_nothing_but_its_number(generator):
    later = [generator.page(7, i) for i in (2, 0)]
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    for index, page in zip((0, 2), reversed(later), strict=True):
        again = PageGenerator(size=SIZE).page(7, index)
        np.testing.assert_array_equal(again.image, page.image)
        np.testing.assert_array_equal(again.ink, page.ink)
        assert again.lines == page.lines


def test_drawing_leaves_the_global_generator_alone(generator):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generator.page(7, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.slow
def test_another_process_draws_the_same_page(generator):
    code = (
        "import hashlib; from manuscript_restore.synthesis import PageGenerator as G;"
        f"print(hashlib.sha256(G(size={SIZE}).page(7, 3).image.tobytes()).hexdigest())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == hashlib.sha256(generator.page(7, 3).image.tobytes()).hexdigest()


def test_index_and_seed_both_change_the_page(generator):
    zero, one = generator.page(7, 0).image, generator.page(7, 1).image
    assert (zero != one).mean() > 0.3
    assert (zero != generator.page(8, 0).image).mean() > 0.3
    assert (generator.page(0, 1).image != generator.page(1, 0).image).mean() > 0.3


def test_the_tag_tells_settings_and_fonts_apart(tmp_path):
    tag = PageGenerator(size=SIZE).tag
    assert tag == PageGenerator(size=tuple(SIZE)).tag
    texture = tmp_path / "blank.png"
    write(np.full((64, 64, 3), 200, np.uint8), texture)
    others = [
        {"size": [240, 401]},
        {"style": "printed"},
        {"irregularity": 0.5},
        {"supports": {"paper": 1}},
        {"textures_dir": str(tmp_path)},
    ]
    assert len({tag, *(PageGenerator(**{"size": SIZE, **other}).tag for other in others)}) == 6


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (40, 600), (601, 35), (255, 129)])
@pytest.mark.parametrize("style", ["scribe", "printed"])
def test_any_size(size, style):
    generator = PageGenerator(size=size, style=style)
    for index in range(6):
        page = generator.page(0, index)
        assert page.image.shape == (*size, 3)
        assert page.image.dtype == np.uint8
        assert page.ink.shape == size
        for line in page.lines:
            left, top, right, bottom = line.box
            assert 0 <= left < right <= size[1]
            assert 0 <= top < bottom <= size[0]


def test_natural_sizes_follow_the_support():
    shapes = {}
    for kind in KINDS:
        page = PageGenerator(supports={kind: 1}).page(0, 0)
        assert page.support == kind
        shapes[kind] = page.image.shape
    height, width, _ = shapes["palm_leaf"]
    assert width > 4 * height
    height, width, _ = shapes["parchment"]
    assert height > width


@pytest.mark.parametrize("kind", KINDS)
def test_the_ink_is_where_the_page_is_darker(kind):
    generator = PageGenerator(supports={kind: 1}, size=[500, 900])
    for index in range(4):
        page = generator.page(3, index)
        assert 0.01 < page.ink.mean() < 0.35
        grey = page.image.min(axis=2).astype(np.float32)  # red ink is dark in green and blue
        around = cv2.dilate(page.ink.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
        near = around & ~cv2.dilate(page.ink.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        assert np.median(grey[page.ink]) < np.median(grey[near]) - 25


@pytest.mark.parametrize("style", ["scribe", "printed"])
def test_boxes_hold_the_ink_of_their_lines(style):
    generator = PageGenerator(size=[600, 1000], style=style, supports={"paper": 1.0})
    for index in range(3):
        page = generator.page(1, index)
        inked = page.ink.astype(np.float64)
        for line in page.lines:
            left, top, right, bottom = line.box
            assert line.text
            assert line.text == line.text.strip()
            assert inked[top:bottom, left:right].mean() > 0.03
            assert all(left - 60 < x < right + 60 and top - 60 < y < bottom + 60 for x, y in line.baseline)
        covered = np.zeros_like(page.ink)
        for line in page.lines:
            left, top, right, bottom = line.box
            covered[top:bottom, left:right] = True
        # Rules and ornaments lie outside the boxes; printed pages have neither.
        assert inked[covered].sum() > (0.999 if style == "printed" else 0.6) * inked.sum()


def test_lines_are_read_from_top_to_bottom():
    page = PageGenerator(size=[600, 1000], supports={"paper": 1.0}).page(1, 0)
    tops = [line.baseline[0][1] for line in page.lines if line.kind == "text"]
    assert len(tops) >= 6
    assert tops == sorted(tops)


def test_scribes_write_without_spaces_and_printers_with():
    scribe = PageGenerator(size=[600, 1000]).page(1, 0).lines
    printed = PageGenerator(size=[600, 1000], style="printed").page(1, 0).lines
    assert sum(" " in line.text for line in scribe if line.kind == "text") == 0
    assert sum(" " in line.text for line in printed) > len(printed) / 2


def test_irregularity_is_what_makes_one_letter_differ_from_the_next():
    steady, shaky = (PageGenerator(size=[600, 1000], supports={"paper": 1.0}, irregularity=k) for k in (0.0, 1.0))
    ruled = {}
    for name, generator in (("steady", steady), ("shaky", shaky)):
        page = generator.page(1, 0)
        ruled[name] = [point[1] for line in page.lines if line.kind == "text" for point in line.baseline]
    assert (steady.page(1, 0).image != shaky.page(1, 0).image).any()


def test_a_textures_colour_shows_on_the_page(tmp_path):
    rng = np.random.default_rng(0)
    green = np.clip(rng.normal((90, 160, 100), 6, (300, 400, 3)), 0, 255).astype(np.uint8)
    write(green, tmp_path / "blank.png")
    generator = PageGenerator(size=SIZE, textures_dir=str(tmp_path), textures_share=1.0)
    greens = []
    for index in range(6):
        page = generator.page(0, index)
        red, green, blue = np.median(page.image[~page.ink], axis=0)
        greens.append(green > red + 20 and green > blue + 20)
    assert sum(greens) >= 4  # a few are black-and-white photographs


def test_a_users_text_is_what_is_written(tmp_path):
    (tmp_path / "mine.txt").write_text("गजाननं भूतगणादिसेवितं\n", encoding="utf-8")
    generator = PageGenerator(
        size=[300, 800], style="printed", text_file=str(tmp_path / "mine.txt"), generated_text=0.0
    )
    text = "".join(line.text for line in generator.page(0, 0).lines if line.kind == "text")
    assert set(text) <= set("गजाननं भूतगणादिसेवितं")
    assert "गजाननं" in text


def test_from_right_to_left_a_line_begins_at_the_right(tmp_path):
    """One word of one line: at the right side; its Latin counterpart at the left."""
    (tmp_path / "sans.ttf").write_bytes(DEJAVU.read_bytes())
    places = {}
    for script, word in (("hebrew", "אב"), ("latin", "ab")):
        (tmp_path / "mine.txt").write_text(f"{word}\n", encoding="utf-8")
        generator = PageGenerator(
            size=[300, 800], style="printed", script=script, text_file=str(tmp_path / "mine.txt"),
            fonts_dir=str(tmp_path), supports={"paper": 1},
        )  # fmt: skip
        left, _, right, _ = generator.page(0, 0).lines[0].box
        places[script] = (left + right) / 2
    assert places["latin"] < 250
    assert places["hebrew"] > 550


def test_a_line_from_right_to_left_reads_as_its_text_says():
    """Its words lie one left of the other, as wide as their letters; the line's text is in reading order."""
    typeface = Typeface(DEJAVU, "hebrew")
    inks = Inks.blank(100, 400)
    scribe = Scribe(np.random.default_rng(0), typeface, printing_hand(30.0), inks)
    line = scribe.write("שש ם", constant(60), 100.0, kind="text")
    assert line.text == "שש ם"
    columns = np.flatnonzero(inks.dark.max(axis=0) > 127)
    gap = int(np.argmax(np.diff(columns)))
    right_word = columns[-1] - columns[gap + 1]
    left_word = columns[gap] - columns[0]
    assert columns[0] == pytest.approx(100, abs=5)
    assert right_word == pytest.approx(30 * typeface.advance("שש"), abs=6)
    assert left_word < 30 * typeface.advance("ם") < right_word


def test_other_scripts_come_as_often_as_asked_and_leave_the_others_alone():
    generator = PageGenerator(size=SIZE, other_scripts=0.5, supports={"paper": 1})
    packaged = set(PageGenerator().fonts)
    foreign = [generator.page(0, index).font not in packaged for index in range(20)]
    assert 4 < sum(foreign) < 16
    assert set(packaged) < set(generator.all_fonts)
    assert PageGenerator(size=SIZE, other_scripts=0.5).tag != PageGenerator(size=SIZE).tag


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variety": 1.5}, r"generator\.variety=1\.5: must be between 0 and 1"),
        ({"other_scripts": -1}, r"generator\.other_scripts=-1: must be between 0 and 1"),
        ({"size": [16, 100]}, r"generator\.size=\[16, 100\].*from 32"),
        ({"size": [100]}, r"generator\.size=\[100\]"),
        ({"style": "typed"}, r"generator\.style=typed.*scribe, printed"),
        ({"irregularity": 2}, r"generator\.irregularity=2: must be between 0 and 1"),
        ({"generated_text": -0.1}, r"generator\.generated_text"),
        ({"supports": {"papyrus": 1}}, r"generator\.supports\.papyrus: unknown; known: "),
        ({"supports": {"paper": 0}}, r"generator\.supports=.*one above"),
        ({"script": "klingon"}, r"generator\.script=klingon"),
        ({"text_file": "nowhere.txt"}, r"generator\.text_file=nowhere\.txt"),
        ({"fonts_dir": "nowhere"}, r"generator\.fonts_dir=nowhere"),
        ({"textures_dir": "nowhere"}, r"generator\.textures_dir=nowhere"),
    ],
)
def test_mistakes_name_the_setting_and_the_mend(settings, message):
    with pytest.raises(UserError, match=message):
        PageGenerator(**settings)


def test_generate_page_is_a_shorthand():
    np.testing.assert_array_equal(
        generate_page(3, 4, height=64, width=96), PageGenerator(size=(64, 96)).page(3, 4).image
    )
