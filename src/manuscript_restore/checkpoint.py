"""Networks as files: training checkpoints, and released models (safetensors and a JSON config).

Neither can run code: checkpoints are read with ``weights_only=True``, safetensors hold nothing but numbers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from manuscript_restore import descriptor
from manuscript_restore.descriptor import Descriptor
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.models import RestorationNetwork, build_model
from manuscript_restore.models.soundness import MIN_SIDE
from manuscript_restore.released import CONFIG, ONNX, ONNX_LOOK, WEIGHTS, find_model, identify

PREFIX = "model."


def load_model(path: str | Path) -> RestorationNetwork:
    """The network of a training checkpoint or of a released model's folder, on the CPU, in eval mode, float32.

    Of a training with averaged weights, those.

    Raises:
        UserError: The file is missing, damaged, or not of this project.
    """
    if Path(path).is_dir():
        options, state = _read_released(Path(path))
    else:
        checkpoint = read_checkpoint(path)
        options = checkpoint["hyper_parameters"]["model"]
        state = {k.removeprefix(PREFIX): v for k, v in checkpoint["state_dict"].items() if k.startswith(PREFIX)}
    try:
        model = build_model({**options, "encoder_weights": None} if "encoder_weights" in options else options)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: the description of the model is damaged ({error})") from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path}: the weights are not those of the model that it describes") from error
    return model.float().eval()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint with ``weights_only=True``: tensors and plain values, never pickled code.

    Raises:
        UserError: The file is missing, damaged, or not a checkpoint of this project.
    """
    if not Path(path).is_file():
        raise UserError(f"checkpoint {path}: no such file; trainings write theirs to outputs/…/checkpoints/")
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the broken bytes lead to
        raise UserError(f"checkpoint {path}: damaged, or not a training checkpoint") from error
    match checkpoint:
        case {"hyper_parameters": {"model": {}}, "state_dict": {}}:  # in patterns {} is any mapping
            return dict(checkpoint)
    raise UserError(f"checkpoint {path}: not a training checkpoint of manuscript_restore")


def export(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    name: str,
    half: bool = True,
    onnx: bool = True,
    purpose: str | None = None,
    licence: str | None = None,
    sources: Sequence[str] = (),
    letters_px: tuple[float, float] | None = None,
) -> None:
    """Make a released model of a training checkpoint: ``config.json`` and ``model.safetensors`` in a new folder.

    ``config.json`` is a `Descriptor`; the last four arguments are what only its maker can say.

    Args:
        checkpoint: Of a training.
        folder: Made here.
        name: What records will call the model.
        half: Store the weights in float16: half the size; they are computed with in float32.
        onnx: Write ``model.onnx`` as well, and ``look.onnx`` where the network has maps; see `models.onnx`.
        purpose: See `Descriptor`, for these too.
        licence: Of the weights.
        sources: Of the pages that it was trained on.
        letters_px: Height of their letters.

    Raises:
        UserError: As `read_checkpoint` and `models.onnx.to_onnx`; or the folder is there already.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).exists() or (folder / CONFIG).exists():
        raise UserError(f"{folder}: holds a model already; give a new folder")
    if not name:
        raise UserError("name: empty; records call the model by it")
    if letters_px and not 0 <= letters_px[0] <= letters_px[1]:
        raise UserError(f"letters_px={letters_px}: must be heights in pixels, the small one first")
    model = load_model(checkpoint)
    described = replace(
        _describe(model, read_checkpoint(checkpoint)["hyper_parameters"], name=name),
        purpose=purpose or None,
        licence=licence or None,
        sources=tuple(filter(None, sources)) or None,
        letters_px=letters_px,
    )
    state = {key: value.half() if half else value for key, value in model.state_dict().items()}
    # Words of a command line that are no text become escapes, as JSON allows.
    files = {CONFIG: described.to_json().encode("utf-8", "backslashreplace"), WEIGHTS: save(state)}
    if onnx:
        model.load_state_dict(state)  # as stored
        files |= _onnx_files(model, hashlib.sha256(files[WEIGHTS]).hexdigest())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from error
    _write(folder, files)


def describe(path: str | Path) -> Descriptor:
    """What follows from a training checkpoint; an exported model's folder has its own: `Descriptor.read`.

    Raises:
        UserError: As `load_model`.
    """
    return _describe(load_model(path), read_checkpoint(path)["hyper_parameters"], name=Path(path).name)


def _describe(network: RestorationNetwork, hyper_parameters: Mapping[str, Any], *, name: str) -> Descriptor:
    options, damages = dict(hyper_parameters["model"]), hyper_parameters.get("damages")
    options.pop("encoder_weights", None)
    has_maps, multiple = network.has_maps, network.multiple

    def up(side: int) -> int:
        return -(-side // multiple) * multiple

    return Descriptor(
        name=name,
        model=options,
        inputs=descriptor.inputs(has_maps=has_maps),
        outputs=descriptor.outputs(has_maps=has_maps),
        multiple=multiple,
        min_side=up(MIN_SIDE) if has_maps else multiple,
        tile=up(descriptor.TILE),
        overlap=descriptor.OVERLAP,
        trained_side=network.image_size,
        damages=None if damages is None else tuple(damages),
        parameters=sum(values.numel() for values in network.parameters()),
        written_by=descriptor.writer(),
    )


def write_onnx(folder: str | Path) -> None:
    """Write the ONNX files of a released model beside its weights; those that are there are replaced.

    Raises:
        UserError: As `load_model` and `models.onnx.to_onnx`; or the folder is none of a model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: not the folder of a model; make one with `manuscript-restore export`")
    _write(folder, _onnx_files(load_model(folder), identify(folder).sha256))


