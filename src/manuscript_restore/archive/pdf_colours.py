"""Colour spaces of a PDF's pictures: what makes grey or RGB of their samples (ISO 32000-1, 8.6 and 8.9.5)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manuscript_restore.archive import colours
from manuscript_restore.archive.colours import Conversion
from manuscript_restore.archive.pdf_streams import UnknownError, unpacked

if TYPE_CHECKING:
    from pikepdf import Object

_DEVICES = {"/DeviceGray": 1, "/G": 1, "/CalGray": 1, "/DeviceRGB": 3, "/RGB": 3, "/CalRGB": 3}
_INKS = ("/DeviceCMYK", "/CMYK")
_PROFILES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_MAX_PROFILE = 16 * 2**20
SRGB = "sRGB"
"""Space of a restored picture whose own had inks: that of `colours.srgb_profile`."""


@dataclass(frozen=True)
class Colours:
    """What the samples of a picture mean.

    Attributes:
        inputs: Channels in the file.
        channels: Of the page: 1 or 3.
        conversion: Samples at full scale, or numbers of a palette → pixels.
        space: What the restored picture has: an object of the file, `SRGB`, or None: what the picture had.
        is_palette: Whether the samples are numbers of a palette.
    """

    inputs: int
    channels: int
    conversion: Conversion = colours.keep
    space: Any = None
    is_palette: bool = False


def colours_of(space: "Object | None", notes: list[str], *, in_palette: bool = False) -> Colours:
    """What a colour space means; one in a palette has no palette.

    Raises:
        UnknownError: A space whose colours are not known: of special inks, of patterns.
    """
    parts = _parts(space)
    name = str(parts[0])
    if name in ("/Indexed", "/I") and not in_palette:
        return _of_palette(parts, notes)
    if name in _DEVICES:
        return Colours(_DEVICES[name], _DEVICES[name])
    profile = b""
    if name == "/ICCBased":
        profile, number = unpacked(parts[1], _MAX_PROFILE), int(parts[1].get("/N", 0))
        if len(profile) > _MAX_PROFILE or profile[16:20] != _PROFILES.get(number, b"?"):
            raise UnknownError("a profile of other colours")
        if number < 4:
            return Colours(number, number)
    if name in _INKS or profile:
        return Colours(4, 3, colours.from_cmyk(profile, notes), SRGB)
    raise UnknownError(f"colour space {name.removeprefix('/')}")


def with_decode(meaning: Colours, decode: "Object | None", bits: int) -> Colours:
    """The same of samples at full scale that a Decode array maps first."""
    if decode is None:
        return meaning
    values = [float(value) for value in decode.as_list()]
    usual = [0.0, 2.0**bits - 1] if meaning.is_palette else [0.0, 1.0] * meaning.inputs
    if values == usual:
        return meaning
    if meaning.is_palette or len(values) != len(usual):
        raise UnknownError("Decode array of a rare kind")
    return replace(meaning, conversion=colours.chained(_mapped(values), meaning.conversion))


def _mapped(decode: Sequence[float]) -> Conversion:
    """Samples of which 0 stands for the first of two numbers, the highest one for the second."""

    def convert(samples: NDArray[Any]) -> NDArray[Any]:
        full = int(np.iinfo(samples.dtype).max)
        scale = np.arange(full + 1) / full
        result = np.empty_like(samples)
        for channel in range(samples.shape[2]):
            low, high = decode[2 * channel : 2 * channel + 2]
            table = np.rint((low + scale * (high - low)).clip(0, 1) * full).astype(samples.dtype)
            result[..., channel] = table[samples[..., channel]]
        return result

    return convert


def _of_palette(parts: Sequence[Any], notes: list[str]) -> Colours:
    """Its colours come in the space that the palette is based on."""
    if len(parts) < 4:
        raise UnknownError("a palette of a rare kind")
    base = colours_of(parts[1], notes, in_palette=True)
    size = (int(parts[2]) + 1) * base.inputs
    if not 0 < size <= 256 * 4:
        raise UnknownError("a palette of a rare kind")
    table = bytes(parts[3]) if not _is_stream(parts[3]) else unpacked(parts[3], size)
    if len(table) < size:
        raise ValueError("the palette ends early")
    palette = base.conversion(np.frombuffer(table, np.uint8, size).reshape(1, -1, base.inputs))[0]
    space = base.space or parts[1]
    return Colours(1, base.channels, colours.looked_up(palette), space, is_palette=True)


def _parts(space: Any) -> list[Any]:
    import pikepdf

    if isinstance(space, pikepdf.Name):
        return [space]
    if isinstance(space, pikepdf.Array) and len(space) and isinstance(space[0], pikepdf.Name):
        return list(space)
    raise UnknownError("no colour space")


def _is_stream(value: Any) -> bool:
    import pikepdf

    return isinstance(value, pikepdf.Stream)
