"""The manifest that is given back: all of the old one kept, and a choice of images for each restored page."""

import copy
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manuscript_restore.errors import UserError
from manuscript_restore.iiif import manifest as written
from manuscript_restore.iiif import presentation
from manuscript_restore.iiif.upgrade import text, upgrade
from tests.iiif_server import Server, Service, manifest, page
from tests.stand_in import restore

CANVAS = "https://example.org/iiif/book1/canvas/p"
SERVICE = {
    "@context": "http://iiif.io/api/image/2/context.json",
    "@id": "https://example.org/images/p1",
    "profile": "http://iiif.io/api/image/2/level1.json",
}
# After the example in appendix B of the Presentation API 2.1.1.
OLD: dict[str, Any] = {
    "@context": "http://iiif.io/api/presentation/2/context.json",
    "@type": "sc:Manifest",
    "@id": "https://example.org/iiif/book1/manifest",
    "label": "Book 1",
    "metadata": [
        {"label": "Author", "value": "Anne Author"},
        {
            "label": [{"@value": "Published", "@language": "en"}],
            "value": ["Paris", {"@value": "Paris, um 1400", "@language": "de"}],
        },
    ],
    "description": {"@value": "A longer description", "@language": "en"},
    "license": ["https://creativecommons.org/publicdomain/mark/1.0/", "https://example.org/terms"],
    "attribution": "Provided by Example Organization",
    "logo": {"@id": "https://example.org/logo.jpg", "service": SERVICE},
    "related": {"@id": "https://example.org/videos/book1.mpg", "format": "video/mpeg"},
    "service": {
        "@context": "https://example.org/ns/jsonld/context.json",
        "@id": "https://example.org/service",
        "profile": "https://example.org/docs/service",
    },
    "seeAlso": {
        "@id": "https://example.org/book1.marc",
        "format": "application/marc",
        "profile": "https://example.org/p",
    },
    "rendering": {"@id": "https://example.org/book1.pdf", "label": "Download as PDF", "format": "application/pdf"},
    "within": "https://example.org/collections/books/",
    "navDate": "1400-01-01T00:00:00Z",
    "sequences": [
        {
            "@id": "https://example.org/iiif/book1/sequence/normal",
            "@type": "sc:Sequence",
            "label": "Current Page Order",
            "viewingDirection": "right-to-left",
            "viewingHint": "paged",
            "startCanvas": f"{CANVAS}2",
            "canvases": [
                {
                    "@id": f"{CANVAS}{number}",
                    "@type": "sc:Canvas",
                    "label": f"p. {number}",
                    "height": 1000,
                    "width": 750,
                    "viewingHint": "non-paged",
                    "thumbnail": {"@id": f"{CANVAS}{number}/thumb.jpg", "service": SERVICE},
                    "images": [
                        {
                            "@type": "oa:Annotation",
                            "motivation": "sc:painting",
                            "resource": {
                                "@id": f"https://example.org/images/p{number}/full/full/0/default.jpg",
                                "@type": "dctypes:Image",
                                "format": "image/jpeg",
                                "height": 2000,
                                "width": 1500,
                                "service": {**SERVICE, "@id": f"https://example.org/images/p{number}"},
                            },
                            "on": f"{CANVAS}{number}",
                        }
                    ],
                    "otherContent": [{"@id": f"https://example.org/iiif/list/p{number}"}],
                }
                for number in (1, 2, 3)
            ],
        }
    ],
    "structures": [
        {
            "@id": "https://example.org/r0",
            "@type": "sc:Range",
            "label": "Contents",
            "viewingHint": "top",
            "ranges": ["https://example.org/r1", "https://example.org/r2"],
        },
        {
            "@id": "https://example.org/r1",
            "@type": "sc:Range",
            "label": "Introduction",
            "canvases": [f"{CANVAS}1", f"{CANVAS}2#xywh=0,0,750,300"],
        },
        {
            "@id": "https://example.org/r2",
            "@type": "sc:Range",
            "label": "Rest",
            "canvases": [f"{CANVAS}2", f"{CANVAS}3"],
            "ranges": ["https://example.org/r1"],
        },
    ],
}


def valid(made: dict[str, Any]) -> None:
    """Read by another implementation, which checks kinds and values; nothing is lost in it."""
    iiif_prezi3 = pytest.importorskip(
        "iiif_prezi3", reason="pip install --no-deps iiif-prezi3, as the Makefile does"
    )
    read = iiif_prezi3.Manifest(**copy.deepcopy(made))
    assert without_empty(json.loads(read.json())) == without_empty(made)


