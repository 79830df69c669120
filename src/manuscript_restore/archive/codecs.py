"""Imagecodecs' functions by their names, imported when a file first needs one: JPEG and most PNGs do without."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # which tools ask of every module
        raise AttributeError(name)
    import imagecodecs

    return getattr(imagecodecs, name)
