"""The desk: what it shows of pages, what it restores, and what it keeps of a reviewer's words."""

import csv
import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps
from starlette.testclient import TestClient
from typer.testing import CliRunner

from manuscript_restore.cli import app
from manuscript_restore.desk import uploads
from manuscript_restore.inference import Restorer

from .desks import Mapped, browser, decide, pages_of, restore, save, sidecar, wait_for


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for number, name in enumerate(("10.png", "leaves/2.png", "2.png")):
        save(folder / name, number)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def picture(content: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def rows(client: TestClient) -> list[dict[str, str]]:
    text = client.get("/api/review.csv").content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """The command `restore` with the stand-in."""

    def load(*_: Any, settings: Any, **__: Any) -> Restorer:
        return Restorer(Mapped(), settings=settings)

    monkeypatch.setattr(Restorer, "from_checkpoint", load)
    result = CliRunner().invoke(app, ["restore", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_pages_in_natural_order_with_their_sizes(scans: Path, out: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    save(scans / "3.jpg", size=(50, 30), exif=exif)
    with browser(scans, out) as client:
        pages = client.get("/api/pages").json()
        assert [page["name"] for page in pages] == ["2.png", "3.jpg", "10.png", "leaves/2.png"]
        assert len({page["id"] for page in pages}) == 4
        turned = wait_for(client, "3.jpg", lambda page: page["width"] is not None)
        assert (turned["width"], turned["height"]) == (30, 50)
        assert turned["state"] == "new"
        assert turned["layers"] == ["original"]
        assert client.get(f"/api/pages/{turned['id']}/original/info.json").json() == {
            "width": 30, "height": 50, "tile": 512, "levels": 1, "version": turned["version"]
        }  # fmt: skip
        desk = client.get("/api/desk").json()
        assert (desk["name"], desk["out"], desk["has_maps"]) == ("scans", str(out), True)


def test_a_file_of_several_pages_says_how_many(scans: Path, out: Path) -> None:
    leaves = [Image.new("RGB", (60, 40), colour) for colour in ("white", "grey", "black")]
    leaves[0].save(scans / "3.tif", save_all=True, append_images=leaves[1:])
    with browser(scans, out) as client:
        assert wait_for(client, "3.tif", lambda page: page["width"] is not None)["pages"] == 3
        assert wait_for(client, "2.png", lambda page: page["width"] is not None)["pages"] == 1


def test_names_are_text_whatever_they_hold(scans: Path, out: Path) -> None:
    save(scans / "<img src=x onerror=alert(1)>.png")
    if sys.platform == "linux":
        save(scans / os.fsdecode(b"caf\xe9\n.png"))
    with browser(scans, out) as client:
        names = set(pages_of(client))
        assert "<img src=x onerror=alert(1)>.png" in names
        if sys.platform == "linux":
            page = restore(client, "caf\\xe9\n.png")
            assert decide(client, page, "accepted", "schön")["decision"] == "accepted"
            assert rows(client)[0]["name"] == "caf\\xe9\n.png"


def test_a_page_is_restored_with_its_evidence(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        page = restore(client, "leaves/2.png", strength=0.5)
        assert page["state"] == "restored"
        assert page["layers"] == ["original", "restored", "change", "damage", "ink"]
        assert page["settings"] == {
            "strength": 0.5,
            "keep_colour": False,
            "damaged": False,
            "like": [],
        }
        assert page["scores"]["damage_mean"] == 1
        tiles = {
            layer: client.get(f"/api/pages/{page['id']}/{layer}/0/0_0.{kind}?v=1")
            for layer, kind in {"original": "jpg", "restored": "jpg", "damage": "png", "ink": "png"}.items()
        }
        assert all("immutable" in tile.headers["cache-control"] for tile in tiles.values())
        original, restored = (picture(tiles[layer].content) for layer in ("original", "restored"))
        assert np.abs(original * 0.95 - restored).mean() < 2  # the tiles are JPEGs; a twentieth is 8
        assert (picture(tiles["damage"].content) == 255).all()
        dark = np.asarray(Image.open(scans / "leaves/2.png")).mean(axis=2) < 127.5
        np.testing.assert_array_equal(picture(tiles["ink"].content), ~dark)
        assert Image.open(io.BytesIO(tiles["ink"].content)).mode == "1"
        thumbnail = client.get(f"/api/pages/{page['id']}/thumb.jpg?layer=restored")
        assert picture(thumbnail.content).shape == (40, 60, 3)


def test_all_new_pages_and_those_of_a_list(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        ids = [page["id"] for page in pages_of(client).values()]
        answer = client.post("/api/restore", json={"pages": ids[:1], "confidence": True})
        assert (answer.status_code, answer.json()) == (202, {"waiting": 1})
        first = wait_for(client, "2.png", lambda page: page["state"] == "restored")
        assert "confidence" in first["layers"]
        assert client.post("/api/restore", json={"pages": "new"}).json() == {"waiting": 2}
        for name in ("10.png", "leaves/2.png"):
            wait_for(client, name, lambda page: page["state"] == "restored")
        again = restore(client, "2.png", like=ids[1:])
        assert again["settings"]["like"] == ids[1:]
        assert "confidence" not in again["layers"]  # it was of the other picture
        assert again["version"] > first["version"]


def test_what_restore_made_is_found(scans: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, scans / "2.png", "-o", out, "--sidecar", "--change-map")
    command(monkeypatch, scans / "10.png", "-o", out, "--format", "webp")
    with browser(scans, out) as client:
        pages = pages_of(client)
        assert pages["2.png"]["layers"] == ["original", "restored", "change"]
        assert pages["2.png"]["settings"] == {
            "strength": 1,
            "keep_colour": False,
            "damaged": False,
            "like": [],
        }
        assert pages["10.png"]["state"] == "restored"
        assert pages["10.png"]["settings"] is None
        assert pages["leaves/2.png"]["state"] == "new"
        assert restore(client, "10.png")["state"] == "restored"
    assert sorted(path.name for path in out.glob("10.*")) == [
        "10.webp", "10.webp.change.png", "10.webp.damage.png", "10.webp.ink.tif", "10.webp.json"
    ]  # fmt: skip


def test_a_result_of_another_page_is_not_taken_for_its_own(
    scans: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(scans / "2.jpg")
    command(monkeypatch, scans / "2.png", "-o", out)
    with browser(scans, out) as client:
        pages = pages_of(client)
        assert (pages["2.png"]["state"], pages["2.jpg"]["state"]) == ("restored", "new")


def test_a_page_that_changes_too_much_is_flagged(scans: Path, out: Path) -> None:
    class Black(Mapped):
        def __call__(self, tiles: Any, looked: Any = None) -> Any:
            made = super().__call__(tiles)
            made[:, :3] = 0
            return made

    Image.new("RGB", (60, 40), "white").save(scans / "2.png")
    for _ in range(2):  # it stays so
        with browser(scans, out, Black()) as client:
            page = pages_of(client)["2.png"]
            page = restore(client, "2.png") if page["state"] == "new" else page
            assert page["state"] == "flagged"
            assert "more than 30" in page["reason"]
            assert "--overwrite" not in page["reason"]
            assert page["layers"][:2] == ["original", "restored"]


def test_a_page_that_cannot_be_read_says_why(scans: Path, out: Path) -> None:
    content = (scans / "2.png").read_bytes()
    (scans / "2.png").write_bytes(content[:-200])
    (scans / "10.png").write_bytes(b"")
    with browser(scans, out) as client:
        assert restore(client, "2.png")["state"] == "failed"
        page = wait_for(client, "10.png", lambda page: page["state"] == "failed")
        assert page["reason"] == "is empty (0 bytes); replace it or remove it"
        assert page["width"] is None
        tile = client.get(f"/api/pages/{page['id']}/original/0/0_0.jpg")
        assert tile.status_code == 422
        assert "is empty" in tile.json()["error"]
        assert restore(client, "leaves/2.png")["state"] == "restored"
    assert not (out / "2.png").exists()


def test_a_decision_is_kept_in_the_sidecar_and_for_all_pages(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        page = restore(client, "2.png")
        assert decide(client, page, "accepted", "=f. 3r, „schön“\nत")["note"] == "=f. 3r, „schön“\nत"
    assert sidecar(out / "2.png")["review"]["decision"] == "accepted"
    assert sidecar(out / "2.png")["model"] is None  # the rest of the record is there as well
    with browser(scans, out) as client:
        page = pages_of(client)["2.png"]
        assert (page["decision"], page["note"]) == ("accepted", "=f. 3r, „schön“\nत")
        (row,) = rows(client)
        assert {key: row[key] for key in ("name", "state", "decision")} == {
            "name": "2.png", "state": "restored", "decision": "accepted"
        }  # fmt: skip
        assert row["note"].startswith("'=")  # no formula for a spreadsheet


def test_restored_again_a_page_is_undecided_and_the_note_stays(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        decide(client, restore(client, "2.png"), "rejected", "too dark")
        page = restore(client, "2.png", strength=0.2)
        assert (page["decision"], page["note"]) == (None, "too dark")
    assert sidecar(out / "2.png")["review"]["note"] == "too dark"
    assert sidecar(out / "2.png")["settings"]["strength"] == 0.2
    with browser(scans, out) as client:
        assert (pages_of(client)["2.png"]["decision"], rows(client)[0]["note"]) == (None, "too dark")


@pytest.mark.parametrize("options", [["--sidecar"], []])
def test_restored_again_by_the_command_a_page_is_undecided_and_the_note_stays(
    scans: Path, out: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    command(monkeypatch, scans, "-o", out, *options)
    with browser(scans, out) as client:
        for name, page in pages_of(client).items():
            decide(client, page, "accepted", name)
    later = (out / "2.png").stat().st_mtime + 10
    command(monkeypatch, scans / "2.png", "-o", out, "--overwrite", "--strength", "0.5", *options)
    for name in ("2.png", "10.png"):  # copied, the other is the same picture with another date
        os.utime(out / name, (later, later))
    with browser(scans, out) as client:
        pages = pages_of(client)
        assert (pages["2.png"]["decision"], pages["2.png"]["note"]) == (None, "2.png")
        assert (pages["10.png"]["decision"], pages["10.png"]["note"]) == ("accepted", "10.png")


def test_words_of_pages_that_are_gone_stay(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        decide(client, restore(client, "2.png"), "accepted", "kept")
    (scans / "2.png").rename(scans / "2.moved")
    with browser(scans, out) as client:
        decide(client, pages_of(client)["10.png"], None, "to be asked")
        assert [row["note"] for row in rows(client)] == ["kept", "to be asked"]


def test_a_list_that_was_made_unreadable_is_not_overwritten(scans: Path, out: Path) -> None:
    from manuscript_restore.errors import UserError

    out.mkdir()
    (out / "review.csv").write_bytes("name;note\n1;schön".encode("utf-16"))
    with pytest.raises(UserError, match=r"review.csv: cannot be read"), browser(scans, out):
        pass
    assert (out / "review.csv").read_bytes() == "name;note\n1;schön".encode("utf-16")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"decision": "accepted"}, 409),  # nothing is restored
        ({"decision": "perhaps"}, 422),
        ({"decision": None, "note": "x" * 4001}, 422),
        ({"decision": None, "note": 3}, 422),
        ({"decision": None, "note": "x" * 4000}, 200),
    ],
)
def test_decisions_that_cannot_be(scans: Path, out: Path, body: dict[str, Any], status: int) -> None:
    with browser(scans, out) as client:
        page = pages_of(client)["2.png"]
        answer = client.post(f"/api/pages/{page['id']}/decision", json=body)
        assert answer.status_code == status
        assert ("error" in answer.json()) == (status >= 400)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_preview_is_that_part_of_the_restored_page(
    tmp_path: Path, out: Path, orientation: int, dtype: type[np.integer[Any]]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    array = np.asarray(Image.fromarray(noise).resize((400, 300)))
    shown = tiff(tmp_path / "look" / "page.tif", array, orientation)
    stored = array if dtype is np.uint8 else array.astype(np.uint16) * 257
    tiff(tmp_path / "scans" / "page.tif", stored, orientation)
    with browser(tmp_path / "scans", out) as client:
        page = pages_of(client)["page.tif"]
        body = {"rect": [37, 21, 210, 250], "strength": 1}
        answer = client.post(f"/api/pages/{page['id']}/preview", json=body)
        assert answer.headers["content-type"] == "image/png"
        found = picture(answer.content)
    expected = np.asarray(shown)[21 : 21 + 250, 37 : 37 + 210] * 0.9
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


def tiff(path: Path, array: NDArray[Any], orientation: int) -> Any:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, array, rowsperstrip=16, extratags=[(274, "H", 1, orientation, True)])
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image) if array.dtype == np.uint8 else None


@pytest.mark.parametrize(
    "body",
    [
        {"rect": [0, 0, 61, 1]},
        {"rect": [-1, 0, 5, 5]},
        {"rect": [0, 0, 0, 5]},
        {"rect": [0, 0, 5.5, 5]},
        {"rect": [0, 0, 5]},
        {"rect": [0, 0, 5, 5], "strength": 2},
        {"rect": [0, 0, 5, 5], "strength": "1"},
        {"rect": [0, 0, 5, 5], "keep_colour": 1},
        {"rect": [0, 0, 5, 5], "damaged": "yes"},
        {"rect": [0, 0, 5, 5], "like": "all"},
    ],
)
def test_previews_that_cannot_be(scans: Path, out: Path, body: dict[str, Any]) -> None:
    with browser(scans, out) as client:
        answer = client.post(f"/api/pages/{pages_of(client)['2.png']['id']}/preview", json=body)
        assert answer.status_code == 422
        assert answer.json()["error"]


def test_a_page_is_surveyed_once_for_all_previews(tmp_path: Path, out: Path) -> None:
    class Counting(Mapped):
        looks = 0

        def look(self, tiles: Any) -> Any:
            self.looks += 1
            return super().look(tiles)

    backend = Counting()
    save(tmp_path / "scans" / "1.png", size=(900, 700))
    with browser(tmp_path / "scans", out, backend) as client:
        page = pages_of(client)["1.png"]
        for strength in (1, 0.5, 0):
            client.post(f"/api/pages/{page['id']}/preview", json={"rect": [9, 9, 99, 99], "strength": strength})
            assert backend.looks == 6  # tiles of 256 pixels that find room beside each other in 900 by 700
        for _ in range(2):
            client.post(f"/api/pages/{page['id']}/preview", json={"rect": [9, 9, 99, 99], "damaged": True})
            assert backend.looks == 12  # of a page that is not judged, another survey


def test_what_is_cancelled_is_as_before(scans: Path, out: Path) -> None:
    gate = threading.Event()
    gate.set()
    with browser(scans, out, Mapped(gate)) as client:
        before = decide(client, restore(client, "2.png"), "accepted", "good")
        gate.clear()
        ids = {name: page["id"] for name, page in pages_of(client).items()}
        for name in ids:
            client.post(f"/api/pages/{ids[name]}/restore", json={"strength": 0.1})
        wait_for(client, "2.png", lambda page: page["state"] == "working")
        assert pages_of(client)["10.png"]["state"] == "waiting"
        for name in ("10.png", "2.png", "leaves/2.png"):
            assert client.post(f"/api/pages/{ids[name]}/cancel").status_code == 202
        gate.set()
        assert wait_for(client, "2.png", lambda page: page["state"] == "restored") == before
        assert {pages_of(client)[name]["state"] for name in ("10.png", "leaves/2.png")} == {"new"}
    assert [path.name for path in out.rglob("*.partial")] == []


def test_pages_that_are_dropped_on_an_empty_desk(tmp_path: Path, out: Path) -> None:
    content = save(tmp_path / "page.png").read_bytes()
    for start in range(2):
        with browser(None, out) as client:
            if start == 0:
                assert client.get("/api/pages").json() == []
                assert client.put("/api/upload/f.%203r.png", content=content).status_code == 201
                page = client.put("/api/upload/f.%203r.png", content=content).json()
                assert (page["name"], page["width"]) == ("f. 3r-2.png", 60)
                restore(client, "f. 3r.png")
            assert {name: page["state"] for name, page in pages_of(client).items()} == {
                "f. 3r.png": "restored", "f. 3r-2.png": "new"
            }  # fmt: skip
    assert (out / "originals" / "f. 3r.png").read_bytes() == content
    assert (out / "f. 3r.png").is_file()


def test_a_pdf_can_be_dropped_on_the_desk(tmp_path: Path, out: Path) -> None:
    leaves = [Image.new("RGB", (240, 160), colour) for colour in ("white", "grey")]
    leaves[0].save(tmp_path / "book", "PDF", save_all=True, append_images=leaves[1:])
    with browser(None, out) as client:
        answer = client.put("/api/upload/book", content=(tmp_path / "book").read_bytes())
        assert answer.status_code == 201, answer.text
        assert (answer.json()["name"], answer.json()["pages"]) == ("book.pdf", 2)
        assert restore(client, "book.pdf")["state"] == "restored"
        text = client.put("/api/upload/notes.txt", content=b"what a scholar notes of the page " * 3)
        assert "is neither an image (JPEG, " in text.text
    assert (out / "book.pdf").read_bytes().startswith(b"%PDF")


def test_an_upload_takes_no_other_pages_place(scans: Path, out: Path) -> None:
    content = (scans / "2.png").read_bytes()
    with browser(scans, out) as client:
        assert client.put("/api/upload/2.png", content=content).json()["name"] == "2-2.png"
        assert client.put("/api/upload/2.png", content=content).json()["name"] == "2-3.png"
        assert set(pages_of(client)) == {"2.png", "10.png", "leaves/2.png", "2-2.png", "2-3.png"}
    save(scans / "originals" / "1.png")
    with browser(scans, out) as client:
        assert client.put("/api/upload/3.png", content=content).status_code == 409


@pytest.mark.parametrize(
    ("name", "kind", "safe"),
    [
        ("../../.page:1.flagged.exe", "PNG", "page_1.flagged.exe.png"),
        ("..\\..\\page.JPG", "JPEG", "page.JPG"),
        ("page.jpg.change.png", "PNG", "page.jpg_change.png"),
        ("page.flagged.tif", "TIFF", "page_flagged.tif"),
        ("a\0b\n.png", "PNG", "a_b_.png"),
        ("...", "WEBP", "page.webp"),
        ("ऋग्वेद" * 40 + ".png", "PNG", None),
    ],
)
def test_names_of_uploads_are_made_safe(name: str, kind: str, safe: str | None) -> None:
    from manuscript_restore.archive.kinds import Kind

    found = uploads.safe_name(name, Kind(kind))
    assert found == (safe or found)
    assert len(found.encode()) <= 150
    assert found.lower().endswith(tuple(s for s, format in uploads.FORMATS.items() if format == kind))


def test_what_was_accepted_is_copied(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        assert client.post("/api/export", json={}).status_code == 409
        for name in ("2.png", "leaves/2.png", "10.png"):
            decide(client, restore(client, name), "rejected" if name == "10.png" else "accepted", name)
        first = client.post("/api/export", json={"format": None}).json()
        assert first == {"folder": str(out / "accepted"), "pages": 2, "failed": []}
        before = (out / "accepted/2.png").read_bytes()
        assert before == (out / "2.png").read_bytes()
        second = client.post("/api/export", json={"format": "tif"}).json()
        assert second["folder"] == str(out / "accepted-2")
        assert client.post("/api/export", json={"format": "gif"}).status_code == 422
    found = sorted(path.relative_to(out).as_posix() for path in out.glob("accepted*/**/*") if path.is_file())
    assert found == [
        "accepted-2/2.tif", "accepted-2/leaves/2.tif", "accepted-2/review.csv",
        "accepted/2.png", "accepted/2.png.json", "accepted/leaves/2.png", "accepted/leaves/2.png.json",
        "accepted/review.csv",
    ]  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread(out / "accepted-2/2.tif"), np.asarray(Image.open(out / "2.png")))
    with (out / "accepted/review.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["2.png", "leaves/2.png"]
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_an_export_stays_out_of_a_folder_of_results(scans: Path, out: Path) -> None:
    shutil.move(scans / "leaves", scans / "accepted")
    with browser(scans, out) as client:
        decide(client, restore(client, "2.png"), "accepted")
        assert client.post("/api/export", json={}).json()["folder"] == str(out / "accepted-2")


def test_the_desk_of_a_single_file_names_the_mend(scans: Path) -> None:
    for name, said in (("2.png", "is no folder; give the one it is in"), ("none", "no such folder; check")):
        result = CliRunner().invoke(app, ["view", str(scans / name), "--no-open"])
        assert result.exit_code == 1
        assert said in result.stderr


def test_texts_that_are_no_unicode_are_answered(scans: Path, out: Path) -> None:
    if sys.platform == "linux":
        (scans / os.fsdecode(b"caf\xe9.png")).symlink_to("/dev/null")
    with browser(scans, out) as client:
        page = restore(client, "2.png")
        said = {"decision": "accepted", "note": "\ud800"}
        assert client.post(f"/api/pages/{page['id']}/decision", content=json.dumps(said)).status_code == 200
        assert client.get("/api/pages").status_code == 200
    with browser(scans, out) as client:
        assert pages_of(client)["2.png"]["decision"] == "accepted"


def test_numbers_that_are_none_are_no_record(scans: Path, out: Path) -> None:
    for number in ("NaN", "1e999"):
        with browser(scans, out) as client:
            restore(client, "2.png")
        record = sidecar(out / "2.png")
        record["pages"][0]["change_mean"] = "?"
        (out / "2.png.json").write_text(json.dumps(record).replace('"?"', number))
        with browser(scans, out) as client:
            assert pages_of(client)["2.png"]["scores"] is None


def test_what_is_written_in_the_list_meanwhile_stays(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        decide(client, restore(client, "2.png"), "accepted", "kept")
        own = (out / "review.csv").read_text("utf-8-sig").replace("name,", "shelf,name,")
        (out / "review.csv").write_text(own.replace("2.png,", "B7,2.png,"))
        page = restore(client, "10.png")
        decide(client, page, "rejected")
        assert [(row["shelf"], row["name"]) for row in rows(client)] == [("B7", "2.png"), ("", "10.png")]
        (out / "review.csv").write_bytes(b"spoilt")
        answer = client.post(f"/api/pages/{page['id']}/decision", json={"decision": "accepted"})
        assert answer.status_code == 422
        assert (out / "review.csv").read_bytes() == b"spoilt"
        assert pages_of(client)["10.png"]["decision"] == "rejected"


def test_a_note_alone_leaves_the_decision(scans: Path, out: Path) -> None:
    with browser(scans, out) as client:
        page = decide(client, restore(client, "2.png"), "accepted")
        answer = client.post(f"/api/pages/{page['id']}/decision", json={"note": "more"}).json()
        assert (answer["decision"], answer["note"]) == ("accepted", "more")


def test_a_file_that_has_gone_stops_no_other_page(scans: Path, out: Path) -> None:
    save(scans / "other/2.png", 7)
    with browser(scans, out) as client:
        like = [pages_of(client)["2.png"]["id"]]
        (scans / "other/2.png").unlink()
        assert restore(client, "10.png", like=like)["settings"]["like"] == like
        assert restore(client, "leaves/2.png")["state"] == "restored"


def test_of_a_pdf_that_is_restored_in_part_it_is_said(tmp_path: Path, out: Path) -> None:
    pikepdf = pytest.importorskip("pikepdf")
    from .pdf_pages import FULL, PICTURES, add_page, jpeg, picture, scan

    (tmp_path / "scans").mkdir()
    with pikepdf.new() as pdf:
        cut = picture(pdf, jpeg(scan())[:3000], pikepdf.Name.DCTDecode, pikepdf.Name.DeviceRGB)
        for drawn in (PICTURES["rgb"](pdf), cut):
            add_page(pdf, (drawn, FULL))
        pdf.save(tmp_path / "scans/book.pdf")
    for _ in range(2):  # at the next start, too
        with browser(tmp_path / "scans", out) as client:
            page = pages_of(client)["book.pdf"]
            page = restore(client, "book.pdf") if page["state"] == "new" else page
            assert page["reason"].startswith("page 2: is truncated")


def test_what_a_killed_desk_has_left_is_removed_and_nothing_else(scans: Path, out: Path) -> None:
    left = [out / "originals/.0123456789abcdef.partial", out / ".accepted.ab_c1234/accepted/1.png"]
    others = [out / "originals/.mine.partial", out / ".accepted.mine/1.png", out / "originals/1.png"]
    for path in [*left, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(out / "page.png").replace(path)
    with browser(scans, out):
        assert [path.exists() for path in left] == [False, False]
        assert not (out / ".accepted.ab_c1234").exists()
        assert all(path.exists() for path in others)
