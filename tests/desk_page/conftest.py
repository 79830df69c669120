"""A desk that runs, and a browser that opens it: what the tests of the page share."""

import json
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

from ..processes import start

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("starlette")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
STATIC = Path(manuscript_restore.__file__).parent / "desk/static"

PAPER, STAIN, INK = (220, 210, 190), (150, 150, 240), (20, 20, 20)
WIDTH, HEIGHT = 600, 800
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


def load(*_: Any, settings: Any = None, **__: Any) -> Restorer:
    return Restorer(Halved(), **({"settings": settings} if settings else {}))


def command() -> None:
    """``manuscript-restore`` with the stand-in."""
    Restorer.from_checkpoint = load  # type: ignore[method-assign, assignment]
    cli.main()


def page_image() -> Image.Image:
    """Paper with a line of ink across, and a blue stain on all but the margins."""
    pixels = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    pixels[100:-100, 100:-100] = STAIN
    pixels[HEIGHT // 2 - 20 : HEIGHT // 2 + 20, 100:-100] = INK
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


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk over six pages, which ``restore`` has restored."""
    root = tmp_path_factory.mktemp("desk")
    folder, out = root / "leaves", root / "restored"
    folder.mkdir()
    for name in [HOSTILE, *(f"{number}r.png" for number in (1, 2, 3, 4, 10))]:
        page_image().save(folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = root / "said.txt"
    maps = ["--change-map", "--confidence-map", "--damage-map", "--ink"]
    process = start(command, "restore", folder, "-o", out, "--sidecar", *maps, said=said)
    process.join(SECONDS)
    assert process.exitcode == 0, said.read_text()
    process = start(command, "view", folder, "-o", out, "--port", port, "--no-open", said=said)
    desk = Desk(f"http://127.0.0.1:{port}/", folder, out)

    def answers() -> bool:
        if process.exitcode is not None:
            raise AssertionError(said.read_text())
        try:
            return bool(desk.pages)
        except OSError:
            return False

    until(answers, "the desk")
    yield desk
    process.terminate()
    process.join(SECONDS)


@pytest.fixture(scope="package")
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
        page.faults = faults
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
