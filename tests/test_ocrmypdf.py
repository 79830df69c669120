"""The plugin in the real OCRmyPDF, with Tesseract: what it reads, what readers see, what is refused."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import img2pdf
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from manuscript_restore import ocrmypdf as plugin
from manuscript_restore.inference import Restorer, Settings
from tests.pdf_pages import rendered, text_of

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("tesseract", "gs"))), reason="Tesseract or Ghostscript is not installed"
    ),
]
WORDS = "palm leaf"


class Whitener:
    """A network that leaves nothing of a page, and of the ink, if it has maps, what is dark."""

    description, concurrency = "stand-in", 1

    def __init__(self, has_maps: bool) -> None:
        self.has_maps = has_maps

    def default_batch(self, tile: int) -> int:
        return 8

    def look(self, tiles: Any) -> Any:
        return np.ones((len(tiles), 1), np.float32)

    def __call__(self, tiles: Any, looked: Any = None) -> Any:
        white = np.ones_like(tiles)
        if not self.has_maps:
            return white
        ink = (tiles.mean(axis=1, keepdims=True) < 0.5).astype(np.float32)
        return np.concatenate([white, np.ones_like(ink), ink], axis=1)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """In the place of the model: one with maps, or without."""
    plugin._restorer.cache_clear()

    def load(*_: object, settings: Settings) -> Restorer:
        return Restorer(Whitener(request.param), settings=settings)

    monkeypatch.setattr(Restorer, "from_checkpoint", load)
    yield
    plugin._restorer.cache_clear()


with_maps = pytest.mark.parametrize("network", [True], indirect=True)
without_maps = pytest.mark.parametrize("network", [False], indirect=True)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    image = Image.new("L", (600, 200), 255)
    ImageDraw.Draw(image).text((60, 70), WORDS, 0, font=ImageFont.load_default(60))
    image.convert("RGB").save(tmp_path / "page.jpg", dpi=(150, 150))
    (tmp_path / "book.pdf").write_bytes(img2pdf.convert(str(tmp_path / "page.jpg")))
    return tmp_path / "book.pdf"


def read(book: Path, **options: Any) -> Path:
    """The book with its layer of text."""
    import ocrmypdf

    out = book.with_name("read.pdf")
    usual = {"language": ["eng"], "output_type": "pdf", "optimize": 0, "progress_bar": False, "jobs": 1}
    ocrmypdf.ocr(book, out, plugins=["manuscript_restore.ocrmypdf"], use_threads=True, **usual, **options)
    return out


@with_maps
def test_tesseract_reads_the_ink_and_readers_see_the_page(book: Path) -> None:
    out = read(book)
    assert text_of(out)[0].split() == WORDS.split()
    np.testing.assert_array_equal(rendered(out), rendered(book))


@with_maps
def test_tesseract_reads_the_restored_page_if_told(book: Path) -> None:
    assert text_of(read(book, restore_ocr="page"))[0].strip() == ""  # of which nothing is left


@without_maps
def test_without_a_map_of_the_ink_it_reads_the_page(book: Path) -> None:
    assert text_of(read(book))[0].strip() == ""


@with_maps
def test_at_strength_zero_the_page_is_read_as_it_is(book: Path) -> None:
    assert WORDS.split() == text_of(read(book, restore_ocr="page", restore_strength=0.0))[0].split()


@with_maps
def test_readers_see_the_restored_page_if_told(book: Path) -> None:
    out = read(book, restore_visible=True, force_ocr=True)
    assert text_of(out)[0].split() == WORDS.split()
    assert rendered(out).shape == rendered(book).shape
    assert rendered(book).min() < 60
    assert rendered(out).min() > 240


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (True, {"restore_visible": True}, "give --force-ocr or --deskew too"),
        (True, {"restore_strength": 7.0}, "strength=7.0: must be between 0 and 1"),
        (True, {"restore_model": "no-such-model"}, "no-such-model"),
        (False, {"restore_ocr": "ink"}, "has no map of the ink"),
    ],
    indirect=["network"],
)
def test_options_that_cannot_be_followed_are_refused(book: Path, options: dict[str, Any], words: str) -> None:
    from ocrmypdf.exceptions import BadArgsError

    with pytest.raises(BadArgsError, match=words):
        read(book, **options)
    assert not book.with_name("read.pdf").exists()
