"""Which pages of a folder are to be restored now: their files, their results and the journal tell.

Events only say when to look; what they were is not asked. So no page is missed, and none comes twice.
"""

import functools
import os
import stat
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from natsort import natsorted, ns

from manuscript_restore.archive import kinds
from manuscript_restore.errors import UserError
from manuscript_restore.images import walk
from manuscript_restore.inference.job import Outcome, Output
from manuscript_restore.inference.journal import Entry, Journal
from manuscript_restore.inference.plan import Task

PAUSES = (30, 300, 3600)
"""Seconds after which a page that failed is tried again; then only once it has changed."""
BATCH = 64
"""Pages handed out at a time: after them the folder is looked at again."""
TICK = 0.25
"""Seconds between two looks at the clock."""
SHARE = 0.1
"""Of the time, what goes at most into looking at a large folder."""

Tell = Callable[[str, str, float, str], object]
"""(place of a page, what became of it, seconds, why)."""


class Watcher:
    """Says which pages are to be restored, and notes what became of them.

    Args:
        folder: Where pages appear.
        out: Where their results go, mirrored; may lie in ``folder``.
        output: What is written for each page.
        suffix: Of the results; None: that of the page.
        settle: Seconds for which a file must not have changed: it is waited for while it is copied.
        rescan: Seconds after which the folder is looked at without an event, too: network shares send none.
        retry: Try again what failed before.
        tell: Called with what became of each page.
        warn: Called with what is wrong with the folder.

    Raises:
        UserError: The journal in ``out`` cannot be read or written.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        output: Output,
        *,
        suffix: str | None = None,
        settle: float = 3.0,
        rescan: float = 60.0,
        retry: bool = False,
        tell: Tell,
        warn: Callable[[str], object],
    ) -> None:
        self._folder, self._out, self._output, self._suffix = folder, out, output, suffix
        self._settle, self._rescan, self._tell, self._warn = settle, rescan, tell, warn
        self._real_folder, self._real_out = _real(folder), _real(out)
        self._journal = Journal(out)
        self._waiting: dict[
            str, tuple[os.stat_result, float]
        ] = {}  # with the moment since which they are as they are
        self._no_pages: dict[str, os.stat_result] = {}
        self._owners: dict[Path, str] = {}  # of the names of results
        self._warned: set[str] = set()
        self._due = 0.0
        stale = []
        for page, entry in self._journal.entries.items():
            task = self._task(page, "")
            if entry.result and out / entry.result in _names(task):
                self._owners |= dict.fromkeys(_names(task), page)
            elif entry.result or (retry and entry.status == "failed"):  # of another format, before
                stale.append(page)
        self._journal.forget(stale)

    def batches(self, *, once: bool = False) -> Generator[list[Task]]:
        """Pages to restore, some at a time; `note` each of them before the next are asked for.

        Args:
            once: End when nothing is left to do but what failed.
        """
        changed, soonest = False, 0.0
        with closing(self._ticks(once)) as ticks:
            for event in ticks:
                changed |= event
                if time.monotonic() < (soonest if changed else self._due):
                    continue
                changed, started = False, time.monotonic()
                tasks = self.look()
                soonest = time.monotonic() + (time.monotonic() - started) / SHARE
                while tasks:
                    yield tasks[:BATCH]
                    tasks = self.look()
                if once and not self._waiting:
                    return

    def _ticks(self, once: bool) -> Generator[bool]:
        """Again and again, whether something has changed below the folder since the last time."""
        try:
            if not once:
                from watchfiles import watch

                for changes in watch(
                    self._folder,
                    watch_filter=None,
                    rust_timeout=int(1000 * TICK),
                    yield_on_timeout=True,
                    ignore_permission_denied=True,
                ):
                    yield bool(changes)
        except (OSError, RuntimeError) as error:  # the system watches no more folders; the share is not mounted
            self._warn(f"{self._folder}: no events there ({error}); it is looked at every {self._rescan:g} s")
        while True:
            yield False
            time.sleep(TICK)

    def look(self) -> list[Task]:
        """All pages that are to be restored now, in natural order. Sets when the next look is due."""
        now = time.monotonic()
        found = self._find()
        self._no_pages = {page: file for page, file in self._no_pages.items() if page in found}
        before, self._waiting, self._due = self._waiting, {}, now + self._rescan
        for page, file in found.items():
            if page in self._no_pages and _same(file, self._no_pages[page]):
                continue
            entry = self._journal.entries.get(page)
            if entry and (entry.size, entry.mtime_ns) == _version(file):
                pause = _again_at(entry) - time.time()
                if pause > 0:
                    self._due = min(self._due, now + pause)
                    continue
            last, since = before.get(page, (file, now))
            self._waiting[page] = file, since if _same(file, last) else now
        settled = [page for page, (_, since) in self._waiting.items() if now - since >= self._settle]
        unsettled = [since for _, since in self._waiting.values() if now - since < self._settle]
        self._due = min([self._due, *(since + self._settle for since in unsettled)])
        return self._tasks(natsorted(settled, alg=ns.PATH))

    def _find(self) -> dict[str, os.stat_result]:
        """Every file by its place; forgets those that are gone."""
        errors: list[OSError] = []
        within_out = functools.cache(lambda folder: _real(folder).is_relative_to(self._real_out))
        apart = not self._real_out.is_relative_to(self._real_folder)
        found = {}
        for path in walk(self._folder, errors.append):
            if apart or not within_out(path.parent):
                try:
                    file = path.stat()
                except OSError:  # gone since, or a link that leads nowhere
                    continue
                if stat.S_ISREG(file.st_mode):
                    found[path.relative_to(self._folder).as_posix()] = file
        warnings = {f"{error.filename}: cannot be read ({error.strerror})" for error in errors}
        for warning in sorted(warnings - self._warned):
            self._warn(warning)
        self._warned = warnings
        if found and not errors:  # not an unmounted disk, which looks empty
            self._journal.forget([page for page in self._journal.entries if page not in found])
            self._owners = {name: page for name, page in self._owners.items() if page in found}
        return found

    def _tasks(self, pages: list[str]) -> list[Task]:
        """Of pages that have settled, those that are to be restored; what becomes of the others is noted."""
        tasks, entries = [], {}
        for page in pages:
            file, _ = self._waiting[page]
            kind = kinds.of_file(self._folder / page)
            if kind is None:
                self._no_pages[page] = self._waiting.pop(page)[0]
                continue
            task = self._task(page, kind.name)
            if kind.tool:
                entries[page] = self._entry(page, file, "unread", kind.reason)
            elif clash := self._clash(page, task):
                entries[page] = self._entry(page, file, "failed", clash)
            elif result := self._result_of(page, task, file):
                status = "flagged" if result == task.flagged else "skipped"
                entries[page] = self._entry(page, file, status, "there already", result)
            else:
                tasks.append(task)
        self._note(entries)
        return tasks

    def _clash(self, page: str, task: Task) -> str:
        """Why a page cannot be restored into its place; claims it otherwise."""
        for name in _names(task):
            owner = self._owners.get(name, page)
            if owner != page:
                return f"{name} is already the result of {self._folder / owner}; rename one of the two"
        if task.target.name.endswith(tuple(f".{end}" for end in self._output.beside)):
            return "is named as what is written beside pages; take it away"
        real = _real(task.target)
        if real.is_relative_to(self._real_folder) and not real.is_relative_to(self._real_out):
            return f"{task.target} leads back to {real}; inputs are never overwritten"
        self._owners |= dict.fromkeys(_names(task), page)
        return ""

    def _result_of(self, page: str, task: Task, file: os.stat_result) -> Path | None:
        """A result of the page as it is now that is not noted: its writer was killed before, or was no service.

        It is younger than the page's arrival (ctime: a copy may keep an old mtime).
        """
        entry = self._journal.entries.get(page)
        for result, other in (_names(task), _names(task)[::-1]):
            try:
                written = result.stat().st_mtime_ns
            except OSError:
                continue
            noted = entry and entry.result == self._below_out(result) and entry.result_mtime_ns == written
            if written > file.st_ctime_ns and not noted:
                other.unlink(missing_ok=True)  # of the page as it was; the job had no time for that
                return result
        return None

    def note(self, outcome: Outcome) -> None:
        """Note what became of a task.

        Raises:
            UserError: The journal cannot be written.
        """
        task, reason = outcome.task, outcome.reason
        page = task.source.relative_to(self._folder).as_posix()
        file, _ = self._waiting[page]
        if outcome.status == "failed":
            if not task.source.exists():
                del self._waiting[page]
                self._tell(page, "gone", outcome.seconds, "")
                return
            self._note({page: self._entry(page, file, "failed", reason.removeprefix(f"{task.source}: "))})
            return
        reason = reason.partition("; ")[0]  # what `restore` says of its own options follows
        self._note({page: self._entry(page, file, outcome.status, reason, outcome.written)}, outcome.seconds)

    def _note(self, entries: dict[str, Entry], seconds: float = 0.0) -> None:
        self._journal.note(entries)
        for page, entry in entries.items():
            del self._waiting[page]
            reason = entry.reason
            if entry.status == "failed":
                again = entry.tries <= len(PAUSES)
                reason += (
                    f"; tried again in {PAUSES[entry.tries - 1]} s" if again else "; given up until it changes"
                )
            self._tell(page, entry.status, seconds, reason)

    def _entry(
        self, page: str, file: os.stat_result, status: str, reason: str, result: Path | None = None
    ) -> Entry:
        before = self._journal.entries.get(page)
        again = before is not None and (before.size, before.mtime_ns) == _version(file)
        tries = (before.tries if before and again else 0) + 1 if status == "failed" else 0
        name = self._below_out(result) if result else None
        written = None
        if result and result.exists():  # not taken away already
            written = result.stat().st_mtime_ns
        return Entry(*_version(file), status, time.time(), name, written, tries, reason)

    def _task(self, page: str, format: str) -> Task:
        return Task.mirrored(self._folder / page, Path(page), format, self._out, self._suffix)

    def _below_out(self, result: Path) -> str:
        return result.relative_to(self._out).as_posix()


def check_folders(folder: Path, out: Path) -> None:
    """Refuse folders that cannot be watched.

    Raises:
        UserError: ``folder`` is none, or results would fall among its pages.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    if _real(folder).is_relative_to(_real(out)):
        raise UserError(f"{out}: is or holds the folder of the pages; give another output folder")


def _again_at(entry: Entry) -> float:
    """When a page that has not changed is to be tried again, seconds since 1970; infinite for most."""
    if entry.status == "failed" and entry.tries <= len(PAUSES):
        return entry.at + PAUSES[entry.tries - 1]
    return float("inf")


def _names(task: Task) -> tuple[Path, Path]:
    return task.target, task.flagged


def _version(file: os.stat_result) -> tuple[int, int]:
    return file.st_size, file.st_mtime_ns


def _same(first: os.stat_result, second: os.stat_result) -> bool:
    return _version(first) == _version(second)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
