"""The commands with a stand-in for the model: exact, and so fast that tests can start and kill them often."""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner, Result

from manuscript_restore import cli
from manuscript_restore.inference import Restorer

if TYPE_CHECKING:
    import pytest


class Darker:
    """Makes every page darker by a tenth."""

    description, concurrency = "stand-in", 2
    has_maps = False

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def default_batch(self, tile: int) -> int:
        return 8

    def look(self, tiles: Any) -> Any:
        raise AssertionError("it has no maps")

    def __call__(self, tiles: Any, looked: Any = None) -> Any:
        time.sleep(self.seconds)
        return tiles * 0.9


def load(*_: Any, settings: Any = None, seconds: float = 0, **__: Any) -> Restorer:
    """What takes the place of ``Restorer.from_checkpoint``."""
    return Restorer(Darker(seconds), settings=settings)


def restore(*arguments: object, monkeypatch: "pytest.MonkeyPatch") -> Result:
    """``manuscript-restore restore`` with the stand-in, in this process."""
    monkeypatch.setattr(Restorer, "from_checkpoint", load)
    return CliRunner().invoke(cli.app, ["restore", *map(str, arguments)], catch_exceptions=False)


def main(seconds: float) -> None:
    """``manuscript-restore`` with the stand-in, which takes that long for a tile."""
    Restorer.from_checkpoint = partial(load, seconds=seconds)  # type: ignore[method-assign, assignment]
    cli.main()
