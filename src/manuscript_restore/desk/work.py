"""Restores pages, one after the other, on a thread of its own."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from manuscript_restore.desk.folder import ENDINGS, DeskPage, check_inside
from manuscript_restore.desk.wish import StoppableBackend, Wish
from manuscript_restore.errors import UserError
from manuscript_restore.files import unfinished_name
from manuscript_restore.inference.job import Job
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.restorer import Restorer, Settings
from manuscript_restore.inference.waiting import beside

PATIENCE = 0.7
"""Seconds that are waited for a page in work when the desk is closed."""
TELL = 0.25
"""Seconds between two words on how far a page is."""


class Worker:
    """A queue of pages and the thread that restores them.

    Args:
        restorer: With the engine; its settings are those of each wish.
        output: What is written for every page.
        settings_of: Makes settings of a wish; may raise `UserError`.
        done: Called with each page after its restoration, with the outcome; None: it was stopped.
        tell: Called when the state of a page has changed.
    """

    def __init__(
        self,
        restorer: Restorer,
        output: Output,
        *,
        settings_of: Callable[[Wish], Settings],
        done: Callable[[DeskPage, Outcome | None], None],
        tell: Callable[[DeskPage], None],
    ) -> None:
        self._restorer, self._output = restorer, output
        self._settings_of, self._done, self._tell = settings_of, done, tell
        self._waiting: dict[str, tuple[DeskPage, Wish]] = {}
        self._changed = threading.Condition()
        self._in_work: DeskPage | None = None
        self._stop = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="restoring", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, page: DeskPage, wish: Wish) -> None:
        """Have a page restored; in the place of what was asked for it before, if that has not begun."""
        with self._changed:
            self._waiting[page.id] = page, wish
            if page is not self._in_work:
                page.state, page.reason, page.share = "waiting", "", 0.0
            self._changed.notify()
        self._tell(page)

    def cancel(self, page: DeskPage) -> None:
        """Stop or forget the restoration of a page; what was there before stays."""
        with self._changed:
            waited = self._waiting.pop(page.id, None)
            if page is self._in_work:
                self._stop.set()
                return
        if waited:
            self._done(page, None)

    def close(self, *, wait: bool) -> None:
        """Stop. With ``wait``, until the page in work is left, or a moment has passed."""
        self._is_over.set()
        self._stop.set()
        if not wait:
            return
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        if self._thread.is_alive() and self._in_work:  # it is being encoded, which cannot be stopped
            for target in (self._in_work.task.target, self._in_work.sidecar):
                with contextlib.suppress(OSError):
                    unfinished_name(target).unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_over.is_set():
                    self._changed.wait()
                if self._is_over.is_set():
                    return
                page, wish = self._waiting.pop(next(iter(self._waiting)))
                self._in_work = page
                self._stop.clear()
                page.state, page.share = "working", 0.0
                if self._is_over.is_set():  # who closes sets this one first, then the other
                    return
            self._tell(page)
            outcome = self._restore(page, wish)
            with self._changed:
                self._in_work = None
                is_stopped = self._stop.is_set() and outcome.status == "failed"
                is_wanted_again = page.id in self._waiting
            try:
                self._done(page, None if is_stopped else outcome)
            except Exception as error:  # such as of a file that has gone meanwhile; the other pages go on
                page.state, page.reason = "failed", f"{type(error).__name__}: {error}"
                self._tell(page)
            if is_wanted_again:
                page.state = "waiting"
                self._tell(page)

    def _restore(self, page: DeskPage, wish: Wish) -> Outcome:
        told = 0.0

        def on_progress(_: Task, share: float) -> None:
            nonlocal told
            page.share = share
            if time.monotonic() - told >= TELL:
                told = time.monotonic()
                self._tell(page)

        try:
            check_inside(page.task.source, page.root)
            check_inside(page.task.target.parent, page.out)
            settings = replace(self._settings_of(wish), confidence=wish.confidence)
            backend = StoppableBackend(self._restorer.backend, self._stop)
            restorer = Restorer(backend, settings=settings, identity=self._restorer.identity)
            maps = self._output.maps | ({"confidence"} if wish.confidence else set())
            job = Job(restorer, replace(self._output, maps=maps), jobs=1, on_progress=on_progress)
            outcome = job.restore(page.task)
        except UserError as error:
            return Outcome(page.task, "failed", str(error))
        except Exception as error:  # the other pages go on
            return Outcome(page.task, "failed", f"{type(error).__name__}: {error}")
        if outcome.status != "failed":
            for name in set(ENDINGS) - maps:  # of the picture that was there before
                with contextlib.suppress(OSError):
                    beside(outcome.written, ENDINGS[name]).unlink(missing_ok=True)
        return outcome
