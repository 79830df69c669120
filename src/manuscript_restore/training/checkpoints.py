"""Checkpoints: whole or not there, and of a moment between two batches, from which a run goes on exactly."""

import errno
import io
import logging
import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging

from manuscript_restore.errors import UserError
from manuscript_restore.files import unfinished_name, whole_file
from manuscript_restore.training.stopping import STOP, signals_wait

log = logging.getLogger(__name__)
PREVIOUS = "previous.ckpt"
"""What ``last.ckpt`` was before."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, whatever comes in between.

    Lightning's own goes by way of the temporary folder, which may be too small, and is copied, not renamed, from
    there to another disk.

    A checkpoint for which there is no room waits in memory, for the next one or for `finish`, while the training
    goes on.
    """

    def __init__(self) -> None:
        self._waiting: dict[Path, tuple[memoryview, str | None]] = {}
        self._can_write = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write it, and what waits.

        Args:
            checkpoint: What to write.
            path: Where.
            storage_options: ``{"keep_as": NAME}``: the file that is there gets that name.

        Raises:
            UserError: Not even the first one can be written.
        """
        path = Path(path)
        content = io.BytesIO()  # by way of memory: torch's own writer does not say that a disk is full
        torch.save(checkpoint, content)
        self._waiting[path] = (content.getbuffer(), (storage_options or {}).get("keep_as"))
        try:
            self.finish()
        except UserError as error:
            if not self._can_write:
                raise
            last = newest(path.parent)
            log.warning(
                "%s. Training goes on; the checkpoint waits in memory and is written as soon as there is room. %s",
                error,
                f"{last[0]} is as it was" if last else "There is no other one",
            )

    def finish(self) -> None:
        """Write what waits.

        Raises:
            UserError: It still cannot be written; what is there is as it was.
        """
        for path, (content, keep_as) in list(self._waiting.items()):
            with signals_wait():
                try:
                    _write(content, path, keep_as)
                except UserError as error:
                    if not _make_room(path.parent, error):
                        raise
                    _write(content, path, keep_as)
            del self._waiting[path]
            self._can_write = True


def _write(content: memoryview, path: Path, keep_as: str | None) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({error.strerror})") from error
    with whole_file(path) as unfinished:
        with unfinished.open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())  # before the other file moves
        if keep_as and path.exists():
            _keep(path, path.with_name(keep_as))


def _make_room(folder: Path, error: UserError) -> bool:
    """On a full disk, do without the checkpoint before the last one."""
    full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full or not (folder / PREVIOUS).exists() or not (folder / "last.ckpt").exists():
        return False
    (folder / PREVIOUS).unlink()
    return True


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name, at which another may lie."""
    second = unfinished_name(kept)
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # a file system without links: for a moment there is no file of the first name
        path.replace(kept)
    else:
        second.replace(kept)
        second.unlink(missing_ok=True)  # which is still there if both were the same file


