"""What a IIIF server has, fetched whole: by versions, levels, limits; politely, safely, and gone on with."""

import errno
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from manuscript_restore.errors import UserError
from manuscript_restore.iiif import Book, client, originals, presentation
from manuscript_restore.iiif.client import Answer, Client, UnreachableError
from manuscript_restore.iiif.connection import is_public
from tests import stand_in
from tests.iiif_server import Handler, Server, Service, canvas, manifest, page
from tests.processes import start
from tests.stand_in import restore


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        yield running


def fetched(server: Server, names: list[str], out: Path) -> list[Path]:
    server.answers["/manifest.json"] = json.dumps(manifest(server, names)).encode()
    book = Book.open([f"{server.url}/manifest.json"], out, allow_private=True)
    given = list(book.fetch())
    assert [each.reason for each in given] == [""] * len(names)
    return [each.path for each in given if each.path]


def get(url: str, max_bytes: int = 10, **options: Any) -> Answer:
    with closing(Client(**options)) as asking:
        return asking.get(url, max_bytes=max_bytes)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


SERVICES = {
    "whole": {},
    "only JPEG": {"formats": ("jpg",)},
    "level 2 that lies about PNG": {"formats": ("jpg", "tif")},
    "maxWidth": {"limits": {"maxWidth": 50}},
    "maxWidth and maxHeight": {"limits": {"maxWidth": 200, "maxHeight": 40}},
    "maxArea": {"limits": {"maxArea": 3000}},
    "a limit that is not told": {"limits": {"maxWidth": 100}, "told": False, "tile": 32},
    "tiles beyond the limit": {"limits": {"maxWidth": 20}, "tile": 32},
    "level 1": {"level": 1, "tile": 32, "limits": {"maxWidth": 64}},
    "files of tiles": {"level": 0, "full": False, "tile": 32},
    "files of tiles and the whole": {"level": 0, "tile": 32},
}


CASES = [  # version 1 cannot say limits
    pytest.param(version, options, id=f"{version}-{name}")
    for name, options in SERVICES.items()
    for version in (1, 2, 3)
    if version > 1 or "limits" not in options or not options.get("told", True)
]


