"""What is known of a page beside its pixels, in the forms that the formats share."""

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from manuscript_restore.archive import ifd

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 274, 282, 283, 296
INCH, CENTIMETRE = 2, 3
IPTC_RESOURCE = 0x0404
TEXT_TAGS = {"Title": 269, "Description": 270, "Software": 305, "Author": 315, "Copyright": 33432}
"""PNG's keywords → TIFF's tags."""


@dataclass(frozen=True)
class Resolution:
    """Pixels per unit; ``unit`` as in TIFF: 1 none (an aspect ratio), 2 inch, 3 centimetre."""

    x: Fraction
    y: Fraction
    unit: int = INCH

    def per_metre(self) -> tuple[Fraction, Fraction] | None:
        """Pixels per metre, or None where only the aspect ratio is known."""
        scale = {INCH: Fraction(10_000, 254), CENTIMETRE: Fraction(100)}.get(self.unit)
        return (self.x * scale, self.y * scale) if scale else None


@dataclass(frozen=True)
class Metadata:
    """A page's metadata twice: as its own format stores it, and in the forms that other formats take.

    ``blocks`` are the file's segments, chunks, boxes or tags, byte for byte, each with its kind; writing the
    same ``format`` copies them. All the rest is for writing another format. EXIF and IPTC come without the
    format's own header; the EXIF of a TIFF holds all its descriptive tags.
    """

    format: str = ""
    blocks: tuple[tuple[bytes, bytes], ...] = ()
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""
    resolution: Resolution | None = None
    texts: tuple[tuple[str, str], ...] = ()
    rest: tuple[str, ...] = ()  # names of the blocks of which the other fields hold nothing


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """The EXIF orientation, 1–8; 1 where nothing or nonsense is said."""
    try:
        orientation = ifd.read_block(exif).number(ORIENTATION, 0)
    except ValueError:
        orientation = 0
    if orientation == 0 and (found := re.search(rb"tiff:Orientation(?:=\"|>)([1-8])", xmp)):
        orientation = int(found[1])
    return orientation if 1 <= orientation <= 8 else 1


def resolution_of(directory: ifd.Directory) -> Resolution | None:
    """The resolution in a TIFF or EXIF directory."""
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        entry = directory.entries.get(tag)
        if entry is None or entry.kind != ifd.RATIONAL or entry.count != 1:
            return None
        above, below = entry.numbers(directory.order)
        if not above or not below:
            return None
        values.append(Fraction(above, below))
    return Resolution(values[0], values[1], directory.number(RESOLUTION_UNIT, INCH))


def resolution_of_exif(exif: bytes) -> Resolution | None:
    """The resolution in an EXIF block, which may be broken."""
    try:
        return resolution_of(ifd.read_block(exif))
    except ValueError:
        return None


def put_resolution(directory: ifd.Directory, resolution: Resolution) -> None:
    """Set the three resolution tags."""
    for tag, value in ((X_RESOLUTION, resolution.x), (Y_RESOLUTION, resolution.y)):
        value = value.limit_denominator(10_000)
        directory.put(tag, ifd.RATIONAL, min(value.numerator, 2**32 - 1), value.denominator)
    directory.put(RESOLUTION_UNIT, ifd.SHORT, resolution.unit)


def exif_with(metadata: Metadata, notes: list[str], *, resolution: bool = False) -> bytes:
    """The EXIF block for another format: with the texts it can name, and where asked the resolution.

    A block that needs nothing added is given as it is, even broken.
    """
    texts = [(TEXT_TAGS[key], text) for key, text in metadata.texts if key in TEXT_TAGS]
    wanted = metadata.resolution if resolution else None
    if metadata.exif and wanted == resolution_of_exif(metadata.exif):
        wanted = None
    if not texts and wanted is None and metadata.format != "TIFF":
        return metadata.exif
    try:
        directory = ifd.read_block(metadata.exif) if metadata.exif else ifd.Directory("<")
    except ValueError:
        notes.append("the broken EXIF block was copied as it is; the resolution or texts were not added to it")
        return metadata.exif
    for tag in [tag for tag, entry in directory.entries.items() if entry.kind > 13]:
        del directory.entries[tag]  # BigTIFF's types are unknown to EXIF readers
        notes.append(f"tag {tag} could not be kept: it is of BigTIFF's own type")
    for tag, text in texts:
        if tag not in directory.entries:
            directory.put_bytes(tag, ifd.ASCII, text.encode() + b"\0")
    if wanted is not None:
        put_resolution(directory, wanted)
    return ifd.to_block(directory) if directory.entries or directory.below else b""


