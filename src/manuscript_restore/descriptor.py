"""What a caller must know of a model: the content of its ``config.json``. Reading it takes no PyTorch.

Source: the model descriptors of spandrel, which chaiNNer and ComfyUI open models with.
"""

import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from manuscript_restore.errors import UserError

FORMAT = 1
"""Of the file. It changes where an older reader would misunderstand a newer file."""
TILE, OVERLAP = 256, 32
"""What a page is cut into, pixels, where nothing else is said."""


@dataclass(frozen=True)
class Port:
    """An input or output of the network.

    Args:
        name: What it is called.
        channels: Which channels of the array they are: all outputs are those of one array.
        range: Least and largest value; None: any.
        meaning: In a sentence.
        layout: Axes of the array: batch N, channels C, height H, width W.
        dtype: Of the array.
    """

    name: str
    channels: tuple[int, ...]
    range: tuple[float, float] | None
    meaning: str
    layout: str = "NCHW"
    dtype: str = "float32"


def inputs(*, has_maps: bool) -> tuple[Port, ...]:
    """What a network takes."""
    tiles = Port("tiles", (0, 1, 2), (0, 1), "RGB as the file stores it (sRGB)")
    looked = Port(
        "looked", (0,), None, "what look.onnx says of the page, as the mean over some of its tiles", "NC"
    )
    return (tiles, looked) if has_maps else (tiles,)


def outputs(*, has_maps: bool) -> tuple[Port, ...]:
    """What a network gives."""
    kept = "; where damage is 0, the input to the bit" if has_maps else ""
    colours = Port("colours", (0, 1, 2), (0, 1), f"the restored page, RGB{kept}")
    damage = Port("damage", (3,), (0, 1), "0: sound, left as it is; 1: restored whole; between, blended")
    ink = Port("ink", (4,), (0, 1), "probability of ink")
    return (colours, damage, ink) if has_maps else (colours,)


