"""The addresses of the desk: what a browser may ask, checked and handed on. Everything else is in `desk.Desk`."""

import contextlib
import functools
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from manuscript_restore.desk.desk import Desk, UnknownError
from manuscript_restore.desk.guard import Guard
from manuscript_restore.errors import UserError

STATIC = Path(__file__).parent / "static"
TYPES = {"jpg": "image/jpeg", "png": "image/png"}
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of pictures: their addresses hold a version."""

Endpoint = Callable[[Request], Awaitable[Response]]

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
            Route("/api/pages/{id}/{layer}/info.json", handlers.info),
            Route("/api/pages/{id}/{layer}/{level:int}/{x:int}_{y:int}.{kind}", handlers.tile),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _said, UserError: _said, Exception: _said},
    )
    return Guard(app, port=port, token=token)


async def _said(_: Request, error: Exception) -> Response:
    """An error as one plain sentence."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, UserError):
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, UnknownError) else 422)
    return JSONResponse({"error": "the desk could not do this; the terminal says why"}, 500)


class _Handlers:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def desk(self, _: Request) -> Response:
        return JSONResponse(self._desk.described())

    async def pages(self, _: Request) -> Response:
        return JSONResponse([self._desk.shown(page) for page in self._desk.pages.values()])

    async def page(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        with contextlib.suppress(UserError):  # which its state then tells
            await run_in_threadpool(self._desk.size, page)
        return JSONResponse(self._desk.shown(page))

    async def events(self, _: Request) -> Response:
        return StreamingResponse(self._desk.events.listen(), media_type="text/event-stream")

    async def thumbnail(self, request: Request) -> Response:
        page, layer = self._desk.page(request.path_params["id"]), request.query_params.get("layer", "original")
        if layer not in ("original", "restored"):
            raise UnknownError("thumbnails are of the original or the restored picture")
        content = await run_in_threadpool(self._desk.thumbnail, page, layer)
        return _picture(request, content, "jpg")

    async def info(self, request: Request) -> Response:
        page = self._desk.page(request.path_params["id"])
        return JSONResponse(await run_in_threadpool(self._desk.info, page, request.path_params["layer"]))

    async def tile(self, request: Request) -> Response:
        wanted: dict[str, Any] = request.path_params
        page, layer, kind = self._desk.page(wanted["id"]), wanted["layer"], wanted["kind"]
        if kind != ("jpg" if layer in ("original", "restored") else "png"):
            raise UnknownError("the pictures are .jpg and the maps are .png")
        make = functools.partial(self._desk.tile, page, layer, wanted["level"], wanted["x"], wanted["y"], kind)
        return _picture(request, await run_in_threadpool(make), kind)


def _picture(request: Request, content: bytes, kind: str) -> Response:
    return Response(content, headers=FOR_EVER if "v" in request.query_params else {}, media_type=TYPES[kind])
