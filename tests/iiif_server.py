"""A small image server with the limits and faults that are wanted of it, on a port of this machine."""

import io
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Handler = BaseHTTPRequestHandler
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """What it says by path: bytes, or what a function makes of the request; ``asked`` lists the paths."""

    port: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    services: "dict[str, Service]" = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    tls: ssl.SSLContext | None = None
    at_once: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reply(self, path: str) -> Reply | Callable[[Handler], None]:
        if path in self.answers:
            answer = self.answers[path]
            return answer if not isinstance(answer, bytes) else (200, {}, answer)
        name, _, rest = path.lstrip("/").partition("/")
        return self.services[name].reply(f"{self.url}/{name}", rest) if name in self.services else (404, {}, b"")

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serve until the block ends; again on the same port the next time."""
        server = self

        class Handling(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 10

            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.agents.add(self.headers["User-Agent"])
                server.at_once += 1
                server.most_at_once = max(server.at_once, server.most_at_once)
                try:
                    reply = server.reply(self.path)
                    if callable(reply):
                        self.close_connection = True
                        reply(self)
                        return
                    status, headers, body = reply
                    self.send_response(status)
                    for key, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(key, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the client has left
                    self.close_connection = True
                finally:
                    server.at_once -= 1

            def log_message(self, *_: Any) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            block_on_close = False

        listening = Listening(("127.0.0.1", self.port), Handling)
        self.port = listening.server_address[1]
        if self.tls:
            listening.socket = self.tls.wrap_socket(
                listening.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            listening.shutdown()
            listening.server_close()
            thread.join()


@dataclass
class Service:
    """An image service, written from the text of the Image API 1.1, 2.1.1 and 3.0."""

    pixels: NDArray[np.uint8]
    version: int = 3
    level: int = 2
    formats: tuple[str, ...] = ("jpg", "png")
    limits: dict[str, int] = field(default_factory=dict)
    told: bool = True  # whether info.json says the limits
    tile: int | None = None
    full: bool = True  # whether there is a file of the whole image; of level 0
    only: str | None = None  # the one size of regions that is understood: "w," or "w,h"

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def reply(self, base: str, rest: str) -> Reply:
        if rest == "info.json":
            return 200, {"Content-Type": "application/ld+json"}, json.dumps(self.info(base)).encode()
        found = re.fullmatch(r"(full|\d+,\d+,\d+,\d+)/(full|max|\d+,\d*)/0/(native|default)\.(\w+)", rest)
        if not found:
            return 400, {}, b""
        region, size, quality, format = found.groups()
        if quality != ("native" if self.version == 1 else "default") or format not in self.formats:
            return 400, {}, b""
        if size in ("full", "max") and size != ("max" if self.version == 3 else "full"):
            return 400, {}, b""
        if self.only and region != "full" and not re.fullmatch(self.only, size):
            return 400, {}, b""
        width, height = self.size
        left, top, w, h = map(int, region.split(",")) if region != "full" else (0, 0, width, height)
        part = self.pixels[top : top + h, left : left + w]
        if self.level == 0 and not self._is_file(left, top, part.shape, region):
            return 404, {}, b""
        shape = (part.shape[1], part.shape[0])
        given = [int(side) for side in size.split(",") if side] if "," in size else list(shape)
        scale = given[0] / shape[0]
        image = Image.fromarray(part)
        most = self.limits.get("maxWidth", 10**9)
        if (
            given[0] > most
            or shape[1] * scale > self.limits.get("maxHeight", most)
            or given[0] * shape[1] * scale > self.limits.get("maxArea", 10**18)
        ):
            if self.told or region != "full":
                return 400, {}, b""
            image = image.reduce(4)
        content = io.BytesIO()
        image.save(content, {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}[format], quality=95)
        return 200, {"Content-Type": f"image/{format}"}, content.getvalue()

    def _is_file(self, left: int, top: int, shape: tuple[int, ...], region: str) -> bool:
        if region == "full":
            return self.full
        tile = self.tile or 0
        width, height = self.size
        expected = (min(tile, height - top), min(tile, width - left))
        return left % tile == 0 and top % tile == 0 and shape[:2] == expected

    def info(self, base: str) -> dict[str, Any]:
        width, height = self.size
        limits = self.limits if self.told else {}
        tiles = {"tiles": [{"width": self.tile, "scaleFactors": [1, 2]}]} if self.tile else {}
        extra = [name for name in self.formats if name != "jpg"]
        sides = {"width": width, "height": height}
        if self.version == 3:
            context = "http://iiif.io/api/image/3/context.json"
            more = {**limits, **tiles, **({"extraFormats": extra} if extra else {})}
            kind = {"id": base, "type": "ImageService3", "protocol": "http://iiif.io/api/image"}
            return {"@context": context, **kind, "profile": f"level{self.level}", **sides, **more}
        if self.version == 2:
            profile = [
                f"http://iiif.io/api/image/2/level{self.level}.json",
                {"formats": [*extra, "jpg"], **limits},
            ]
            kind = {"@id": base, "protocol": "http://iiif.io/api/image", "profile": profile}
            return {"@context": "http://iiif.io/api/image/2/context.json", **kind, **sides, **tiles}
        old = {"tile_width": self.tile, "tile_height": self.tile, "scale_factors": [1, 2]} if self.tile else {}
        context = "http://library.stanford.edu/iiif/image-api/1.1/context.json"
        profile = f"http://library.stanford.edu/iiif/image-api/1.1/compliance.html#level{self.level}"
        return {
            "@context": context,
            "@id": base,
            **sides,
            **old,
            "formats": list(self.formats),
            "profile": profile,
        }


def page(number: int, height: int = 130, width: int = 110) -> NDArray[np.uint8]:
    """Noise of its own for each page, (H, W, 3)."""
    return np.random.default_rng(number).integers(60, 200, (height, width, 3), dtype=np.uint8)


def manifest(server: Server, names: list[str], **more: Any) -> dict[str, Any]:
    """A manifest of version 3 of some of the server's images."""
    return {
        "@context": "http://iiif.io/api/presentation/3/context.json",
        "id": f"{server.url}/manifest.json",
        "type": "Manifest",
        "label": {"en": ["A book"]},
        "items": [canvas(server, name, number) for number, name in enumerate(names, 1)],
        **more,
    }


def canvas(server: Server, name: str, number: int) -> dict[str, Any]:
    service = server.services[name]
    width, height = service.size
    kind = {
        "id": f"{server.url}/{name}",
        "type": f"ImageService{service.version}",
        "profile": f"level{service.level}",
    }
    if service.version < 3:
        kind = {"@id": kind["id"], "@type": kind["type"], "profile": service.info(kind["id"])["profile"]}
        if isinstance(kind["profile"], list):
            kind["profile"] = kind["profile"][0]
    sides = {"width": width, "height": height}
    image = {"id": f"{server.url}/{name}/full/max/0/default.jpg", "type": "Image", "format": "image/jpeg"}
    place = f"{server.url}/canvas/{number}"
    painting = {"id": f"{place}/1/1", "type": "Annotation", "motivation": "painting", "target": place}
    painting["body"] = {**image, **sides, "service": [kind]}
    items = [{"id": f"{place}/1", "type": "AnnotationPage", "items": [painting]}]
    return {"id": place, "type": "Canvas", "label": {"none": [f"f. {number}r"]}, **sides, "items": items}
