"""PyTorch as the engine: for GPUs, and for checkpoints and networks that were not exported."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from manuscript_restore.errors import UserError
from manuscript_restore.inference.backends import Floats

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


class TorchBackend:
    """The network itself, on any device of PyTorch.

    One thread runs it, whoever asks: page threads then decode and encode while it computes, and PyTorch's own
    threads are not multiplied by theirs.

    Args:
        model: A `RestorationNetwork`, or anything that maps (B, 3, h, w) in [0, 1] to the same.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``: the best there is.
        precision: ``fp32``, ``bf16``, or ``auto``: bf16 on a GPU that computes in it, fp32 elsewhere (a CPU
            without bf16 units is six times slower with it).
        compile: Let ``torch.compile`` fuse the network: a minute at the start, worth it for many pages.

    Raises:
        UserError: The device is not there, or a name is unknown.
    """

    def __init__(
        self, model: nn.Module, *, device: str = "auto", precision: str = "auto", compile: bool = False
    ) -> None:
        self.device = find_device(device)
        if precision not in PRECISIONS:
            raise UserError(f"precision={precision}: must be one of {', '.join(PRECISIONS)}")
        bf16_fits = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        self.bf16 = precision == "bf16" or (precision == "auto" and bf16_fits)
        # Convolutions on a CPU are a quarter faster so, and no slower on a GPU.
        self.model = model.eval().to(self.device).to(memory_format=torch.channels_last)
        self.has_maps: bool = getattr(model, "has_maps", False)
        predict: Callable[..., Any] = getattr(model, "predict", model) if self.has_maps else model
        self._predict = torch.compile(predict, dynamic=False) if compile else predict
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"torch {torch.__version__}, {self.device}, {'bf16' if self.bf16 else 'fp32'}"

    @property
    def concurrency(self) -> int:
        """Two: while it computes one batch, the other is made ready and finished."""
        return 2

    def default_batch(self, tile: int) -> int:
        """On a CPU four tiles of 256² (measured: more or larger ones leave the cache), on a GPU 64."""
        tiles_of_256 = 4 if self.device.type == "cpu" else 64
        return max(1, tiles_of_256 * 256**2 // tile**2)

    def look(self, tiles: Floats) -> Floats:
        """What the network says of each of (B, 3, h, w) as a whole: (B, 1)."""
        return self._thread.submit(self._look, _to_tensor(tiles)).result().numpy()

    def __call__(self, tiles: Floats, looked: Floats | None = None) -> Floats:
        """Restore (B, 3, h, w): the same, or with maps (B, 5, h, w)."""
        said = None if looked is None else _to_tensor(looked)
        return self._thread.submit(self._restore, _to_tensor(tiles), said).result().numpy()

    @torch.inference_mode()
    def _look(self, tiles: Tensor) -> Tensor:
        looked: Tensor = self.model.look(tiles.to(self.device))  # type: ignore[operator]
        return looked.float().cpu()

    def _restore(self, tiles: Tensor, looked: Tensor | None) -> Tensor:
        try:
            return self._forward(tiles, looked)
        except torch.OutOfMemoryError as error:
            if len(tiles) == 1:
                raise UserError(
                    f"{self.device}: out of memory with a single tile of {tiles.shape[-1]} pixels; "
                    "use a smaller tile, or device=cpu"
                ) from error
        half = len(tiles) // 2  # outside the except clause, which would keep the failed batch alive
        return torch.cat([self._restore(tiles[:half], looked), self._restore(tiles[half:], looked)])

    def _forward(self, tiles: Tensor, looked: Tensor | None) -> Tensor:
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            sent = tiles.to(self.device, memory_format=torch.channels_last)
            predicted = self._predict(sent) if looked is None else self._predict(sent, looked.to(self.device))
            restored: Tensor = torch.cat(predicted, dim=1) if self.has_maps else predicted
            # Contiguous again: what follows goes through the rows.
            return restored.float().cpu().contiguous()


def _to_tensor(array: Floats) -> Tensor:
    # Flipped ones have strides that PyTorch does not take.
    return torch.from_numpy(np.ascontiguousarray(array))


def find_device(name: str) -> torch.device:
    """The device of that name, or with ``auto`` the best there is.

    Raises:
        UserError: It is unknown, or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in DEVICES[1:] or not (number.isdigit() or not number):
        raise UserError(f"device={name}: must be one of {', '.join(DEVICES)}, or cuda:1 and so on")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if int(number or 0) >= counts[kind]:
        raise UserError(f"device={name}: not there (PyTorch sees {counts[kind]} of {kind}); use device=cpu")
    return torch.device(name)