@dataclass(frozen=True)
class Descriptor:
    """A model's ``config.json``. What is None was not recorded.

    Args:
        name: What records call the model.
        model: Options of the network, as `models.build_model` takes them.
        purpose: What it is for, in a sentence.
        inputs: Of the network.
        outputs: Of the network: channels of its one result.
        multiple: Sides of what its ONNX file takes are multiples of this, pixels. (The PyTorch one pads.)
        min_side: Least side that is judged without being continued by its edge, pixels.
        tile: Suggested side of the tiles that a page is cut into, pixels.
        overlap: Pixels that neighbouring tiles share.
        trained_side: Side of the views that it was trained on, pixels.
        letters_px: Height of the letters that it was trained on, from headline or x-line to baseline: pixels, from
            small to large.
        damages: Kinds of damage that it was trained on.
        licence: SPDX identifier, or a sentence.
        sources: Where its training pages come from.
        parameters: Number of them.
        written_by: Package and version that wrote the file.
    """

    name: str
    model: Mapping[str, Any]
    purpose: str | None = None
    inputs: tuple[Port, ...] | None = None
    outputs: tuple[Port, ...] | None = None
    multiple: int | None = None
    min_side: int | None = None
    tile: int | None = None
    overlap: int | None = None
    trained_side: int | None = None
    letters_px: tuple[float, float] | None = None
    damages: tuple[str, ...] | None = None
    licence: str | None = None
    sources: tuple[str, ...] | None = None
    parameters: int | None = None
    written_by: str | None = None

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Read a ``config.json``; one of before there were descriptors has a name and options only.

        Raises:
            UserError: It is missing, damaged, or of a later version of the package.
        """
        try:
            content = json.loads(Path(file).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"{file}: not there; give a checkpoint, or the folder of an exported model") from error
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{file}: missing or damaged ({error}); export the model again") from error
        return cls.of(content, where=str(file))

    @classmethod
    def of(cls, content: Any, *, where: str) -> Self:
        """From what JSON holds.

        Args:
            content: As `to_json` writes it; keys that are not known are passed over.
            where: Name of the file, for messages.

        Raises:
            UserError: A key is missing or has no value of its kind, or the format is a later one.
        """
        if not isinstance(content, Mapping):
            raise UserError(f"{where}: not the description of a model; export the model again")
        if (format := content.get("format", FORMAT)) != FORMAT:
            raise UserError(
                f"{where}: format={format}, and this version reads {FORMAT} "
                f"(written by {content.get('written_by', 'another version')}); update manuscript-restore"
            )
        values: dict[str, Any] = {}
        for field in fields(cls):
            value, (read, wanted) = content.get(field.name), _KINDS[field.name]
            if value is None and field.name not in ("name", "model"):
                continue
            try:
                values[field.name] = read(value)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                said = "missing" if value is None else f"{json.dumps(value)[:80]}: must be {wanted}"
                raise UserError(f"{where}: {field.name}: {said}; export the model again") from error
        return cls(**values)

    def to_json(self) -> str:
        """The content of the file."""
        said = {"format": FORMAT} | {key: value for key, value in asdict(self).items() if value is not None}
        said["model"] = said.pop("model")  # last: of use to the package alone
        lines = (f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def table(self) -> str:
        """The same for reading: a line for each thing that is known, and one for what is not."""
        shown = {key: _lines(key, getattr(self, key)) for key in _TITLES if getattr(self, key) is not None}
        width = max(map(len, _TITLES.values())) + 2
        lines = [
            f"{_TITLES[key] + ':' if not number else '':{width}}{line}"
            for key, text in shown.items()
            for number, line in enumerate(text)
        ]
        missing = [title for key, title in _TITLES.items() if key not in shown]
        return "\n".join([*lines, *([f"{'not recorded:':{width}}{', '.join(missing)}"] if missing else [])])


def writer() -> str:
    """This package and its version."""
    return f"manuscript-restore {version('manuscript-restore')}"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _range(value: Any) -> tuple[float, float]:
    low, high = map(_number, value)
    if not low <= high:
        raise ValueError
    return low, high


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)


def _ports(value: Any) -> tuple[Port, ...]:
    return tuple(
        Port(
            name=_text(port["name"]),
            channels=tuple(map(_count, port["channels"])),
            range=None if port["range"] is None else _range(port["range"]),
            meaning=_text(port["meaning"]),
            layout=_text(port["layout"]),
            dtype=_text(port["dtype"]),
        )
        for port in value
    )


_NUMBER, _TEXT = (_count, "a whole number of at least 0"), (_text, "text")
_TEXTS = (_texts, "a list of texts")
_PORTS = (_ports, "a list of {name, channels, range, meaning, layout, dtype}")
_KINDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "name": _TEXT,
    "model": (_mapping, "the options of a network"),
    "purpose": _TEXT,
    "inputs": _PORTS,
    "outputs": _PORTS,
    **dict.fromkeys(("multiple", "min_side", "tile", "overlap", "trained_side", "parameters"), _NUMBER),
    "letters_px": (_range, "two numbers, [small, large]"),
    "damages": _TEXTS,
    "licence": _TEXT,
    "sources": _TEXTS,
    "written_by": _TEXT,
}
_TITLES = {
    "name": "name",
    "purpose": "purpose",
    "licence": "licence",
    "sources": "sources",
    "inputs": "takes",
    "outputs": "gives",
    "multiple": "sides multiple of",
    "min_side": "least side",
    "tile": "tile",
    "overlap": "overlap",
    "trained_side": "trained on views of",
    "letters_px": "with letters of",
    "damages": "and damage",
    "parameters": "parameters",
    "written_by": "written by",
}
_PIXELS = ("multiple", "min_side", "tile", "overlap", "trained_side", "letters_px")


def _lines(key: str, value: Any) -> list[str]:
    """The value of a key, as lines for reading."""
    if key in ("inputs", "outputs"):
        texts = [
            f"{port.name} ({port.layout}, {port.dtype}{_within(port.range)}): {port.meaning}" for port in value
        ]
    elif key == "sources":
        texts = list(value)
    elif key == "damages":
        texts = [", ".join(value)]
    elif key == "letters_px":
        texts = ["{:g} to {:g}".format(*value)]
    else:
        texts = [f"{value:,}" if isinstance(value, int) else value]
    unit = " pixels" if key in _PIXELS else ""
    return [line for text in texts for line in textwrap.wrap(text + unit, 90)] or ["none"]


def _within(range: tuple[float, float] | None) -> str:
    return ", {:g} to {:g}".format(*range) if range else ""
