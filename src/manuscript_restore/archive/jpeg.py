"""JPEG files: segments read and written, pixels through Pillow."""

import io
import re
import struct
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from manuscript_restore.archive import colours, jpeg_scans
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.metadata import Metadata, Resolution
from manuscript_restore.archive.page import Notes, PageDescription, WholePage
from manuscript_restore.errors import UserError

MAX_SIDE = 65_500
"""Libjpeg's own limit."""

FILLER = b"".join(bytes(range(254, 0, -1)) * 8 + bytes([0xFF, code]) for code in range(0xD0, 0xD8))
"""Bytes that change the pixels if they follow the data of a picture too early, each kind of restart among them."""

EXIF, XMP, ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
PHOTOSHOP, PICTURES = b"Photoshop 3.0\0", b"MPF\0"
_UNDERSTOOD = (b"JFIF\0", EXIF, XMP, ICC, PHOTOSHOP)
_APP0, _APP1, _APP2, _APP13, _APP14, _COMMENT = (bytes([code]) for code in (0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE))
_SCAN, _END, _EOI = b"\xda", b"\xd9", b"\xff\xd9"
_ALONE = {bytes([code]) for code in (0x01, *range(0xD0, 0xD8))}
"""Markers without a segment: restarts, and one of arithmetic coding."""

_MARKER = re.compile(rb"\xff([^\0\xff])", re.DOTALL)
_PADDING = re.compile(rb"\0{16,}\Z")
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_MAX_SEGMENT = 65_533
_SECOND_PICTURE = "a second picture in the file (MPO) could not be kept"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
"""Markers of the frames that libjpeg decodes: sequential, progressive, lossless; the last two arithmetic."""

_UNKNOWN_FRAMES = set(range(0xC0, 0xD0)) - _FRAMES - {0xC4, 0xC8, 0xCC}
_CHANNELS = {1: 1, 3: 3, 4: 3}


def segments_of(data: bytes) -> tuple[list[tuple[bytes, bytes]], int, int]:
    """The segments before the first scan, each with its marker's second byte, as libjpeg finds them.

    Returns:
        The segments, where the scan begins, and how many bytes before it are in no segment.

    Raises:
        ValueError: There is no scan.
    """
    segments: list[tuple[bytes, bytes]] = []
    position, num_strays = 2, 0
    while match := _MARKER.search(data, position):
        num_strays += len(data[position : match.start()].strip(b"\xff"))  # any number of which may fill the gap
        marker, position = match[1], match.end()
        if marker == _SCAN:
            return segments, match.end() - 2, num_strays
        if marker in _ALONE:
            continue
        size = max(int.from_bytes(data[position : position + 2], "big"), 2)
        if marker == _END or position + size > len(data):
            break
        segments.append((marker, data[position + 2 : position + size]))
        position += size
    raise ValueError("the file has no picture")


def segment(marker: bytes, content: bytes) -> bytes:
    """A segment with its marker and length."""
    return b"\xff" + marker + struct.pack(">H", len(content) + 2) + content


def num_components(data: bytes) -> int:
    """Channels that a file holds: 1 grey, 3 YCbCr or RGB, 4 inks.

    Raises:
        ValueError: There is no picture.
    """
    frames = [content for marker, content in segments_of(data)[0] if marker[0] in _FRAMES | _UNKNOWN_FRAMES]
    if not frames or len(frames[0]) < 6:
        raise ValueError("no frame before the picture")
    return frames[0][5]


def is_adobe(data: bytes) -> bool:
    """Whether a file says that it follows Adobe: then its four inks are inverted."""
    return any(marker == _APP14 and content.startswith(b"Adobe") for marker, content in segments_of(data)[0])


