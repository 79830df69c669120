"""The addresses of the desk: what a browser may ask, checked and handed on. Everything else is in `desk.Desk`."""

import asyncio
import contextlib
import functools
import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from manuscript_restore.desk.desk import ConflictError, Desk
from manuscript_restore.desk.folder import UnknownError
from manuscript_restore.desk.guard import Guard
from manuscript_restore.desk.uploads import TooLargeError
from manuscript_restore.desk.wish import Wish
from manuscript_restore.errors import UserError

STATIC = Path(__file__).parent / "static"
TYPES = {"jpg": "image/jpeg", "png": "image/png"}
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of pictures: their addresses hold a version."""

MAX_BODY = 1_000_000
"""Bytes of a request that is no upload."""
_STATUS = {UnknownError: 404, ConflictError: 409, TooLargeError: 413}

mimetypes.add_type("text/javascript", ".js")  # as the registry of some systems does not say


def make_app(desk: Desk, *, port: int, token: str | None = None) -> ASGIApp:
    """The desk as an ASGI app; arguments as `guard.Guard`."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        desk.open()
        yield
        await run_in_threadpool(desk.close)

    handlers = _Handlers(desk)
    app = Starlette(
        routes=[
            Route("/", handlers.index),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/desk", handlers.desk),
            Route("/api/pages", handlers.pages),
            Route("/api/events", handlers.events),
            Route("/api/pages/{id}", handlers.page),
            Route("/api/pages/{id}/thumb.jpg", handlers.thumbnail),
            Route("/api/pages/{id}/preview", handlers.preview, methods=["POST"]),
            Route("/api/pages/{id}/restore", handlers.restore, methods=["POST"]),
            Route("/api/pages/{id}/cancel", handlers.cancel, methods=["POST"]),
            Route("/api/pages/{id}/decision", handlers.decision, methods=["POST"]),
            Route("/api/restore", handlers.restore_many, methods=["POST"]),
            Route("/api/upload/{name}", handlers.upload, methods=["PUT"]),
            Route("/api/export", handlers.export, methods=["POST"]),
            Route("/api/review.csv", handlers.review),
            Route("/api/pages/{id}/{layer}/info.json", handlers.info),
            Route("/api/pages/{id}/{layer}/{level:int}/{x:int}_{y:int}.{kind}", handlers.tile),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _said, UserError: _said, Exception: _said},
    )
    return Guard(app, port=port, token=token)


class _Json(Response):
    """JSON in ASCII: names of files, and so what is said of them, may hold what UTF-8 has no bytes for."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


async def _said(_: Request, error: Exception) -> Response:
    """An error as one plain sentence."""
    if isinstance(error, HTTPException):
        return _Json({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, UserError):
        return _Json({"error": str(error)}, _STATUS.get(type(error), 422))
    return _Json({"error": "the desk could not do this; the terminal says why"}, 500)


class _Handlers:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._previewing = asyncio.Lock()

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def desk(self, _: Request) -> Response:
        return _Json(self._desk.described())

    async def pages(self, _: Request) -> Response:
        return _Json([self._desk.shown(page) for page in self._desk.pages.values()])

    async def page(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        with contextlib.suppress(UserError):  # which its state then tells
            await run_in_threadpool(self._desk.views.size, page)
        return _Json(self._desk.shown(page))

    async def events(self, _: Request) -> Response:
        return StreamingResponse(self._desk.events.listen(), media_type="text/event-stream")

    async def thumbnail(self, request: Request) -> Response:
        page, layer = self._desk.page(request.path_params["id"]), request.query_params.get("layer", "original")
        if layer not in ("original", "restored"):
            raise UnknownError("thumbnails are of the original or the restored picture")
        content = await run_in_threadpool(self._desk.views.thumbnail, page, layer)
        return _picture(request, content, "jpg")

    async def info(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        return _Json(await run_in_threadpool(self._desk.views.info, page, request.path_params["layer"]))

    async def tile(self, request: Request) -> Response:
        wanted: dict[str, Any] = request.path_params
        page, layer, kind = self._desk.page(wanted["id"]), wanted["layer"], wanted["kind"]
        if kind != ("jpg" if layer in ("original", "restored") else "png"):
            raise UnknownError("the pictures are .jpg and the maps are .png")
        make = functools.partial(
            self._desk.views.tile, page, layer, wanted["level"], wanted["x"], wanted["y"], kind
        )
        return _picture(request, await run_in_threadpool(make), kind)

    async def preview(self, request: Request) -> Response:
        page, said = self._desk.page(request.path_params["id"]), await _json(request)
        rect = said.get("rect")
        if not isinstance(rect, list) or len(rect) != 4 or not all(type(side) is int for side in rect):
            raise UserError("rect: must be four whole numbers: left, top, width, height")
        wish = Wish.of(said)
        async with self._previewing:  # others wait here, and are dropped if nobody waits for them any more
            if await request.is_disconnected():
                return Response(status_code=204)
            left, top, width, height = rect
            content = await run_in_threadpool(self._desk.preview, page, (left, top, width, height), wish)
        return Response(content, media_type="image/png")

    async def restore(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        await run_in_threadpool(self._desk.restore, page, Wish.of(await _json(request)))
        return _Json(self._desk.shown(page), 202)

    async def restore_many(self, request: Request) -> Response:
        said = await _json(request)
        ids = said.get("pages")
        if ids != "new" and not (isinstance(ids, list) and all(isinstance(id, str) for id in ids)):
            raise UserError('pages: must be a list of ids, or "new"')
        wanted = None if ids == "new" else ids
        number = await run_in_threadpool(self._desk.restore_many, wanted, Wish.of(said))
        return _Json({"waiting": number}, 202)

    async def cancel(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        await run_in_threadpool(self._desk.cancel, page)
        return _Json(self._desk.shown(page), 202)

    async def decision(self, request: Request) -> Response:
        page, said = self._desk.page(request.path_params["id"]), await _json(request)
        decision, note = said.get("decision", page.decision), said.get("note", page.note)
        if not isinstance(note, str) or not isinstance(decision, str | None):
            raise UserError("decision and note: must be text")
        await run_in_threadpool(self._desk.decide, page, decision, note)
        return _Json(self._desk.shown(page))

    async def upload(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        size = int(length) if length.isdecimal() else None
        page = await self._desk.take_in(request.path_params["name"], request.stream(), size)
        return _Json(self._desk.shown(page), 201)

    async def export(self, request: Request) -> Response:
        format = (await _json(request)).get("format")
        if not isinstance(format, str | None):
            raise UserError("format: must be text or null")
        return _Json(await run_in_threadpool(self._desk.export, format))

    async def review(self, _: Request) -> Response:
        headers = {"Content-Disposition": 'attachment; filename="review.csv"'}
        return Response(self._desk.reviews.as_csv(), headers=headers, media_type="text/csv; charset=utf-8")


async def _json(request: Request) -> dict[str, Any]:
    """The body of a request, which must be an object of limited size."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLargeError(f"the request has more than {MAX_BODY:,} bytes")
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise UserError("the request must be a JSON object")
    return said


def _picture(request: Request, content: bytes, kind: str) -> Response:
    return Response(content, headers=FOR_EVER if "v" in request.query_params else {}, media_type=TYPES[kind])
