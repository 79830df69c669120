"""python -m manuscript_restore.generate: the files, their agreement, going on after an interruption."""

import importlib.metadata
import json
import sys

import numpy as np
import pytest
from lxml import etree
from PIL import Image

from manuscript_restore.generate import main
from manuscript_restore.images import read

SMALL = ("n=2", "generator.size=[120,200]")


@pytest.fixture
def generate(tmp_path, monkeypatch, capfd):
    """Call ``generate(*overrides)``: the real entry point; returns what it printed, and its exit status."""

    def run(*overrides):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["generate", *overrides])
        status = 0
        try:
            main()
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return printed, status

    return run


def test_a_page_is_written_with_all_that_is_known_of_it(generate, tmp_path):
    _, status = generate("out=pages", "page_xml=true", "seed=4", *SMALL)
    assert status == 0
    out = tmp_path / "pages"
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    names = ["images/{}.png", "ink/{}.png", "lines/{}.json", "page_xml/{}.xml", "text/{}.txt"]
    assert files == sorted(["dataset.json", *(name.format(f"{i:06d}") for name in names for i in range(2))])
    for index in range(2):
        record = json.loads((out / f"lines/{index:06d}.json").read_text(encoding="utf-8"))
        assert (record["seed"], record["index"]) == (4, index)
        assert read(out / record["image"]).shape == (120, 200, 3)
        ink = np.asarray(Image.open(out / record["ink"]).convert("L"))
        assert set(np.unique(ink)) == {0, 255}
        assert (ink == 0).mean() < 0.5  # black ink on white, as DIBCO's
        text = (out / f"text/{index:06d}.txt").read_text(encoding="utf-8")
        assert text == "".join(line["text"] + "\n" for line in record["lines"])
        assert "\u0915" <= max(text) <= "\u097f"  # Devanagari
    fonts = json.loads((out / "dataset.json").read_text(encoding="utf-8"))["fonts"]
    assert fonts
    assert all("Open Font" in font["licence"] or "OFL" in font["licence"] for font in fonts)


def test_page_xml_is_valid_by_the_published_schema(generate, tmp_path):
    try:
        package = importlib.metadata.distribution("ocrd-validators")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("ocrd-validators, which holds the schema, is not installed")
    schema = etree.XMLSchema(etree.parse(str(package.locate_file("ocrd_validators/page.xsd"))))
    generate("out=pages", "page_xml=true", "n=3", "generator.size=[400,900]")
    for path in sorted((tmp_path / "pages/page_xml").iterdir()):
        document = etree.parse(str(path))
        schema.assertValid(document)
        space = {"p": "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"}
        texts = document.xpath("//p:TextLine/p:TextEquiv/p:Unicode/text()", namespaces=space)
        assert sorted(texts) == sorted((tmp_path / f"pages/text/{path.stem}.txt").read_text("utf-8").splitlines())
        picture = document.xpath("//p:Page/@imageFilename", namespaces=space)[0]
        assert (path.parent / picture).is_file()


def test_it_goes_on_where_it_stopped(generate, tmp_path):
    generate("out=pages", *SMALL)
    first, second = (tmp_path / f"pages/images/{i:06d}.png" for i in (0, 1))
    kept = second.read_bytes()
    second.unlink()
    (tmp_path / "pages/lines/000001.json").unlink()  # written last: without it the page is not whole
    before = first.stat().st_mtime_ns
    _, status = generate("out=pages", *SMALL)
    assert status == 0
    assert second.read_bytes() == kept
    assert first.stat().st_mtime_ns == before


@pytest.mark.slow
def test_two_processes_write_what_one_does(generate, tmp_path):
    generate("out=one", *SMALL)
    generate("out=two", "jobs=2", *SMALL)
    for name in ("images/000000.png", "images/000001.png", "lines/000001.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "out"),
        (("out=pages", "n=0"), "n=0: must be a whole number, at least 1"),
        (("out=pages", "format=gif"), "format=gif: must be one of png"),
        (("out=pages", "generator.sise=3"), "generator.sise"),
        (("out=pages", "generator.style=typed"), "generator.style=typed"),
        (("out=full", *SMALL), "out=full: is not empty"),
        (("out=file", *SMALL), "out=file"),
    ],
)
def test_mistakes(generate, tmp_path, overrides, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    printed, status = generate(*overrides)
    assert status == 1
    assert message in printed
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_pages_of_other_settings_are_not_mixed_in(generate):
    generate("out=pages", *SMALL)
    printed, status = generate("out=pages", "n=3", "generator.size=[120,201]")
    assert status == 1
    assert "out=pages: holds pages of another generator; give a new folder" in printed
