"""From a training checkpoint to a restorer, without running any code that the file might hold."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from manuscript_restore.errors import UserError
from manuscript_restore.models import build_model

PREFIX = "model."


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint with ``weights_only=True``: tensors and plain values, never pickled code.

    Raises:
        UserError: The file is missing, damaged, or not a checkpoint of this project.
    """
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path}: no such file; trainings write theirs to outputs/…/checkpoints/")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"checkpoint {path}: damaged, or not a training checkpoint") from error
    if not isinstance(checkpoint, dict) or "model" not in checkpoint.get("hyper_parameters", {}):
        raise UserError(f"checkpoint {path}: not a training checkpoint of manuscript_restore")
    return checkpoint


def load_model(path: str | Path) -> nn.Module:
    """The network of a training checkpoint, on the CPU, in eval mode (the averaged weights if EMA was on).

    Raises:
        UserError: As `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    model = build_model({**checkpoint["hyper_parameters"]["model"], "encoder_weights": None})
    state = {k.removeprefix(PREFIX): v for k, v in checkpoint["state_dict"].items() if k.startswith(PREFIX)}
    model.load_state_dict(state)
    return model.eval()


def check_same_model(path: str | Path, model: Mapping[str, Any]) -> None:
    """Refuse to resume a model from the checkpoint of another.

    Raises:
        UserError: As `read_checkpoint`, or the checkpoint's model has other values; they are listed.
    """
    saved = read_checkpoint(path)["hyper_parameters"]["model"]
    keys = sorted((set(saved) | set(model)) - {"encoder_weights"})
    different = [key for key in keys if saved.get(key) != model.get(key)]
    if different:
        lines = [f"  model.{key}: {saved.get(key)} in the file, {model.get(key)} here" for key in different]
        raise UserError(
            "\n".join([f"ckpt_path={path}: the checkpoint of another model", *lines])
            + "\nResume with the experiment and overrides that the run was started with"
        )