@pytest.mark.parametrize(("version", "options"), CASES)
def test_the_full_image_comes_from_every_server(
    version: int, options: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    # A version's own form of sizes alone is understood.
    service = Service(page(1), version=version, only=r"\d+,\d+" if version == 3 else r"\d+,", **options)
    server.services["leaf"] = service
    (path,) = fetched(server, ["leaf"], tmp_path)
    assert path.name.startswith("0001_f._1r.")
    assert pixels(path).shape == (130, 110, 3)
    if "png" in service.formats or "tif" in service.formats:
        np.testing.assert_array_equal(pixels(path), service.pixels)
    else:
        assert path.suffix == ".jpg"
        whole = {1: "full/full/0/native.jpg", 2: "full/full/0/default.jpg", 3: "full/max/0/default.jpg"}[version]
        assert path.read_bytes() == service.reply("", whole)[2]


def test_few_requests_where_a_server_cuts_any_region(server: Server, tmp_path: Path) -> None:
    server.services["leaf"] = Service(page(1, 1500, 900), tile=256, limits={"maxWidth": 1024, "maxArea": 10**7})
    (path,) = fetched(server, ["leaf"], tmp_path)
    np.testing.assert_array_equal(pixels(path), server.services["leaf"].pixels)
    assert sum("/0/default" in asked for asked in server.asked) <= 4 * 6


def test_large_pages_in_parts_are_put_together_band_by_band(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(originals, "MAX_PNG_PIXELS", 10_000)
    server.services["leaf"] = Service(page(1), limits={"maxWidth": 50})
    (path,) = fetched(server, ["leaf"], tmp_path)
    assert path.suffix == ".tif"
    np.testing.assert_array_equal(tifffile.imread(path), server.services["leaf"].pixels)


def test_grey_pages_and_grey_parts(server: Server, tmp_path: Path) -> None:
    server.services["grey"] = Service(page(1)[..., 0], limits={"maxWidth": 50})
    mixed = Service(page(2), limits={"maxWidth": 64}, tile=64)
    server.services["mixed"] = mixed
    blank = io.BytesIO()
    mixed.pixels[64:128, :64] = 77
    Image.new("L", (64, 64), 77).save(blank, "PNG")
    server.answers["/mixed/0,64,64,64/64,64/0/default.png"] = blank.getvalue()
    grey, colour = fetched(server, ["grey", "mixed"], tmp_path)
    np.testing.assert_array_equal(pixels(grey), server.services["grey"].pixels)
    np.testing.assert_array_equal(pixels(colour), mixed.pixels)


def test_profile_and_resolution_of_parts_are_kept(server: Server, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    server.services["leaf"] = Service(page(1, 64, 128), level=0, full=False, tile=64, formats=("jpg",))
    for left in (0, 64):
        content = io.BytesIO()
        Image.new("RGB", (64, 64), (left, 9, 9)).save(content, "JPEG", icc_profile=profile, dpi=(300, 300))
        server.answers[f"/leaf/{left},0,64,64/64,64/0/default.jpg"] = content.getvalue()
    (path,) = fetched(server, ["leaf"], tmp_path)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == profile
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_images_without_a_service(server: Server, tmp_path: Path) -> None:
    server.services["leaf"] = Service(page(1))
    content = io.BytesIO()
    Image.fromarray(page(1)).save(content, "TIFF")
    server.answers["/leaf.jpg"] = content.getvalue()  # whatever it is called
    book = manifest(server, ["leaf"])
    body = book["items"][0]["items"][0]["items"][0]["body"]
    del body["service"]
    body["id"] = f"{server.url}/leaf.jpg"
    (tmp_path / "book.json").write_text(json.dumps(book))
    opened = Book.open([str(tmp_path / "book.json")], tmp_path / "out", allow_private=True)
    (given,) = opened.fetch()
    assert given.path == tmp_path / "out/originals/0001_f._1r.tif"
    assert given.path.read_bytes() == content.getvalue()


def test_one_at_a_time_with_a_name(server: Server, tmp_path: Path) -> None:
    for number in range(4):
        server.services[f"p{number}"] = Service(page(number))
    fetched(server, list(server.services), tmp_path)
    assert server.most_at_once == 1
    (agent,) = server.agents
    assert agent.startswith("manuscript-restore/")


@pytest.mark.parametrize("asked", ["7", "date"])
def test_a_server_that_asks_for_patience_gets_it(asked: str, server: Server) -> None:
    waits: list[float] = []
    in_a_minute = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    busy = [(429, {"Retry-After": in_a_minute if asked == "date" else asked}, b""), (503, {}, b"")]
    replies = iter(busy)
    server.reply = lambda _: next(replies, (200, {}, b"here"))  # type: ignore[method-assign]
    answer = get(f"{server.url}/page", allow_private=True, sleep=waits.append)
    assert answer.body == b"here"
    assert waits[0] == pytest.approx(60 if asked == "date" else 7, abs=2)
    assert waits[1] < 1


def test_waits_grow_and_differ(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 1.0)
    server.answers["/page"] = (500, {}, b"")
    rounds: list[list[float]] = []
    for _ in range(2):
        rounds.append([])
        with pytest.raises(UnreachableError, match=r"no answer in 5 tries \(500 Internal Server Error\)"):
            get(f"{server.url}/page", allow_private=True, sleep=rounds[-1].append)
    assert all(0.5 * 2**n <= wait <= 1.5 * 2**n for waits in rounds for n, wait in enumerate(waits))
    assert rounds[0] != rounds[1]
    assert len(server.asked) == 10


def test_a_server_that_wants_hours_is_left(server: Server) -> None:
    server.answers["/page"] = (503, {"Retry-After": "7200"}, b"")
    with pytest.raises(UnreachableError, match="come back in 120 minutes"):
        get(f"{server.url}/page", allow_private=True)


def cut_off(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


def endless(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 10_000)


def dripping(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def silent(_: Handler) -> None:
    time.sleep(1)


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"what?\r\n\r\n")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (cut_off, "no answer in 5 tries .*996 more expected"),
        (endless, "is longer than 100,000 bytes"),
        ((200, {"Content-Encoding": "gzip"}, b"zip"), "came compressed"),
        (dripping, "took longer than 0.5 s"),
        (silent, "no answer in 5 tries .*timed out"),
        (nonsense, "no answer in 5 tries"),
        ((404, {}, b""), "the server refused it .404 Not Found"),
        ((302, {"Location": "/page"}, b""), "is redirected more than 5 times"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "only http:// and https:// are fetched"),
        ((302, {"Location": "http://[::1"}, b""), "which is no address"),
        ((302, {}, b""), "302 Found"),
        ((503, {"Retry-After": "9" * 400}, b""), "come back in inf minutes"),
    ],
)  # fmt: skip
def test_bad_answers(fault: object, message: str, server: Server) -> None:
    server.answers["/page"] = fault
    polite = Client(allow_private=True, timeout_s=0.2, answer_s=0.5)
    with pytest.raises(UserError, match=message):
        polite.get(f"{server.url}/page", max_bytes=100_000)
    server.answers["/next"] = b"sound"
    assert polite.get(f"{server.url}/next", max_bytes=100_000).body == b"sound"
    polite.close()


def test_redirects_are_followed_and_images_come_from_where_they_lead(server: Server, tmp_path: Path) -> None:
    server.services["moved"] = Service(page(1))
    server.services["leaf"] = Service(page(1))
    server.answers["/leaf/info.json"] = (303, {"Location": "/moved/info.json"}, b"")
    fetched(server, ["leaf"], tmp_path)
    assert server.asked[1:] == ["/leaf/info.json", "/moved/info.json", "/moved/full/max/0/default.png"]


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/a", "file:///etc/passwd", "http://user:secret@example.org/", "https:///a", "http://[::1", "http://a:b/"],
)  # fmt: skip
def test_addresses_that_are_not_fetched(url: str) -> None:
    with pytest.raises(UserError):
        get(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True), ("64:ff9b::5db8:d70e", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fd00::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("::127.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
        ("2001:0:0:0:0:0:80ff:fffe", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_this_machine_is_not_asked_unless_allowed(server: Server) -> None:
    for host in ("127.0.0.1", "localhost", "0", "2130706433", "0x7f.1"):
        with pytest.raises(UserError, match="--allow-private"):
            get(f"http://{host}:{server.port}/page")
    assert not server.asked


def test_a_name_is_looked_up_once_and_what_it_said_is_connected_to(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["93.184.215.14", "127.0.0.1"])  # it changes its mind, as DNS rebinding does
    connected: list[object] = []

    def look_up(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(said), port))]

    def connect(_: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(client, "TRIES", 1)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setattr(socket.socket, "connect", connect)
        with pytest.raises(UnreachableError, match="refused"):
            get(f"http://rebind.example:{server.port}/")
        with pytest.raises(UserError, match="--allow-private"):
            get(f"http://rebind.example:{server.port}/")
    assert connected == [("93.184.215.14", server.port)]


def test_a_redirect_into_the_local_network_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Server(answers={"/secret": b"keys"})
    names = {"museum.example": "93.184.215.14", "inside.example": "127.0.0.1"}
    real = socket.socket.connect

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names.get(host, host), port))]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        real(self, ("127.0.0.1", address[1]) if address[0] == "93.184.215.14" else address)

    with secret.running():
        for place in (f"{secret.url}/secret", f"http://inside.example:{secret.port}/secret"):
            server.answers["/page"] = (302, {"Location": place}, b"")
            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", look_up)
                patch.setattr(socket.socket, "connect", connect)
                with pytest.raises(UserError, match="--allow-private"):
                    get(f"http://museum.example:{server.port}/page")
    assert server.asked == ["/page", "/page"]
    assert not secret.asked


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files)
    subprocess.run(make, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Server(answers={"/page": b"sealed", "/slow": dripping}, tls=tls).running() as server:
        address = f"https://localhost:{server.port}"
        with pytest.raises(UserError, match="its certificate is not trusted"):
            get(f"{address}/page", allow_private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert get(f"{address}/page", allow_private=True).body == b"sealed"
        with pytest.raises(UserError, match=r"took longer than 0.5 s"):
            get(f"{address}/slow", allow_private=True, answer_s=0.5)
        with pytest.raises(UserError, match="its certificate is not trusted"):
            get(f"https://127.0.0.1:{server.port}/page", allow_private=True)  # another name


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"{server.url}")
    with pytest.raises(UserError, match="--allow-private"):
        get("http://127.0.0.1:9/")
    assert not server.asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "does not say how large"),
        ({"width": 10**6, "height": 10**6}, "exceed the limit"),
        ({"width": 111}, r"is \d+×\d+ pixels instead of"),
        ({"width": "wide"}, "does not say how large"),
        ({"maxWidth": 1, "width": 10**4, "height": 10**4}, "more than 100,000 requests"),
    ],
)
def test_info_that_is_wrong(change: dict, message: str, server: Server, tmp_path: Path) -> None:
    service = server.services["leaf"] = Service(page(1))
    book = manifest(server, ["leaf"])
    server.answers["/leaf/info.json"] = json.dumps({**service.info(f"{server.url}/leaf"), **change}).encode()
    (tmp_path / "book.json").write_text(json.dumps(book))
    (given,) = Book.open([str(tmp_path / "book.json")], tmp_path / "out", allow_private=True).fetch()
    assert given.path is None
    assert given.reason.startswith("canvas 1 (f. 1r): ")
    assert re.search(message, given.reason)
    assert sorted(path.name for path in (tmp_path / "out/originals").iterdir()) == ["manifest.json"]


