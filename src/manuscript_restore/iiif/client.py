"""Fetch from servers politely and safely: one request at a time, to public addresses, within limits.

It stands on the standard library's ``http.client``: the address that is connected to has to be checked, which is
one method of a connection there, and of a larger client nothing else would be needed. Proxies are not used: behind
one the address could not be checked.
"""

import email.utils
import http.client
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urljoin, urlsplit

from manuscript_restore.errors import UserError
from manuscript_restore.iiif.connection import Connection

TRIES = 5
FIRST_WAIT_S = 1.0
"""Between the first and the second try; each further time it doubles."""
MAX_REDIRECTS = 5
LONGEST_WAIT_S = 600.0
"""A server that asks for more patience is left for another day."""

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}
_CHUNK_BYTES = 1 << 20


class RefusedError(UserError):
    """The server answered, and has no such thing or does not give it."""


class UnreachableError(UserError):
    """There was no usable answer, however often it was asked for."""


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        url: Where it came from, redirects followed.
        status: Of HTTP.
        headers: By their names, in any case.
        body: Content, not compressed.
    """

    url: str
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """Asks for one thing at a time, and keeps the connection for the next.

    Args:
        allow_private: Also connect to this machine and to addresses of local networks.
        timeout_s: Longest silence of a server.
        answer_s: Longest that an answer may take as a whole.
        sleep: Waits that many seconds between tries.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_s: float = 60.0,
        answer_s: float = 900.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._allow_private, self._timeout_s, self._answer_s, self._sleep = (
            allow_private,
            timeout_s,
            answer_s,
            sleep,
        )
        self._tls = ssl.create_default_context()
        self._agent = f"manuscript-restore/{version('manuscript-restore')} (restores pages; one request at a time)"
        self._connection: Connection | None = None
        self._connected: tuple[str, str, int | None] | None = None

    def get(self, url: str, *, max_bytes: int, accept: str = "*/*") -> Answer:
        """Fetch an address, with redirects followed and passing faults waited out.

        Args:
            url: http or https.
            max_bytes: Of the answer.
            accept: Media types.

        Raises:
            RefusedError: The server does not have it or does not give it (4xx).
            UnreachableError: No whole answer after `TRIES` tries.
            UserError: The address is none that may be connected to, or the answer is too large or takes too long.
        """
        asked = url
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._patiently(url, max_bytes, accept)
            if answer.status == 200:
                return answer
            place = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not place:
                raise RefusedError(f"{url}: the server refused it ({answer.status} {_phrase(answer.status)})")
            try:
                url = urljoin(url, place)
            except ValueError as error:
                raise UserError(f"{url}: is redirected to {place}, which is no address ({error})") from error
        raise UserError(f"{asked}: is redirected more than {MAX_REDIRECTS} times; check the address")

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection:
            self._connection.close()
        self._connection = self._connected = None

    def _patiently(self, url: str, max_bytes: int, accept: str) -> Answer:
        """Ask, and ask again after faults that pass: first after a second or what the server says."""
        for attempt in range(TRIES):
            wait_s = (
                FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5)
            )  # so that of many not all come back at once
            try:
                answer = self._exchange(url, max_bytes, accept)
            except (OSError, http.client.HTTPException) as error:
                reason = _reason(url, error)
            else:
                if answer.status not in _PASSING:
                    return answer
                reason = f"{answer.status} {_phrase(answer.status)}"
                wait_s = max(wait_s, _retry_after(answer))
            if wait_s > LONGEST_WAIT_S:
                raise UnreachableError(
                    f"{url}: the server asks to come back in {wait_s / 60:.0f} minutes ({reason})"
                )
            if attempt < TRIES - 1:
                self._sleep(wait_s)
        raise UnreachableError(f"{url}: no answer in {TRIES} tries ({reason}); give the same command again later")

    def _exchange(self, url: str, max_bytes: int, accept: str) -> Answer:
        connection, target = self._connect(url)
        watch = threading.Timer(self._answer_s, connection.abandon)  # a drop a minute is no silence
        watch.daemon = True
        watch.start()
        try:
            headers = {"User-Agent": self._agent, "Accept": accept, "Accept-Encoding": "identity"}
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as response:
                body = _body(response, url, max_bytes)
            if connection.abandoned:  # which looks like the end of an answer
                raise TimeoutError
            return Answer(url, response.status, response.headers, body)
        except BaseException as error:
            self.close()  # what is left of the answer must not be taken for the next one
            if connection.abandoned:
                raise UserError(f"{url}: took longer than {self._answer_s:g} s; left off") from error
            raise
        finally:
            watch.cancel()

    def _connect(self, url: str) -> "tuple[Connection, str]":
        """The connection to an address's server, and what to ask it for."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode(), parts.port
            path = quote(parts.path or "/", safe="/%:=@!$&'()*+,;~")
            query = quote(parts.query, safe="/%:=@!$&()*+,;~?")
        except ValueError as error:
            raise UserError(f"{url}: is no address ({error})") from error
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise UserError(f"{url}: only http:// and https:// are fetched, without a user's name")
        if self._connection is None or self._connected != (parts.scheme, host, port):
            self.close()
            tls = self._tls if parts.scheme == "https" else None
            self._connection = Connection(host, port, tls, self._timeout_s, self._allow_private)
            self._connected = (parts.scheme, host, port)
        return self._connection, f"{path}?{query}" if query else path


def _body(response: http.client.HTTPResponse, url: str, max_bytes: int) -> bytes:
    if (encoding := response.headers.get("Content-Encoding", "identity")) not in ("identity", ""):
        raise UserError(f"{url}: came compressed ({encoding}), which was not asked for")
    expected = response.length
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise UserError(f"{url}: is longer than {max_bytes:,} bytes; left off")
    if expected is not None and len(body) < expected:
        raise http.client.IncompleteRead(b"", expected - len(body))
    return bytes(body)


def _reason(url: str, error: OSError | http.client.HTTPException) -> str:
    """Why there was no answer; raises where asking again is of no use."""
    if isinstance(error, ssl.SSLCertVerificationError):
        raise UserError(f"{url}: its certificate is not trusted ({error.verify_message})") from error
    if isinstance(error, http.client.InvalidURL):
        raise UserError(f"{url}: is no address ({error})") from error
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        raise UnreachableError(f"{url}: its server is not known ({error.strerror}); check the address") from error
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__


def _retry_after(answer: Answer) -> float:
    """Seconds that the server asks to wait; it may name a date."""
    asked = answer.headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    with suppress(ValueError, TypeError):
        return email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    return 0.0


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "")
