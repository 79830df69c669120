"""Pages at an address: one object each, in an object store or on a web server, read without being prepared."""

from collections.abc import Callable
from functools import cache
from typing import Any

import fsspec
import numpy as np
from natsort import natsort_keygen, ns
from numpy.typing import NDArray

from manuscript_restore import images, plugins
from manuscript_restore.data.index import PathIndex
from manuscript_restore.data.sources import FolderSource, PageSource
from manuscript_restore.errors import UserError
from manuscript_restore.images import FORMATS


def open_pages(where: str, *, key: str, index_dir: str | None = None) -> PageSource:
    """Open a folder of images, or the images below an address: ``s3://bucket/pages``.

    Addresses of a scheme that fsspec does not know are read by a class of another package, called as
    ``Source(where, key=key)`` (`plugins`).

    Args:
        where: Folder or address.
        key: Config key that named it, for the messages: ``"data.train_dir"``.
        index_dir: Where the index of a large folder is kept; None: the user's cache directory.

    Raises:
        UserError: There are no pages.
    """
    scheme, divider, place = where.partition("://")
    if not divider:
        return FolderSource(where, key=key, index_dir=index_dir)
    if not place:
        raise UserError(f"{key}={where}: names no place; write {where}bucket/folder")
    scheme = scheme.lower()
    where = f"{scheme}://{place}"
    if scheme not in fsspec.available_protocols():
        kind: Any = plugins.find("page_sources", scheme, PageSource)
        if kind is None:
            known = ", ".join(["s3", "gs", "az", "http", "https", *plugins.names("page_sources")])
            raise UserError(f"{key}={where}: unknown kind of address; known are {known} and the others of fsspec")
        source: PageSource = kind(where, key=key)
        return source
    return RemoteSource(where, key=key)


class RemoteSource(PageSource):
    """The images below an address that fsspec knows, in the order in which a folder would have them.

    They are listed once, when the source is made; each page is then one request. Credentials and endpoints are
    the store's own affair: ``AWS_…`` and ``FSSPEC_S3_…`` variables, configuration files.

    Args:
        where: ``s3://bucket/pages``, ``gs://…``, ``http://…``; a page's name is its path below it.
        key: Config key that named it, for the messages.

    Raises:
        UserError: It cannot be listed, or holds no image.
    """

    def __init__(self, where: str, *, key: str = "pages") -> None:
        self.where = where.rstrip("/")
        try:
            store, self._root = _connect(self.where)
            found = store.find(self._root, detail=True)
            if not found:
                store.ls(self._root)  # which says why there is nothing
        except ImportError as error:
            raise UserError(f"{key}={where}: needs a package more ({error}); install it") from error
        except Exception as error:  # whatever the store's client raises
            raise UserError(f"{key}={where}: cannot be listed ({error}); check address and credentials") from error
        pages = {path[len(self._root) :].lstrip("/"): facts for path, facts in found.items()}
        names = sorted(filter(_is_page, pages))
        names.sort(key=_folder_order())
        if not names:
            raise UserError(f"{key}={where}: no images there or below; looked for {', '.join(FORMATS)}")
        self._names = PathIndex.of(names)
        self._versions = PathIndex.of(_version(pages[name]) for name in names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path below the address."""
        return self._names[index]

    def key(self, index: int) -> str:
        """Address, and what the store said of the object's version when it was listed."""
        return f"{self.where}/{self.name(index)}\0{self._versions[index]}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Fetch and decode the page."""
        place = f"{self.where}/{self.name(index)}"
        try:
            # Connected anew: fsspec keeps one connection for each process and thread, and knows when one forked.
            store, root = _connect(self.where)
            content: bytes = store.cat_file(f"{root.rstrip('/')}/{self.name(index)}")
        except Exception as error:  # whatever the store's client raises
            raise UserError(f"{place}: cannot be fetched ({error})") from error
        return images.decode(content, place)


def _connect(where: str) -> tuple[Any, str]:
    store, root = fsspec.url_to_fs(where)
    return store, str(root)


def _is_page(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and name.lower().endswith(tuple(FORMATS))


def _folder_order() -> Callable[[str], Any]:
    """Sort key: a folder's own files first, page 2 before page 10, then its subfolders'."""
    natural = cache(natsort_keygen(alg=ns.PATH))

    def order(name: str) -> list[tuple[bool, Any]]:
        *folders, file = name.split("/")
        return [*((True, natural(folder)) for folder in folders), (False, natural(file))]

    return order


def _version(facts: dict[str, Any]) -> str:
    stamps = (facts.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "created"))
    return f"{facts.get('size')} {next((stamp for stamp in stamps if stamp), '')}"