def without_empty(value: Any) -> Any:
    """It gives references to canvases a list of items, which they cannot have."""
    if isinstance(value, dict):
        return {key: without_empty(each) for key, each in value.items() if each != []}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        yield running


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_version_2_becomes_version_3() -> None:
    new = upgrade(copy.deepcopy(OLD))
    valid(
        {"@context": OLD["@context"].replace("/2/", "/3/"), **new, "items": [named(item) for item in new["items"]]}
    )
    assert new["label"] == {"none": ["Book 1"]}
    assert new["metadata"] == [
        {"label": {"none": ["Author"]}, "value": {"none": ["Anne Author"]}},
        {"label": {"en": ["Published"]}, "value": {"none": ["Paris"], "de": ["Paris, um 1400"]}},
        {"label": {"en": ["Licence"]}, "value": {"none": ["https://example.org/terms"]}},
    ]
    assert new["summary"] == {"en": ["A longer description"]}
    assert new["rights"] == "https://creativecommons.org/publicdomain/mark/1.0/"
    assert new["requiredStatement"]["value"] == {"none": ["Provided by Example Organization"]}
    (agent,) = new["provider"]
    assert agent["type"] == "Agent"
    assert agent["logo"][0]["id"] == "https://example.org/logo.jpg"
    assert new["homepage"][0] == {
        "id": "https://example.org/videos/book1.mpg",
        "type": "Text",
        "format": "video/mpeg",
        "label": {"none": [""]},
    }
    assert new["seeAlso"][0]["profile"] == "https://example.org/p"
    assert new["rendering"][0]["label"] == {"none": ["Download as PDF"]}
    assert new["partOf"] == [{"id": "https://example.org/collections/books/", "type": "Collection"}]
    assert (new["behavior"], new["viewingDirection"]) == (["paged"], "right-to-left")
    assert new["start"] == {"id": f"{CANVAS}2", "type": "Canvas"}
    first = new["items"][0]
    assert (first["id"], first["width"], first["height"]) == (f"{CANVAS}1", 750, 1000)
    assert first["behavior"] == ["non-paged"]
    assert first["annotations"] == [{"id": "https://example.org/iiif/list/p1", "type": "AnnotationPage"}]
    (painting,) = first["items"][0]["items"]
    assert (painting["motivation"], painting["target"]) == ("painting", f"{CANVAS}1")
    body = dict(painting["body"])
    assert body.pop("service") == [{**SERVICE, "@type": "ImageService2"}]
    assert body == {
        "id": "https://example.org/images/p1/full/full/0/default.jpg", "type": "Image", "format": "image/jpeg",
        "height": 2000, "width": 1500,
    }  # fmt: skip
    (contents,) = new["structures"]
    introduction, rest = contents["items"]
    assert introduction["items"][0] == {"id": f"{CANVAS}1", "type": "Canvas"}
    assert introduction["items"][1]["selector"]["value"] == "xywh=0,0,750,300"
    assert [item["id"] for item in rest["items"]] == [f"{CANVAS}2", f"{CANVAS}3"]  # r1 stands once
    assert [canvas.image for canvas in presentation.canvases(new, "")] == [
        f"https://example.org/images/p{number}" for number in (1, 2, 3)
    ]


def named(item: dict[str, Any]) -> dict[str, Any]:
    item = copy.deepcopy(item)
    item["items"][0]["id"] = f"{item['id']}/page"
    item["items"][0]["items"][0]["id"] = f"{item['id']}/page/1"
    return item


def test_choices_and_details_of_version_2() -> None:
    old = copy.deepcopy(OLD)
    canvas = old["sequences"][0]["canvases"][0]
    natural = canvas["images"][0]["resource"]
    infrared = {**natural, "@id": "https://example.org/x-ray.jpg", "label": "X-Ray", "service": []}
    canvas["images"][0]["resource"] = {"@type": "oa:Choice", "default": natural, "item": ["rdf:nil", infrared]}
    selector = {"@type": "oa:FragmentSelector", "value": "xywh=10,10,50,50"}
    stamp = {
        "@type": "oa:SpecificResource",
        "full": natural,
        "selector": {"@type": "iiif:ImageApiSelector", "region": "1,1,5,5"},
    }
    on = {"@type": "oa:SpecificResource", "full": canvas["@id"], "selector": selector}
    canvas["images"].insert(0, {**canvas["images"][0], "resource": stamp, "on": on})
    new = upgrade(old)
    small, large = new["items"][0]["items"][0]["items"]
    assert small["target"] == f"{CANVAS}1#xywh=10,10,50,50"
    assert [each["id"] for each in large["body"]["items"]] == [natural["@id"], infrared["@id"]]
    assert large["body"]["items"][1]["label"] == {"none": ["X-Ray"]}
    first = presentation.canvases(new, "")[0]
    assert first.annotation is large
    assert first.image == "https://example.org/images/p1"


