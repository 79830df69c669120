"""The desk in a browser: the picture, before and after, layers, and settings tried on the part in view."""

from typing import Any

import numpy as np
import pytest

from .conftest import DARK, HEIGHT, HOSTILE, PAPER, STAIN, WIDTH, Desk, Pixels, at, near, pixels, shows, until


def test_a_page_is_opened_and_names_are_text(opened: Any, desk: Desk) -> None:
    page = opened(HOSTILE)
    shows(page, DARK)
    assert page.locator("h1").inner_text() == "leaves"
    assert page.locator("#name").inner_text() == HOSTILE
    names = page.locator("#list .name").all_text_contents()  # rows out of view have no inner text
    assert sorted(names) == sorted(desk.pages)
    assert names.index("4r.png") + 1 == names.index("10r.png")
    assert page.locator("#list img").count() == len(names)  # the thumbnails only
    for thumbnail in page.locator("#list img").all():
        until(lambda image=thumbnail: image.evaluate("image => image.naturalWidth") > 0, "a thumbnail")
    assert f"{len(names)} pages" in page.locator("#progress").inner_text()


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
    shows(page, tuple(0.5 * dark + 0.5 * over for dark, over in zip(DARK, blue, strict=True)))
    opacity = page.get_by_label("Opacity of damage")
    opacity.fill("100")
    shows(page, blue)
    assert near(at(page, 0.5, 0.01), PAPER)  # the margin is not damaged
    page.get_by_role("checkbox", name="Damage", exact=True).click()
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
    page.get_by_role("button", name="Restore the whole page").press("Enter")
    until(lambda: desk.pages["2r.png"]["version"] > version, "restored again")
    assert desk.pages["2r.png"]["settings"]["strength"] == 0.05
    shows(page, tuple(channel * 0.975 for channel in STAIN))
    assert page.evaluate("document.activeElement.id") == "restore"
    assert not page.locator("#preview").is_checked()


def test_like_pages_are_chosen_in_the_list(opened: Any, desk: Desk) -> None:
    page = opened("2r.png")
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    with page.expect_request("**/preview") as asked:
        page.keyboard.press("l")
    assert asked.value.post_data_json["like"] == [desk.pages["3r.png"]["id"]]
    page.get_by_role("button", name="Not like 3r.png").click()
    assert page.locator("#likes li").count() == 0


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
