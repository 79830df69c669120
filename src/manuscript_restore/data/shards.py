"""Pages in shards: few large files instead of many small ones, in a folder or in an object store.

The shards are LitData's, each item the bytes of an image file; `PAGES` beside them holds the pages' names.
"""

import importlib
import json
import logging
import os
import tempfile
import threading
import weakref
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore import images
from manuscript_restore.data.index import PathIndex
from manuscript_restore.data.sources import FolderSource, PageSource
from manuscript_restore.errors import UserError

PAGES = "pages.index"
INDEX = "index.json"


def litdata(module: str = "litdata") -> Any:
    """Import a module of LitData, which is an extra.

    Raises:
        UserError: It is not installed.
    """
    logging.getLogger("litdata").setLevel(logging.WARNING)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"shards need LitData ({error}): pip install 'manuscript-restore[streaming]'") from error


def open_pages(where: str, *, key: str, index_dir: str | None = None) -> PageSource:
    """Open a folder of images, or shards: a folder that `prepare` wrote or its copy at ``s3://…``.

    Args:
        where: Folder or address.
        key: Config key that named it, for the messages: ``"data.train_dir"``.
        index_dir: Where the index of a large folder is kept; None: the user's cache directory.

    Raises:
        UserError: There are no pages, or the shards are incomplete.
    """
    if _is_remote(where) or (Path(where) / PAGES).is_file():
        return ShardSource(where, key=key)
    if any(Path(where).glob("chunk-*.bin")):
        raise UserError(
            f"{key}={where}: shards without {PAGES}, unfinished or not of this project; write them again with "
            "python -m manuscript_restore.prepare"
        )
    return FolderSource(where, key=key, index_dir=index_dir)


class ShardSource(PageSource):
    """The pages of shards, in the order in which they were written.

    A shard in a folder is mapped into memory; of one in an object store each page is fetched by its own request.
    Shards are data: what is not plain bytes is refused, nothing is ever unpickled.

    Args:
        where: Folder, or address that LitData knows (``s3://``, ``gs://``, …).
        key: Config key that named it, for the messages.
    """

    def __init__(self, where: str, *, key: str = "shards") -> None:
        self.where, self._place = where, f"{key}={where}"
        self._readers: dict[tuple[int, int], Any] = {}
        litdata()  # a missing extra should show now, not in a worker
        self._scratch = Path(tempfile.mkdtemp(prefix="manuscript-restore-"))
        weakref.finalize(self, _remove_if_owner, self._scratch, os.getpid())
        folder = self._fetch() if _is_remote(where) else Path(where)
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            chunks = index["chunks"]
            self._names, notes = PathIndex.load(folder / PAGES)
            self._identity = f"{where}\0{notes['written']}"
            self.shards = np.cumsum([0, *(chunk["chunk_size"] for chunk in chunks)], dtype=np.int64)
            files = {str(chunk["filename"]): int(chunk["chunk_bytes"]) for chunk in chunks}
            plain = _is_plain(index["config"]) and all(Path(name).name == name for name in files)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._place}: its index is damaged ({error}); write the shards again") from error
        if not plain:
            raise UserError(f"{self._place}: holds other things than image files; write it with prepare")
        if self.shards[-1] != len(self._names):
            raise UserError(f"{self._place}: {INDEX} and {PAGES} do not belong together; copy or write them again")
        if not _is_remote(where):
            self._check_files(folder, files)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path below the folder that was written into shards."""
        return self._names[index]

    def key(self, index: int) -> str:
        """Address, time of writing and position."""
        return f"{self._identity}\0{index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Decode the page."""
        try:
            content = bytes(self._open()[index])
        except Exception as error:  # whatever the store's client raises
            raise UserError(f"{self.where}: page {self.name(index)} cannot be read ({error})") from error
        return images.decode(content, f"{self.where}: page {self.name(index)}")

    def _open(self) -> Any:
        # One for each process, as connections do not survive a fork, and each thread, as a reader has a position.
        user = os.getpid(), threading.get_ident()
        if user not in self._readers:
            cache = str(self._scratch / "reader-{}-{}".format(*user))
            self._readers[user] = litdata().StreamingDataset(self.where, cache_dir=cache)
        return self._readers[user]

    def _fetch(self) -> Path:
        downloader = litdata("litdata.streaming.downloader")
        try:
            client = downloader.get_downloader(self.where, str(self._scratch), [])
            for name in (INDEX, PAGES):
                client.download_file(f"{self.where}/{name}", str(self._scratch / name))
        except Exception as error:  # whatever the store's client raises
            raise UserError(
                f"{self._place}: cannot be fetched ({error}); check address and credentials"
            ) from error
        return self._scratch

    def _check_files(self, folder: Path, files: dict[str, int]) -> None:
        for name, num_bytes in files.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != num_bytes:
                raise UserError(f"{self._place}: {name} is missing or incomplete; copy or write the shards again")


def _is_remote(where: str) -> bool:
    return "://" in where or where.startswith("local:")


def _is_plain(config: dict[str, Any]) -> bool:
    leaf = json.loads(config["data_spec"])[1]["type"] is None
    return leaf and config["data_format"] == ["bytes"] and not config["compression"] and not config["encryption"]


def _remove_if_owner(folder: Path, owner: int) -> None:
    # A forked worker inherits this finalizer; only the process that made the folder may remove it.
    if os.getpid() == owner:
        rmtree(folder, ignore_errors=True)