def newest(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest first."""
    paths = folder.glob("*.ckpt")
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.stem == "last"), reverse=True)


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt``: at the end of an epoch, every few minutes within it, and when a signal ends the run.

    The one before stays as ``previous.ckpt``. On several devices all of them stop after the same batch; a signal
    that comes during their validation, where they do not talk to each other, waits for its end.

    Args:
        folder: Where it goes.
        every_minutes: Within an epoch; None: at its end only.
    """

    def __init__(self, *, folder: str, every_minutes: float | None = 10.0) -> None:
        if every_minutes is not None and not every_minutes >= 0:
            raise UserError(f"callbacks.last.every_minutes={every_minutes}: must be at least 0, or null")
        self.path = Path(folder) / "last.ckpt"
        self.every_minutes = every_minutes
        self.scores: dict[str, float] = {}
        """Of the validation, as the last finished epoch logged them."""
        self._saves = False

    def save(self, trainer: L.Trainer) -> None:
        """Write the checkpoint now, between two steps of the optimiser; none of broken weights."""
        if not all(torch.isfinite(each).all() for each in trainer.lightning_module.parameters()):
            return
        trainer.save_checkpoint(self.path, storage_options={"keep_as": PREVIOUS})
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From now on a signal waits until the training can be saved."""
        self._saved_at = time.monotonic()
        self._saves = not trainer.fast_dev_run  # type: ignore[attr-defined]
        STOP.patient = self._saves

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time; after the last batch the validation or the end of the epoch follow, and do."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch and self._save_if_due(trainer):
            _end(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if it is time."""
        if self._save_if_due(trainer):
            raise STOP.stopped()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Break the validation off if a signal says so: a resumed run begins with all of it."""
        if STOP.signum and self._saves and trainer.world_size == 1 and _has_stepped(trainer):
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):  # which has put the averaged weights into the network
                    callback.on_validation_epoch_end(trainer, pl_module)
            self.save(trainer)
            raise STOP.stopped()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save."""
        if self._saves:
            logged = trainer.callback_metrics.items()
            self.scores = {name: float(value) for name, value in logged if name.startswith("val/")}
            self.save(trainer)
            if trainer.strategy.reduce_boolean_decision(bool(STOP.signum), all=False):
                _end(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A signal need not wait any more."""
        self._saves = STOP.patient = False
        if STOP.signum:
            raise STOP.stopped()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """A signal need not wait any more."""
        self._saves = STOP.patient = False

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.scores = dict(state_dict["scores"])

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Have the checkpoint stand between two batches or two epochs."""
        stand_between_batches(checkpoint["loops"]["fit_loop"], num_batches=trainer.num_training_batches)

    def _save_if_due(self, trainer: L.Trainer) -> bool:
        """Save if it is time or a signal came; whether one came, to any of the devices."""
        if not self._saves or not _has_stepped(trainer):
            return False
        minutes = (time.monotonic() - self._saved_at) / 60
        due = trainer.is_global_zero and self.every_minutes is not None and minutes >= self.every_minutes
        # One question for the devices to agree on after most batches, not two.
        if not trainer.strategy.reduce_boolean_decision(due or bool(STOP.signum), all=False):
            return False
        self.save(trainer)
        return bool(trainer.strategy.reduce_boolean_decision(bool(STOP.signum), all=False))


class StepOfLoggers(L.Callback):
    """Sets the step that numbers are logged at: in a run that goes on, Lightning's count may be off by one.

    To be the first of the callbacks, as others log when a batch starts.
    """

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set it."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def _end(trainer: L.Trainer) -> None:
    """Have Lightning end the training once the numbers of this batch or epoch are logged."""
    trainer._signal_connector.received_sigterm = True


def _has_stepped(trainer: L.Trainer) -> bool:
    """Whether the optimiser has stepped after the last batch: gathered gradients are in no checkpoint."""
    last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return last or (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0


def stand_between_batches(loops: dict[str, Any], *, num_batches: float) -> None:
    """Move the counters of Lightning's loops to the moment after a batch or an epoch, with nothing half-done.

    Lightning has several moments of its own, by the hook that saves. From some of them a resumed run skips a
    validation, from others, with ``max_steps`` or ``max_time``, the rest of an epoch or a whole one.

    Args:
        loops: Of a checkpoint, changed in place. Its last batch is done. The validation that may follow on it is
            not, and will be.
        num_batches: Of an epoch.
    """
    epoch, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validation = loops["epoch_loop.val_loop.batch_progress"]
    begun_epochs = epoch["current"]["ready"]
    within = epoch["current"]["processed"] < begun_epochs or batches["current"]["ready"] < num_batches
    for counts in (epoch["total"], epoch["current"]):
        counts["processed"] = counts["completed"] = counts["ready"] - int(within)
    for counts in (batches["total"], batches["current"]):
        counts["completed"] = counts["ready"]
    begun = int(within)  # by its first batch: Lightning then begins it again
    for counts in (validation["total"], validation["current"]):
        counts |= {"ready": begun, "started": begun, "processed": 0, "completed": 0}
    if not within:
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
