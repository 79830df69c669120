"""The desk itself: its pages, and what can be asked of them. `desk.app` says by which addresses."""

import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.desk.events import Events
from manuscript_restore.desk.export import clear_exports, export
from manuscript_restore.desk.folder import ORIGINALS, DeskPage, UnknownError, find_pages, page_of
from manuscript_restore.desk.kept import Kept
from manuscript_restore.desk.pictures import encoded
from manuscript_restore.desk.preview import Previewer
from manuscript_restore.desk.review import DECISIONS, MAX_NOTE, Reviews
from manuscript_restore.desk.uploads import UPLOAD_BYTES, clear_uploads, receive
from manuscript_restore.desk.views import Views
from manuscript_restore.desk.wish import Wish
from manuscript_restore.desk.work import Worker
from manuscript_restore.errors import UserError
from manuscript_restore.files import sha256
from manuscript_restore.inference.look import Look
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.restorer import Restorer, Settings

LOOKS = 64
LANGUAGES = sorted(file.stem for file in (Path(__file__).parent / "static/strings").glob("*.json"))
"""A language is a file."""
PREVIEW_PIXELS = 1_048_576
"""Largest part that is restored while it is looked at."""


class ConflictError(UserError):
    """Not now, or not here."""


class Desk:
    """Pages of one output folder.

    Args:
        folder: Of the page images; None: only those that are uploaded.
        out: Where results are and go; it must be held by `alone_in`.
        restorer: With the settings that pages have by default.

    Raises:
        UserError: The folder cannot be read, or results would have the names of other files.
    """

    def __init__(self, folder: Path | None, out: Path, restorer: Restorer) -> None:
        self.folder, self.out, self.restorer = folder, out, restorer
        maps = {"change"} | ({"damage", "ink"} if restorer.backend.has_maps else set())
        self.output = Output(maps=frozenset(maps), sidecar=True, overwrite=True)
        self.lock = threading.RLock()
        self.events = Events()
        self.reviews = Reviews(out)
        clear_uploads(out)
        clear_exports(out)
        self.pages = {page.id: page for page in find_pages(folder, out, self.output)}
        for page in self.pages.values():
            self.reviews.recall(page)
            page.like = self._like_of(page)
        self._looks: Kept[Look] = Kept(LOOKS)
        self._is_over = threading.Event()
        self.views = Views(out, self._is_over)
        self._previewer = Previewer(restorer, self._is_over)
        self._worker = Worker(
            restorer, self.output, settings_of=self._settings_of, done=self._note_outcome, tell=self.tell
        )

    def open(self) -> None:
        """Begin to work, in a running loop."""
        self.events.open()
        self._worker.start()
        threading.Thread(target=self._measure, name="sizes", daemon=True).start()

    def described(self) -> dict[str, Any]:
        """What a browser is told of the desk."""
        identity = self.restorer.identity
        return {
            "name": self.folder.resolve().name if self.folder else self.out.resolve().name,
            "out": str(self.out),
            "model": identity.name if identity else self.restorer.backend.description,
            "has_maps": self.restorer.backend.has_maps,
            "languages": LANGUAGES,
            "limits": {"upload_bytes": UPLOAD_BYTES, "preview_pixels": PREVIEW_PIXELS},
        }

    def _measure(self) -> None:
        """Find out the sizes of all pages, and tell of them; ends early if the desk is closed."""
        for page in list(self.pages.values()):
            if self._is_over.is_set():
                return
            if page.width is None:
                with contextlib.suppress(UserError):  # which its state then tells
                    self.views.size(page)
                self.tell(page)

    def stop(self) -> None:
        """Tell all that runs to end; returns at once."""
        self._is_over.set()
        self._worker.close(wait=False)
        self.events.close()

    def close(self) -> None:
        """End what runs, and leave no file half written."""
        self.stop()
        self._worker.close(wait=True)
        self._previewer.close()

    def page(self, id: str) -> DeskPage:
        """The page of that id.

        Raises:
            UnknownError: There is none.
        """
        if id not in self.pages:
            raise UnknownError("there is no such page on this desk")
        return self.pages[id]

    def shown(self, page: DeskPage) -> dict[str, Any]:
        """What a browser is told of a page."""
        with self.lock:
            of_first = (page.record.get("pages") or [{}])[0]
            scores = {name: value for name, value in of_first.items() if isinstance(value, int | float)}
            settings = page.record.get("settings")
            return {
                "id": page.id,
                "name": page.name,
                "width": page.width,
                "height": page.height,
                "pages": page.num_pages,
                "state": page.state,
                "share": round(page.share, 3),
                "reason": page.reason,
                "decision": page.decision,
                "note": page.note,
                "layers": list(page.layers),
                "settings": None
                if settings is None
                else {
                    "strength": settings.get("strength", 1),
                    "keep_colour": bool(settings.get("keep_colour")),
                    "damaged": bool(settings.get("damaged")),
                    "like": page.like,
                },
                "scores": {name: value for name, value in scores.items() if isinstance(value, int | float)}
                or None,
                "version": page.version,
            }

    def _like_of(self, page: DeskPage) -> list[str]:
        """Ids of the pages that a page was given the look of; its record has their names and hashes."""
        look = page.record.get("settings", {}).get("like") or {}
        hash_of = {each["file"]: each["sha256"] for each in look.get("pages", [])}
        named = [each for each in list(self.pages.values()) if each.task.source.name in hash_of] if hash_of else []
        counts = Counter(each.task.source.name for each in named)
        return [
            each.id
            for each in named
            if counts[name := each.task.source.name] == 1 or _hash_of(each.task.source) == hash_of[name]
        ]

    def tell(self, page: DeskPage) -> None:
        """Tell all browsers of a page."""
        self.events.tell_page(self.shown(page))

    def restore(self, page: DeskPage, wish: Wish) -> None:
        """Have a page restored, when its turn comes.

        Raises:
            UserError: The settings cannot be.
        """
        self._settings_of(wish)  # says now what is wrong with them
        self._worker.add(page, wish)

    def restore_many(self, ids: Iterable[str] | None, wish: Wish) -> int:
        """Have pages restored, or all new ones; returns how many.

        Raises:
            UserError: One is unknown, or the settings cannot be.
        """
        new = [page for page in list(self.pages.values()) if page.state == "new"]
        pages = new if ids is None else [self.page(id) for id in dict.fromkeys(ids)]
        self._settings_of(wish)
        for page in pages:
            self._worker.add(page, wish)
        return len(pages)

    def cancel(self, page: DeskPage) -> None:
        """Stop or forget the restoration of a page; what was there before stays."""
        self._worker.cancel(page)

    def preview(self, page: DeskPage, box: tuple[int, int, int, int], wish: Wish) -> bytes:
        """A part of a page, restored, as a PNG file; ``box`` is left, top, width, height.

        Raises:
            UserError: The part or the settings cannot be, or the page cannot be read.
        """
        width, height = self.views.size(page)
        left, top, across, down = box
        if min(left, top) < 0 or min(across, down) < 1 or left + across > width or top + down > height:
            raise UserError(f"rect: must lie in the page of {width}×{height} pixels")
        if across * down > PREVIEW_PIXELS:
            raise UserError(f"rect: has more than {PREVIEW_PIXELS:,} pixels; look closer")
        path, _ = page.layer("original")
        part = self._previewer.part(path, (left, top, left + across, top + down), self._settings_of(wish))
        return encoded(part, "png")

    def decide(self, page: DeskPage, decision: str | None, note: str) -> None:
        """Keep what the reviewer says of a page.

        Raises:
            ConflictError: There is nothing to decide on.
            UserError: It is no decision, the note is too long, or they cannot be written.
        """
        if decision not in DECISIONS:
            raise UserError("decision: must be accepted, rejected or null")
        if len(note) > MAX_NOTE:
            raise UserError(f"note: has {len(note):,} characters; at most {MAX_NOTE:,} are kept")
        with self.lock:
            if decision and not page.written:
                raise ConflictError(f"{page.name} is not restored yet")
            before = page.decision, page.note
            page.decision, page.note = decision, note
            try:
                self.reviews.keep(page)
            except UserError:
                page.decision, page.note = before
                raise
        self.tell(page)

    async def take_in(self, name: str, chunks: AsyncIterator[bytes], length: int | None) -> DeskPage:
        """A new page, uploaded.

        Raises:
            ConflictError: Its place would be that of other pages.
            UserError: As `uploads.receive`.
        """
        if self.folder and (self.folder / ORIGINALS).is_dir():
            raise ConflictError(f"there is a folder {ORIGINALS} in {self.folder.name}; put the page beside it")

        def is_taken(place: Path) -> bool:
            targets = {page.task.target.with_suffix("") for page in self.pages.values()}
            return (self.out / place).with_suffix("") in targets

        path = await receive(name, chunks, self.out, length=length, is_taken=is_taken)
        page = page_of(path, self.out / ORIGINALS, self.out)
        self.pages[page.id] = page
        with contextlib.suppress(UserError):
            await run_in_threadpool(self.views.size, page)
        self.tell(page)
        return page

    def export(self, format: str | None) -> dict[str, Any]:
        """Copy what was accepted into a folder of its own.

        Raises:
            ConflictError: Nothing was accepted.
            UserError: The format is unknown, or the folder cannot be written.
        """
        suffix = f".{format}" if format else None
        if suffix and suffix not in FORMATS:
            raise UserError(f"format: must be one of {', '.join(name[1:] for name in FORMATS)}, or null")
        pages = [page for page in list(self.pages.values()) if page.decision == "accepted" and page.written]
        if not pages:
            raise ConflictError("no page is accepted yet")
        review = self.reviews.as_csv({page.name for page in pages})
        taken = {page.place.parts[0] for page in list(self.pages.values()) if len(page.place.parts) > 1}
        folder, failed = export(
            pages, self.out, suffix=suffix, review=review, taken=taken, is_over=self._is_over.is_set
        )
        reasons = [{"name": name, "reason": reason} for name, reason in failed]
        return {"folder": str(folder), "pages": len(pages) - len(failed), "failed": reasons}

    def _settings_of(self, wish: Wish) -> Settings:
        sources = [(page.layer("original")[0], page.version) for page in map(self.page, wish.like)]

        def look() -> tuple[Look, int]:
            return Look.of([path for path, _ in sources]), 1

        like = self._looks.get(tuple(sources), look) if sources else None
        return Settings(wish.strength, wish.keep_colour, like=like, damaged=wish.damaged)

    def _note_outcome(self, page: DeskPage, outcome: Outcome | None) -> None:
        """What became of a page; None: it was stopped, and all is as it was."""
        with self.lock:
            page.share = 0.0
            page.look()
            if outcome and outcome.status == "failed":
                page.state, page.reason = "failed", outcome.reason.removeprefix(f"{page.task.source}: ")
                self.events.tell(f"{page.name}: {page.reason}")
            elif outcome:
                page.like = self._like_of(page)
                was_written = page.decision is not None or page.note != ""
                page.decision = None  # it was about another picture
                if was_written:
                    with contextlib.suppress(UserError):  # the disk is full; the note is in the file of all
                        self.reviews.keep(page)
        self.tell(page)


def _hash_of(path: Path) -> str:
    """Empty of a file that is gone or cannot be read."""
    try:
        return sha256(path)
    except OSError:
        return ""