def write_single_onnx(model: str | Path, file: str | Path) -> None:
    """Write a model as one ONNX file for other programs; see `models.onnx.to_onnx` (``single``).

    Raises:
        UserError: As `load_model` and `models.onnx.to_onnx`; or the file has another suffix or no folder.
    """
    from manuscript_restore.models.onnx import to_onnx

    file = Path(file)
    if file.suffix != ".onnx" or file.is_dir():
        raise UserError(f"{file}: must be a file that ends in .onnx")
    if not file.parent.is_dir():
        raise UserError(f"{file.parent}: no such folder; make it first")
    network, _ = to_onnx(load_model(model), weights_sha256=identify(model).sha256, single=True)
    _write(file.parent, {file.name: network})


def _onnx_files(model: RestorationNetwork, weights_sha256: str) -> dict[str, bytes]:
    from manuscript_restore.models.onnx import to_onnx  # here: restoring does without

    network, look = to_onnx(model, weights_sha256=weights_sha256)
    return {ONNX: network} | ({ONNX_LOOK: look} if look else {})


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for file, content in files.items():
        with whole_file(folder / file) as unfinished:
            unfinished.write_bytes(content)


def start_from(network: RestorationNetwork, model: str, *, key: str) -> None:
    """Give a network the weights of a checkpoint or a released model of the same shape, for views of its own size.

    Args:
        network: As `build_model` makes it.
        model: Path or name.
        key: Config key, for the message.

    Raises:
        UserError: The model is not there, or is of another shape.
    """
    try:
        source = load_model(find_model(model))
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    if source.image_size != network.image_size:
        source.set_image_size(network.image_size)
    weights = source.state_dict()
    own = network.state_dict()
    if network.has_maps and not source.has_maps:  # weights of before there were maps: those begin anew
        weights = {
            name: value for name, value in own.items() if ".to_maps." in name or name.startswith("soundness.")
        } | weights
    wrong = [
        name
        for name in own | weights
        if getattr(own.get(name), "shape", 0) != getattr(weights.get(name), "shape", 1)
    ]
    if wrong:
        raise UserError(
            f"{key}={model}: weights of another model ({len(wrong)} tensors differ, e.g. {wrong[0]}); "
            "train with the model options of that model"
        )
    network.load_state_dict(weights)


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


def _read_released(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    options = dict(Descriptor.read(folder / CONFIG).model)
    try:
        return options, load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"model {folder}: {WEIGHTS} is missing or damaged; export the model again") from error
