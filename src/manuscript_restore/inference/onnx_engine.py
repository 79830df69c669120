"""Networks from ONNX files on the CPU, whichever library runs them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Floats
from manuscript_restore.threads import num_threads


@dataclass(frozen=True)
class Graph:
    """One ONNX file, opened by a library; computes in float32, each call on a thread of its own.

    Args:
        engine: The library and its version: ``"onnxruntime 1.32.0"``.
        num_channels: Size of the second axis of the result; the graph of the network has 3, or 5 with maps.
        facts: What the exporter has written into the file's metadata.
        run: The only result for inputs by name; called by `num_threads` threads at once.
    """

    engine: str
    num_channels: int | str | None
    facts: Mapping[str, str]
    run: Callable[[dict[str, Floats]], Floats]


OpenGraph = Callable[[Path], Graph]


class OnnxBackend:
    """A network that `models.onnx` has written, on the CPU in float32.

    Each call runs on one thread, and as many calls at once as there are threads: none waits for the others within
    a tile, above all not for one that another process has taken the core from.

    Args:
        open_graph: Opens a file; what it raises of a damaged one is of no matter.
        model: File of the network.
        look: File of what it says of pictures as a whole; asked for only where the network has maps.
        weights_sha256: Of the weights that they must be of; None: any.

    Raises:
        UserError: A file is missing, damaged, or of other weights.
    """

    def __init__(
        self,
        open_graph: OpenGraph,
        model: str | Path,
        look: str | Path,
        *,
        weights_sha256: str | None = None,
    ) -> None:
        self._model = _open(open_graph, Path(model), weights_sha256, num_channels=(3, 5))
        self.has_maps = self._model.num_channels == 5
        self._look = _open(open_graph, Path(look), weights_sha256, num_channels=(1,)) if self.has_maps else None
        self._multiple, self._min_side = (int(self._model.facts[key]) for key in ("multiple", "min_side"))

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"{self._model.engine}, cpu, fp32"

    @property
    def concurrency(self) -> int:
        """One call a thread, and one that is made ready while they compute."""
        return num_threads() + 1

    def default_batch(self, tile: int) -> int:
        """One: more take memory and are no faster."""
        return 1

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
        restored = self._model.run(feeds)
        return np.ascontiguousarray(restored[..., :height, :width])

    def _look_at(self, images: Floats) -> Floats:
        assert self._look is not None, "asked only where there are maps"
        down, right = (max(0, self._min_side - side) for side in images.shape[-2:])
        feeds = {"tiles": np.ascontiguousarray(_extended(images, down, right))}
        return self._look.run(feeds)


def _open(
    open_graph: OpenGraph, path: Path, weights_sha256: str | None, *, num_channels: tuple[int, ...]
) -> Graph:
    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with `manuscript-restore onnx {path.parent}`")
    try:
        graph = open_graph(path)
        own = graph.facts["weights_sha256"]
        if graph.num_channels not in num_channels:
            raise ValueError(f"{graph.num_channels} channels")
    except Exception as error:  # of kinds that only the library's inside has names for
        raise UserError(
            f"{path}: damaged, or of another project; write it with `manuscript-restore onnx {path.parent}`"
        ) from error
    if weights_sha256 not in (None, own):
        raise UserError(
            f"{path}: of other weights than those beside it; write it again with "
            f"`manuscript-restore onnx {path.parent}`"
        )
    return graph


def _extended(images: Floats, down: int, right: int) -> Floats:
    """Continue (B, 3, h, w) by its edge, as the network does."""
    return np.pad(images, ((0, 0), (0, 0), (0, down), (0, right)), mode="edge") if down or right else images
