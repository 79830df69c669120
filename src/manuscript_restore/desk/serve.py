"""Serving the desk: the port, the address that is printed, and the end."""

import os
import socket
import threading
import webbrowser
from ipaddress import ip_address
from types import FrameType

import uvicorn

from manuscript_restore.desk.app import make_app
from manuscript_restore.desk.desk import Desk
from manuscript_restore.errors import UserError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int | None, default: int) -> socket.socket:
    """A socket that listens; without a port the default one, or a free one if that is taken.

    Raises:
        UserError: The port is taken or may not be used, or the host is none of this machine's addresses.
    """
    for number in [port] if port is not None else [default, 0]:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind)
            try:
                if os.name == "posix":  # also while connections of an earlier one close; elsewhere it means more
                    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(address)
                listening.listen()
            except BaseException:
                listening.close()
                raise
            return listening
        except OSError as error:
            reason = error.strerror or error
    raise UserError(f"--host {host} --port {port}: cannot be listened on ({reason}); give another one")


def address_of(host: str, listening: socket.socket, token: str | None) -> str:
    """What is to be opened in a browser."""
    port = listening.getsockname()[1]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(desk: Desk, listening: socket.socket, *, token: str | None, browse: str | None = None) -> None:
    """Answer until Ctrl-C or SIGTERM.

    Args:
        desk: What is served.
        listening: Where.
        token: As `guard.Guard`.
        browse: Address that is opened in the browser of this machine.
    """
    app = make_app(desk, port=listening.getsockname()[1], token=token)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody stands between
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, desk)
    if browse:
        threading.Thread(target=webbrowser.open, args=(browse,), daemon=True).start()
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Closes the streams of events first: they would keep it open."""

    def __init__(self, config: uvicorn.Config, desk: Desk) -> None:
        super().__init__(config)
        self._desk = desk

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._desk.stop()
        super().handle_exit(sig, frame)
