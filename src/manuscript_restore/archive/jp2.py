"""JPEG 2000 files: boxes read and written, pixels through OpenJPEG without loss."""

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import codecs, colours
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.metadata import Metadata, Resolution
from manuscript_restore.archive.page import Notes, PageDescription, WholePage
from manuscript_restore.errors import UserError
from manuscript_restore.threads import num_threads

SIGNATURE, CODESTREAM = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_BRAND, _SOT, _EOC = b"jp2 \0\0\0\0jp2 ", b"\xff\x90", b"\xff\xd9"
MAX_SIDE = 2**31 - 1
EXIF_UUID, XMP_UUID = b"JpgTiffExif->JP2", bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
IPTC_UUID = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
MAX_BITS = 16
_CMYK, _SRGB, _GREY, _SYCC = 12, 16, 17, 18
_SPACES = (None, _CMYK, _SRGB, _GREY)
_REWRITTEN = {b"jP  ", b"jp2h", b"jp2c", b"free"}
_IN_HEADER = (b"colr", b"res ")
Box = tuple[bytes, bytes]


def boxes_of(data: bytes) -> list[Box]:
    """The boxes of a file or of a box, each with its kind; what is cut off, or no box, stays away.

    Of a codestream that is cut off what there is of it is given: OpenJPEG tells whether it is all.
    """
    boxes, position = [], 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            size, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        end = position + size if size else len(data)  # 0: up to the end of the file
        if (end > len(data) and kind != b"jp2c") or end < position + header:
            break
        boxes.append((kind, data[position + header : end]))
        position = end
    if position < len(data):
        boxes.append((b"", data[position:]))
    return boxes


def box(kind: bytes, content: bytes) -> bytes:
    """A box with its length."""
    if len(content) + 8 < 2**32:
        return struct.pack(">I4s", len(content) + 8, kind) + content
    return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content


@dataclass(frozen=True)
class _Header:
    """What a file says about its pixels."""

    height: int
    width: int
    components: int
    bits: int  # 0: signed, not of one depth, or subsampled
    subsampled: bool = False
    palette: bool = False
    space: int | None = None  # an enumerated colour space


def _header_of(coded: bytes, boxes: list[Box]) -> _Header:
    """Size and depth from the codestream, palette and colour space from the boxes of the header."""
    if coded[:4] != CODESTREAM or len(coded) < 42:
        raise ValueError("no picture in the file")
    right, bottom, left, top = struct.unpack(">4I", coded[8:24])
    components = int.from_bytes(coded[40:42], "big")
    sizes = [coded[42 + 3 * i : 45 + 3 * i] for i in range(components)]  # depth, and steps in x and y
    depths, steps = {size[0] for size in sizes}, {size[1:] for size in sizes}
    bits = min(depths) + 1 if len(depths) == 1 and min(depths) < MAX_BITS and sizes[0][1:] == b"\1\1" else 0
    header = _Header(bottom - top, right - left, components, bits, subsampled=len(steps) > 1)
    for kind, content in boxes:
        if kind == b"pclr":
            header = replace(header, components=content[2], bits=content[3] + 1, palette=True)
        if kind == b"colr" and content[0] == 1:
            header = replace(header, space=int.from_bytes(content[3:7], "big"))
    return header


