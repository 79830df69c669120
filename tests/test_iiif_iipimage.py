"""Against a real image server: Debian's iipimage-server (Image API 2) behind lighttpd, on this machine."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image
from typer.testing import CliRunner

from manuscript_restore import cli
from manuscript_restore.iiif import Book, client
from manuscript_restore.inference import Restorer
from tests import stand_in
from tests.iiif_server import page

IIPSRV = Path("/usr/lib/iipimage-server/iipsrv.fcgi")
LIGHTTPD = shutil.which("lighttpd", path="/usr/sbin:/usr/bin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(
    not IIPSRV.exists() or not LIGHTTPD, reason="apt-get install iipimage-server lighttpd"
)


@contextmanager
def serving(folder: Path, port: int, *, largest: int = 5000) -> Iterator[str]:
    """The images of a folder; none larger than so many pixels a side in an answer."""
    settings = {
        "FILESYSTEM_PREFIX": f"{folder}/",
        "LOGFILE": f"{folder}/log",
        "URI_MAP": "iiif=>IIIF",
        "MAX_CVT": str(largest),
    }
    environment = ", ".join(f'"{key}" => "{value}"' for key, value in settings.items())
    config = folder / "lighttpd.conf"
    config.write_text(
        f"""
        server.modules = ("mod_fastcgi")
        server.document-root = "{folder}"
        server.bind = "127.0.0.1"
        server.port = {port}
        fastcgi.server = ("/iiif/" => ((
            "socket" => "{folder}/socket", "check-local" => "disable", "bin-path" => "{IIPSRV}", "max-procs" => 1,
            "bin-environment" => ({environment})
        )))
        """
    )
    assert LIGHTTPD
    with subprocess.Popen([LIGHTTPD, "-D", "-f", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(500):
                with socket.socket() as asking:
                    if asking.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/iiif"
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def manifest(folder: Path, where: str, pages: list[np.ndarray]) -> Path:
    """A manifest of version 2 of pages that the server is given as pyramids in TIFF."""
    canvases = []
    for number, pixels in enumerate(pages, 1):
        picture = pyvips.Image.new_from_array(pixels)
        picture.tiffsave(str(folder / f"{number}.tif"), tile=True, pyramid=True, compression="deflate")
        sides = {"height": pixels.shape[0], "width": pixels.shape[1]}
        service = {"@id": f"{where}/{number}.tif", "@context": "http://iiif.io/api/image/2/context.json"}
        resource = {
            "@id": f"{where}/{number}.tif/full/full/0/default.jpg",
            "@type": "dctypes:Image",
            "service": service,
        }
        images = [
            {
                "@type": "oa:Annotation",
                "motivation": "sc:painting",
                "resource": resource,
                "on": f"{where}/c{number}",
            }
        ]
        canvases.append(
            {"@id": f"{where}/c{number}", "@type": "sc:Canvas", "label": str(number), **sides, "images": images}
        )
    book = {"@type": "sc:Manifest", "@id": f"{where}/m", "label": "Pages", "sequences": [{"canvases": canvases}]}
    path = folder / "book.json"
    path.write_text(json.dumps(book))
    return path


def smooth(height: int, width: int) -> np.ndarray:
    """A page that JPEG keeps nearly as it is."""
    picture = Image.fromarray(page(1, height // 20, width // 20)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.mark.parametrize("largest", [5000, 600], ids=["whole", "in parts"])
def test_pages_of_a_real_server(largest: int, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    pages = [smooth(1400, 1000), smooth(900, 1300)]
    with serving(scans, free_port(), largest=largest) as where:
        book = Book.open([str(manifest(scans, where, pages))], tmp_path / "out", allow_private=True)
        given = list(book.fetch())
    assert [each.reason for each in given] == ["", ""]
    for expected, each in zip(pages, given, strict=True):
        assert each.path
        assert each.path.suffix == (".jpg" if largest == 5000 else ".png")
        with Image.open(each.path) as image:
            got = np.asarray(image).astype(int)
        assert got.shape == expected.shape
        assert np.abs(got - expected).mean() < 3  # its JPEG; a part in the wrong place would be ten times that
        assert np.abs(got - expected)[::256].mean() < 5


def test_a_book_of_a_real_server_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    monkeypatch.setattr(Restorer, "from_checkpoint", stand_in.load)
    with serving(scans, free_port()) as where:
        book = manifest(scans, where, [smooth(600, 400)])
        arguments = ["restore", str(book), "-o", str(tmp_path / "out"), "--allow-private"]
        result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "out/manifest.json").read_text())
    original, restored = made["items"][0]["items"][0]["items"][0]["body"]["items"]
    assert original["service"][0]["@id"] == f"{where}/1.tif"
    assert restored["id"] == "http://localhost:8000/restored/0001_1.jpg"


def test_the_server_is_ended_in_the_middle_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)
    scans, out, port = tmp_path / "scans", tmp_path / "out", free_port()
    scans.mkdir()
    pages = [smooth(200, 160 + number) for number in range(20)]
    with serving(scans, port) as where:
        source = [str(manifest(scans, where, pages))]
        going = Book.open(source, out, allow_private=True).fetch()
        given = [next(going) for _ in range(7)]
    given += [next(going) for _ in range(2)]  # it does not answer
    with serving(scans, port):
        given += list(going)  # and does again: the connection is made anew
    assert [each.canvas.number for each in given if not each.path] == [8, 9]
    assert all("no answer in 5 tries" in each.reason for each in given if not each.path)
    before = {path: path.stat().st_mtime_ns for path in (out / "originals").glob("0*")}
    with serving(scans, port):
        given = list(Book.open(source, out, allow_private=True).fetch())
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(before) == 18
    for expected, each in zip(pages, given, strict=True):
        assert each.path
        with Image.open(each.path) as image:
            assert np.abs(np.asarray(image).astype(int) - expected).mean() < 3
