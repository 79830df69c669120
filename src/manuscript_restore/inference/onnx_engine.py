"""ONNX Runtime as the engine on CPUs."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Floats


class OnnxBackend:
    """A network that `models.onnx` has written, on the CPU in float32.

    It runs for one caller at a time, on as many threads as the process may use; they wait without spinning.

    Args:
        model: File of the network.
        look: File of what it says of pictures as a whole; asked for only where the network has maps.
        weights_sha256: Of the weights that they must be of; None: any.

    Raises:
        UserError: A file is missing, damaged, or of other weights.
    """

    def __init__(self, model: str | Path, look: str | Path, *, weights_sha256: str | None = None) -> None:
        self._model = _open(Path(model), weights_sha256)
        self.has_maps: bool = self._model.get_outputs()[0].shape[1] == 5
        self._look = _open(Path(look), weights_sha256) if self.has_maps else None
        facts = self._model.get_modelmeta().custom_metadata_map
        self._multiple, self._min_side = int(facts["multiple"]), int(facts["min_side"])
        self._turn = threading.Lock()

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"onnxruntime {onnxruntime.__version__}, cpu, fp32"

    def default_batch(self, tile: int) -> int:
        """Four tiles of 256²: more leave the cache."""
        return max(1, 4 * 256**2 // tile**2)

    def look(self, tiles: Floats) -> Floats:
        """What the network says of each of (B, 3, h, w) as a whole: (B, 1)."""
        return self._look_at(tiles)

    def __call__(self, tiles: Floats, looked: Floats | None = None) -> Floats:
        """Restore (B, 3, h, w): the same, or with maps (B, 5, h, w)."""
        images = np.ascontiguousarray(tiles)
        height, width = images.shape[-2:]
        feeds = {"tiles": _extended(images, -height % self._multiple, -width % self._multiple)}
        if self.has_maps:
            said = self._look_at(images) if looked is None else looked
            feeds["looked"] = np.ascontiguousarray(np.broadcast_to(said, (len(images), 1)))
        with self._turn:
            restored: Floats = self._model.run(None, feeds)[0]
        return np.ascontiguousarray(restored[..., :height, :width])

    def _look_at(self, images: Floats) -> Floats:
        assert self._look is not None, "asked only where there are maps"
        down, right = (max(0, self._min_side - side) for side in images.shape[-2:])
        feeds = {"tiles": np.ascontiguousarray(_extended(images, down, right))}
        with self._turn:
            looked: Floats = self._look.run(None, feeds)[0]
        return looked


def _open(path: Path, weights_sha256: str | None) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with `manuscript-restore onnx {path.parent}`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map
        own = facts["weights_sha256"]
    except Exception as error:  # of kinds that only the library's inside has names for
        raise UserError(
            f"{path}: damaged, or of another project; write it with `manuscript-restore onnx {path.parent}`"
        ) from error
    if weights_sha256 not in (None, own):
        raise UserError(
            f"{path}: of other weights than those beside it; write it again with "
            f"`manuscript-restore onnx {path.parent}`"
        )
    return session


def _num_threads() -> int:
    """As OpenMP counts them: what the environment says (the package sets it), else the cores of the process."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if said.isdigit() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _extended(images: Floats, down: int, right: int) -> Floats:
    """Continue (B, 3, h, w) by its edge, as the network does."""
    return np.pad(images, ((0, 0), (0, 0), (0, down), (0, right)), mode="edge") if down or right else images