def read(data: bytes, notes: Notes) -> WholePage:
    """Read the header and the metadata of a JPEG 2000 file; its pixels wait until they are asked for."""
    raw = data.startswith(CODESTREAM)
    boxes = [] if raw else boxes_of(data)
    if boxes and boxes[-1][0] == b"":
        notes.leave(boxes.pop()[1])
    streams = [data] if raw else [content for kind, content in boxes if kind == b"jp2c"]
    in_header = [b for kind, content in boxes if kind == b"jp2h" for b in boxes_of(content)]
    if len(streams) > 1:
        notes.lose(f"holds {len(streams)} pictures, only one could be kept; save them as single files")
    coded, header = _picture(b"".join(streams[:1]), in_header, notes)
    channels, bits = header.components, header.bits
    # OpenJPEG takes subsampled colours for YCbCr, whatever the file says.
    sycc = channels == 3 and (header.space == _SYCC or header.subsampled)
    if channels not in (1, 2, 3, 4) or not bits or (header.subsampled and not sycc):
        kind = f"{channels} channels of {bits or 'several'} bits" + ", subsampled" * header.subsampled
        raise UserError(f"{notes.name}: is a JPEG 2000 of a rare kind ({kind}); convert it to TIFF")
    if header.space not in _SPACES and not sycc:
        notes.lose(f"is of colour space {header.space}, which is not supported; convert it to sRGB")
    kept = [b for b in in_header if b[0] in _IN_HEADER] + [b for b in boxes if b[0] not in _REWRITTEN]
    if header.palette:
        notes.append("palette expanded to RGB")
    if sycc:
        notes.append("YCbCr converted to RGB")
        kept = [b for b in kept if not (b[0] == b"colr" and b[1][:1] == b"\1")]
    if bits not in (8, 16):
        notes.append(f"{bits}-bit samples became {8 if bits < 8 else 16}-bit ones")
    metadata = _metadata(kept, raw)
    conversion = colours.scaled(bits)
    if header.space == _CMYK and channels == 4:
        conversion, channels = colours.chained(conversion, colours.from_cmyk(metadata.icc, notes)), 3
        srgb = colours.srgb_profile()
        metadata = md.with_profile(metadata, srgb, [_colr(srgb), *(b for b in kept if b[0] != b"colr")])

    def decode() -> NDArray[Any]:
        if len(_tiles_of(coded)) < _num_tiles(coded):  # which OpenJPEG leaves black without a word
            raise ValueError("tiles are missing")
        pixels: NDArray[Any] = codecs.jpeg2k_decode(
            coded if raw else _container(coded, in_header), numthreads=num_threads()
        )
        return conversion(pixels.reshape(header.height, header.width, -1))

    return WholePage(
        height=header.height,
        width=header.width,
        channels=channels,
        dtype=np.dtype(np.uint16 if bits > 8 else np.uint8),
        orientation=md.orientation_of(metadata.exif, metadata.xmp),
        metadata=metadata,
        decode=decode,
        name=notes.name,
    )


def _picture(coded: bytes, header: list[Box], notes: Notes) -> tuple[bytes, _Header]:
    """The codestream with its end marker and nothing behind it, and what it and the header's boxes say."""
    found = _header_of(coded, header)
    coded, end, rest = coded.rpartition(_EOC) if _EOC in coded else (coded, b"", b"")
    notes.leave(rest)
    if not end:
        notes.append("the end marker was missing")
    coded += _EOC  # OpenJPEG itself tells whether the picture ends early
    if any(kind == b"ihdr" and content[:10] != _shape(coded)[:10] for kind, content in header):
        notes.append("the size in the file's header was wrong")
    return coded, found


