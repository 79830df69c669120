"""The batch job: many files, several at a time; whole or not at all, and one bad page does not stop the rest."""

import contextlib
import errno
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import Document, Page, open_document, write_pages, xmp
from manuscript_restore.archive.bilevel import BilevelTiff
from manuscript_restore.archive.page import NewXmp
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.inference.evidence import Band, Evidence
from manuscript_restore.inference.folders import make_folder
from manuscript_restore.inference.output import MAPS, OF_NETWORK, Outcome, Output
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.provenance import PROVENANCE, Record
from manuscript_restore.inference.record import Origin, as_json, mark, record
from manuscript_restore.inference.restorer import Restorer
from manuscript_restore.inference.waiting import WaitingEvidence, beside

LARGE_PAGE = 50_000_000
"""Pixels from which pages are restored one at a time, whatever ``jobs``: memory holds one of them."""

OnProgress = Callable[[Task, float], None]
"""(task, share of it that is done)."""


class _FlaggedError(Exception):
    """Leaves the block that writes a page, so that nothing is renamed to the page's own name."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class _StoppedError(Exception):
    """The job was stopped in the middle of a page."""


@dataclass
class _Work:
    """A file in work: of each of its pages what was measured, and of those that could not be read why."""

    task: Task
    document: Document
    waiting: WaitingEvidence
    started: float = field(default_factory=time.perf_counter)
    pages: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def finish(self, index: int, evidence: Evidence) -> None:
        """Note what became of a page."""
        page, number = self.document.pages[index], self.document.numbers[index]
        named = {"page": number} if self.document.format == "PDF" else {}
        size = {"width": page.width, "height": page.height}
        self.pages[index] = {**named, **size, **evidence.scores.summary(), "map_scale": evidence.map_scale}
        self.waiting.add(number, evidence)


class Job:
    """Restores tasks with one restorer.

    Args:
        restorer: Runs on one device; pages wait for each other there, and overlap in reading and writing.
        output: What is written.
        jobs: Files in work at a time.
        on_progress: Told, from any thread, how far a file is.

    Raises:
        UserError: ``jobs`` is below 1, or maps are wanted that the network does not have.
    """

    def __init__(
        self, restorer: Restorer, output: Output, *, jobs: int = 2, on_progress: OnProgress | None = None
    ) -> None:
        if jobs < 1:
            raise UserError(f"jobs={jobs}: must be at least 1")
        if (missing := output.maps & set(OF_NETWORK)) and not restorer.backend.has_maps:
            name = restorer.identity.name if restorer.identity else restorer.backend.description
            raise UserError(f"{min(missing)} map: the model {name} has none; leave it out, or give another model")
        self.restorer, self.output, self.num_jobs = restorer, output, jobs
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._large = threading.Lock()

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Restore all, yielding what became of each as it ends; closing the iterator stops the job cleanly."""
        pool = ThreadPoolExecutor(self.num_jobs, thread_name_prefix="page")
        waiting: list[Future[Outcome]] = []
        try:
            with warnings.catch_warnings():  # here, not in the threads: filters are the whole process's
                warnings.simplefilter("ignore")
                waiting = [pool.submit(self.restore, task) for task in tasks]
                for future in as_completed(waiting):
                    yield future.result()
        finally:
            self.stop()
            pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Let the files in work end at their next rows, with nothing left of them."""
        self._stop.set()

    def restore(self, task: Task) -> Outcome:
        """Restore one file; every fault becomes an outcome."""
        try:
            return self.output.found(task) or self._restore(task)
        except UserError as error:
            return Outcome(task, "failed", str(error))
        except OSError as error:  # such as a name that is too long once `.flagged` is in it
            mend = "; give it a shorter name" if error.errno == errno.ENAMETOOLONG else ""
            return Outcome(task, "failed", f"{task.source}: {error.strerror or error}{mend}")
        except MemoryError:
            return Outcome(task, "failed", f"{task.source}: needs more memory than there is; use jobs=1")
        except _StoppedError:
            raise
        except Exception as error:  # of a library or of the device; the other pages go on
            return Outcome(task, "failed", f"{task.source}: {type(error).__name__}: {error}")

    def _restore(self, task: Task) -> Outcome:
        if self.output.signer:
            self.output.signer.check(task.format, task.target)
        with open_document(task.source, allow_signed=self.output.allow_signed) as document, self._turn(document):
            if (document.format == "PDF") != (task.format == "PDF"):
                raise UserError(
                    f"{task.source}: is {document.format}, but {task.target.name} would be {task.format}; give it "
                    "a suffix that says what it is, or another output"
                )
            layouts = self.output.page_xml.of_page(task.source, document.pages) if self.output.page_xml else []
            origin = Origin.of(task.source, document.format)
            make_folder(task.target.parent)
            try:
                with whole_file(task.target) as unfinished, WaitingEvidence(task.target) as waiting:
                    work = _Work(task, document, waiting)
                    pages = [(page, self._rows(work, i)) for i, page in enumerate(document.pages)]
                    notes = write_pages(
                        unfinished,
                        pages,
                        format=task.format,
                        quality=self.output.quality,
                        name=str(task.target),
                        new_xmp=self._new_xmp(work, origin),
                    )
                    outcome = self._outcome(work)
                    if outcome.status == "sound" and task.format == document.format:
                        shutil.copyfile(task.source, unfinished)  # a JPEG would lose by being written again
                        notes = ["the page is sound: its file was copied"]
                    elif self.output.signer:
                        self.output.signer.sign(unfinished, task.format, mark(origin, self.restorer), origin)
                    waiting.give(outcome.written)
                    if self.output.overwrite:
                        waiting.remove_others(outcome.written, MAPS)
                    self._write_records(outcome, unfinished, [*document.notes, *notes], origin)
                    for layout in layouts:
                        layout.write_for(outcome.written)
                    if outcome.status == "flagged":
                        unfinished.replace(outcome.written)
                        raise _FlaggedError(outcome)
            except _FlaggedError as flagged:
                outcome = flagged.outcome
        if self.output.overwrite:  # what an earlier run left under the other name is replaced as well
            (task.target if outcome.status == "flagged" else task.flagged).unlink(missing_ok=True)
        return outcome

    def _new_xmp(self, work: _Work, origin: Origin) -> NewXmp | None:
        """Marks the packets of pages that are not left as they are."""

        def marked(number: int, packet: bytes, notes: list[str]) -> bytes:
            if work.pages[number].get("sound"):
                return packet
            return xmp.marked(packet, mark(origin, self.restorer, number), notes)

        return marked if self.output.mark and self.restorer.settings.strength > 0 else None

    def _evidence(self, page: Page) -> Evidence:
        wanted = "ink" in self.output.maps
        resolution = page.metadata.resolution
        ink = BilevelTiff(page.width, resolution=resolution, orientation=page.orientation) if wanted else None
        return Evidence(page.height, page.width, maps=self.output.maps, ink=ink)

    def _turn(self, document: Document) -> contextlib.AbstractContextManager[Any]:
        """Large pages wait for each other: they are what memory is taken by."""
        num_pixels = max(page.height * page.width for page in document.pages)
        return self._large if num_pixels >= LARGE_PAGE else contextlib.nullcontext()

    def _rows(self, work: _Work, index: int) -> Iterator[NDArray[Any]]:
        """The restored rows (n, W, C) of one page of a file, in the type of the page."""
        try:
            yield from self._restored_rows(work, index)
        except UserError as error:
            work.faults.append(str(error))  # of a PDF, the other pages go on
            raise

    def _restored_rows(self, work: _Work, index: int) -> Iterator[NDArray[Any]]:
        page, evidence = work.document.pages[index], self._evidence(work.document.pages[index])
        scale = np.iinfo(page.dtype).max

        def read(top: int, bottom: int) -> NDArray[np.float32]:
            rows = page.rows(top, bottom).transpose(2, 0, 1).astype(np.float32, order="C")
            rows /= scale
            return rows

        bands = self.restorer.bands(read, height=page.height, width=page.width, orientation=page.orientation)
        is_large = page.height * page.width >= LARGE_PAGE
        for band in bands if is_large else _ahead(bands):  # of large ones, memory holds one band
            if self._stop.is_set():
                raise _StoppedError
            evidence.add(band)
            band.restored[:] *= scale
            written = np.rint(band.restored, out=band.restored).astype(page.dtype)
            bottom = band.top + band.restored.shape[1]
            del band  # it is large, and the next one is made when these rows are written
            if self._on_progress:
                self._on_progress(work.task, (index + bottom / page.height) / len(work.document.pages))
            if bottom == page.height:  # before the rows go: a writer that has them all asks for no more
                work.finish(index, evidence)
            yield written.transpose(1, 2, 0)
        page.release()

    def _outcome(self, work: _Work) -> Outcome:
        task, document = work.task, work.document
        if not work.pages:
            raise UserError(work.faults[0])
        pages = [work.pages[index] for index in sorted(work.pages)]
        most, index = max((page["change_mean"], -index) for index, page in work.pages.items())
        limit, number = self.output.max_change, document.numbers[-index]
        status, reason = "restored", ""
        if most > limit:
            named = f"page {number} " if number else ""
            status, reason = (
                "flagged",
                (
                    f"{task.flagged}: {named}changed by CIEDE2000 {most:.1f} in the mean, more than {limit:g}; "
                    f"if it looks right, give --overwrite --max-change {most + 1:.0f}"
                ),
            )
        elif work.faults or document.is_damaged:
            status, reason = "partly", "; ".join(work.faults)
        elif all(page.get("sound") for page in pages):
            status = "sound"
        if document.format == "PDF" and document.notes and status != "flagged":
            reason = "; ".join(filter(None, [reason, *document.notes]))
        num_pixels = sum(page.height * page.width for page in document.pages)
        return Outcome(task, status, reason, time.perf_counter() - work.started, num_pixels, pages)

    def _write_records(self, outcome: Outcome, unfinished: Path, notes: list[str], origin: Origin) -> None:
        written = self._records_of(outcome)
        if not written:
            return
        content = record(
            origin,
            unfinished,
            restorer=self.restorer,
            document={
                "file": outcome.written.name,
                "format": outcome.task.format,
                "quality": self.output.quality,
                "max_change": self.output.max_change,
                "notes": notes,
            },
            pages=outcome.pages,
            seconds=outcome.seconds,
            flagged=outcome.reason or None,
        )
        for ending, made in written.items():
            with whole_file(beside(outcome.written, ending)) as sidecar:
                sidecar.write_bytes(made(content))

    def _records_of(self, outcome: Outcome) -> dict[str, Callable[[Record], bytes]]:
        """Those that are asked for, and those of a page that is replaced: they tell of another restoration."""
        kinds = {"sidecar": ("json", as_json), **PROVENANCE}
        asked = {"sidecar" if self.output.sidecar else None, self.output.provenance}
        replaced = self.output.overwrite
        return {
            ending: made
            for kind, (ending, made) in kinds.items()
            if kind in asked or (replaced and beside(outcome.written, ending).exists())
        }


def _ahead(bands: Iterator[Band]) -> Iterator[Band]:
    """The same, each made while the one before is written."""
    with ThreadPoolExecutor(1, thread_name_prefix="bands") as pool:
        coming = pool.submit(next, bands, None)
        while band := coming.result():
            coming = pool.submit(next, bands, None)
            yield band
