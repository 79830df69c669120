"""Where the time of a training step goes."""

import time
from itertools import pairwise
from typing import Any

import lightning as L
import torch

from manuscript_restore.errors import UserError
from manuscript_restore.tracking.logged import TIMES

PARTS = tuple(name.removeprefix("time/") for name in TIMES[:-1])
"""Of a step, in order: waiting for its batch; network; loss; gradients; clipping, update and average."""


class StepTimes(L.Callback):
    """Logs the mean seconds of a step and of its `PARTS` as ``time/step``, ``time/data`` and so on.

    Args:
        every_n_steps: Log after so many. On a GPU only the last of them is measured, for each of its parts must be
            waited for.
    """

    def __init__(self, *, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise UserError(f"callbacks.step_times.every_n_steps={every_n_steps}: must be at least 1")
        self.every_n_steps = every_n_steps
        self._measured: list[list[float]] = []  # a step's ends of parts, after the end of the step before it
        self._marks: list[float] | None = None
        self._end = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Have the loss say when it begins."""
        loss: torch.nn.Module = pl_module.loss  # type: ignore[assignment]
        self._hook = loss.register_forward_pre_hook(lambda *_: self._mark(pl_module))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the loss alone."""
        self._hook.remove()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on the first batch is waited for."""
        self._end = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is there."""
        if pl_module.device.type != "cuda" or self._is_due(batch_idx):
            self._marks = [self._end]
            self._mark(pl_module)

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        """The loss is there."""
        self._mark(pl_module)

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The gradients are there."""
        self._mark(pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The weights are new; log."""
        if self._marks is not None:
            self._mark(pl_module)
            self._measured.append(self._marks)
            self._marks = None
        if self._is_due(batch_idx):
            times = self._means()
            for logger in trainer.loggers:
                logger.log_metrics(times, step=trainer.global_step)
        self._end = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A validation within the epoch is no waiting for the next batch."""
        self._end = time.perf_counter()

    def _is_due(self, batch_idx: int) -> bool:
        return (batch_idx + 1) % self.every_n_steps == 0

    def _mark(self, pl_module: L.LightningModule) -> None:
        if self._marks is None:
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        self._marks.append(time.perf_counter())

    def _means(self) -> dict[str, float]:
        parts = [[end - start for start, end in pairwise(marks)] for marks in self._measured]
        means = [sum(column) / len(parts) for column in zip(*parts, strict=True)]
        self._measured = []
        return dict(zip(TIMES, [*means, sum(means)], strict=True))
