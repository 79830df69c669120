"""The desk in a browser: for everybody, in every language, with nothing from elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import STATIC

AXE = Path(__file__).parent / "axe/axe.min.js"


def test_every_control_is_reached_by_tab(opened: Any) -> None:
    page = opened()
    page.keyboard.press("2")
    page.locator("#picture").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                const seen = style.outlineStyle != "none" || Boolean(element.querySelector(".grip"));
                return [element.id || element.className, seen];
            }"""
        )
        reached.add(found[0])
        assert found[0] in ("", "skip") or found[1], found  # the focus is seen
    controls = """add language help-open filter page like zoom-in hold openseadragon-canvas curtain
        accept reject note strength keep-colour damaged preview restore"""
    assert set(controls.split()) <= reached


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
    if not AXE.is_file():
        pytest.skip("axe-core is in the repository alone: its licence is another")
    page = opened("10r.png", width=width, height=height, color_scheme=scheme, bypass_csp=True)  # for axe alone
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for name, keys in VIEWS.items():
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        found = page.evaluate("axe.run()")["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in grave] == [], name
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for button in page.locator("header button, main .bar button, #accept, #reject").all():
            box = button.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width), button.inner_text()


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
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    asked = set(re.findall(r'data-t(?:-label|-title)?="([^"$]+)"', html))
    for script in STATIC.glob("*.js"):
        asked |= set(re.findall(r'\bt\("([\w.]+)"', script.read_text(encoding="utf-8")))
    assert {key for key in asked if key not in words and f"{key}.other" not in words} == set()


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in [*STATIC.glob("*.js"), *STATIC.glob("*.css"), STATIC / "index.html"]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]|<script>|<style|style=|\bon\w+=\"|eval\(", text), file.name
    assert "Redistribution" in (STATIC / "openseadragon/LICENSE").read_text(encoding="utf-8")
