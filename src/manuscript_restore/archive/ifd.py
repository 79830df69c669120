"""TIFF image file directories, byte for byte: in TIFF files, and in the EXIF blocks of all the other formats."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

ByteOrder = Literal["<", ">"]
Read = Callable[[int, int], bytes]
"""``read(offset, count)``; gives fewer bytes at the end of the file."""

EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 34665, 34853, 40965
POINTERS = (EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD)
MAX_ENTRIES = 4096
MAX_VALUE_BYTES = 256 << 20

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 2, 3, 4, 5, 7, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORDS = {**_SIZES, RATIONAL: 4, 10: 4}


@dataclass(frozen=True)
class Entry:
    """A tag's value as it is stored: ``count`` numbers of TIFF type ``kind`` in the directory's byte order."""

    kind: int
    count: int
    data: bytes

    def numbers(self, order: ByteOrder) -> list[int]:
        """The value as whole numbers; a rational gives two, text its bytes."""
        signed = self.kind in (6, 8, 9, 10, 17)
        size = _WORDS[self.kind]
        return [int(number) for number in np.frombuffer(self.data, f"{order}{'i' if signed else 'u'}{size}")]

    def swapped(self) -> "Entry":
        """The same value in the other byte order."""
        words = np.frombuffer(self.data, f"u{_WORDS[self.kind]}")
        return Entry(self.kind, self.count, words.byteswap().tobytes())


@dataclass
class Directory:
    """One directory: its entries, and the directories below it by the tag that points to them."""

    order: ByteOrder
    entries: dict[int, Entry] = field(default_factory=dict)
    below: dict[int, "Directory"] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list, compare=False)  # tags that could not be read

    def number(self, tag: int, default: int) -> int:
        """The first number of a tag, or ``default``."""
        entry = self.entries.get(tag)
        return entry.numbers(self.order)[0] if entry and entry.count and entry.kind in (1, 3, 4, 16) else default

    def put(self, tag: int, kind: int, *numbers: int) -> None:
        """Set a tag to whole numbers; a rational takes two."""
        size = _WORDS[kind]
        data = np.array(numbers, f"{self.order}u{size}").tobytes()
        self.entries[tag] = Entry(kind, len(data) // _SIZES[kind], data)

    def put_bytes(self, tag: int, kind: int, data: bytes) -> None:
        """Set a tag to text (with its closing zero) or to undefined bytes."""
        self.entries[tag] = Entry(kind, len(data), data)

    def in_order(self, order: ByteOrder) -> "Directory":
        """The same directory in a byte order."""
        if order == self.order:
            return self
        entries = {tag: entry.swapped() for tag, entry in self.entries.items()}
        return Directory(order, entries, {tag: below.in_order(order) for tag, below in self.below.items()})


def read_directory(read: Read, offset: int, order: ByteOrder, *, big: bool = False, depth: int = 0) -> Directory:
    """Read the directory at an offset with its EXIF, GPS and interoperability directories.

    Entries that point outside the file or have an unknown type are left out and named as ``lost``.

    Raises:
        ValueError: There is no directory at the offset.
    """
    count_format, entry_size, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    head = read(offset, struct.calcsize(count_format))
    if len(head) < struct.calcsize(count_format):
        raise ValueError(f"no directory at byte {offset}")
    (count,) = struct.unpack(order + count_format, head)
    if not 0 < count <= MAX_ENTRIES:
        raise ValueError(f"a directory of {count} entries at byte {offset}")
    table = read(offset + len(head), count * entry_size)
    if len(table) < count * entry_size:
        raise ValueError(f"the directory at byte {offset} is cut off")
    directory = Directory(order)
    for start in range(0, len(table), entry_size):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), table, start)
        size = _SIZES.get(kind, 0) * number
        value = table[start + entry_size - inline : start + entry_size]
        if inline < size <= MAX_VALUE_BYTES:
            value = read(struct.unpack(order + ("Q" if big else "I"), value)[0], size)
        if 0 < size <= len(value):
            directory.entries.setdefault(tag, Entry(kind, number, value[:size]))
        elif number:  # an empty value is none
            directory.lost.append(tag)
    _read_below(directory, read, big, depth)
    return directory


def _read_below(directory: Directory, read: Read, big: bool, depth: int) -> None:
    for tag in POINTERS:
        entry = directory.entries.pop(tag, None)
        if entry is None:
            continue
        try:
            if entry.kind not in (LONG, 13, LONG8, 18) or depth >= len(POINTERS):
                raise ValueError(f"tag {tag} is no pointer")
            offset = entry.numbers(directory.order)[0]
            directory.below[tag] = read_directory(read, offset, directory.order, big=big, depth=depth + 1)
        except ValueError:  # a broken EXIF directory does not lose the others
            directory.lost.append(tag)


def note_lost(directory: Directory, notes: list[str]) -> None:
    """Note the tags of a directory and of those below it that could not be read."""
    notes += [f"tag {tag} could not be kept: its value is damaged" for tag in directory.lost]
    for below in directory.below.values():
        note_lost(below, notes)


def to_bytes(directory: Directory, start: int, *, big: bool = False) -> bytes:
    """Lay a directory out at the byte ``start`` of its file, its values and the directories below it behind."""
    order, inline = directory.order, 8 if big else 4
    entries = dict(directory.entries)
    num_entries = len(entries) + len(directory.below)
    head = (8 + 20 * num_entries + 8) if big else (2 + 12 * num_entries + 4)
    values = bytearray()

    def place(data: bytes) -> int:
        values.extend(b"\0" * ((start + head + len(values)) % 2))  # values begin on a word boundary
        offset = start + head + len(values)
        values.extend(data)
        return offset

    table = bytearray()
    for tag, below in directory.below.items():
        offset = place(b"")
        place(to_bytes(below, offset, big=big))
        entries[tag] = Entry(LONG8 if big else LONG, 1, struct.pack(order + ("Q" if big else "I"), offset))
    for tag, entry in sorted(entries.items()):
        data = entry.data
        if len(data) > inline:
            data = struct.pack(order + ("Q" if big else "I"), place(data))
        table += struct.pack(order + ("HHQ" if big else "HHI"), tag, entry.kind, entry.count)
        table += data.ljust(inline, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), num_entries)
    return count + bytes(table) + b"\0" * inline + bytes(values)


def read_block(block: bytes) -> Directory:
    """Read the first directory of an EXIF block, which begins as a TIFF file does.

    Raises:
        ValueError: The block is not one.
    """
    orders: dict[bytes, ByteOrder] = {b"II*\0": "<", b"MM\0*": ">"}
    order = orders.get(block[:4])
    if order is None or len(block) < 8:
        raise ValueError("not an EXIF block")
    (offset,) = struct.unpack(order + "I", block[4:8])
    return read_directory(lambda at, count: block[at : at + count], offset, order)


def to_block(directory: Directory) -> bytes:
    """Make an EXIF block of a directory.

    >>> directory = Directory("<")
    >>> directory.put(274, SHORT, 6)
    >>> read_block(to_block(directory)).number(274, 1)
    6
    """
    header = b"II*\0" if directory.order == "<" else b"MM\0*"
    return header + struct.pack(directory.order + "I", 8) + to_bytes(directory, 8)
