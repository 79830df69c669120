"""The desk in a browser: looking, deciding, keys, languages, and that nothing leaves the machine."""

import csv
import json
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import manuscript_restore
from manuscript_restore import cli
from manuscript_restore.inference import Restorer

from .processes import start

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("starlette")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
STATIC = Path(manuscript_restore.__file__).parent / "desk/static"
AXE = Path(__file__).parent / "axe/axe.min.js"

PAPER, STAIN, INK = (220, 210, 190), (150, 150, 240), (20, 20, 20)
WIDTH, HEIGHT = 900, 1200
HOSTILE = "<img src=x onerror=alert(1)>.png"
SECONDS = 60

Pixels = NDArray[np.uint8]


class Halved:
    """Stand-in with maps: half as light where blue; that is damage, and what is dark is ink."""

    description, concurrency = "stand-in", 2
    has_maps = True

    def default_batch(self, tile: int) -> int:
        return 8

    def look(self, tiles: Any) -> Any:
        return np.zeros((len(tiles), 1), np.float32)

    def __call__(self, tiles: Any, looked: Any = None) -> Any:
        damage = (tiles[:, 2:] > tiles[:, :1] + 0.1).astype(np.float32)
        ink = (tiles.mean(axis=1, keepdims=True) < 0.2).astype(np.float32)
        return np.concatenate([tiles * (1 - damage / 2), damage, ink], axis=1)


def load(*_: Any, settings: Any, **__: Any) -> Restorer:
    return Restorer(Halved(), settings=settings)


def view() -> None:
    """``manuscript-restore`` with the stand-in."""
    Restorer.from_checkpoint = load  # type: ignore[method-assign, assignment]
    cli.main()


def page_image() -> Image.Image:
    """Paper with a line of ink across, and a blue stain on all but the margins."""
    pixels = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    pixels[100:-100, 100:-100] = STAIN
    pixels[580:620, 100:-100] = INK
    return Image.fromarray(pixels)