def read(data: bytes, notes: Notes, *, inks: colours.Conversion | None = None) -> WholePage:
    """Read the header and the metadata of a JPEG file; its pixels wait until they are asked for.

    Args:
        data: The file.
        notes: Takes what was converted or could not be kept.
        inks: What makes RGB of four inks as Pillow gives them; None: by the file's own profile.
    """
    segments, scan, num_strays = segments_of(data)
    if num_strays:
        notes.append(f"{num_strays:,} bytes between the segments of the file could not be kept")
    frames = [(marker[0], content) for marker, content in segments if marker[0] in _FRAMES | _UNKNOWN_FRAMES]
    if not frames:
        raise ValueError("no frame before the picture")
    marker, frame = frames[0]
    precision, height, width, components = struct.unpack(">BHHB", frame[:6])
    if marker in _UNKNOWN_FRAMES or precision != 8 or components not in _CHANNELS or not height:
        kind = f"frame {marker:X}, {precision} bits, {components} components"
        raise UserError(f"{notes.name}: is a JPEG of a rare kind ({kind}); convert it to TIFF")
    metadata = _metadata(segments, notes)
    end = data.find(_EOI, scan)
    if end < 0:
        notes.append("the end marker was missing")
    elif _SECOND_PICTURE not in notes:
        notes.leave(data[end + 2 :])
    conversion: colours.Conversion = colours.keep
    if components == 4:
        conversion = inks or colours.from_cmyk(metadata.icc, notes)
        metadata = metadata if notes.lossy else _with_srgb(metadata)  # which takes imagecodecs
    # Pillow sees no metadata, so that broken ones cannot stop it or make it warn; JFIF's mark means YCbCr, though.
    jfif = any(s[0] == _APP0 and s[1].startswith(b"JFIF\0") and len(s[1]) >= 14 for s in segments)
    coding = [s for s in segments if not _is_metadata(s)]
    header = b"\xff\xd8" + b"".join(segment(*s) for s in [(_APP0, _JFIF)] * jfif + coding)

    def decode() -> NDArray[Any]:
        zeros_are_odd = jpeg_scans.check(marker, frame, coding, data[scan : end + 2 if end >= 0 else None])
        pixels = _decoded(header, data[scan:] + _EOI)
        # libjpeg fills up what is missing with grey, reads zeros as if they were the picture, and says nothing.
        if end < 0 or {*pixels[-1, -1].ravel().tolist()} <= {127, 128} or data.endswith(bytes(16), scan, end):
            scans = data[scan : end if end >= 0 else None]
            _check_whole(header, _PADDING.sub(b"", scans) if zeros_are_odd else scans)
        return conversion(pixels)

    return WholePage(
        height=height,
        width=width,
        channels=_CHANNELS[components],
        dtype=np.dtype(np.uint8),
        orientation=md.orientation_of(metadata.exif, metadata.xmp),
        metadata=metadata,
        lossless=False,
        decode=decode,
        name=notes.name,
    )


def _is_metadata(segment: tuple[bytes, bytes]) -> bool:
    return (0xE0 <= segment[0][0] <= 0xEF and segment[0] != _APP14) or segment[0] == _COMMENT


def _decoded(header: bytes, scans: bytes) -> NDArray[np.uint8]:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(header + scans)) as image:
        return np.asarray(image)


def _check_whole(header: bytes, scans: bytes) -> None:
    """Refuse a picture whose pixels depend on what follows its data."""
    scans = scans.rstrip(b"\xff")
    first, second = (zlib.crc32(_decoded(header, scans + more + _EOI).data) for more in (b"", FILLER))
    if first != second:  # one after the other, as the pixels of a page may fill the memory
        raise ValueError("the file ends before the picture does")


def _metadata(segments: list[tuple[bytes, bytes]], notes: list[str]) -> Metadata:
    blocks = [s for s in segments if _is_metadata(s)]
    if any(s[1].startswith(PICTURES) for s in blocks):
        notes.append(_SECOND_PICTURE)
        blocks = [s for s in blocks if not s[1].startswith(PICTURES)]

    def joined(marker: bytes, header: bytes, skip: int = 0) -> list[bytes]:
        return [s[1][len(header) + skip :] for s in blocks if s[0] == marker and s[1].startswith(header)]

    numbered = [s[1] for s in blocks if s[0] == _APP2 and s[1].startswith(ICC)]
    exif = b"".join(joined(_APP1, EXIF)[:1])
    photoshop = b"".join(joined(_APP13, PHOTOSHOP))
    return Metadata(
        format="JPEG",
        blocks=tuple(blocks),
        icc=b"".join(part[len(ICC) + 2 :] for part in sorted(numbered, key=lambda part: part[len(ICC)])),
        exif=exif,
        xmp=b"".join(joined(_APP1, XMP)[:1]),
        iptc=md.iptc_in(photoshop),
        photoshop=photoshop,
        resolution=_density(joined(_APP0, b"JFIF\0")) or md.resolution_of_exif(exif),
        texts=tuple(
            ("Comment", s[1].rstrip(b"\0").decode("utf-8", "replace")) for s in blocks if s[0] == _COMMENT
        ),
        rest=tuple(
            f"APP{s[0][0] - 0xE0}" for s in blocks if s[0] != _COMMENT and not s[1].startswith(_UNDERSTOOD)
        ),
    )


