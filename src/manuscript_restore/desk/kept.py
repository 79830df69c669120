"""Things that are costly to make, kept while there is room for them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Kept(Generic[Thing]):
    """A cache of what was used last; who asks for what another thread is making waits for it.

    Args:
        room: What it holds at most, in the unit of the sizes (bytes); the newest is kept whatever its size.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._things: OrderedDict[Hashable, Future[tuple[Thing, int]]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[Thing, int]]) -> Thing:
        """The thing of that key; ``make`` returns it with its size. What it raises, all who wait for it get."""
        with self._lock:
            future = self._things.get(key)
            is_new = future is None
            if future is None:
                future = self._things[key] = Future()
            self._things.move_to_end(key)
        if is_new:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    del self._things[key]
                future.set_exception(error)
                raise
            self._shrink()
        return future.result()[0]

    def _shrink(self) -> None:
        with self._lock:
            sizes = [(key, future.result()[1]) for key, future in self._things.items() if future.done()]
            total = sum(size for _, size in sizes)
            for key, size in sizes[:-1]:
                if total <= self._room:
                    break
                del self._things[key]
                total -= size
