"""Who may ask: the Host, the Origin and the token of every request, and the headers of every answer.

A page elsewhere on the web can make a browser send requests to this machine. It cannot read the answers (no
CORS, CORP), cannot send the header `X-Desk` (no CORS), and cannot come by a name of its own that leads to
127.0.0.1 (DNS rebinding: Host).
"""

import secrets
from collections.abc import Sequence
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Wraps the app.

    Args:
        app: What answers.
        port: That the server listens on.
        token: Asked of everybody; None: only loopback names are answered, and no token is needed.
    """

    def __init__(self, app: ASGIApp, *, port: int, token: str | None = None) -> None:
        self._app, self._token = app, token
        self._cookie = f"desk_{port}"  # cookies of two ports would be one
        self._hosts = {f"{name}:{port}" for name in LOOPBACK} | (set(LOOPBACK) if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that goes no further."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or (self._token is None and hosts[0].lower() not in self._hosts):
            return _refused("this desk is only open under the address that was printed when it started")
        if self._token is not None and not self._knows(headers):
            return self._entry(scope)
        if scope["method"] not in ("GET", "HEAD"):
            origins = headers.getlist("origin")
            if headers.get("x-desk") != "1" or any(not _is_of(origin, hosts[0]) for origin in origins):
                return _refused("this request does not come from the desk")
        return None

    def _knows(self, headers: Headers) -> bool:
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))  # others' may be odd; they come along
        return self._is_token(cookies.get(self._cookie, ""))

    def _entry(self, scope: Scope) -> Response:
        """Of who comes with the printed address, which leaves the token behind; others are refused."""
        tokens: Sequence[str] = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] != "/" or len(tokens) != 1 or not self._is_token(tokens[0]):
            return _refused("open the whole address that was printed when the desk started: it ends in a token")
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, tokens[0], httponly=True, samesite="strict")
        return response

    def _is_token(self, said: str) -> bool:
        return self._token is not None and secrets.compare_digest(said.encode(), self._token.encode())


def _is_of(origin: str, host: str) -> bool:
    return origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _refused(why: str) -> Response:
    return JSONResponse({"error": why}, 403)
