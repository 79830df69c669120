"""The desk in a browser: deciding, notes, export, new pages, many pages, and all of it by keyboard."""

import csv
import time
from pathlib import Path
from typing import Any

from .conftest import Desk, ask, decision, page_image, until


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
    assert page.get_by_role("button", name="Reject", exact=True).get_attribute("aria-pressed") == "true"


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


def test_what_changes_elsewhere_is_seen_and_the_focus_kept(opened: Any, desk: Desk) -> None:
    page = opened("10r.png")
    page.locator("#list .page", has_text="10r.png").focus()
    ask(f"{desk.url}api/pages/{desk.pages['10r.png']['id']}/decision", {"decision": "rejected", "note": ""})
    page.locator("#list li", has_text="10r.png").get_by_text("rejected").wait_for()
    assert page.evaluate("document.activeElement.innerText").startswith("10r.png")
    ask(f"{desk.url}api/pages/{desk.pages['10r.png']['id']}/decision", {"decision": None, "note": ""})


def test_pages_are_added(opened: Any, tmp_path: Path) -> None:
    page = opened()
    page_image().resize((90, 120)).save(tmp_path / "5r.png")
    page.locator("#files").set_input_files(tmp_path / "5r.png")
    page.locator("#list .name", has_text="5r.png").wait_for()
    names = page.locator("#list .name").all_text_contents()  # rows out of view have no inner text
    assert names.index("4r.png") < names.index("5r.png") < names.index("10r.png")
    dropped = """() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["no picture"], "6r.png"));
        dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true, bubbles: true }));
    }"""
    page.evaluate(dropped)
    until(lambda: "6r.png" in page.locator("#alerts").inner_text() + page.locator("#list").inner_text(), "a word")
    assert all("status of 4" in fault for fault in page.faults)  # which the browser tells of in its console
    page.faults.clear()


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

    def end_is_seen() -> bool:  # the page that opens first may scroll to its row once more
        page.keyboard.press("End")
        return any("/p998/" in url for url in thumbnails)

    until(end_is_seen, "the last thumbnail")
    assert len(set(thumbnails)) < 200