@pytest.mark.parametrize(
    "change",
    [
        {"structures": [{"@id": "a", "ranges": ["b"]}, {"@id": "b", "ranges": ["a"]}]},
        {"structures": [{"@id": "a", "ranges": ["a"]}, {"ranges": 5}, None]},
        {
            "metadata": "none",
            "license": 5,
            "logo": [None],
            "related": [3],
            "viewingHint": {"@id": 4},
            "service": "x",
        },
        {"label": None, "description": [[1]], "attribution": {}, "seeAlso": {"label": "no address"}},
    ],
)
def test_broken_manifests_of_version_2_are_read_as_far_as_they_go(change: dict[str, Any]) -> None:
    assert len(presentation.canvases(upgrade({**OLD, **change}), "")) == 3


def test_deep_ranges_end() -> None:
    chain = [{"@id": f"r{n}", "label": "", "ranges": [f"r{n + 1}"]} for n in range(5000)]
    assert upgrade({**OLD, "structures": chain})["structures"]


def test_language_maps() -> None:
    assert text(None) == {}
    assert text([{"@value": "a"}, {"@value": "b", "@language": "sa"}, 3, {"@language": "en"}]) == {
        "none": ["a", "3"], "sa": ["b"]
    }  # fmt: skip


def test_the_manifest_that_is_given_back(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, version in enumerate((1, 2, 3), 1):
        server.services[f"p{number}"] = Service(page(number), version=version)
    more = {
        "metadata": [{"label": {"sa": ["लेखकः"]}, "value": {"none": ["Anonymous"]}}],
        "requiredStatement": {"label": {"en": ["Attribution"]}, "value": {"en": ["A library"]}},
        "rights": "http://creativecommons.org/licenses/by/4.0/",
        "provider": [{"id": "https://a.example/", "type": "Agent", "label": {"en": ["A library"]}}],
        "seeAlso": [{"id": "https://a.example/tei", "type": "Dataset", "format": "text/xml"}],
        "viewingDirection": "right-to-left",
        "behavior": ["paged"],
        "structures": [
            {
                "id": "https://a.example/r",
                "type": "Range",
                "items": [{"id": f"{server.url}/canvas/2", "type": "Canvas"}],
            }
        ],
    }
    source = manifest(server, ["p1", "p2", "p3"], **more)
    server.answers["/manifest.json"] = json.dumps(source).encode()
    server.answers["/p3/info.json"] = (404, {}, b"")
    out = tmp_path / "out"
    arguments = (f"{server.url}/manifest.json", "-o", out, "--allow-private", "--change-map", "--iiif-tiles")
    result = restore(*arguments, "--base-url", "https://b.example/books/1", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert f"manifest: {out}/manifest.json" in result.stdout
    made = json.loads((out / "manifest.json").read_text())
    valid(made)
    assert made["id"] == "https://b.example/books/1/manifest.json"
    assert made["metadata"][0] == more["metadata"][0]
    assert "manuscript-restore" in made["metadata"][1]["value"]["en"][0]
    assert made["seeAlso"][0] == more["seeAlso"][0]
    assert made["seeAlso"][1]["id"] == f"{server.url}/manifest.json"
    assert {key: made[key] for key in set(more) - {"metadata", "seeAlso"}} == {
        key: more[key] for key in set(more) - {"metadata", "seeAlso"}
    }
    for before, after in zip(source["items"], made["items"], strict=True):
        old, new = before["items"][0]["items"][0].pop("body"), after["items"][0]["items"][0].pop("body")
        assert after == before
        if before["label"]["none"] == ["f. 3r"]:
            assert new == old  # it could not be fetched
            continue
        assert new["type"] == "Choice"
        original, restored, change = new["items"]
        assert original == {**old, "label": {"en": ["Original"]}}
        name = "0001_f._1r" if old["id"].startswith(f"{server.url}/p1") else "0002_f._2r"
        assert restored["id"] == f"https://b.example/books/1/restored/{name}.png"
        assert (restored["format"], restored["width"], restored["height"]) == ("image/png", 110, 130)
        assert restored["label"] == {"en": ["Restored"]}
        assert restored["service"] == [
            {"id": f"https://b.example/books/1/tiles/{name}", "type": "ImageService3", "profile": "level0"}
        ]
        assert change["id"] == f"https://b.example/books/1/restored/{name}.png.change.png"
        for body in (restored, change):
            assert (out / body["id"].removeprefix("https://b.example/books/1/")).is_file()

    again = restore(*arguments, monkeypatch=monkeypatch)  # without the address
    assert "2 there already" in again.stdout
    made = json.loads((out / "manifest.json").read_text())
    assert made["id"] == "http://localhost:8000/manifest.json"
    service = made["items"][0]["items"][0]["items"][0]["body"]["items"][1]["service"][0]
    info = json.loads((out / "tiles/0001_f._1r/info.json").read_text())
    assert info["id"] == service["id"] == "http://localhost:8000/tiles/0001_f._1r"


def test_other_choices_stay_behind_the_new_ones(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services["p1"] = Service(page(1))
    source = manifest(server, ["p1"])
    painting = source["items"][0]["items"][0]["items"][0]
    natural = {**painting["body"], "label": {"en": ["Natural light"]}}
    infrared = {"id": "https://a.example/ir.jpg", "type": "Image", "label": {"en": ["Infrared"]}}
    painting["body"] = {"type": "Choice", "items": [natural, infrared]}
    (tmp_path / "book.json").write_text(json.dumps(source))
    assert (
        restore(
            tmp_path / "book.json", "-o", tmp_path / "out", "--allow-private", monkeypatch=monkeypatch
        ).exit_code
        == 0
    )
    made = json.loads((tmp_path / "out/manifest.json").read_text())
    valid(made)
    items = made["items"][0]["items"][0]["items"][0]["body"]["items"]
    assert [item["label"]["en"] for item in items] == [["Natural light"], ["Restored"], ["Infrared"]]


def test_a_flagged_page_is_no_restored_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services["p1"] = Service(page(1))
    source = manifest(server, ["p1"])
    (tmp_path / "book.json").write_text(json.dumps(source))
    arguments = (tmp_path / "book.json", "-o", tmp_path / "out", "--allow-private", "--max-change", 0.01)
    assert restore(*arguments, monkeypatch=monkeypatch).exit_code == 1
    made = json.loads((tmp_path / "out/manifest.json").read_text())
    assert made["items"] == source["items"]


def test_tiles_are_the_page(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = np.linspace(60, 200, 1100 * 700 * 3).reshape(700, 1100, 3).astype(np.uint8)
    server.services["p1"] = Service(smooth)
    (tmp_path / "book.json").write_text(json.dumps(manifest(server, ["p1"])))
    out = tmp_path / "out"
    restore(tmp_path / "book.json", "-o", out, "--allow-private", "--iiif-tiles", monkeypatch=monkeypatch)
    folder = out / "tiles/0001_f._1r"
    info = json.loads((folder / "info.json").read_text())
    assert (info["width"], info["height"], info["profile"]) == (1100, 700, "level0")
    (tiles,) = info["tiles"]
    restored = pixels(out / "restored/0001_f._1r.png")
    num_files = 0
    for factor in tiles["scaleFactors"]:  # the addresses that a viewer makes, after section 4.7 of the Image API
        step = tiles["width"] * factor
        if step >= 1100:
            continue
        for left in range(0, 1100, step):
            for top in range(0, 700, step):
                part = restored[top : top + step, left : left + step]
                height, width = part.shape[:2]
                size = f"{-(-width // factor)},{-(-height // factor)}"
                tile = pixels(folder / f"{left},{top},{width},{height}/{size}/0/default.jpg")
                assert np.abs(tile.mean() - part.mean()) < 1
                if factor == 1:
                    assert np.abs(tile - part).mean() < 2
                num_files += 1
    assert num_files == 6 + 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    (size,) = info["sizes"]
    height, width = pixels(folder / f"full/{size['width']},{size['height']}/0/default.jpg").shape[:2]
    assert {"width": width, "height": height} == size


def test_tiles_without_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    result = restore("https://a.example/m", "-o", tmp_path, "--iiif-tiles", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "pip install 'manuscript-restore[tiles]'" in result.stderr


def test_whatever_stands_in_a_manifest_is_read_or_refused(server: Server) -> None:
    server.services |= {"p1": Service(page(1), version=2), "p2": Service(page(2))}
    junk = [None, 5, "", [], {}, [[]], True, {"@id": 5}, "xywh=0,0,0,0", {"type": "Choice", "items": [{}]}, 10**30]
    random = np.random.default_rng(0)
    num_read = 0
    for number in range(400):
        changed = copy.deepcopy((OLD, manifest(server, ["p1", "p2"]))[number % 2])
        places = list(nodes(changed))
        holder, key = places[random.integers(len(places))]
        holder[key] = junk[random.integers(len(junk))]
        with suppress(UserError):
            read = presentation.read(json.dumps(changed).encode(), "book")
            canvases = presentation.canvases(read, "book")
            made = json.loads(written.made(read, canvases, {}, Path(), "http://b.example/", "book", ""))
            assert len(made["items"]) >= len(canvases)
            assert all(canvas.image and "/" not in canvas.name for canvas in canvases)
            num_read += 1
    assert num_read > 300


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON value, by what holds it."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from nodes(value[key])
