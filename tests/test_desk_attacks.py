"""What others on the web, in the network, or with files of theirs try on the desk."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from manuscript_restore.desk import app, uploads
from manuscript_restore.desk.serve import listen
from manuscript_restore.errors import UserError
from manuscript_restore.inference.folders import alone_in

from . import stand_in
from .desks import PORT, browser, pages_of, restore, save, wait_for
from .processes import start

SECRET = "not for the web"


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text(SECRET)
    save(tmp_path / "secret.png")
    save(tmp_path / "scans" / "1.png")
    return tmp_path / "scans"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def client(scans: Path, out: Path) -> Iterator[TestClient]:
    with browser(scans, out) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        f"127.0.0.1:{PORT + 1}",
        f"127.0.0.1.evil.example:{PORT}",
        "",
    ],
)
def test_a_name_of_somebody_elses_that_leads_here(client: TestClient, host: str) -> None:
    """DNS rebinding: the page of that name could read all answers."""
    answer = client.get("/api/pages", headers={"Host": host})
    assert answer.status_code == 403
    assert "1.png" not in answer.text


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_the_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get("/api/pages", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{PORT + 1}",
        f"http://localhost:{PORT}",
        "http://127.0.0.1",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_requests_that_pages_of_others_send(client: TestClient, out: Path, origin: str, method: str) -> None:
    path = "/api/restore" if method == "POST" else "/api/upload/x.png"
    answer = client.request(method, path, content=b'{"pages": "new"}', headers={"Origin": origin})
    assert answer.status_code == 403
    assert pages_of(client)["1.png"]["state"] == "new"
    assert list(out.iterdir()) == []


def test_forms_of_others_cannot_set_the_header(client: TestClient) -> None:
    for value in ("", "0"):
        answer = client.post("/api/restore", json={"pages": "new"}, headers={"X-Desk": value})
        assert answer.status_code == 403
    origin = f"http://127.0.0.1:{PORT}"
    assert client.post("/api/restore", json={"pages": []}, headers={"Origin": origin}).status_code == 202


def test_every_answer_has_the_headers(client: TestClient) -> None:
    for path in ("/", "/api/pages", "/static/none.js", "/nowhere", "/api/pages/none/thumb.jpg"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_a_token_is_asked_of_all(scans: Path, out: Path) -> None:
    with browser(scans, out, token="t0ken") as client:
        for path in (
            "/",
            "/static/index.html",
            "/api/pages",
            "/api/pages?token=t0ken",
            "/?token=wrong",
            "/?token=",
        ):
            answer = client.get(path, headers={"Host": "desk.example"}, follow_redirects=False)
            assert answer.status_code == 403, path
        assert client.get("/api/pages", headers={"Cookie": f"desk_{PORT}=wrong"}).status_code == 403
        entry = client.get("/?token=t0ken", follow_redirects=False)
        assert (entry.status_code, entry.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=strict"} <= set(entry.headers["set-cookie"].split("; "))
        assert client.get("/api/pages").status_code == 200  # the client keeps cookies, as browsers do
        odd = f'other={{"a":1}}; desk_{PORT}=t0ken'  # of another service of this machine
        assert client.get("/api/pages", headers={"Cookie": odd}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../desk.py", "/static/..%2fdesk.py", "/static/%2e%2e/desk.py", "/static//etc/passwd",
        "/static/..\\desk.py", "/api/pages/../../secret.png", "/api/pages/%2e%2e%2fsecret.png",
        "/api/pages/..%2f..%2fsecret.png/thumb.jpg", "/api/pages/{id}/..%2f..%2fsecret/0/0_0.jpg",
        "/api/pages/{id}/original/0/..%2f0_0.jpg", "/api/pages/{id}/original/-1/0_0.jpg",
        "/api/pages/{id}/original/0/0_0.txt", "/api/pages/{id}/record/0/0_0.png",
        "/api/pages/{id}/thumb.jpg?layer=../../secret", "/../secret.txt",
        "/api/upload/..%2fx.png",
    ],
)  # fmt: skip
def test_paths_out_of_the_folder(client: TestClient, path: str) -> None:
    path = path.format(id=pages_of(client)["1.png"]["id"])
    answer = client.get(path)
    assert answer.status_code in (404, 405)
    assert SECRET not in answer.text


def test_links_that_lead_out_of_the_folder(scans: Path, out: Path) -> None:
    """Of the pages, of their results, and of the folders that these go to."""
    (scans / "2.png").symlink_to("../secret.png")
    save(scans / "3.png")
    save(scans / "4/5.png")
    out.mkdir()
    save(out.parent / "other.png")
    (out / "3.png").symlink_to("../other.png")
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir()
    (out / "4").symlink_to(elsewhere)
    with browser(scans, out) as client:
        page = wait_for(client, "2.png", lambda page: page["state"] == "failed")
        assert page["reason"].startswith("2.png: is a link that leads out of scans")
        for layer, name in (("original", "2.png"), ("restored", "3.png")):
            page = pages_of(client)[name]
            for path in (f"thumb.jpg?layer={layer}", f"{layer}/0/0_0.jpg", f"{layer}/info.json"):
                answer = client.get(f"/api/pages/{page['id']}/{path}")
                assert answer.status_code == 422, path
        assert restore(client, "2.png")["state"] == "failed"
        assert restore(client, "4/5.png")["reason"].startswith("4: is a link that leads out of out")
    assert list(elsewhere.iterdir()) == []


def test_links_within_the_folder_are_followed(scans: Path, out: Path) -> None:
    (scans / "2.png").symlink_to("1.png")
    with browser(scans, out) as client:
        assert restore(client, "2.png")["state"] == "restored"


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is very large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.png", bomb(60_000, 60_000)),
        ("page.png", b"MZ\x90\0" * 100),
        ("page.png", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("page.html", b"<script>alert(1)</script>" * 10),
        ("page.jpg", b"\xff\xd8\xff"),
        ("page.tif", b"II*\0" + bytes(200)),
        ("page.png", b""),
    ],
    ids=["bomb", "program", "SVG", "HTML", "short", "zeros", "empty"],
)
def test_uploads_that_are_no_pages(client: TestClient, out: Path, name: str, content: bytes) -> None:
    answer = client.put(f"/api/upload/{name}", content=content)
    assert answer.status_code == 422
    assert ".partial" not in answer.json()["error"]
    assert set(pages_of(client)) == {"1.png"}
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_a_page_that_is_a_bomb(scans: Path, out: Path) -> None:
    (scans / "2.png").write_bytes(bomb(60_000, 60_000))
    with browser(scans, out) as client:
        page = wait_for(client, "2.png", lambda page: page["state"] == "failed")
        assert "exceed the limit" in page["reason"]
        assert client.get(f"/api/pages/{page['id']}/thumb.jpg").status_code == 422


@pytest.mark.parametrize("is_said", [True, False])
def test_uploads_that_are_too_large(
    client: TestClient, out: Path, monkeypatch: pytest.MonkeyPatch, is_said: bool
) -> None:
    for name in ("UPLOAD_BYTES", "WHOLE_BYTES"):
        monkeypatch.setattr(uploads, name, 100_000)
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield (b"\x89PNG\r\n\x1a\n" if number == 0 else b"") + bytes(10_000)

    headers = {"Content-Length": "100000000"} if is_said else {}
    content = bytes(1000) if is_said else chunks()
    answer = client.put("/api/upload/large.png", content=content, headers=headers)
    assert answer.status_code == 413
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b"{", b"\xff", b'{"pages": [{}]}', b'{"pages": ["no"]}'])
def test_bodies_that_are_nonsense(client: TestClient, body: bytes) -> None:
    assert client.post("/api/restore", content=body).status_code in (404, 422)
    assert client.post("/api/restore", content=b" " * (app.MAX_BODY + 1)).status_code == 413


@pytest.mark.parametrize("content", ["[]", '{"settings": []}', '{"settings": {"like": 3}}', "[" * 100_000, "\0"])
def test_sidecars_that_are_nonsense(scans: Path, out: Path, content: str) -> None:
    save(out / "1.png")
    (out / "1.png.json").write_text(content)
    with browser(scans, out) as client:
        page = pages_of(client)["1.png"]
        assert page["state"] == "restored"
        assert client.post(f"/api/pages/{page['id']}/decision", json={"note": "x"}).status_code == 200
    assert (out / "1.png.json").read_text() == content  # it is not ours


class Process:
    """The command in a process of its own, behind a real socket."""

    def __init__(self, scans: Path, out: Path, *options: object, seconds: float = 0) -> None:
        self.said = out.with_name("said.txt")
        arguments = ("view", scans, "-o", out, "--no-open", "--port", 0, *options)
        self.process = start(partial(stand_in.main, seconds), *arguments, said=self.said)
        for _ in range(2000):
            said = self.said.read_text() if self.said.exists() else ""
            if found := re.search(r"http://(\S+?):(\d+)/(\S*)", said):
                self.port, self.rest = int(found[2]), found[3]
                return
            assert self.process.exitcode is None, self.said.read_text()
            time.sleep(0.01)
        raise AssertionError(self.said.read_text())

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> int:
        """The status of the answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(
                method, path, None if body is None else json.dumps(body), {"X-Desk": "1", **headers}
            )
            with connection.getresponse() as answer:
                return answer.status

    def events(self) -> Iterator[dict[str, Any]]:
        """What the desk tells, until it ends."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", "/api/events")
            with connection.getresponse() as answer:
                assert (answer.getheader("content-type") or "").startswith("text/event-stream")
                for line in iter(answer.readline, b""):
                    yield json.loads(line[6:]) if line.startswith(b"data: ") else {}

    def stop(self, signum: int = signal.SIGINT) -> float:
        """Seconds that it takes to end."""
        started = time.perf_counter()
        assert self.process.pid is not None
        os.kill(self.process.pid, signum)
        self.process.join(20)
        return time.perf_counter() - started


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(partial(connection.recv, 65536), b""))


@pytest.mark.skipif(sys.platform == "win32", reason="its sockets wait otherwise")
def test_a_port_is_free_again_while_old_connections_close() -> None:
    first = listen("127.0.0.1", 0, 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as browser:
        first.accept()[0].close()  # the side that closes first waits for a minute
        first.close()
        assert browser.recv(1) == b""
    with listen("127.0.0.1", port, 0), pytest.raises(UserError, match=r"on \(Address already in use\); give"):
        listen("127.0.0.1", port, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals and locks")
def test_the_command(scans: Path, out: Path) -> None:
    """Raw requests, events, a second command, and Ctrl-C in the middle of a page and of a stream of events."""
    save(scans / "large.png", size=(1500, 1500))
    desk = Process(scans, out, seconds=0.3)
    host = f"Host: 127.0.0.1:{desk.port}\r\n".encode()
    for path in (b"/static/../desk.py", b"/../../secret.txt", b"http://evil.example/secret.txt", b"/static/\0"):
        answer = raw(desk.port, b"GET " + path + b" HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
        assert answer.split(b" ")[1] in (b"404", b"400"), (path, answer)
        assert SECRET.encode() not in answer
    for hosts in (b"", host + host, host + b"Host: evil.example\r\n"):
        answer = raw(desk.port, b"GET /api/pages HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
        assert answer.split(b" ")[1] in (b"400", b"403"), (hosts, answer)
    forwarded = desk.ask("/api/pages", Host="evil.example", **{"X-Forwarded-Host": f"127.0.0.1:{desk.port}"})
    assert forwarded == 403
    arguments = "view", scans, "-o", out, "--no-open"
    second = start(partial(stand_in.main, 0), *arguments, said=out.with_name("second.txt"))
    second.join(20)
    assert second.exitcode == 1
    assert "another job is writing there" in out.with_name("second.txt").read_text()

    said = desk.events()
    next(said)  # it listens
    assert desk.ask("/api/restore", "POST", {"pages": "new"}) == 202
    restored = next(page for page in said if page.get("name") == "1.png" and page["state"] == "restored")
    assert restored["layers"] == ["original", "restored", "change"]
    shares = (page["share"] for page in said if page.get("name") == "large.png" and page["state"] == "working")
    assert 0 < next(share for share in shares if share) < 1  # it is in work
    assert desk.stop() < 2  # a second, and the machine may be busy
    assert desk.process.exitcode == 130
    assert "Traceback" not in desk.said.read_text()
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "1.png.change.png", "1.png.json"]
    with alone_in(out):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_for_a_network_prints_a_token(scans: Path, out: Path) -> None:
    desk = Process(scans, out, "--host", "0.0.0.0")
    assert desk.rest.startswith("?token=")
    assert len(desk.rest) > 30
    assert desk.ask("/api/pages") == 403
    assert desk.ask("/api/pages", Cookie=f"desk_{desk.port}={desk.rest.removeprefix('?token=')}") == 200
    assert desk.stop(signal.SIGTERM) < 2
    assert "Traceback" not in desk.said.read_text()
