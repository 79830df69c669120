"""Image API 1, 2 and 3: what a service offers of an image, and the requests that give it at full size.

Source: https://iiif.io/api/image/ (1.1, 2.1.1, 3.0): info.json, canonical form of requests, compliance levels.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from manuscript_restore.archive import kinds
from manuscript_restore.errors import UserError
from manuscript_restore.iiif.upgrade import Json, objects

MAX_PIXELS = 4_000_000_000
MAX_REQUESTS = 100_000
"""For one image."""
_LOSSLESS = ("png", "tif")
_REGION_SIDE = 2048
"""Regions are about so large where a server cuts any: fewer requests."""


@dataclass(frozen=True)
class Region:
    """A part of the image, pixels, and its address."""

    left: int
    top: int
    width: int
    height: int
    url: str


@dataclass(frozen=True)
class ImageInfo:
    """What a service says of an image.

    Attributes:
        base: Address of the service.
        version: Of the Image API: 1, 2 or 3.
        width: Of the full image, pixels.
        height: Likewise.
        level: Of compliance, 0–2; at 0 there are only the files that it lists.
        formats: That are worth asking for, the best first.
        tile: Width and height of the tiles at full scale; None: none are named.
        most: Largest width, height and number of pixels of an answer.
    """

    base: str
    version: int
    width: int
    height: int
    level: int
    formats: tuple[str, ...]
    tile: tuple[int, int] | None
    most: tuple[float, float, float]

    @classmethod
    def parse(cls, info: Json, base: str) -> "ImageInfo":
        """Read an info.json.

        Raises:
            UserError: It is none, or of an image that is too large.
        """
        more = objects(info.get("profile"))
        version = _version(info)
        limits = {**info, **{key: value for each in more for key, value in each.items()}}
        width, height = _number(info.get("width")), _number(info.get("height"))
        if not width or not height:
            raise UserError(f"{base}/info.json: does not say how large the image is")
        if width * height > MAX_PIXELS:
            raise UserError(f"{base}: {width}×{height} pixels exceed the limit of {MAX_PIXELS:,}")
        max_width = _number(limits.get("maxWidth")) or math.inf
        level = _level(info.get("profile"), version)
        return cls(
            base=base,
            version=version,
            width=width,
            height=height,
            level=2 if "regionByPx" in _words(limits.get("supports"), limits.get("extraFeatures")) else level,
            formats=_formats(limits, level),
            tile=_tile(info),
            most=(
                max_width,
                _number(limits.get("maxHeight")) or max_width,
                _number(limits.get("maxArea")) or math.inf,
            ),
        )

    @property
    def is_limited(self) -> bool:
        """Whether the server says that it does not give the image whole."""
        return not self._fits(self.width, self.height)

    def full(self) -> Iterator[str]:
        """Addresses of the whole image, each to be asked for if those before are refused."""
        sizes = ["max"] if self.version == 3 else ["full"]
        if self.level == 0:  # which names the static files' makers have chosen
            sizes.append(self._size(self.width, self.height))
        for format in self.formats:
            for size in sizes:
                yield self._url("full", size, format)

    def regions(self, format: str) -> list[Region]:
        """The parts that make the whole image, row by row, in canonical requests.

        Raises:
            UserError: The server gives no parts at full scale, or would have to be asked too often.
        """
        width, height = self._part()
        if math.ceil(self.width / width) * math.ceil(self.height / height) > MAX_REQUESTS:
            raise UserError(
                f"{self.base}: would need more than {MAX_REQUESTS:,} requests; its parts are too small"
            )
        return [
            self._region(left, top, min(width, self.width - left), min(height, self.height - top), format)
            for top in range(0, self.height, height)
            for left in range(0, self.width, width)
        ]

    def _region(self, left: int, top: int, width: int, height: int, format: str) -> Region:
        whole = (width, height) == (self.width, self.height)
        region = "full" if whole else f"{left},{top},{width},{height}"
        return Region(left, top, width, height, self._url(region, self._size(width, height), format))

    def _part(self) -> tuple[int, int]:
        """Sides of the parts that the server is asked for."""
        if self.level == 0:
            if self.tile:
                return self.tile
            raise UserError(f"{self.base}: the server gives neither the full size nor tiles of it")
        width, height = self.tile or (512, 512)
        if not self.is_limited:  # the whole was refused all the same: there is a limit that is not told
            return width, height
        times = max(1, _REGION_SIDE // max(width, height))
        for sides in ((width * times, height * times), (width, height)):
            if self._fits(*sides):
                return sides
        side = int(min(*self.most[:2], math.isqrt(int(min(self.most[2], 2**52))), _REGION_SIDE))
        return side, side

    def _fits(self, width: int, height: int) -> bool:
        most = self.most
        return width <= most[0] and height <= most[1] and width * height <= most[2]

    def _size(self, width: int, height: int) -> str:
        """The canonical name of a size."""
        return f"{width},{height}" if self.version == 3 else f"{width},"

    def _url(self, region: str, size: str, format: str) -> str:
        return f"{self.base}/{region}/{size}/0/{'native' if self.version == 1 else 'default'}.{format}"


def _number(value: Any) -> int:
    """A positive whole number, or 0."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else 0


def _words(*values: Any) -> list[str]:
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [each for value in lists for each in value if isinstance(each, str)]


def _version(info: Json) -> int:
    said = " ".join(_words(info.get("@context"), info.get("profile"), info.get("type")))
    if "image/3/" in said or "ImageService3" in said:
        return 3
    return 2 if "image/2/" in said else 1


def _level(profile: Any, version: int) -> int:
    """0, 1 or 2; a server that does not say is asked for files alone, but as if it could cut in version 1."""
    found = re.search(r"level([012])", " ".join(_words(profile)))
    return int(found[1]) if found else int(version == 1)


def _formats(limits: Json, level: int) -> tuple[str, ...]:
    """Without loss if that is offered; JPEG otherwise, which everyone has."""
    readable = {suffix.removeprefix(".") for suffix in kinds.FORMATS}
    offered = {*_words(limits.get("formats"), limits.get("extraFormats")), *(["png"] if level == 2 else [])}
    preferred = [name for name in _words(limits.get("preferredFormats")) if name in readable]
    ranked = [*preferred, *(name for name in _LOSSLESS if name in offered), "jpg"]
    return tuple(dict.fromkeys(ranked))[:3]


def _tile(info: Json) -> tuple[int, int] | None:
    """The tiles at full scale."""
    for tile in objects(info.get("tiles")):
        factors = tile.get("scaleFactors")
        if (width := _number(tile.get("width"))) and isinstance(factors, list) and 1 in factors:
            return width, _number(tile.get("height")) or width
    if width := _number(info.get("tile_width")):  # version 1
        return width, _number(info.get("tile_height")) or width
    return None
