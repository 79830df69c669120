"""Pictures in memory: files ↔ arrays, their colours, sheets of them to look at; and tensors, for training."""

from manuscript_restore.archive import MAX_PIXELS
from manuscript_restore.archive.kinds import FORMATS
from manuscript_restore.images.pixels import (
    as_floats,
    decode,
    find_images,
    read,
    shown,
    to_picture,
    to_rgb,
    upright,
    walk,
    write,
)

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "as_floats",
    "decode",
    "find_images",
    "read",
    "shown",
    "to_picture",
    "to_rgb",
    "upright",
    "walk",
    "write",
]