@pytest.mark.parametrize("content", [b"<html>busy</html>", b"", page(1).tobytes()])
def test_what_is_no_image_is_not_kept(content: bytes, server: Server, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(page(1)).save(whole, "PNG")
    for bad in (content, whole.getvalue()[:-3000]):  # cut off on the way, without a word
        server.services["leaf"] = Service(page(1))
        server.answers["/leaf/full/max/0/default.png"] = bad
        (tmp_path / "book.json").write_text(json.dumps(manifest(server, ["leaf"])))
        (given,) = Book.open([str(tmp_path / "book.json")], tmp_path / "out", allow_private=True).fetch()
        assert given.path is None
        assert sorted(path.name for path in (tmp_path / "out/originals").iterdir()) == ["manifest.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "is no JSON that can be read .nested too deeply"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "is nested more than 100 deep"),
        (b"[1]", "not a IIIF resource"),
        (b"<html>", "is no JSON that can be read"),
        (b"\xff\xfe\xfa", "is no JSON that can be read"),
        (b'{"a": 1' + b"0" * 10_000 + b"}", "is no JSON that can be read"),
        (b'{"type": "Manifest"}', "has no canvas with an image"),
        (b'{"type": "Manifest", "items": [{"type": "Canvas", "items": 3}, null]}', "has no canvas with an image"),
        (b'{"type": "Image"}', "is not a IIIF manifest"),
        (b'{"protocol": "http://iiif.io/api/image", "width": 3}', "give the manifest that has it"),
        (b'{"@type": "sc:Collection", "manifests": [{"@id": "https://a/1", "label": "B1"}]}', "https://a/1  B1"),
        (b'{"type": "Collection", "items": [{"id": "https://a/2", "label": {"en": ["B2"]}}]}', "https://a/2  B2"),
    ],
)  # fmt: skip
def test_what_is_no_manifest(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.json").write_bytes(content)
    result = restore(tmp_path / "book.json", "-o", tmp_path / "out", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.output
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("../../etc/passwd", "0001_etc_passwd"),
        ("/etc/passwd\0", "0001_etc_passwd"),
        ("पत्र १२ / क", "0001_पत्र_१२_क"),
        ("<img src=x onerror=alert(1)>", "0001_img_src_x_onerror_alert_1"),
        ("[*?]", "0001"),
        ("", "0001"),
        ("..", "0001"),
        ("x" * 500, "0001_" + "x" * 60),
        ("\ud800a", "0001_a"),
        ("Gottfried’s Bible, fol. 3v", "0001_Gottfried_s_Bible_fol._3v"),
    ],
)  # fmt: skip
def test_names_of_files_are_safe(label: str, name: str) -> None:
    assert presentation.Canvas(1, label, {}, {}).name == name


