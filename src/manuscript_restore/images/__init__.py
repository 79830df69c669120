"""Pictures in memory: files ↔ arrays ↔ tensors, their colours, and sheets of them to look at."""

from manuscript_restore.archive import MAX_PIXELS
from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.images.pixels import (
    decode,
    find_images,
    from_array,
    quantize,
    read,
    to_array,
    to_float,
    to_rgb,
    to_uint8,
    walk,
    write,
)

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "decode",
    "find_images",
    "from_array",
    "quantize",
    "read",
    "to_array",
    "to_float",
    "to_rgb",
    "to_uint8",
    "walk",
    "write",
]