def _density(jfif: list[bytes]) -> Resolution | None:
    if not jfif or len(jfif[0]) < 7:
        return None
    unit, x, y = struct.unpack(">BHH", jfif[0][2:7])
    return Resolution(Fraction(x), Fraction(y), unit + 1) if x and y and unit in (1, 2) else None


def with_xmp(metadata: Metadata, packet: bytes) -> Metadata | None:
    """The metadata of a JPEG with another XMP packet, or None where a segment is too short for it.

    Extended XMP, in segments of its own, stays as it is.
    """
    if len(XMP) + len(packet) > _MAX_SEGMENT:
        return None
    block = (_APP1, XMP + packet)
    return md.with_xmp(metadata, packet, block, lambda s: s[0] == _APP1 and s[1].startswith(XMP))


def _with_srgb(metadata: Metadata) -> Metadata:
    others = [s for s in metadata.blocks if not (s[0] == _APP2 and s[1].startswith(ICC))]
    profile = colours.srgb_profile()
    return md.with_profile(metadata, profile, [*others, *_icc_segments(profile)])


def _icc_segments(icc: bytes) -> list[tuple[bytes, bytes]]:
    size = _MAX_SEGMENT - len(ICC) - 2
    parts = [icc[start : start + size] for start in range(0, len(icc), size)]
    if len(parts) > 255:  # 16 MB: larger than any profile
        return []
    return [(_APP2, ICC + bytes([number, len(parts)]) + part) for number, part in enumerate(parts, 1)]


def write(page: PageDescription, pixels: NDArray[np.uint8], notes: list[str], quality: int) -> bytes:
    """Encode a page, grey or RGB, as JPEG without subsampled colours, with its metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
        buffer, "JPEG", quality=quality, subsampling=0
    )
    coded = buffer.getvalue()
    segments, scan, _ = segments_of(coded)
    if page.metadata.format == "JPEG":
        blocks = list(page.metadata.blocks)
    else:
        blocks = _from_other_format(page.metadata, notes)
    coding = [s for s in segments if s[0] != _APP0]
    return b"\xff\xd8" + b"".join(segment(*s) for s in blocks + coding) + coded[scan:]


def _from_other_format(metadata: Metadata, notes: list[str]) -> list[tuple[bytes, bytes]]:
    density = b"\0\0\1\0\1"
    if (resolution := metadata.resolution) and resolution.unit in (md.INCH, md.CENTIMETRE):
        x, y = (min(max(round(value), 1), 65535) for value in (resolution.x, resolution.y))
        density = struct.pack(">BHH", resolution.unit - 1, x, y)
    blocks = [(_APP0, b"JFIF\0\1\1" + density + b"\0\0")]
    exif = md.shortened(md.exif_with(metadata, notes), _MAX_SEGMENT - len(EXIF), notes)
    blocks += [(_APP1, EXIF + exif)] if exif else []
    blocks += [(_APP1, XMP + metadata.xmp)] if metadata.xmp else []
    blocks += [(_APP13, PHOTOSHOP + resources) for resources in [md.photoshop_with_iptc(metadata)] if resources]
    blocks += [(_COMMENT, text.encode()) for key, text in metadata.texts if key == "Comment"]
    md.note_lost(metadata, notes, kept=("Comment",))
    fitting = [s for s in blocks if len(s[1]) <= _MAX_SEGMENT]
    names = {_APP1: "XMP", _APP13: "Photoshop or IPTC data", _COMMENT: "a comment"}
    notes += [f"{names[s[0]]} above JPEG's 64 kB could not be kept" for s in blocks if s not in fitting]
    return fitting + _icc_segments(metadata.icc)