def test_the_image_of_a_canvas(server: Server) -> None:
    for name in ("whole", "detail", "infrared"):
        server.services[name] = Service(page(len(name)))
    leaf = canvas(server, "detail", 1)
    small = leaf["items"][0]["items"][0]
    corner = {"type": "FragmentSelector", "value": "xywh=0,0,20,20"}
    small["target"] = {"type": "SpecificResource", "source": leaf["id"], "selector": corner}
    large = canvas(server, "whole", 1)["items"][0]["items"][0]
    infrared = canvas(server, "infrared", 1)["items"][0]["items"][0]["body"]
    large["body"] = {"type": "Choice", "items": [large["body"], infrared]}
    leaf["items"][0]["items"].append(large)
    empty = {"id": "https://a/2", "type": "Canvas", "label": {"none": ["blank"]}, "items": []}
    book = manifest(server, [], items=[leaf, empty])
    (found,) = presentation.canvases(book, "book")
    assert found.image == f"{server.url}/whole"
    said = " ".join(found.notes)
    assert "1 more on canvas 1 (f. 1r) left out" in said
    assert "canvas 2 (blank) has no image" in said


def book_of(server: Server, num_pages: int) -> None:
    for number in range(num_pages):
        server.services[f"p{number}"] = Service(page(number, 40, 30), formats=("png", "jpg"))
    server.answers["/manifest.json"] = json.dumps(manifest(server, list(server.services))).encode()


