"""PNG files: chunks read and written, pixels through Pillow, or libpng where Pillow would cut them down."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from manuscript_restore.archive import codecs
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.metadata import Metadata, Resolution
from manuscript_restore.archive.page import Notes, PageDescription, WholePage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMPRESSION_LEVEL = 5
MAX_AT_ONCE = 64 * 2**20
"""Bytes of a page that is compressed as a whole, which takes twice its memory; larger ones go row by row."""
MAX_SIDE = 1_000_000
"""Libpng's own limit."""
MAX_INFLATED = 64 * 2**20
"""Bytes of a text or a profile that are inflated; what claims more is left alone."""

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_UP = 2
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""Where each pass of an interlaced picture begins, and its steps: x, y, x, y."""

_UNDERSTOOD = {b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt"}
_OF_PALETTE = {b"bKGD", b"hIST", b"sBIT", b"sPLT"}
_KEPT = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"tIME", b"bKGD", b"sBIT", b"sPLT"}


def chunks_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every chunk with its kind, up to ``IEND`` or what there is of one that is cut off.

    Raises:
        ValueError: The checksum of a chunk that decides on pixels is wrong.
    """
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + size]
        if kind == b"IEND":
            yield kind, content
            return
        stored = data[position + 8 + size : position + 12 + size]
        if kind in _PIXELS and len(stored) == 4 and int.from_bytes(stored, "big") != zlib.crc32(kind + content):
            raise ValueError(f"the checksum of {kind.decode()} is wrong")
        yield kind, content
        position += 12 + size


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def read(data: bytes, notes: Notes) -> WholePage:
    """Read the header and the metadata of a PNG file; its pixels wait until they are asked for."""
    chunks = list(chunks_of(data))
    if not chunks or chunks[0][0] != b"IHDR":
        raise ValueError("no header")
    if chunks[-1][0] == b"IEND":
        notes.leave(data[len(SIGNATURE) + sum(12 + len(content) for _, content in chunks) :])
    else:
        notes.append("the end marker was missing")
        if chunks[-1][0] not in _PIXELS:
            chunks.pop()
            notes.append("the last chunk of the file could not be kept: it is cut off")
    width, height, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1][:13])
    kinds = {kind for kind, _ in chunks}
    animation = next((content for kind, content in chunks if kind == b"acTL"), b"\0\0\0\1")
    if animation[:4] != b"\0\0\0\1":
        notes.lose("is animated, only one picture could be kept; save its pictures as single files")
    transparent = b"tRNS" in kinds
    if colour_type == 3:
        notes.append("palette expanded to RGB" + "A" * transparent)
    elif transparent:
        notes.append("the transparent colour became an alpha channel")
    if depth < 8 and colour_type == 0:
        notes.append(f"{depth}-bit grey became 8-bit grey")
    as_stored = depth >= 8 and colour_type != 3 and not transparent
    metadata = _metadata(chunks, as_stored, notes)
    channels = _CHANNELS[colour_type] + transparent

    def decode() -> NDArray[Any]:
        picture = [chunk(*c) for c in chunks if c[0] in _PIXELS and c[0] != b"IEND"]
        coded = SIGNATURE + b"".join([*picture, chunk(b"IEND", b"")])
        if depth == 16 or (transparent and colour_type != 3):  # Pillow looks for the colour after scaling it
            pixels: NDArray[Any] = codecs.png_decode(coded)
            return pixels
        with PngImagePlugin.PngImageFile(io.BytesIO(coded)) as image:
            stored = np.asarray(image)
            if not stored[-2:].reshape(len(stored[-2:]), -1).any(axis=1).all():  # interlaced, the last but one
                bits = depth * (_CHANNELS[colour_type] if colour_type != 3 else 1)
                _check_rows(chunks, [width, height], bits, _ADAM7 if interlace else [(0, 0, 1, 1)])
            return np.asarray(image.convert(_MODES[channels]))

    return WholePage(
        height=height,
        width=width,
        channels=channels,
        dtype=np.dtype(np.uint16 if depth == 16 else np.uint8),
        orientation=md.orientation_of(metadata.exif, metadata.xmp),
        metadata=metadata,
        decode=decode,
        name=notes.name,
    )