def _num_tiles(coded: bytes) -> int:
    """How many tiles the size and the grid ask for (ISO/IEC 15444-1, B-5)."""
    sizes: tuple[int, ...] = struct.unpack(">8I", coded[8:40])
    right, bottom, _, _, width, height, left, top = sizes
    return -(-(right - left) // width) * -(-(bottom - top) // height)


def _tiles_of(coded: bytes) -> set[int]:
    """The tiles of which there is at least one part; segments of the main header come first."""
    tiles, position = set(), 2
    while position + 12 <= len(coded) and coded[position : position + 2] != _EOC:
        is_part = coded[position : position + 2] == _SOT
        tile, size = struct.unpack_from(">HI", coded, position + 4)
        if is_part:
            tiles.add(tile)
        step = size if is_part else 2 + int.from_bytes(coded[position + 2 : position + 4], "big")
        position = position + step if step else len(coded)  # 0: a part up to the end
    return tiles


def _shape(coded: bytes) -> bytes:
    """The first box of a file's header, by the codestream."""
    right, bottom, left, top = struct.unpack(">4I", coded[8:24])
    return struct.pack(">II", bottom - top, right - left) + coded[40:43] + b"\7\0\0"


def _container(coded: bytes, header: list[Box]) -> bytes:
    """A file of a codestream and its header's boxes."""
    others = [b for b in header if b[0] not in (b"ihdr", b"")]
    content = b"".join(box(*b) for b in [(b"ihdr", _shape(coded)), *others])
    return SIGNATURE + box(b"ftyp", _BRAND) + box(b"jp2h", content) + box(b"jp2c", coded)


def _metadata(boxes: list[Box], raw: bool) -> Metadata:
    uuids = {content[:16]: content[16:] for kind, content in reversed(boxes) if kind == b"uuid"}
    profiles = [content[3:] for kind, content in boxes if kind == b"colr" and content[:1] in (b"\2", b"\3")]
    exif = uuids.get(EXIF_UUID, b"").removeprefix(b"Exif\0\0")
    rest = [kind.decode("latin-1").strip() for kind, _ in boxes if kind not in {b"uuid", b"ftyp", *_IN_HEADER}]
    rest += [f"uuid {key.hex()}" for key in uuids if key not in (EXIF_UUID, XMP_UUID, IPTC_UUID)]
    return Metadata(
        format="JPEG2000 codestream" if raw else "JPEG2000",
        blocks=tuple(boxes),
        icc=b"".join(profiles[:1]),
        exif=exif,
        xmp=uuids.get(XMP_UUID, b""),
        iptc=uuids.get(IPTC_UUID, b""),
        resolution=_resolution(boxes) or md.resolution_of_exif(exif),
        rest=tuple(rest),
    )


def _resolution(boxes: list[Box]) -> Resolution | None:
    for _, content in [b for kind, res in boxes if kind == b"res " for b in boxes_of(res)]:
        above_y, below_y, above_x, below_x, power_y, power_x = struct.unpack(">4H2b", content[:10])
        if above_x and below_x and above_y and below_y:
            inch = Fraction(254, 10_000)  # in metres
            x, y = Fraction(above_x, below_x), Fraction(above_y, below_y)
            return Resolution(x * Fraction(10) ** power_x * inch, y * Fraction(10) ** power_y * inch)
    return None


def with_xmp(metadata: Metadata, packet: bytes) -> Metadata | None:
    """The metadata of a JPEG 2000 with another XMP packet; None: a bare codestream has no place for one."""
    if metadata.format == "JPEG2000 codestream":
        return None
    block = (b"uuid", XMP_UUID + packet)
    return md.with_xmp(metadata, packet, block, lambda b: b[0] == b"uuid" and b[1].startswith(XMP_UUID))


def write(page: PageDescription, pixels: NDArray[Any], notes: list[str]) -> bytes:
    """Encode a page as JPEG 2000 without loss, with its metadata; a bare codestream stays one."""
    samples = np.ascontiguousarray(pixels)
    options = {"codecformat": "j2k", "reversible": True, "mct": page.channels > 2, "numthreads": num_threads()}
    coded = bytes(codecs.jpeg2k_encode(samples, 0, **options))
    metadata = page.metadata
    if metadata.format == "JPEG2000 codestream":
        return coded
    kept = metadata.blocks if metadata.format == "JPEG2000" else _from_other_format(metadata, notes)
    shape = struct.pack(">IIHBBBB", page.height, page.width, page.channels, 8 * page.dtype.itemsize - 1, 7, 0, 0)
    header = [(b"ihdr", shape), *(b for b in kept if b[0] == b"colr")]
    if not any(kind == b"colr" for kind, _ in header):
        header.append((b"colr", struct.pack(">BBBI", 1, 0, 0, _SRGB if page.channels > 2 else _GREY)))
    if page.channels in (2, 4):
        colour = range(page.channels - 1)
        roles = [(i, 0, i + 1) for i in colour] + [(len(colour), 1, 0)]  # the last channel is opacity, of all
        header.append((b"cdef", struct.pack(">H", len(roles)) + b"".join(struct.pack(">3H", *r) for r in roles)))
    header += [b for b in kept if b[0] == b"res "]
    behind = [b for b in kept if b[0] not in (b"ftyp", *_IN_HEADER)]
    brand = next((content for kind, content in kept if kind == b"ftyp"), _BRAND)
    return b"".join(
        [
            SIGNATURE,
            box(b"ftyp", brand),
            box(b"jp2h", b"".join(box(*b) for b in header)),
            *(box(*b) for b in behind),
            box(b"jp2c", coded),
        ]
    )


def _colr(icc: bytes) -> Box:
    return b"colr", b"\2\0\0" + icc


def _from_other_format(metadata: Metadata, notes: list[str]) -> list[Box]:
    boxes = [_colr(metadata.icc)] if metadata.icc else []
    if metadata.resolution and (resolution := metadata.resolution.per_metre()):
        x, y = (
            value.limit_denominator(1) if value > 65535 else value.limit_denominator(50) for value in resolution
        )
        captured = b"".join(_res_number(value) for value in (y, x))
        boxes.append((b"res ", box(b"resc", captured + b"\0\0")))
    exif = md.exif_with(metadata, notes)
    uuids = [(EXIF_UUID, exif), (XMP_UUID, metadata.xmp)]
    uuids.append((IPTC_UUID, metadata.iptc or md.iptc_in(metadata.photoshop)))
    if md.resources_of(metadata.photoshop).keys() - {md.IPTC_RESOURCE}:
        notes.append("Photoshop data other than IPTC could not be kept, JPEG 2000 has no place for them")
    md.note_lost(metadata, notes)
    return boxes + [(b"uuid", uuid + content) for uuid, content in uuids if content]


def _res_number(value: Fraction) -> bytes:
    value = min(value, Fraction(65535))
    while value.numerator > 65535:
        value = value.limit_denominator(max(value.denominator // 2, 1))
    return struct.pack(">HH", max(value.numerator, 1), value.denominator)