def images_asked(server: Server) -> list[str]:
    return [path for path in server.asked if "/full/" in path]


def test_the_server_ends_in_the_middle_and_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, out, report = Server(), tmp_path / "out", tmp_path / "report.json"
    with server.running():
        book_of(server, 20)
    down = {name: server.services[name] for name in ("p3", "p12", "p13", "p14", "p15", "p16", "p17", "p18", "p19")}

    def die(handler: Handler) -> None:
        handler.connection.close()

    for name in down:
        server.answers[f"/{name}/info.json"] = die
    arguments = (f"{server.url}/manifest.json", "-o", out, "--allow-private", "--report", report)
    with server.running():
        result = restore(*arguments, monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "11 pages: 11 restored" in result.stdout
    assert result.stderr.count("no answer in 5 tries") == 4  # one, then three in a row
    assert result.stderr.count("not asked for: its server does not answer") == 5
    told = {Path(each["input"]).name: each["status"] for each in json.loads(report.read_text())}
    assert len(told) == 20
    assert told["0004_f._4r"] == "failed"
    before = {path.name: path.stat().st_mtime_ns for path in (out / "originals").glob("0*")}
    assert len(before) == 11
    assert len(json.loads((out / "manifest.json").read_text())["items"]) == 20

    server.answers = {"/manifest.json": server.answers["/manifest.json"]}
    server.asked.clear()
    with server.running():
        result = restore(*arguments, monkeypatch=monkeypatch)
    assert result.exit_code == 0
    assert "20 pages: 9 restored, 11 there already" in result.stdout
    assert sorted(images_asked(server)) == sorted(f"/{name}/full/max/0/default.png" for name in down)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "originals").glob("0*")}
    assert before.items() < after.items()
    for number in range(20):
        expected = page(number, 40, 30) * 0.9
        assert np.abs(pixels(out / f"restored/{number + 1:04d}_f._{number + 1}r.png") - expected).max() <= 1


