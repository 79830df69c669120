"""Which pages of a folder are to be restored now: their files, their results and the journal tell.

Events only say when to look; what they were is not asked. So no page is missed, and none comes twice.
"""

import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from manuscript_restore.archive import kinds
from manuscript_restore.inference.journal import Entry, Journal
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.watched import WatchedFolder, real, ticks, version

PAUSES = (30, 300, 3600)
"""Seconds after which a page that failed is tried again; then only once it has changed."""
BATCH = 32
"""Pages handed out at a time: after them the folder is looked at again."""
SHARE = 0.1
"""Of the time, what goes at most into looking at a large folder."""

Tell = Callable[[str, str, float, str], object]
"""(place of a page, what became of it, seconds, why)."""


class Watcher:
    """Says which pages are to be restored, and notes what became of them.

    Args:
        folder: Where pages appear.
        out: Where their results go, mirrored.
        output: What is written for each page.
        suffix: Of the results; None: that of the page.
        rescan: Seconds after which the folder is looked at without an event, too: network shares send none.
        retry: Try again what failed before.
        tell: Called with what became of each page.

    Raises:
        UserError: The journal in ``out`` cannot be read or written.
    """

    def __init__(
        self,
        folder: WatchedFolder,
        out: Path,
        output: Output,
        *,
        suffix: str | None = None,
        rescan: float = 60.0,
        retry: bool = False,
        tell: Tell,
    ) -> None:
        self._folder, self._out, self._output, self._suffix = folder, out, output, suffix
        self._rescan, self._tell = rescan, tell
        self._journal = Journal(out)
        self._work: dict[str, os.stat_result] = {}  # pages that are to be restored, as they were last seen
        self._no_pages: dict[str, tuple[int, int]] = {}
        self._owners: dict[Path, str] = {}  # of the names of results
        self._due = 0.0
        self._suspects = {page for page, entry in self._journal.entries.items() if entry.status == "begun"}
        stale = []
        for page, entry in self._journal.entries.items():
            names = _names(self._task(page))
            if entry.result and out / entry.result in names:
                self._owners |= dict.fromkeys(names, page)
            elif entry.result or (retry and entry.status == "failed"):  # of another format, before
                stale.append(page)
        self._journal.forget(stale)

    def batches(self, *, once: bool = False) -> Generator[list[Task]]:
        """Pages to restore, some at a time; `note` each of them before the next are asked for.

        Those that were in work when the service was killed come last, and alone: one of them may have done it.

        Args:
            once: End when nothing is left to do but what failed.
        """
        changed, soonest = False, 0.0
        with closing(ticks() if once else self._folder.events()) as events:
            for event in events:
                changed |= event
                if time.monotonic() < (soonest if changed else self._due):
                    continue
                changed, started = False, time.monotonic()
                tasks = self.look()
                soonest = time.monotonic() + (time.monotonic() - started) / SHARE
                while tasks:
                    sound = [task for task in tasks if self._page(task) not in self._suspects]
                    batch = sound[:BATCH] or tasks[:1]
                    try:
                        self._mark(batch, "begun")
                        yield batch
                    finally:
                        self._mark(batch, "stopped")
                    tasks = self.look()
                if once and not self._work:
                    return

    def look(self) -> list[Task]:
        """All pages that are to be restored now, in natural order. Sets when the next look is due."""
        found, complete = self._folder.files()
        if complete:
            self._journal.forget([page for page in self._journal.entries if page not in found])
            self._owners = {name: page for name, page in self._owners.items() if page in found}
        self._no_pages = {page: was for page, was in self._no_pages.items() if page in found}
        self._work, pauses = {}, [self._rescan]
        for page, file in found.items():
            entry = self._journal.entries.get(page)
            pause = _again_at(entry) - time.time() if entry and _is_of(entry, file) else 0
            if pause > 0:
                pauses.append(pause)
            elif self._no_pages.get(page) != version(file):
                self._work[page] = file
        tasks = self._tasks(self._folder.settled(self._work))
        self._due = min(self._folder.due, time.monotonic() + min(pauses))
        return tasks

    def _tasks(self, pages: list[str]) -> list[Task]:
        """Of pages that have settled, those that are to be restored; what becomes of the others is noted."""
        tasks, entries = [], {}
        for page in pages:
            kind = kinds.of_document(self._folder.path / page)
            if kind is None:
                self._no_pages[page] = version(self._work.pop(page))
                continue
            task = self._task(page, kind.name)
            if kind.tool:
                entries[page] = self._entry(page, "unread", kind.reason)
            elif clash := self._clash(page, task):
                entries[page] = self._entry(page, "failed", clash)
            elif result := self._result_of(page, task):
                status = "flagged" if result == task.flagged else "skipped"
                entries[page] = self._entry(page, status, "there already", result)
            else:
                tasks.append(task)
        self._note(entries)
        return tasks

    def _clash(self, page: str, task: Task) -> str:
        """Why a page cannot be restored into its place; claims it otherwise."""
        for name in _names(task):
            owner = self._owners.get(name, page)
            if owner != page:
                return f"{name} is already the result of {self._folder.path / owner}; rename one of the two"
        if task.target.name.endswith(tuple(f".{end}" for end in self._output.beside)):
            return "is named as what is written beside pages; take it away"
        target = real(task.target)
        if target.is_relative_to(real(self._folder.path)) and not target.is_relative_to(real(self._out)):
            return f"{task.target} leads back to {target}; inputs are never overwritten"
        self._owners |= dict.fromkeys(_names(task), page)
        return ""

    def _result_of(self, page: str, task: Task) -> Path | None:
        """A result of the page as it is now that is not noted: its writer was killed before, or was no service.

        It is younger than the page's arrival (ctime: a copy may keep an old mtime).
        """
        entry, file = self._journal.entries.get(page), self._work[page]
        if entry and not _is_of(entry, file):
            return None  # what is there may be younger and of the page as it was, which was in work then
        for result, other in (_names(task), _names(task)[::-1]):
            written = _written(result)
            noted = entry and entry.result == self._below_out(result) and entry.result_mtime_ns == written
            if written and written > file.st_ctime_ns and not noted:
                other.unlink(missing_ok=True)  # of the page as it was; the job had no time for that
                return result
        return None

    def note(self, outcome: Outcome) -> None:
        """Note what became of a task.

        Raises:
            UserError: The journal cannot be written.
        """
        page, reason = self._page(outcome.task), outcome.reason
        if outcome.status != "failed":
            reason = reason.partition("; ")[0]  # what `restore` says of its own options follows
            entry = self._entry(page, outcome.status, reason, outcome.written)
        elif outcome.task.source.exists():
            entry = self._entry(page, "failed", reason.removeprefix(f"{outcome.task.source}: "))
        else:
            del self._work[page]
            self._tell(page, "gone", outcome.seconds, "")
            return
        self._note({page: entry}, outcome.seconds)

    def _note(self, entries: dict[str, Entry], seconds: float = 0.0) -> None:
        self._journal.note(entries)
        for page, entry in entries.items():
            del self._work[page]
            reason = entry.reason
            if entry.status == "failed":
                last = entry.tries > len(PAUSES)
                again = "given up until it changes" if last else f"tried again in {PAUSES[entry.tries - 1]} s"
                reason = f"{reason}; {again}"
            self._tell(page, entry.status, seconds, reason)

    def _mark(self, tasks: list[Task], status: str) -> None:
        """Note that pages are in work, or that they no longer are, as far as nothing has become of them."""
        entries = {}
        for page in map(self._page, tasks):
            if page in self._work:
                entry = self._entry(page, status, "")
                before = self._journal.entries.get(page, entry)  # its result is that of the page as it was
                entries[page] = replace(entry, result=before.result, result_mtime_ns=before.result_mtime_ns)
        self._journal.note(entries)

    def _entry(self, page: str, status: str, reason: str, result: Path | None = None) -> Entry:
        before, file = self._journal.entries.get(page), self._work[page]
        tries = before.tries if before and _is_of(before, file) else 0
        if status == "failed":
            tries += 1
        name, written = (self._below_out(result), _written(result)) if result else (None, None)
        return Entry(*version(file), status, time.time(), name, written, tries, reason)

    def _task(self, page: str, format: str = "") -> Task:
        return Task.mirrored(self._folder.path / page, Path(page), format, self._out, self._suffix)

    def _page(self, task: Task) -> str:
        return task.source.relative_to(self._folder.path).as_posix()

    def _below_out(self, result: Path) -> str:
        return result.relative_to(self._out).as_posix()


def _again_at(entry: Entry) -> float:
    """When a page that has not changed is to be restored, seconds since 1970; infinite for those that are done."""
    if entry.status in ("begun", "stopped"):
        return 0
    if entry.status == "failed" and entry.tries <= len(PAUSES):
        return entry.at + PAUSES[entry.tries - 1]
    return float("inf")


def _names(task: Task) -> tuple[Path, Path]:
    return task.target, task.flagged


def _is_of(entry: Entry, file: os.stat_result) -> bool:
    return (entry.size, entry.mtime_ns) == version(file)


def _written(result: Path) -> int | None:
    """When a file was written, ns; None: it is not there."""
    try:
        return result.stat().st_mtime_ns
    except OSError:
        return None
