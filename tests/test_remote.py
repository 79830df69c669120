"""Pages at an address: the same as those of a folder, also in workers, and what mistakes get."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from manuscript_restore import images
from manuscript_restore.data import PagesDataModule
from manuscript_restore.data.remote import RemoteSource, open_pages
from manuscript_restore.data.sources import FolderSource, check_readable
from manuscript_restore.errors import UserError

NUM_PAGES = 8


class Unchanged(nn.Module):
    def forward(self, clean, *, seed):
        return clean


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pages of noise in nested folders, and what is not a page."""
    root = tmp_path_factory.mktemp("pages")
    for i in range(NUM_PAGES):
        path = (
            root
            / ("", "codex_1", "codex_1/part", "codex_10")[i % 4]
            / f"page_{2 * i}{('.png', '.tif')[i % 3 == 0]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        page = np.random.default_rng(i).integers(0, 256, (40 + i, 48, 3), dtype=np.uint8)
        images.write(page, path)
    (root / "notes.txt").write_text("no page")
    (root / ".hidden.png").touch()
    return root


@pytest.fixture(scope="module")
def address(folder):
    """The folder on a web server: a network, connections and all, as object stores are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket():
    """An empty place of fsspec's store in memory: ``put(name, content)``."""
    store = fsspec.filesystem("memory")

    def put(name: str, content: bytes) -> None:
        store.pipe_file(f"/bucket/{name}", content)

    yield put
    store.rm("/bucket", recursive=True)


def as_png(value: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (5, 4), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def data_module(**options):
    defaults = {"image_size": 32, "batch_size": 4, "num_workers": 0, "cache_gb": 0, "view": "crop"}
    return PagesDataModule(degradation=Unchanged(), val_degradation=Unchanged(), **(defaults | options))


def test_an_address_has_the_pages_of_the_folder(folder, address):
    remote, local = open_pages(address, key="data.train_dir"), FolderSource(folder)
    assert [remote.name(i) for i in range(len(remote))] == [local.name(i) for i in range(NUM_PAGES)]
    for i in range(NUM_PAGES):
        np.testing.assert_array_equal(remote.read(i), local.read(i))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_from_an_address_is_training_from_the_folder(folder, address, num_workers):
    # The fixed pairs are read in the main process first: a connection that a fork breaks would show.
    sequences = []
    for train_dir, workers in ((str(folder), 0), (address, num_workers)):
        module = data_module(train_dir=train_dir, val_fraction=0.3, num_workers=workers)
        module.setup("fit")
        batches = [batch["clean"] for batch in (*module.val_dataloader(), *module.train_dataloader())]
        sequences.append(torch.cat(batches))
    assert torch.equal(*sequences)


def test_strict_reads_in_threads(address):
    check_readable([RemoteSource(address)] * 3)


def test_a_folder_beside_with_the_same_beginning_is_not_searched(bucket):
    bucket("pages/1.png", as_png(1))
    bucket("pages-2/2.png", as_png(2))
    source = RemoteSource("memory://bucket/pages")
    assert [source.name(i) for i in range(len(source))] == ["1.png"]


def test_schemes_may_be_in_capitals(bucket):
    bucket("1.png", as_png(1))
    assert open_pages("MEMORY://bucket", key="data.train_dir").name(0) == "1.png"


def test_a_new_version_of_a_page_has_another_key(bucket):
    keys = set()
    for value in (1, 2):
        bucket("1.png", as_png(value))
        keys.add(RemoteSource("memory://bucket").key(0))
    assert len(keys) == 2


def test_an_address_without_pages(bucket):
    bucket("notes.txt", b"no page")
    with pytest.raises(UserError, match=r"^data\.val_dir=memory://bucket: no images there or below"):
        open_pages("memory://bucket", key="data.val_dir")


def test_pages_that_are_bad_or_gone_are_named(bucket):
    bucket("1.png", b"no picture")
    bucket("2.png", as_png(2))
    source = RemoteSource("memory://bucket")
    with pytest.raises(UserError, match=r"^memory://bucket/1\.png: .* not an image"):
        source.read(0)
    fsspec.filesystem("memory").rm("/bucket/2.png")
    with pytest.raises(UserError, match=r"^memory://bucket/2\.png: cannot be fetched"):
        source.read(1)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("s3://", "s3://: names no place; write s3://bucket/folder"),
        ("memory://nowhere", r"memory://nowhere: cannot be listed \(/nowhere\); check address"),
        ("http://127.0.0.1:9/pages", "http://127.0.0.1:9/pages: cannot be listed .*; check address"),
        ("sftp://host/pages", r"sftp://host/pages: needs a package more \(.*paramiko.*\); install it"),
        ("nonsense://pages", "nonsense://pages: unknown kind of address; known are s3, .*http"),
    ],
)
def test_mistakes(where, message):
    with pytest.raises(UserError, match=rf"^data\.train_dir={message}"):
        open_pages(where, key="data.train_dir")
