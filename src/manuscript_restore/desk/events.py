"""Server-Sent Events: what changes on the desk, told to every page of a browser that listens."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

KEEP_ALIVE = 15.0
"""Seconds after which a comment is sent."""
MAX_WAITING = 10_000
"""Events that wait for a browser which does not read them; older ones are dropped."""


class Events:
    """Hands events from any thread to all listeners; of a page that changes quickly, each gets the newest."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0

    def open(self) -> None:
        """Begin, in the running loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End all streams; from any thread."""
        loop, self._loop = self._loop, None
        if loop and not loop.is_closed():
            loop.call_soon_threadsafe(self._end)

    def tell_page(self, page: dict[str, Any]) -> None:
        """A page is new or has changed."""
        self._tell("page", page["id"], page)

    def tell(self, text: str) -> None:
        """A line for the reader."""
        self._number += 1
        self._tell("log", self._number, {"text": text})

    async def listen(self) -> AsyncIterator[str]:
        """The stream of one listener."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield ": hello\n\n"
            while not listener.is_over:
                try:
                    await asyncio.wait_for(listener.has_some.wait(), KEEP_ALIVE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                listener.has_some.clear()
                while listener.waiting:
                    kind, _ = key = next(iter(listener.waiting))
                    data = listener.waiting.pop(key)
                    yield f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        finally:
            self._listeners.discard(listener)

    def _tell(self, kind: str, key: str | int, data: dict[str, Any]) -> None:
        if loop := self._loop:
            loop.call_soon_threadsafe(self._put, (kind, key), data)

    def _put(self, key: tuple[str, str | int], data: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener.waiting[key] = data
            if len(listener.waiting) > MAX_WAITING:
                del listener.waiting[next(iter(listener.waiting))]
            listener.has_some.set()

    def _end(self) -> None:
        for listener in self._listeners:
            listener.is_over = True
            listener.has_some.set()


class _Listener:
    def __init__(self) -> None:
        self.waiting: dict[tuple[str, str | int], dict[str, Any]] = {}
        self.has_some = asyncio.Event()
        self.is_over = False
