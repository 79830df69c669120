"""A TIFF of any depth, layout and compression, from the specification: no library writes them all."""

import itertools
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import imagecodecs
import numpy as np

from tests.corpus.decoders import Samples

ENCODERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "lzw": (5, lambda data: bytes(imagecodecs.lzw_encode(data))),
    "deflate": (8, zlib.compress),
    "packbits": (32773, lambda data: bytes(imagecodecs.packbits_encode(data))),
    "old-deflate": (32946, zlib.compress),
    "lzma": (34925, lambda data: bytes(imagecodecs.lzma_encode(data))),
    "zstd": (50000, lambda data: bytes(imagecodecs.zstd_encode(data))),
}
_LETTERS = {1: "B", 3: "H", 4: "I", 5: "I", 7: "B", 16: "Q"}
Tags = Mapping[int, tuple[int, Sequence[int]]]
"""Number → its type, its values."""


def tiff(
    samples: Samples,
    bits: int,
    photometric: int,
    *,
    compression: str = "none",
    predictor: bool = False,
    planar: bool = False,
    tile: tuple[int, int] | None = None,
    rows: int = 29,
    order: str = "<",
    big: bool = False,
    extra: tuple[int, ...] = (),
    low_bits_first: bool = False,
    tags: Tags | None = None,
) -> bytes:
    """A file of one page: samples (H, W, C) of 0 to 2**bits - 1 in strips of ``rows`` or in tiles (H, W)."""
    height, width, channels = samples.shape
    length, across = tile or (rows, width)
    number, encode = ENCODERS[compression]
    parts = np.split(samples, channels, axis=2) if planar else [samples]
    segments = []
    for part, top, left in itertools.product(parts, range(0, height, length), range(0, width, across)):
        segment = part[top : top + length, left : left + across]
        if tile:
            segment = np.pad(segment, [(0, length - len(segment)), (0, across - segment.shape[1]), (0, 0)], "edge")
        if predictor:
            segment = np.concatenate([segment[:, :1], np.diff(segment, axis=1)], axis=1)  # modulo 2**bits
        data = encode(_packed(segment.reshape(len(segment), -1), bits, order))
        if low_bits_first:  # of what is stored, as libtiff does it: of the compressed bytes
            data = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")).tobytes()
        segments.append(data)
    head, kind = (16, 16) if big else (8, 4)
    counts = [len(data) for data in segments]
    offsets = [head + sum(counts[:i]) for i in range(len(counts))]
    if tile:
        layout: Tags = {322: (4, [across]), 323: (4, [length]), 324: (kind, offsets), 325: (kind, counts)}
    else:
        layout = {278: (4, [rows]), 273: (kind, offsets), 279: (kind, counts)}
    entries = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [number]),
        262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if planar else 1]), **layout,
        **({317: (3, [2])} if predictor else {}), **({338: (3, extra)} if extra else {}),
        **({266: (3, [2])} if low_bits_first else {}), **(tags or {}),
    }  # fmt: skip
    return assembled(segments, entries, order, big)


def assembled(segments: list[bytes], entries: Tags, order: str, big: bool) -> bytes:
    """A file of its strips or tiles, which begin at 8 (BigTIFF: 16), and of the directory's entries."""
    body = b"".join(segments)
    body += b"\0" * (len(body) % 2)
    head, mark = 16 if big else 8, 0x4949 if order == "<" else 0x4D4D
    magic = struct.pack(f"{order}HHHHQ", mark, 43, 8, 0, head + len(body))
    if not big:
        magic = struct.pack(f"{order}HHI", mark, 42, head + len(body))
    return magic + body + _directory(entries, head + len(body), order, big)


def _packed(rows: Samples, bits: int, order: str) -> bytes:
    """Rows (h, n) of samples, each filled up to a whole byte; high bits first."""
    if bits in (8, 16):
        return rows.astype(np.dtype(f"u{bits // 8}").newbyteorder(order)).tobytes()
    steps = rows.astype(np.uint32)[..., None] >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(steps.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def _directory(entries: Tags, position: int, order: str, big: bool) -> bytes:
    """A directory at a position, with the values behind it."""
    number, inline = ("Q", 8) if big else ("I", 4)
    directory, behind = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
    start = position + len(directory) + (20 if big else 12) * len(entries) + inline
    for tag, (kind, values) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(value) > inline:
            place = struct.pack(order + number, start + len(behind))
            value, behind = place, behind + value + b"\0" * (len(value) % 2)
        amount = len(values) // (2 if kind == 5 else 1)
        directory += struct.pack(f"{order}HH{number}", tag, kind, amount) + value.ljust(inline, b"\0")
    return directory + bytes(inline) + behind
