"""Fetch the image of a canvas at its full size, in one piece or in parts, into a file: whole, or not there."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from manuscript_restore.archive import Metadata, PageDescription, Pixels, kinds, open_document, write_document
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.iiif.client import Client, RefusedError
from manuscript_restore.iiif.image_api import ImageInfo, Region
from manuscript_restore.iiif.presentation import Canvas, identity, image_services, read_json

MAX_IMAGE_BYTES = 1_000_000_000
MAX_JSON_BYTES = 50_000_000
MAX_PNG_PIXELS = 100_000_000
"""Larger ones that come in parts are put together as TIFF, which is written band by band, and read so later."""

_SUFFIXES = {format: suffix for suffix, format in reversed(kinds.FORMATS.items())}


def kept(folder: Path, canvas: Canvas) -> Path | None:
    """The original that an earlier run has fetched."""
    return next(
        (path for suffix in _SUFFIXES.values() if (path := folder / (canvas.name + suffix)).exists()), None
    )


def fetch(client: Client, canvas: Canvas, folder: Path) -> Path:
    """Fetch the image of a canvas.

    Args:
        client: Asks the servers.
        canvas: Its ``name`` is that of the file.
        folder: Is there.

    Returns:
        The file: as the server gave it, or put together without loss: PNG, or TIFF beyond `MAX_PNG_PIXELS`.

    Raises:
        UserError: It cannot be had, or is not what the server says of it.
    """
    services = image_services(canvas.body)
    if not services:
        return _save(_get(client, identity(canvas.body)), identity(canvas.body), folder / canvas.name)
    info = _info(client, identity(services[0]).rstrip("/"))
    if not info.is_limited:
        for url in info.full():
            try:
                content = _get(client, url)
                return _save(content, url, folder / canvas.name, (info.width, info.height))
            except (RefusedError, _SmallerError):
                continue
    return _in_parts(client, info, folder / canvas.name)


class _SmallerError(UserError):
    """An answer of another size than the image's: the server has a limit that it does not tell."""


def _get(client: Client, url: str) -> bytes:
    return client.get(url, max_bytes=MAX_IMAGE_BYTES, accept="image/*").body


def _info(client: Client, base: str) -> ImageInfo:
    url = f"{base}/info.json"
    accept = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json", application/json'
    answer = client.get(url, max_bytes=MAX_JSON_BYTES, accept=accept)
    if answer.url.endswith("/info.json"):  # where it was led to, the image is as well
        base = answer.url.removesuffix("/info.json")
    return ImageInfo.parse(read_json(answer.body, url), base)


def _save(content: bytes, url: str, stem: Path, size: tuple[int, int] | None = None) -> Path:
    """Keep an image as it came, once it could be read to its last row."""
    with open_document(url, content) as document:
        page = document.pages[0]
        if size and (page.width, page.height) != size:
            raise _SmallerError(f"{url}: is {page.width}×{page.height} pixels instead of {size[0]}×{size[1]}")
        for page in document.pages:
            page.rows(page.height - 1, page.height)
            page.release()
    path = stem.with_name(stem.name + _SUFFIXES[document.format])
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def _in_parts(client: Client, info: ImageInfo, stem: Path) -> Path:
    """Put the image together, one row of parts at a time."""
    regions, first, metadata = _begin(client, info)
    described = PageDescription(info.height, info.width, first.shape[2], first.dtype, metadata=metadata)
    kind = "PNG" if info.height * info.width <= MAX_PNG_PIXELS else "TIFF"
    path = stem.with_name(stem.name + _SUFFIXES[kind])
    write_document(path, [(described, _bands(client, regions, first))], format=kind)
    return path


def _begin(client: Client, info: ImageInfo) -> tuple[list[Region], Pixels, Metadata]:
    """The parts in the best format that the server gives, and the first of them."""
    for format in info.formats:
        regions = info.regions(format)
        try:
            return regions, *_part(client, regions[0])
        except RefusedError as error:
            refused = error
    raise refused


def _bands(client: Client, regions: list[Region], first: Pixels) -> Iterator[Pixels]:
    """Rows of the whole image, as high as its parts are."""
    for _, row in itertools.groupby(regions, key=lambda region: region.top):
        parts = [first if region is regions[0] else _part(client, region)[0] for region in row]
        yield np.concatenate([_alike(part, first, regions[0].url) for part in parts], axis=1)


def _part(client: Client, region: Region) -> tuple[Pixels, Metadata]:
    with open_document(region.url, _get(client, region.url)) as document:
        page = document.pages[0]
        if (page.width, page.height) != (region.width, region.height):
            raise UserError(
                f"{region.url}: is {page.width}×{page.height} pixels instead of {region.width}×{region.height}"
            )
        metadata = Metadata(icc=page.metadata.icc, resolution=page.metadata.resolution)
        return page.rows(0, page.height).copy(), metadata


def _alike(part: Pixels, first: Pixels, url: str) -> Pixels:
    """A part with the channels of the first one: some servers give blank parts in grey."""
    if part.shape[2] == first.shape[2] and part.dtype == first.dtype:
        return part
    if part.shape[2] == 1 and first.shape[2] == 3 and part.dtype == first.dtype:
        return part.repeat(3, axis=2)
    raise UserError(f"{url}: the parts of this image are of several kinds (grey, colour, 8 and 16 bits)")
