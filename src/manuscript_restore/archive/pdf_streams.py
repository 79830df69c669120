"""Streams of a PDF unpacked within limits, so that few bytes cannot become many (ISO 32000-1, 7.4)."""

import base64
import math
import re
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import codecs, png

if TYPE_CHECKING:
    from pikepdf import Object

PICTURES = {
    "/DCTDecode": "JPEG",
    "/DCT": "JPEG",
    "/JPXDecode": "JPEG2000",
    "/JBIG2Decode": "JBIG2",
    "/CCITTFaxDecode": "CCITT",
    "/CCF": "CCITT",
}
"""Filters that hold a whole picture."""

_SHORT = {
    "/Fl": "/FlateDecode",
    "/LZW": "/LZWDecode",
    "/RL": "/RunLengthDecode",
    "/A85": "/ASCII85Decode",
    "/AHx": "/ASCIIHexDecode",
}
_OF_BYTES = {1: (1, "u1"), 2: (2, "u1"), 3: (3, "u1"), 4: (4, "u1"), 6: (3, "u2"), 8: (4, "u2")}
"""Bytes from a sample to its neighbour's → channels and type of a PNG in which it is as far."""


class UnknownError(ValueError):
    """A way of packing that is not read; what it says is the way's name."""


def filters_of(stream: "Object") -> list[tuple[str, Any]]:
    """Each filter of a stream, in the order in which they are undone, with its parameters or None."""

    def listed(key: str) -> list[Any]:
        value = stream.get(key)
        return [] if value is None else [value] if not _is_array(value) else list(value)

    names = [_SHORT.get(name, name) for name in map(str, listed("/Filter"))]
    parameters = listed("/DecodeParms")
    if len(names) > 4:  # nobody packs a picture more than twice
        raise UnknownError(f"{len(names)} filters")
    return [(name, parameters[i] if i < len(parameters) else None) for i, name in enumerate(names)]


def unpacked(stream: "Object", limit: int) -> bytes:
    """The bytes of a stream, up to a filter of `PICTURES`; no more than ``limit`` and one.

    Raises:
        ValueError: They are damaged.
    """
    data: bytes = stream.read_raw_bytes()
    for name, parameters in filters_of(stream):
        if name in PICTURES:
            break
        data = _undone(name, data, parameters, limit)
    return data


def _undone(name: str, data: bytes, parameters: Any, limit: int) -> bytes:
    number = _numbers(parameters)
    if name == "/ASCII85Decode":
        text = re.sub(rb"\s", b"", data).removeprefix(b"<~")
        return base64.a85decode(text.partition(b"~")[0])
    if name == "/ASCIIHexDecode":
        text = re.sub(rb"\s", b"", data).partition(b">")[0]
        return bytes.fromhex((text + b"0" * (len(text) % 2)).decode("ascii"))
    predictor = number("/Predictor", 1)
    samples = number("/Colors", 1) * number("/BitsPerComponent", 8)
    row_bytes = math.ceil(number("/Columns", 1) * samples / 8)
    if predictor >= 10:  # each row has a byte that says how it is filtered
        limit += limit // max(row_bytes, 1) + 2
    if name == "/FlateDecode":
        data = zlib.decompressobj().decompress(data, limit + 1)
    elif name == "/LZWDecode" and number("/EarlyChange", 1) == 1:
        data = bytes(codecs.lzw_decode(data, out=limit + 1))
    elif name == "/RunLengthDecode":
        data = bytes(codecs.packbits_decode(data, out=limit + 1))
    else:
        raise UnknownError(name.removeprefix("/"))
    if predictor >= 10:
        return _unfiltered(data, row_bytes, max(1, samples // 8))
    if predictor == 2 and number("/BitsPerComponent", 8) == 8:
        whole = len(data) // row_bytes * row_bytes
        rows = np.frombuffer(data[:whole], np.uint8).reshape(-1, number("/Columns", 1), number("/Colors", 1))
        return np.cumsum(rows, axis=1, dtype=np.uint8).tobytes()
    if predictor != 1:
        raise UnknownError(f"predictor {predictor}")
    return data


def _numbers(parameters: Any) -> Any:
    def number(key: str, default: int) -> int:
        value = None if parameters is None else parameters.get(key)
        return default if value is None else int(value)

    return number


def _unfiltered(data: bytes, row_bytes: int, step: int) -> bytes:
    """Rows with PNG's filters undone, by libpng: the filters know of bytes only, not of what these mean."""
    channels, kind = _OF_BYTES.get(step, (0, ""))
    num_rows = len(data) // (row_bytes + 1)
    if not channels or row_bytes % step or not num_rows:
        raise UnknownError(f"predictor over {step} bytes")
    dtype = np.dtype(kind)
    header = png.header(num_rows, row_bytes // step, channels, dtype)
    packed = zlib.compress(data[: num_rows * (row_bytes + 1)], 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    pixels = codecs.png_decode(png.SIGNATURE + b"".join(png.chunk(*c) for c in chunks))
    return np.ascontiguousarray(pixels, dtype.newbyteorder(">")).tobytes()


def samples_of(data: bytes, shape: tuple[int, int, int], bits: int) -> NDArray[Any]:
    """Numbers (H, W, n) of 1, 2, 4, 8 or 16 bits from packed rows.

    Raises:
        ValueError: There are too few.
    """
    height, width, channels = shape
    row_bytes = math.ceil(width * channels * bits / 8)
    if len(data) < height * row_bytes:
        raise ValueError("the file ends before the picture does")
    rows = np.frombuffer(data, np.uint8, height * row_bytes).reshape(height, row_bytes)
    if bits == 16:
        return rows.view(">u2").astype(np.uint16).reshape(shape)
    if bits < 8:
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        rows = ((rows[:, :, None] >> shifts) & (2**bits - 1)).reshape(height, -1)[:, : width * channels]
    return rows.reshape(shape)


def packed(pixels: NDArray[Any]) -> bytes:
    """Pixels (H, W, n) of 8 or 16 bits, packed by Flate with the predictors of PNG."""
    return b"".join(content for kind, content in png.chunks_of(png.encoded(pixels)) if kind == b"IDAT")


def _is_array(value: Any) -> bool:
    import pikepdf

    return isinstance(value, pikepdf.Array)
