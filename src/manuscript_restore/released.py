"""Which network a file or folder holds, without loading it: a released model is a folder of these files."""

from dataclasses import dataclass
from pathlib import Path

from manuscript_restore.descriptor import Descriptor
from manuscript_restore.errors import UserError
from manuscript_restore.files import sha256

CONFIG, WEIGHTS = "config.json", "model.safetensors"
ONNX, ONNX_LOOK = "model.onnx", "look.onnx"
RELEASED = Path(__file__).parent / "weights"
"""A folder for each model that comes with the package."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which network it was: its name, and the SHA-256 of the file of its weights."""

    name: str
    sha256: str


def identify(path: str | Path) -> ModelIdentity:
    """Name and hash of a training checkpoint or a released model.

    Raises:
        UserError: A file is missing or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        name, file = Descriptor.read(path / CONFIG).name, path / WEIGHTS
    else:
        name, file = path.name, path
    try:
        return ModelIdentity(name, sha256(file))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); export the model again") from error


def find_released(name: str) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        UserError: There is none of that name.
    """
    folder = RELEASED / name
    if not (folder / CONFIG).is_file():
        known = ", ".join(sorted(path.parent.name for path in RELEASED.glob(f"*/{CONFIG}")))
        raise UserError(
            f"model {name}: no such file, and none of that name comes with this package "
            f"(there is {known or 'none yet'}); give the path of a training checkpoint or of an exported model"
        )
    return folder


def find_model(model: str) -> Path:
    """The path as it is if there is something, else the folder of the model of that name in the package.

    Raises:
        UserError: Neither is there.
    """
    return Path(model) if Path(model).exists() else find_released(model)
