"""Which engine runs a network."""

import importlib.util
import os
import platform
from pathlib import Path

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Backend
from manuscript_restore.inference.onnx_engine import OnnxBackend, OpenGraph
from manuscript_restore.released import ONNX, ONNX_LOOK, identify

ENGINES = ("auto", "onnx", "openvino", "torch")


def open_backend(
    path: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
    engine: str = "auto",
) -> Backend:
    """The engine of a training checkpoint or of a released model's folder.

    Args:
        path: Of the checkpoint or the folder.
        device: As `TorchBackend`.
        precision: As `TorchBackend`.
        compile: As `TorchBackend`.
        engine: One of `ENGINES`. ``auto`` is ONNX Runtime where the folder has its file and the device is a CPU,
            and PyTorch wherever something is asked for that only PyTorch does.

    Raises:
        UserError: As the engine; or the engine is unknown, or cannot do what is asked for.
    """
    if engine not in ENGINES:
        raise UserError(f"engine={engine}: must be one of {', '.join(ENGINES)}")
    only_torch_does = [
        f"{key}={value}"
        for key, value, can in (
            ("device", device, device in ("auto", "cpu")),
            ("precision", precision, precision in ("auto", "fp32")),
            ("compile", compile, not compile),
        )
        if not can
    ]
    if engine == "auto":
        asks_torch = only_torch_does or not (Path(path) / ONNX).is_file()
        engine = "torch" if asks_torch or not _is_cpu(device) else "onnx"
        why = only_torch_does or [f"no {ONNX} in its folder"]
    else:
        why = [f"engine={engine}"]
    if engine == "torch":
        if not Path(path).exists():  # said before anybody installs PyTorch for it
            raise UserError(f"model {path}: no such file or folder; check the path")
        if not _has_torch():
            raise UserError(
                f"model {path}: PyTorch is needed ({', '.join(why)}): pip install 'manuscript-restore[train]'"
            )
        return _open_torch(path, device=device, precision=precision, compile=compile)
    if only_torch_does:
        raise UserError(
            f"engine={engine} with {only_torch_does[0]}: it computes on the CPU in fp32; use engine=torch"
        )
    if not Path(path).is_dir():
        raise UserError(
            f"engine={engine}: {path} is a training checkpoint; make a model of it: manuscript-restore export"
        )
    return OnnxBackend(
        _opener(engine), Path(path) / ONNX, Path(path) / ONNX_LOOK, weights_sha256=identify(path).sha256
    )


def _opener(engine: str) -> OpenGraph:
    """Imports the library of this engine alone."""
    if engine == "onnx":
        from manuscript_restore.inference import onnxruntime_engine

        return onnxruntime_engine.open_graph
    try:
        from manuscript_restore.inference.openvino_engine import open_graph
    except ImportError as error:
        raise UserError("engine=openvino needs more: pip install 'manuscript-restore[openvino]'") from error
    return open_graph


def _open_torch(path: str | Path, *, device: str, precision: str, compile: bool) -> Backend:
    from manuscript_restore.checkpoint import load_model
    from manuscript_restore.inference.torch_engine import TorchBackend

    return TorchBackend(load_model(path), device=device, precision=precision, compile=compile)


def _is_cpu(device: str) -> bool:
    """Whether that is the CPU; PyTorch, which takes seconds to import, is asked only where there is a GPU."""
    if device != "auto" or not _has_torch() or not _may_have_gpu():
        return device in ("auto", "cpu")
    from manuscript_restore.inference.torch_engine import find_device

    return find_device(device).type == "cpu"


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _may_have_gpu() -> bool:
    """Whether there are traces of one: NVIDIA's or AMD's driver (Windows has it in WSL, too), or Apple's chips."""
    traces = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return platform.system() == "Windows" or platform.machine() == "arm64" or any(map(os.path.exists, traces))
