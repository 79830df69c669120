"""How a page is to be restored, as a browser asks for it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Backend, Floats


@dataclass(frozen=True)
class Wish:
    """Settings of one restoration; ``like`` are ids of pages, ``confidence`` asks for that map."""

    strength: float = 1.0
    keep_colour: bool = False
    like: tuple[str, ...] = ()
    confidence: bool = False
    damaged: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Wish":
        """What a request says.

        Raises:
            UserError: A value is of another kind, or not in its range.
        """
        strength, like = said.get("strength", 1), said.get("like") or []
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
            raise UserError("strength: must be a number between 0 and 1")
        if not isinstance(like, list) or not all(isinstance(id, str) for id in like):
            raise UserError("like: must be a list of ids of pages")
        truths = {name: said.get(name, False) for name in ("keep_colour", "confidence", "damaged")}
        if not all(isinstance(truth, bool) for truth in truths.values()):
            raise UserError(f"{', '.join(truths)}: must be true or false")
        return cls(float(strength), like=tuple(sorted(set(like))), **truths)


class StoppedError(UserError):
    """What was being made is no longer wanted."""

    def __init__(self) -> None:
        super().__init__("stopped, or the desk is being closed")


class StoppableBackend:
    """A backend that stops between two tiles.

    Args:
        backend: What computes.
        is_over: Tells it to stop.
    """

    def __init__(self, backend: Backend, is_over: threading.Event) -> None:
        self._backend, self._is_over = backend, is_over
        self.description, self.has_maps = backend.description, backend.has_maps
        self.concurrency = backend.concurrency

    def default_batch(self, tile: int) -> int:
        """How many tiles of that side it takes at once best."""
        return self._backend.default_batch(tile)

    def look(self, tiles: Floats) -> Floats:
        """As the backend's."""
        self._check()
        return self._backend.look(tiles)

    def __call__(self, tiles: Floats, looked: Floats | None = None) -> Floats:
        """As the backend's."""
        self._check()
        restored = self._backend(tiles) if looked is None else self._backend(tiles, looked)
        self._check()  # it may have been the last one
        return restored

    def _check(self) -> None:
        if self._is_over.is_set():
            raise StoppedError