def test_a_full_disk_ends_it_at_once(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book_of(server, 5)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    book = Book.open([f"{server.url}/manifest.json"], tmp_path / "out", allow_private=True)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"0001_f\._1r\.png: cannot be written \(No space left on device\)"):
        list(book.fetch())
    assert len(images_asked(server)) == 1


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(server: Server, tmp_path: Path) -> None:
    book_of(server, 20)
    out, said = tmp_path / "out", tmp_path / "said"
    plain = server.reply

    def slowly(path: str) -> object:
        time.sleep(0.02)
        return plain(path)

    server.reply = slowly  # type: ignore[method-assign, assignment]
    command = (
        partial(stand_in.main, 0.02),
        "restore",
        f"{server.url}/manifest.json",
        "-o",
        out,
        "--allow-private",
    )
    for least in (3, 9, 15):
        process = start(*command, said=said)
        while len(list((out / "originals").glob("0*"))) < least and process.is_alive():
            time.sleep(0.005)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for path in (out / "originals").glob("0*"):
            np.testing.assert_array_equal(pixels(path), page(int(path.name[:4]) - 1, 40, 30))
    process = start(*command, said=said)
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert "20 pages: 20 restored" in said.read_text()
    assert 20 <= len(images_asked(server)) <= 23  # at most one more for each time it was killed
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]


def test_a_folder_keeps_one_manifest(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book_of(server, 2)
    out = tmp_path / "out"
    assert (
        restore(f"{server.url}/manifest.json", "-o", out, "--allow-private", monkeypatch=monkeypatch).exit_code
        == 0
    )
    server.answers["/manifest.json"] = json.dumps(manifest(server, ["p1", "p0"])).encode()
    result = restore(f"{server.url}/manifest.json", "-o", out, "--allow-private", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "has the pages of another manifest" in result.stderr
    kept = out / "originals/manifest.json"
    result = restore(kept, "-o", out, "--allow-private", monkeypatch=monkeypatch)
    assert result.exit_code == 0
    assert "2 there already" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://a.example/1.json", "https://a.example/2.json"], "one manifest at a time"),
        (["book.json"], "book.json: cannot be read"),
        (["book.json", "--base-url", "here"], "must be the http address"),
        (["book.json", "--base-url", "http://["], "is no address"),
        (["scans", "--base-url", "http://a/"], "are for a IIIF manifest"),
        (["http://127.0.0.1:1/m"], "--allow-private"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = restore(*arguments, "-o", "out", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert message in result.stderr


def test_texts_and_numbers_that_are_none_stop_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services |= {name: Service(page(1)) for name in ("a", "b", "c")}
    book = manifest(server, ["a", "b", "c"])
    book["items"][0]["label"] = {"none": ["f.\ud800"]}
    book["items"][1]["items"][0]["items"][0]["target"] += "#xywh=0,0,1,1"
    body = book["items"][2]["items"][0]["items"][0]["body"]
    body["service"], body["id"] = [], f"{server.url}/c?\ud800"
    text = json.dumps(book).replace('"width": 110', f'"width": 1{"0" * 400}')
    (tmp_path / "book.json").write_text(text)
    result = restore(tmp_path / "book.json", "-o", tmp_path / "out", "--allow-private", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "canvas 3" in result.stderr
    assert "is no address" in result.stderr
    made = json.loads((tmp_path / "out/manifest.json").read_text("utf-8"))
    assert [item["label"] for item in made["items"]] == [item["label"] for item in book["items"]]
    assert "2 pages: 2 restored" in result.stdout


@pytest.mark.parametrize("report", [None, "book.json", "out/manifest.json", "out/originals/manifest.json"])
def test_no_manifest_is_written_over(
    report: str | None, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.services["a"] = Service(page(1))
    out, given = tmp_path / "out", tmp_path / ("book.json" if report else "out/manifest.json")
    out.mkdir()
    given.write_text(json.dumps(manifest(server, ["a"])))
    before = given.read_bytes()
    told = ["--report", tmp_path / report] if report else []
    result = restore(given, "-o", out, "--allow-private", *told, monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "another" in result.stderr
    assert given.read_bytes() == before
    assert server.asked == []
