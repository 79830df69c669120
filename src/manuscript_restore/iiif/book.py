"""A manifest on its way: fetched into ``originals``, restored by the job, and given back as a manifest."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.iiif import manifest, originals, presentation, tiles
from manuscript_restore.iiif.client import Client, UnreachableError
from manuscript_restore.iiif.presentation import Canvas
from manuscript_restore.iiif.upgrade import Json

BASE_URL = "http://localhost:8000/"
"""Where ``python -m http.server --directory OUT`` serves the output folder."""
GIVE_UP_AFTER = 3
"""Canvases in a row whose server does not answer."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def is_named(inputs: list[str]) -> bool:
    """Whether a manifest is to be restored: an address, or a JSON file."""
    return any(name.startswith(("http://", "https://")) or name.lower().endswith(".json") for name in inputs)


@dataclass(frozen=True)
class Given:
    """A canvas after the fetching: the file, or why there is none."""

    canvas: Canvas
    path: Path | None
    reason: str = ""


@dataclass
class Book:
    """A manifest and the folder for its pages.

    Attributes:
        source: Where the manifest came from.
        out: Holds ``originals``, ``restored``, ``tiles`` and ``manifest.json``.
        manifest: In version 3.
        canvases: Those with an image.
        given: What became of each, when it was fetched.
    """

    source: str
    out: Path
    manifest: Json
    canvases: list[Canvas]
    client: Client
    given: list[Given] = field(default_factory=list)

    @classmethod
    def open(cls, inputs: list[str], out: Path, *, allow_private: bool = False) -> "Book":
        """Read a manifest, and keep it as it came in ``originals/manifest.json``.

        Raises:
            UserError: It cannot be read, or ``out`` has the pages of another one.
        """
        if len(inputs) != 1:
            raise UserError("restore one manifest at a time: each needs an output folder of its own")
        client, source = Client(allow_private=allow_private), inputs[0]
        with closing(client):
            content = _content(client, source)
        read = presentation.read(content, source)
        book = cls(source, out, read, presentation.canvases(read, source), client)
        book._keep(content)
        return book

    @property
    def originals(self) -> Path:
        """Where the images lie that were fetched."""
        return self.out / "originals"

    @property
    def files(self) -> list[str]:
        """The images that are there, as inputs of the job."""
        return [str(given.path) for given in self.given if given.path]

    @property
    def restored(self) -> Path:
        """Where the job writes."""
        return self.out / "restored"

    def fetch(self) -> Iterator[Given]:
        """Fetch what is not there yet, one image after the other; a canvas that fails does not stop the rest.

        A server that does not answer for `GIVE_UP_AFTER` canvases in a row is left in peace.

        Raises:
            UserError: The disk is full.
        """
        silent = 0
        with closing(self.client):
            for canvas in self.canvases:
                path, reason = originals.kept(self.originals, canvas), ""
                try:
                    if path is None and silent == GIVE_UP_AFTER:
                        reason = "not asked for: its server does not answer; give the same command again later"
                    elif path is None:
                        path = originals.fetch(self.client, canvas, self.originals)
                        silent = 0
                except UserError as error:
                    if getattr(error.__cause__, "errno", None) in DISK_FULL:
                        raise  # or all the others would be fetched for nothing
                    reason = str(error)
                    silent = silent + 1 if isinstance(error, UnreachableError) else 0
                self.given.append(
                    Given(canvas, path, reason and f"canvas {canvas.number} ({canvas.label}): {reason}")
                )
                yield self.given[-1]

    def write(
        self,
        results: Mapping[Path, Path],
        *,
        base_url: str | None = None,
        with_tiles: bool = False,
        model: str = "",
    ) -> Path:
        """Write ``manifest.json``, and the tiles if they are wanted.

        Args:
            results: The restored page of each original; those that are missing have none.
            base_url: Where the folder will be served; None: `BASE_URL`.
            with_tiles: Cut the restored pages into tiles.
            model: What restored them.

        Raises:
            UserError: A file cannot be read or written.
        """
        base_url = _base(base_url)
        pages = {}
        for given in self.given:
            page = results.get(given.path) if given.path else None
            if page is None:
                continue
            folder = self.out / "tiles" / given.canvas.name
            if with_tiles:
                tiles.write(page, folder, manifest.address(base_url, folder, self.out))
            pages[given.canvas.number] = manifest.Restored(page, folder if with_tiles else None)
        path = self.out / "manifest.json"
        with whole_file(path) as unfinished:
            unfinished.write_text(
                manifest.made(self.manifest, self.canvases, pages, self.out, base_url, self.source, model),
                "utf-8",
                "backslashreplace",  # labels that no UTF-8 can be made of, as JSON allows
            )
        return path

    def _keep(self, content: bytes) -> None:
        path = self.originals / "manifest.json"
        if path.exists():
            read = presentation.read(path.read_bytes(), str(path))
            before = [(canvas.name, canvas.image) for canvas in presentation.canvases(read, str(path))]
            if before != [(canvas.name, canvas.image) for canvas in self.canvases]:
                raise UserError(
                    f"{self.out}: has the pages of another manifest, or of this one before it changed; give "
                    f"another output folder, or go on with what there was: {path}"
                )
        try:
            self.originals.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.originals}: cannot be made ({error.strerror}); give another output folder"
            ) from error
        if not path.exists():
            with whole_file(path) as unfinished:
                unfinished.write_bytes(content)


def check(base_url: str | None, with_tiles: bool) -> None:
    """Refuse, before the work, an address that is none, and tiles that nothing can cut.

    Raises:
        UserError: One of them.
    """
    _base(base_url)
    if with_tiles:
        tiles.check()


def _base(url: str | None) -> str:
    """The base address, with a slash at its end."""
    try:
        parts = urlsplit(url := url or BASE_URL)
    except ValueError as error:
        raise UserError(f"--base-url {url}: is no address ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"--base-url {url}: must be the http address at which the output folder is served")
    return url if url.endswith("/") else f"{url}/"


def _content(client: Client, source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        accept = 'application/ld+json;profile="http://iiif.io/api/presentation/3/context.json", application/json'
        return client.get(source, max_bytes=originals.MAX_JSON_BYTES, accept=accept).body
    try:
        with Path(source).open("rb") as file:
            return file.read(originals.MAX_JSON_BYTES + 1)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror}); check the path") from error
