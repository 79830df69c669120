"""The tags of a TIFF page that do not say how its pixels are stored: read, and made for pages of other formats."""

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from manuscript_restore.archive import colours, ifd
from manuscript_restore.archive import metadata as md
from manuscript_restore.archive.metadata import Metadata

if TYPE_CHECKING:  # imported where a TIFF is opened
    from tifffile import TiffFile, TiffPage

XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675
_LAYERS, _SUB_IFDS = 37724, 330
_STRUCTURE = {
    *range(254, 260), 262, 263, 264, 265, 266, 273, *range(277, 282), 284, *range(288, 294), 317,
    *range(320, 326), 326, 327, 328, 332, 333, 334, 336, 338, 339, 340, 341, 342, 347, *range(512, 522),
    529, 530, 531, 532, 559, 32995, 32996, 32997, 32998,
}  # fmt: skip
"""Tags about the storage of the pixels, which the writer makes anew."""

_OF_COLOURS = {301, 318, 319}
"""Transfer function, white point and primaries: true of the colours as they were stored."""

_SEPARATE = {XMP, IPTC, PHOTOSHOP, ICC}


def _reader(file: "TiffFile") -> ifd.Read:
    handle = file.filehandle

    def read_at(offset: int, count: int) -> bytes:
        with handle.lock:
            handle.seek(min(offset, handle.size))
            data: bytes = handle.read(count)
        return data

    return read_at


def check_chain(file: "TiffFile", notes: list[str]) -> None:
    """Check that every page's directory is there: tifffile leaves out those behind the end of a file.

    Raises:
        ValueError: The file ends early.
    """
    big, order = file.is_bigtiff, file.byteorder
    number, count = ("Q", "Q") if big else ("I", "H")
    entry_size = 20 if big else 12
    read_at = _reader(file)

    def value(kind: str, offset: int) -> int | None:
        data = read_at(offset, struct.calcsize(kind))
        return int(struct.unpack(order + kind, data)[0]) if len(data) == struct.calcsize(kind) else None

    offset, seen = value(number, 8 if big else 4), set()
    while offset and offset not in seen:
        seen.add(offset)
        num_entries = value(count, offset)
        end = offset + struct.calcsize(count) + entry_size * (num_entries or 0)
        if num_entries is None or end > file.filehandle.size:
            raise ValueError("the file ends before the directory of a page")
        offset = value(number, end)
        if offset is None:
            notes.append("the end marker behind the last directory was missing")
    if offset:
        notes.append(f"the list of pages leads back to itself; pages read: {len(seen)}")
    if not seen or len(seen) != len(file.pages):
        raise ValueError(f"{len(seen)} pages are announced, {len(file.pages)} found")


def read(page: "TiffPage", notes: list[str]) -> Metadata:
    """Read the metadata of a page, byte for byte."""
    big, order = page.parent.is_bigtiff, page.parent.byteorder
    directory = ifd.read_directory(_reader(page.parent), page.offset, order, big=big)
    for tag, what in ((_LAYERS, "Photoshop's layers"), (_SUB_IFDS, "reduced copies of the page")):
        if directory.entries.pop(tag, None):
            notes.append(f"{what} could not be kept: they would show the page as it was")
    as_stored = page.bitspersample in (8, 16) and page.photometric in (1, 2)  # grey or RGB
    structure = _STRUCTURE if as_stored else _STRUCTURE | _OF_COLOURS
    for tag in [tag for tag, entry in directory.entries.items() if tag in structure or entry.kind in (13, 18)]:
        del directory.entries[tag]
        if tag not in structure:
            notes.append(f"tag {tag} could not be kept: it points to a directory of an unknown kind")
    ifd.note_lost(directory, notes)
    described = ifd.Directory(order, dict(directory.entries), directory.below)
    separate = {tag: described.entries.pop(tag).data for tag in _SEPARATE & directory.entries.keys()}
    return Metadata(
        format="TIFF",
        blocks=((b"TIFF", ifd.to_block(directory)),),
        icc=separate.get(ICC, b""),
        exif=ifd.to_block(described) if described.entries or described.below else b"",
        xmp=separate.get(XMP, b""),
        iptc=separate.get(IPTC, b"") or md.iptc_in(separate.get(PHOTOSHOP, b"")),
        photoshop=separate.get(PHOTOSHOP, b""),
        resolution=md.resolution_of(directory),
    )


def with_srgb(metadata: Metadata) -> Metadata:
    """The metadata of a page whose colours became sRGB."""
    directory = ifd.read_block(metadata.blocks[0][1]) if metadata.exif or metadata.icc else ifd.Directory("<")
    directory.put_bytes(ICC, ifd.UNDEFINED, colours.srgb_profile())
    return replace(metadata, icc=colours.srgb_profile(), blocks=((b"TIFF", ifd.to_block(directory)),))


def put_xmp(directory: ifd.Directory, packet: bytes) -> None:
    """Set the tag of the XMP packet."""
    directory.put_bytes(XMP, 1, packet)


def directory_for(metadata: Metadata, notes: list[str]) -> ifd.Directory:
    """The tags to write for a page: those it came with, or made from another format's metadata."""
    if metadata.format == "TIFF":
        block = metadata.blocks[0][1]
        return ifd.read_block(block) if len(block) > 8 + 6 else ifd.Directory("<")
    directory = ifd.Directory("<")
    if exif := md.exif_with(metadata, notes, resolution=True):
        try:
            directory = ifd.read_block(exif)
            ifd.note_lost(directory, notes)
        except ValueError:
            notes.append("the broken EXIF block could not be kept, TIFF stores its tags singly")
    for tag in (_STRUCTURE | {_SUB_IFDS}) & directory.entries.keys():
        del directory.entries[tag]
    values = {XMP: metadata.xmp, IPTC: metadata.iptc, PHOTOSHOP: metadata.photoshop, ICC: metadata.icc}
    for tag, data in values.items():
        if data:
            directory.put_bytes(tag, 1 if tag in (XMP, PHOTOSHOP) else ifd.UNDEFINED, data)
    md.note_lost(metadata, notes)
    return directory
