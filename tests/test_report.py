"""The report, in a browser: that it needs nothing else, and that its slider slides."""

import shutil
from pathlib import Path

import pytest
import torch

from manuscript_restore.evaluation.report import Bar, Case, Plot, Report, Section, data_uri
from manuscript_restore.evaluation.tables import Table
from manuscript_restore.images.figures import ink_errors

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def report() -> Report:
    red, blue = (torch.tensor(colour).view(3, 1, 1).expand(3, 60, 80) for colour in ([1.0, 0, 0], [0, 0, 1.0]))
    case = Case("worst: <page> & co", "PSNR 20 → 21", red, blue, {"clean": blue})
    table = Table(
        "Scores", ["method", "PSNR (dB)"], [["none", "20.00"], ["ours", "21.00 [20.50, 21.50]"]], "A note."
    )
    nan = float("nan")
    plot = Plot("Gain", [Bar("ours", 1.0, 0.5, 1.5, "+1.00"), Bar("one page", -0.5, nan, nan, "-0.50")])
    section = Section(
        "degraded", "Two pages.", [table], [plot], [case], Table("Every page", ["page", "ours"], [["a", "1"]])
    )
    return Report("A <title>", [("software", "x & y")], [section])


def test_markdown_holds_the_tables():
    text = report().markdown()
    assert "| ours | 21.00 [20.50, 21.50] |" in text
    assert "- software: x & y" in text
    assert text.count("\n| --- | ---: |\n") == 1  # the folded table stays in the HTML


def test_nothing_outside_is_named_and_all_text_is_escaped():
    html = report().html()
    assert "<page>" not in html
    assert "&lt;page&gt; &amp; co" in html
    for outside in ("http://", "https://", 'src="/', "url(", "@import", "<link"):
        assert outside not in html


def test_plots_show_zero_and_mark_certain_gains():
    svg = str(report().sections[0].plots[0].svg())
    assert 'class="zero"' in svg
    assert svg.count('class="better"') == 2  # the interval and its point
    assert svg.count("<circle") == 2


def test_pictures_are_shrunk_to_fit():
    large = data_uri(torch.rand(3, 2000, 1500))
    assert large.startswith("data:image/webp;base64,")
    assert len(data_uri(torch.zeros(3, 2000, 1500))) < 20_000


def test_ink_errors_by_colour():
    truth = torch.tensor([[True, True, False, False]]).numpy()
    found = torch.tensor([[True, False, True, False]]).numpy()
    picture = ink_errors(found, truth)[:, 0]  # (3, 4)
    assert picture[:, 0].max() < 0.2
    assert picture[2, 1] == picture[:, 1].max()
    assert picture[0, 2] == picture[:, 2].max()
    assert picture[:, 3].min() == 1


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report, opened; its requests and its faults are in ``page.requests`` and ``page.faults``."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report().html(), encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        page.requests, page.faults = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda message: page.faults.append(message.text))
        page.goto(file.as_uri())
        yield page
        browser.close()


def colour_at(page, share: float) -> str:
    """Whether the slider's picture is red (degraded) or blue (restored) at a share of its width."""
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(page.locator(".stack").screenshot())).convert("RGB")
    red, _, blue = picture.getpixel((int(share * (picture.width - 1)), picture.height // 2))
    return "red" if red > blue else "blue"


def test_it_asks_for_nothing_and_has_no_faults(page):
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.faults == []
    assert page.locator("h1").inner_text() == "A <title>"


def test_the_slider_works_by_keyboard(page):
    slider = page.locator("input[type=range]")
    assert slider.get_attribute("aria-label")
    assert (colour_at(page, 0.25), colour_at(page, 0.75)) == ("red", "blue")
    slider.focus()
    page.keyboard.press("Home")
    assert colour_at(page, 0.25) == "blue"
    page.keyboard.press("End")
    assert colour_at(page, 0.75) == "red"
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    assert slider.input_value() == "40"
    assert (colour_at(page, 0.3), colour_at(page, 0.5)) == ("red", "blue")


def test_the_folded_table_opens_by_keyboard(page):
    table = page.get_by_role("rowheader", name="a", exact=True)
    assert not table.is_visible()
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    assert table.is_visible()


def test_on_paper_both_pictures_stand_side_by_side(page):
    page.emulate_media(media="print")
    before, after = (page.locator(f".stack .{name}").bounding_box() for name in ("before", "after"))
    assert before["x"] + before["width"] <= after["x"]
    assert not page.locator("input[type=range]").is_visible()
    assert len(page.pdf()) > 1000
    page.emulate_media(media="screen")


def test_it_fits_a_narrow_window(page):
    page.set_viewport_size({"width": 380, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.set_viewport_size({"width": 1000, "height": 800})


def test_the_template_is_in_the_package():
    import manuscript_restore.evaluation as package

    assert (Path(package.__file__).parent / "template.html").is_file()
