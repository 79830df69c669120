"""Desks for the tests: a stand-in network with maps, and what a browser would ask."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from manuscript_restore.desk.app import make_app
from manuscript_restore.desk.desk import Desk
from manuscript_restore.inference import Restorer

PORT = 8470
HEADERS = {"X-Desk": "1"}


class Mapped:
    """Makes every page darker by a tenth, all of it being damaged; what is dark is ink."""

    description, concurrency, has_maps = "stand-in", 2, True

    def __init__(self, gate: threading.Event | None = None) -> None:
        self._gate = gate

    def default_batch(self, tile: int) -> int:
        return 8

    def look(self, tiles: Any) -> Any:
        return np.zeros((len(tiles), 1), np.float32)

    def __call__(self, tiles: Any, looked: Any = None) -> Any:
        if self._gate:
            self._gate.wait(10)
        damage, ink = np.ones_like(tiles[:, :1]), (tiles.mean(axis=1, keepdims=True) < 0.5).astype(np.float32)
        return np.concatenate([tiles * 0.9, damage, ink], axis=1)


@contextlib.contextmanager
def browser(folder: Path | None, out: Path, backend: Any = None, token: str | None = None) -> Iterator[TestClient]:
    """Asks a desk as a browser on this machine does."""
    out.mkdir(exist_ok=True)
    app = make_app(Desk(folder, out, Restorer(backend or Mapped())), port=PORT, token=token)
    with TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers=HEADERS) as client:
        yield client


def save(path: Path, number: int = 0, size: tuple[int, int] = (60, 40), **options: Any) -> Path:
    """A page unlike those with other numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(60, 250, (6, 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


def pages_of(client: TestClient) -> dict[str, dict[str, Any]]:
    """All pages by their names."""
    return {page["name"]: page for page in client.get("/api/pages").json()}


def wait_for(client: TestClient, name: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A page as soon as it is as it should be."""
    for _ in range(1000):
        if until(page := pages_of(client)[name]):
            return page
        time.sleep(0.01)
    raise AssertionError(page)


def restore(client: TestClient, name: str, **wish: Any) -> dict[str, Any]:
    """A page when it has been restored."""
    answer = client.post(f"/api/pages/{pages_of(client)[name]['id']}/restore", json=wish)
    assert answer.status_code == 202, answer.text
    return wait_for(client, name, lambda page: page["state"] not in ("waiting", "working"))


def decide(client: TestClient, page: dict[str, Any], decision: str | None, note: str = "") -> dict[str, Any]:
    answer = client.post(f"/api/pages/{page['id']}/decision", json={"decision": decision, "note": note})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def sidecar(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.with_name(f"{path.name}.json").read_text())
    return content