def note_lost(metadata: Metadata, notes: list[str], *, kept: tuple[str, ...] = ()) -> None:
    """Note what of another format's metadata has no place in this one, but for the texts that are ``kept``."""
    lost = sorted({key for key, _ in metadata.texts} - set(TEXT_TAGS) - set(kept))
    if lost:
        notes.append(f"texts could not be kept: {', '.join(lost)}")
    if metadata.rest:
        notes.append(f"could not be kept: {', '.join(dict.fromkeys(metadata.rest))} of {metadata.format}")


def shortened(exif: bytes, limit: int, notes: list[str]) -> bytes:
    """An EXIF block without its longest values, such that it is not longer than ``limit``."""
    while len(exif) > limit:
        try:
            directory = ifd.read_block(exif)
        except ValueError:
            notes.append("the broken EXIF block could not be kept: it is too long")
            return b""
        holders = [directory, *directory.below.values()]
        lengths = [(len(entry.data), tag, holder) for holder in holders for tag, entry in holder.entries.items()]
        _, tag, holder = max(lengths, key=lambda item: item[:2])
        del holder.entries[tag]
        notes.append(f"tag {tag} could not be kept: EXIF holds no more than {limit:,} bytes")
        exif = ifd.to_block(directory)
    return exif


def resources_of(photoshop: bytes) -> dict[int, bytes]:
    """Photoshop's image resources by their number, as far as they can be read."""
    resources: dict[int, bytes] = {}
    position = 0
    while photoshop[position : position + 4] == b"8BIM" and position + 12 <= len(photoshop):
        number, name_bytes = struct.unpack_from(">HB", photoshop, position + 4)
        start = position + 6 + (name_bytes + 2) // 2 * 2 + 4  # the name with its length is padded to an even size
        size = int.from_bytes(photoshop[start - 4 : start], "big")
        resources.setdefault(number, photoshop[start : start + size])
        position = start + (size + 1) // 2 * 2
    return resources


def iptc_in(photoshop: bytes) -> bytes:
    """The IPTC records among Photoshop's image resources."""
    return resources_of(photoshop).get(IPTC_RESOURCE, b"")


def photoshop_with_iptc(metadata: Metadata) -> bytes:
    """Photoshop's image resources, the IPTC records among them: the form that JPEG takes."""
    if not metadata.iptc or iptc_in(metadata.photoshop):
        return metadata.photoshop
    iptc = metadata.iptc
    return metadata.photoshop + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def with_xmp(
    metadata: Metadata, packet: bytes, block: tuple[bytes, bytes], is_old: Callable[[tuple[bytes, bytes]], bool]
) -> Metadata:
    """The metadata with another XMP packet, in its blocks too: where the old one is, or behind all others.

    Args:
        metadata: Of a page.
        packet: The packet.
        block: What holds it in the page's own format.
        is_old: Tells a block that holds a packet.
    """
    blocks = list(metadata.blocks)
    place = next((i for i, old in enumerate(blocks) if is_old(old)), len(blocks))
    blocks[place : place + 1] = [block]
    return replace(metadata, xmp=packet, blocks=tuple(blocks))


def with_profile(metadata: Metadata, icc: bytes, blocks: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata of a page whose colours were converted, with the new profile in its blocks too."""
    return replace(metadata, icc=icc, blocks=tuple(blocks))