def ask(url: str, body: Any = None) -> Any:
    """GET, or POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"X-Desk": "1", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is true; returns it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


class Desk:
    """A desk that runs: its address, the folders, and what it says of its pages."""

    def __init__(self, url: str, folder: Path, out: Path) -> None:
        self.url, self.folder, self.out = url, folder, out

    @property
    def pages(self) -> dict[str, dict[str, Any]]:
        return {page["name"]: page for page in ask(f"{self.url}api/pages")}

    def restore(self, what: Any = "new") -> None:
        ask(f"{self.url}api/restore", {"pages": what, "strength": 1, "keep_colour": False, "like": []})
        until(lambda: not any(page["state"] in ("waiting", "working") for page in self.pages.values()), "restored")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk over six restored pages."""
    root = tmp_path_factory.mktemp("desk")
    folder, out = root / "leaves", root / "restored"
    folder.mkdir()
    for name in [HOSTILE, *(f"{number}r.png" for number in (1, 2, 3, 4, 10))]:
        page_image().save(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", port, "--no-open"]
    said = root / "said.txt"
    process = start(view, "view", folder, "-o", out, *options, said=said)
    desk = Desk(f"http://127.0.0.1:{port}/", folder, out)

    def answers() -> bool:
        if process.exitcode is not None:
            raise AssertionError(said.read_text())
        try:
            return bool(desk.pages)
        except OSError:
            return False

    until(answers, "the desk")
    desk.restore()
    yield desk
    process.terminate()
    process.join(SECONDS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, desk: Desk) -> Iterator[Callable[..., Any]]:
    """Open the desk in a window of its own: ``opened(name, width=…, locale=…)``.

    At the end no request has left the machine, and the console holds no error and no breach of the policy.
    """
    contexts: list[Any] = []
    requests: list[str] = []
    faults: list[str] = []

    def open_desk(name: str = "1r.png", *, width: int = 1440, height: int = 900, **options: Any) -> Any:
        options = {"viewport": {"width": width, "height": height}, "locale": "en-GB", **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        identity = desk.pages[name]["id"] if name else ""
        page.goto(f"{desk.url}#{identity}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_desk
    for context in contexts:
        context.close()
    outside = [url for url in requests if not url.startswith((desk.url, "blob:", "data:"))]
    assert (outside, faults) == ([], [])


def pixels(page: Any, place: str = "#main") -> Pixels:
    """What is seen in a place of the window."""
    return np.asarray(Image.open(BytesIO(page.locator(place).screenshot())).convert("RGB"))


def at(page: Any, x: float, y: float = 0.3, place: str = "#main") -> tuple[int, ...]:
    """The colour at a share of the width and height."""
    seen = pixels(page, place)
    colour = seen[int(y * (seen.shape[0] - 1)), int(x * (seen.shape[1] - 1))]
    return tuple(int(channel) for channel in colour)


def near(colour: tuple[int, ...], other: tuple[float, ...]) -> bool:
    """The same up to JPEG and resampling."""
    return bool(np.abs(np.subtract(colour, other)).max() <= 6)


DARK = tuple(channel / 2 for channel in STAIN)


def shows(page: Any, colour: tuple[float, ...], x: float = 0.5, place: str = "#main") -> None:
    """Wait until a colour is there."""
    until(lambda: near(at(page, x, place=place), colour), f"{colour} at {x}, now {at(page, x, place=place)}")


def decision(desk: Desk, name: str) -> str | None:
    found: str | None = desk.pages[name]["decision"]
    return found


def test_a_page_is_opened_and_names_are_text(opened: Any, desk: Desk) -> None:
    page = opened(HOSTILE)
    shows(page, DARK)
    assert page.locator("h1").inner_text() == "leaves"
    assert page.locator("#name").inner_text() == HOSTILE
    names = page.locator("#list .name").all_inner_texts()
    assert sorted(names) == sorted(desk.pages)
    assert names.index("4r.png") + 1 == names.index("10r.png")
    assert page.locator("#list img").count() == 6  # the thumbnails only
    for thumbnail in page.locator("#list img").all():
        until(lambda image=thumbnail: image.evaluate("image => image.naturalWidth") > 0, "a thumbnail")
    assert "6 pages" in page.locator("#progress").inner_text()


def test_zoom(opened: Any) -> None:
    page = opened()
    shows(page, DARK)
    zoom = page.locator("#zoom")
    fitted = zoom.inner_text()
    page.keyboard.press("+")
    until(lambda: zoom.inner_text() != fitted, "larger")
    page.keyboard.press("z")
    until(lambda: zoom.inner_text() == "100 %", "real size")
    page.keyboard.press("0")
    until(lambda: zoom.inner_text() == fitted, "fitted")
    page.locator("#main").hover()
    page.mouse.wheel(0, -300)
    until(lambda: int(zoom.inner_text().split()[0]) > int(fitted.split()[0]), "larger by the wheel")
    shows(page, DARK)


def test_curtain(opened: Any) -> None:
    page = opened()
    curtain = page.locator("#curtain")
    assert curtain.is_hidden()
    page.keyboard.press("2")
    shows(page, STAIN, 0.45)
    shows(page, DARK, 0.55)
    box = page.locator("#main").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100, steps=4)
    page.mouse.up()
    assert curtain.get_attribute("aria-valuenow") == "60"
    shows(page, STAIN, 0.55)
    curtain.focus()
    page.keyboard.press("Home")
    shows(page, DARK, 0.45)
    page.keyboard.press("ArrowRight")
    assert curtain.get_attribute("aria-valuenow") == "2"
    page.keyboard.press("End")
    shows(page, STAIN, 0.6)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press(",")
    assert curtain.get_attribute("aria-valuenow") == "98"


@pytest.mark.parametrize("key", ["b", " "])
def test_the_original_is_shown_as_long_as_a_key_is_held(opened: Any, key: str) -> None:
    page = opened()
    shows(page, DARK)
    page.keyboard.down(key)
    shows(page, STAIN)
    assert page.locator("#caption").inner_text() == "Original"
    page.keyboard.up(key)
    shows(page, DARK)


def test_side_by_side_in_step(opened: Any) -> None:
    page = opened()
    page.keyboard.press("3")
    shows(page, STAIN, place="#beside")
    shows(page, DARK)

    def ink(place: str) -> Pixels:
        return pixels(page, place)[:, 2:-2].max(axis=2) < 50

    def in_step() -> bool:
        one, other = ink("#main"), ink("#beside")
        width = min(one.shape[1], other.shape[1])
        return one.any() and (one[:, :width] != other[:, :width]).mean() < 0.005

    until(in_step, "in step")
    before = ink("#main")
    page.locator("#beside").hover()
    page.mouse.wheel(0, -400)
    until(lambda: ink("#main").sum() > 1.2 * before.sum() and in_step(), "the first follows the second")
    page.keyboard.press("ArrowDown")
    until(lambda: not np.array_equal(ink("#main"), before) and in_step(), "the second follows the first")


def test_layers(opened: Any) -> None:
    page = opened()
    shows(page, DARK)
    blue = (0, 114, 178)
    page.keyboard.press("5")
    shows(page, tuple(0.3 * dark + 0.7 * over for dark, over in zip(DARK, blue, strict=True)))
    opacity = page.get_by_label("Opacity of damage")
    opacity.fill("100")
    shows(page, blue)
    assert near(at(page, 0.5, 0.01), PAPER)  # the margin is not damaged
    page.get_by_role("checkbox", name="Damage").click()
    shows(page, DARK)
    page.keyboard.press("7")
    page.get_by_label("Opacity of ink").fill("100")
    until(lambda: near(at(page, 0.5, 0.5), (190, 0, 130)), "ink")


def test_strength_is_seen_at_once_and_the_page_made_so(opened: Any, desk: Desk) -> None:
    page = opened("2r.png")
    shows(page, DARK)
    asked = []
    page.on("request", lambda request: request.url.endswith("/preview") and asked.append(request.post_data_json))
    page.keyboard.press("s")
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    shows(page, STAIN)
    assert page.locator("#strength-now").inner_text() == "0 %"
    assert asked[-1]["strength"] == 0
    assert len(asked) < 10  # of twenty steps: what was outdated was not asked for
    x, y, width, height = asked[-1]["rect"]
    assert 0 <= x < x + width <= WIDTH
    assert 0 <= y < y + height <= HEIGHT
    assert width * height <= 2**20
    assert near(at(page, 0.5, 0.3), STAIN)
    page.keyboard.press("ArrowRight")
    version = desk.pages["2r.png"]["version"]
    page.get_by_role("button", name="Restore the whole page").click()
    until(lambda: desk.pages["2r.png"]["version"] > version, "restored again")
    assert desk.pages["2r.png"]["settings"]["strength"] == 0.05
    shows(page, tuple(channel * 0.975 for channel in STAIN))


def test_accept_reject_note_and_export(opened: Any, desk: Desk) -> None:
    page = opened("1r.png")
    page.get_by_role("button", name="Accept").click()
    until(lambda: decision(desk, "1r.png") == "accepted", "accepted")
    until(lambda: page.locator("#name").inner_text() != "1r.png", "the next undecided page")
    page.get_by_role("button", name="Previous undecided").click()
    page.locator("#list .name", has_text="3r.png").click()
    note = page.get_by_label("Note", exact=True)
    note.fill("Is it a “ra”? <b>look</b>")
    page.get_by_role("button", name="Reject").click()
    until(lambda: decision(desk, "3r.png") == "rejected", "rejected")
    page.locator("#filter").select_option("rejected")
    until(lambda: page.locator("#list li:visible .name").all_inner_texts()[0] == "3r.png", "the filter")
    page.get_by_role("button", name="Export").first.click()
    page.locator("#export-go").click()
    until(lambda: "accepted" in page.locator("#exported").inner_text(), "exported")
    assert [path.name for path in (desk.out / "accepted").rglob("1r.png*")]
    assert not list((desk.out / "accepted").rglob("3r.png"))
    rows = list(csv.reader((desk.out / "review.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert any("3r.png" in row and "Is it a “ra”? <b>look</b>" in row for row in rows)
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.locator("#list .name", has_text="3r.png").click()
    assert note.input_value() == "Is it a “ra”? <b>look</b>"
    assert page.get_by_role("button", name="Reject").get_attribute("aria-pressed") == "true"


def test_by_keyboard_alone(opened: Any, desk: Desk) -> None:
    page = opened("4r.png")
    focused = "document.activeElement.closest('[id]').id"
    page.keyboard.press("?")
    help_panel = page.locator("#help")
    assert help_panel.is_visible()
    assert "Hold for original" in help_panel.inner_text()
    page.keyboard.press("x")  # does nothing behind the panel
    page.keyboard.press("Escape")
    assert decision(desk, "4r.png") is None
    page.keyboard.press("m")
    assert page.evaluate(focused) == "note"
    page.keyboard.type("axbr 123")
    page.keyboard.press("Escape")
    until(lambda: desk.pages["4r.png"]["note"] == "axbr 123", "the note is kept")
    assert decision(desk, "4r.png") is None
    assert page.evaluate(focused) == "picture"
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#name").inner_text() == "10r.png"
    page.keyboard.press("k")
    page.keyboard.press("a")
    until(lambda: decision(desk, "4r.png") == "accepted", "accepted by key")
    assert page.evaluate("document.activeElement.closest('li')?.dataset.id") == desk.pages["10r.png"]["id"]
    page.keyboard.press("?")
    page.get_by_label("Single letters").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    assert page.locator("#curtain").is_hidden()


def test_every_control_is_reached_by_tab(opened: Any) -> None:
    page = opened()
    page.keyboard.press("2")
    page.locator("#picture").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => { const element = document.activeElement, style = getComputedStyle(element);
            return [element.id || element.className, style.outlineStyle != "none" || !!element.querySelector(".grip")]; }"""
        )
        reached.add(found[0])
        assert found[0] in ("", "skip") or found[1], found  # the focus is seen
    expected = {"add", "restore-new", "language", "help-open", "filter", "page", "like", "zoom-in", "hold", "curtain"}
    expected |= {"accept", "reject", "note", "strength", "keep-colour", "preview", "restore", "openseadragon-canvas"}
    assert expected - reached <= {"restore-new"}  # which is off while no page is new


def test_like_pages_are_chosen_in_the_list(opened: Any, desk: Desk) -> None:
    page = opened("2r.png")
    asked = []
    page.on("request", lambda request: request.url.endswith("/preview") and asked.append(request.post_data_json))
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("l")
    until(lambda: asked, "a preview")
    assert asked[0]["like"] == [desk.pages["3r.png"]["id"]]
    page.get_by_role("button", name="Not like 3r.png").click()
    assert page.locator("#likes li").count() == 0


def test_what_changes_elsewhere_is_seen_and_the_focus_kept(opened: Any, desk: Desk) -> None:
    page = opened("10r.png")
    page.locator("#list .page", has_text="10r.png").focus()
    ask(f"{desk.url}api/pages/{desk.pages['10r.png']['id']}/decision", {"decision": "rejected", "note": ""})
    page.locator("#list li", has_text="10r.png").get_by_text("rejected").wait_for()
    assert page.evaluate("document.activeElement.innerText").startswith("10r.png")
    ask(f"{desk.url}api/pages/{desk.pages['10r.png']['id']}/decision", {"decision": None, "note": ""})


def test_pages_are_added(opened: Any, desk: Desk, tmp_path: Path) -> None:
    page = opened()
    page_image().resize((90, 120)).save(tmp_path / "5r.png")
    page.locator("#files").set_input_files(tmp_path / "5r.png")
    page.locator("#list .name", has_text="5r.png").wait_for()
    names = page.locator("#list .name").all_inner_texts()
    assert names.index("4r.png") < names.index("5r.png") < names.index("10r.png")
    dropped = """() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["no picture"], "6r.png"));
        dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true, bubbles: true }));
    }"""
    page.evaluate(dropped)
    until(lambda: "6r.png" in page.locator("#alerts").inner_text() + page.locator("#list").inner_text(), "a word")


def test_a_thousand_pages(opened: Any, desk: Desk) -> None:
    page = opened("")
    sample = desk.pages["1r.png"]
    many = [{**sample, "id": f"{sample['id']}", "name": f"{number:04}.png"} for number in range(1000)]
    for number, one in enumerate(many[1:]):
        one["id"] = f"p{number}"
    thumbnails = []
    page.on("request", lambda request: "thumb.jpg" in request.url and thumbnails.append(request.url))
    small = (desk.out.parent / "small.jpg").resolve()
    page_image().resize((60, 80)).save(small)
    page.route("**/thumb.jpg*", lambda route: route.fulfill(path=small))
    page.route("**/api/pages", lambda route: route.fulfill(json=many))
    began = time.monotonic()
    page.goto(desk.url)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("#list li").count() == 1000
    assert time.monotonic() - began < 20  # about one second on a quiet machine
    page.keyboard.press("g")
    page.keyboard.press("End")
    page.locator('#list li:last-child img[src*="thumb"]').wait_for()
    until(lambda: any("/p998/" in url for url in thumbnails), "the last thumbnail")
    assert len(set(thumbnails)) < 200


VIEWS: dict[str, list[str]] = {
    "restored": [],
    "curtain": ["2", "4", "5"],
    "side": ["3", "7"],
    "help": ["?"],
    "like": ["l", "p"],
}


@pytest.mark.parametrize(
    ("scheme", "width", "height"), [("light", 1440, 900), ("dark", 820, 1180)], ids=["desktop", "tablet"]
)
def test_accessible_and_nothing_is_cut_off(opened: Any, scheme: str, width: int, height: int) -> None:
    page = opened("10r.png", width=width, height=height, color_scheme=scheme, bypass_csp=True)  # for axe alone
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for name, keys in VIEWS.items():
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        found = page.evaluate("axe.run()")["violations"]
        grave = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
        assert grave == [], name
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for button in page.locator("header button, main .bar button, #accept, #reject").all():
            box = button.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), button.inner_text()


def test_motion_is_left_out_when_it_is_not_wanted(opened: Any) -> None:
    page = opened(reduced_motion="reduce")
    shows(page, DARK)
    before = page.locator("#zoom").inner_text()
    page.keyboard.press("+")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    after = page.locator("#zoom").inner_text()
    page.wait_for_timeout(400)
    assert after != before
    assert page.locator("#zoom").inner_text() == after


def test_languages(opened: Any) -> None:
    page = opened(locale="de-AT")
    assert page.locator("#accept").inner_text() == "Annehmen"
    assert page.locator("html").get_attribute("lang") == "de"
    page.locator("#language").select_option("hi")
    page.get_by_role("button", name="स्वीकार करें", exact=True).wait_for()
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("html").get_attribute("lang") == "hi"


@pytest.mark.parametrize("language", ["de", "fr", "hi"])
def test_every_language_has_every_word(language: str) -> None:
    english, other = (
        json.loads((STATIC / f"strings/{code}.json").read_text(encoding="utf-8")) for code in ("en", language)
    )
    assert list(english) == list(other)
    places = re.compile(r"\{\w+\}")
    assert {key: sorted(places.findall(text)) for key, text in english.items()} == {
        key: sorted(places.findall(text)) for key, text in other.items()
    }


def test_every_word_that_is_asked_for_is_there() -> None:
    words = json.loads((STATIC / "strings/en.json").read_text(encoding="utf-8"))
    asked = set(re.findall(r'data-t(?:-label|-title)?="([^"$]+)"', (STATIC / "index.html").read_text(encoding="utf-8")))
    for script in STATIC.glob("*.js"):
        asked |= set(re.findall(r'\bt\("([\w.]+)"', script.read_text(encoding="utf-8")))
    assert {key for key in asked if key not in words and f"{key}.other" not in words} == set()


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in [*STATIC.glob("*.js"), *STATIC.glob("*.css"), STATIC / "index.html"]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]|<script>|<style|style=|\bon\w+=\"|eval\(", text), file.name
    assert "Redistribution" in (STATIC / "openseadragon/LICENSE").read_text(encoding="utf-8")
