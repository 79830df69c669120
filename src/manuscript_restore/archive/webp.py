"""WebP files: chunks read and written, pixels through libwebp."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import codecs
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.metadata import Metadata
from manuscript_restore.archive.page import Notes, PageDescription, WholePage

MAX_SIDE = 16_383
_ALPHA, _ICC, _EXIF, _XMP = 0x10, 0x20, 0x08, 0x04
_FLAGS = {b"ICCP": _ICC, b"EXIF": _EXIF, b"XMP ": _XMP}
_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH")


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk of a container with its kind, but for one that is cut off behind the picture.

    Raises:
        ValueError: The file ends within the picture, or something else stands where a chunk should begin.
    """
    chunks, position = [], 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        if not kind.decode("latin-1").isprintable() or not kind.isascii():
            raise ValueError("no chunk where one should begin")
        content = data[position + 8 : position + 8 + size]
        if len(content) < size:
            if kind in _PIXELS:
                raise ValueError("the file ends before the picture does")
            break
        chunks.append((kind, content))
        position += 8 + size + size % 2
    return chunks


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length, padded to an even one."""
    return struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) % 2)


def _container(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(chunk(*c) for c in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _size_of(chunks: dict[bytes, bytes]) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha."""
    if extended := chunks.get(b"VP8X"):
        sides = [int.from_bytes(extended[at : at + 3], "little") + 1 for at in (4, 7)]
        return sides[0], sides[1], bool(extended[0] & _ALPHA)
    if lossless := chunks.get(b"VP8L"):
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", chunks[b"VP8 "][6:10])
    return width & 0x3FFF, height & 0x3FFF, False


def read(data: bytes, notes: Notes) -> WholePage:
    """Read the header and the metadata of a WebP file; its pixels wait until they are asked for."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if not 20 < end <= len(data) + 1:  # some writers leave out the last padding byte
        notes.append("the length in the file's header was wrong")
        end = len(data)
    notes.leave(data[end:])
    chunks = chunks_of(data[:end])
    animated = any(kind in (b"ANIM", b"ANMF") for kind, _ in chunks)
    if animated:
        notes.lose("is animated, only one picture could be kept; save its pictures as single files")
    first: dict[bytes, bytes] = dict(reversed(chunks))
    if not ({b"VP8 ", b"VP8L"} & first.keys() or animated):
        raise ValueError("no picture in the file")
    width, height, alpha = _size_of(first)
    exif = first.get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    metadata = Metadata(
        format="WEBP",
        blocks=tuple(c for c in chunks if c[0] not in _PIXELS),
        icc=first.get(b"ICCP", b""),
        exif=exif,
        xmp=first.get(b"XMP ", b""),
        resolution=md.resolution_of_exif(exif),
        rest=tuple(kind.decode("latin-1") for kind, _ in chunks if kind not in {*_PIXELS, *_FLAGS}),
    )

    def decode() -> NDArray[Any]:
        pixels: NDArray[Any] = codecs.webp_decode(_container(chunks), hasalpha=alpha)
        return pixels

    return WholePage(
        height=height,
        width=width,
        channels=4 if alpha else 3,
        dtype=np.dtype(np.uint8),
        orientation=md.orientation_of(exif, metadata.xmp),
        metadata=metadata,
        lossless=b"VP8L" in first,
        decode=decode,
        name=notes.name,
    )


def with_xmp(metadata: Metadata, packet: bytes) -> Metadata:
    """The metadata of a WebP with another XMP packet."""
    return md.with_xmp(metadata, packet, (b"XMP ", packet), lambda c: c[0] == b"XMP ")


def write(page: PageDescription, pixels: NDArray[np.uint8], notes: list[str], quality: int) -> bytes:
    """Encode a page as WebP; without loss at quality 100, or where the page comes from a lossless WebP."""
    if pixels.shape[2] < 3:
        notes.append("grey is stored as RGB, WebP has no grey")
        pixels = np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
    pixels = np.ascontiguousarray(pixels)
    lossless = quality == 100 or (page.metadata.format == "WEBP" and page.lossless)
    coded = bytes(codecs.webp_encode(pixels, None if lossless else quality, lossless=lossless))
    picture = [c for c in chunks_of(coded) if c[0] in _PIXELS and c[0] != b"VP8X"]
    metadata = page.metadata
    blocks = list(metadata.blocks) if metadata.format == "WEBP" else _from_other_format(metadata, notes)
    if not blocks and len(picture) == 1:
        return coded
    flags = _ALPHA if pixels.shape[2] == 4 else 0
    for kind, _ in blocks:
        flags |= _FLAGS.get(kind, 0)
    extended = struct.pack("<I", flags) + b"".join(
        (side - 1).to_bytes(3, "little") for side in pixels.shape[1::-1]
    )
    profile = [b for b in blocks if b[0] == b"ICCP"]
    others = [b for b in blocks if b[0] != b"ICCP"]
    return _container([(b"VP8X", extended), *profile, *picture, *others])


def _from_other_format(metadata: Metadata, notes: list[str]) -> list[tuple[bytes, bytes]]:
    if metadata.iptc or metadata.photoshop:
        notes.append("IPTC and Photoshop data could not be kept, WebP has no place for them")
    md.note_lost(metadata, notes)
    exif = md.exif_with(metadata, notes, resolution=True)  # WebP knows no resolution of its own
    blocks = [(b"ICCP", metadata.icc), (b"EXIF", exif), (b"XMP ", metadata.xmp)]
    return [block for block in blocks if block[1]]