def _check_rows(
    chunks: list[tuple[bytes, bytes]], size: list[int], bits: int, passes: list[tuple[int, int, int, int]]
) -> None:
    """Refuse pixels that end before the last row, of which Pillow makes black ones."""
    expected = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(size[0] - left) // step_x), -(-(size[1] - top) // step_y)
        expected += rows * (1 + -(-columns * bits // 8)) * (columns > 0)  # a byte for the filter
    coded = b"".join(content for kind, content in chunks if kind == b"IDAT")
    inflater, found = zlib.decompressobj(), 0
    while block := inflater.decompress(coded, 2**20):
        coded, found = inflater.unconsumed_tail, found + len(block)
    if found < expected:
        raise ValueError("the file ends before the picture does")


def _metadata(chunks: list[tuple[bytes, bytes]], as_stored: bool, notes: list[str]) -> Metadata:
    blocks = []
    for kind, content in chunks:
        safe_to_copy = bool(kind[3] & 0x20)
        if kind in _PIXELS or kind in (b"acTL", b"fcTL", b"fdAT") or (kind in _OF_PALETTE and not as_stored):
            continue
        if safe_to_copy or kind in _KEPT:
            blocks.append((kind, content))
        else:
            notes.append(f"chunk {kind.decode('latin-1')} could not be kept: it depends on the pixels")
    found: dict[bytes, bytes] = dict(reversed(blocks))  # of several equals the first
    texts = dict(text for kind, content in blocks if (text := _text(kind, content)))
    resolution = None
    if len(found.get(b"pHYs", b"")) == 9:
        x, y, unit = struct.unpack(">IIB", found[b"pHYs"])
        if x and y:  # unit 1 is the metre, 0 leaves only the aspect ratio
            resolution = Resolution(Fraction(x * 254, 10_000), Fraction(y * 254, 10_000)) if unit else None
    exif = found.get(b"eXIf", b"").removeprefix(b"Exif\0\0")
    return Metadata(
        format="PNG",
        blocks=tuple(blocks),
        icc=_inflated(found.get(b"iCCP", b"").partition(b"\0")[2][1:]),
        exif=exif or _raw_profile(texts, "exif").removeprefix(b"Exif\0\0"),
        xmp=texts.get("XML:com.adobe.xmp", "").encode(),
        iptc=_raw_profile(texts, "iptc") or md.iptc_in(_raw_profile(texts, "8bim")),
        photoshop=_raw_profile(texts, "8bim"),
        resolution=resolution,
        texts=tuple(item for item in texts.items() if not item[0].startswith(("XML:com.adobe", "Raw profile"))),
        rest=tuple(kind.decode("latin-1") for kind, _ in blocks if kind not in _UNDERSTOOD),
    )


def _inflated(content: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(content, MAX_INFLATED)
    except zlib.error:
        return b""
    return inflated if inflater.eof else b""


def _text(kind: bytes, content: bytes) -> tuple[str, str] | None:
    keyword, _, rest = content.partition(b"\0")
    key = keyword.decode("latin-1")
    if kind == b"tEXt":
        return key, rest.decode("latin-1")
    if kind == b"zTXt":
        return key, _inflated(rest[1:]).decode("latin-1")
    if kind == b"iTXt" and rest.count(b"\0", 2) >= 2:
        text = rest[2:].split(b"\0", 2)[2]
        return key, (_inflated(text) if rest[0] else text).decode("utf-8", "replace")
    return None


def _raw_profile(texts: dict[str, str], kind: str) -> bytes:
    """The bytes that ImageMagick and ExifTool store in PNG as hexadecimal text."""
    match = re.fullmatch(rf"\n{kind}\n\s*\d+\n([0-9a-f\s]*)", texts.get(f"Raw profile type {kind}", ""))
    try:
        return bytes.fromhex(match[1]) if match else b""
    except ValueError:
        return b""


def with_xmp(metadata: Metadata, packet: bytes) -> Metadata:
    """The metadata of a PNG with another XMP packet."""
    block = (b"iTXt", _XMP + packet)
    return md.with_xmp(metadata, packet, block, lambda c: c[0] in _TEXTS and c[1].startswith(_XMP[:18]))


def write(page: PageDescription, pixels: NDArray[Any], notes: list[str]) -> bytes:
    """Encode a page as PNG with its metadata."""
    coded = encoded(pixels)
    blocks = page.metadata.blocks if page.metadata.format == "PNG" else _from_other_format(page.metadata, notes)
    start = len(SIGNATURE) + 25  # the size of IHDR is fixed
    return coded[:start] + b"".join(chunk(*block) for block in blocks) + coded[start:]


def header(height: int, width: int, channels: int, dtype: np.dtype[Any]) -> bytes:
    """What IHDR holds."""
    return struct.pack(">IIBBBBB", width, height, 8 * dtype.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)


def encoded(pixels: NDArray[Any]) -> bytes:
    """What libpng makes of (H, W, C), by libdeflate: a file as large, after a quarter of the time.

    Libpng tries all five filters on each row; for pages the row above is as good a guess as any.
    """
    if pixels.nbytes > MAX_AT_ONCE:
        return bytes(codecs.png_encode(pixels, COMPRESSION_LEVEL))
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    coded = bytes(codecs.deflate_encode(filtered, COMPRESSION_LEVEL))
    chunks = (b"IHDR", header(height, width, channels, pixels.dtype)), (b"IDAT", coded), (b"IEND", b"")
    return SIGNATURE + b"".join(chunk(*c) for c in chunks)


def _from_other_format(metadata: Metadata, notes: list[str]) -> list[tuple[bytes, bytes]]:
    blocks = []
    if metadata.icc:
        blocks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.resolution and (resolution := metadata.resolution.per_metre()):
        blocks.append((b"pHYs", struct.pack(">IIB", *(min(round(value), 2**31 - 1) for value in resolution), 1)))
    if exif := md.exif_with(metadata, notes):
        blocks.append((b"eXIf", exif))
    if metadata.xmp:
        blocks.append((b"iTXt", _XMP + metadata.xmp))
    if resources := md.photoshop_with_iptc(metadata):
        lines = "\n".join(re.findall(".{1,72}", resources.hex()))
        text = f"\n8bim\n{len(resources):8}\n{lines}\n"
        blocks.append((b"zTXt", b"Raw profile type 8bim\0\0" + zlib.compress(text.encode())))
    for key, text in metadata.texts:
        blocks.append((b"iTXt", key.encode("latin-1", "replace")[:79] + b"\0\0\0\0\0" + text.encode()))
    md.note_lost(metadata, notes, kept=tuple(key for key, _ in metadata.texts))
    return blocks
