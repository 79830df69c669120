"""A training whose loss or gradient is not a finite number any more."""

import logging
import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from manuscript_restore.checkpoint import read_checkpoint
from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.images.figures import contact_sheet
from manuscript_restore.training.checkpoints import newest

log = logging.getLogger(__name__)
ACTIONS = ("stop", "lower_rate")


class Diverged(L.Callback):
    """Saves the batch whose loss or gradient is not finite, and stops, or goes on from before with a lower rate.

    On a GPU the numbers of a batch are looked at after the next one has been started, so that it never waits.

    Args:
        folder: Where the batch goes: ``epoch_003_batch_00017.pt``, read by ``torch.load``, and its pictures.
        checkpoints: Folder of the checkpoints.
        action: ``"stop"``, or ``"lower_rate"``: take the weights and the optimiser of the newest checkpoint, lower
            the learning rate for good, and go on with the next batch.
        factor: Of the learning rate.
        at_most: So often; then stop.
    """

    def __init__(
        self, *, folder: str, checkpoints: str, action: str = "stop", factor: float = 0.5, at_most: int = 3
    ) -> None:
        if action not in ACTIONS:
            raise UserError(f"callbacks.diverged.action={action}: must be one of {', '.join(ACTIONS)}")
        if not 0 < factor < 1:
            raise UserError(f"callbacks.diverged.factor={factor}: must be between 0 and 1")
        self.folder, self.checkpoints = Path(folder), Path(checkpoints)
        self.action, self.factor, self.at_most = action, factor, at_most
        self.lowered: list[int] = []
        """The steps at which the rate was lowered."""
        self._step: Step | None = None
        self._waiting: Step | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the batch."""
        place = {
            "seed": int(pl_module.hparams.get("seed", 0)),
            "epoch": trainer.current_epoch,
            "batch_idx": batch_idx,
        }
        self._step = Step(batch, place | {"step": trainer.global_step, "device": trainer.global_rank})

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Note the loss; on several devices the gradient tells all of them of the loss of one."""
        if self._step is not None and trainer.world_size == 1:
            self._step.note(loss)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Note the norm of the gradient, and look at this batch (on a GPU: the one before).

        Raises:
            UserError: A number is not finite, and the run is to stop.
        """
        assert self._step is not None
        if trainer.scaler is None:  # which looks for itself: with float16 infinite gradients are no mistake
            gradients = [each.grad for each in pl_module.parameters() if each.grad is not None]
            self._step.note(get_total_norm(gradients, foreach=True))
        if pl_module.device.type == "cuda":
            self._step, self._waiting = self._waiting, self._step
        if self._step is not None and not self._step.is_finite():
            self._act(self._step, trainer, pl_module)
            self._waiting = None  # it started from weights that are gone
            optimizer.zero_grad(set_to_none=True)  # the step that follows does nothing then

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the last batch, too.

        Raises:
            UserError: As `on_before_optimizer_step`.
        """
        step, self._waiting = self._waiting, None
        if step is not None and not step.is_finite():
            self._act(step, trainer, pl_module)

    on_train_end = on_validation_start

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"lowered": self.lowered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.lowered = list(state_dict["lowered"])

    def _act(self, step: "Step", trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        place = step.place
        kept = self._keep(step)
        message = (
            f"the loss or its gradient is not finite in epoch {place['epoch']}, batch {place['batch_idx']} "
            f"(step {place['step']}); the batch is kept in {kept}"
        )
        if self.action == "stop":
            raise UserError(f"{message}. Try a lower optimizer.lr, or callbacks.diverged.action=lower_rate")
        if len(self.lowered) >= self.at_most:
            raise UserError(
                f"{message}. The learning rate was lowered {len(self.lowered)} times (callbacks.diverged.at_most) "
                "already; try a lower optimizer.lr"
            )
        path = self._go_back(trainer, pl_module)
        if path is None:
            raise UserError(f"{message}. There is no checkpoint yet to go back to; try a lower optimizer.lr")
        self.lowered.append(place["step"])
        log.warning(
            "%s. Going on with the weights of %s and %s of the learning rate (%d of at most %d times)",
            *(message, path, self.factor, len(self.lowered), self.at_most),
        )

    def _keep(self, step: "Step") -> Path:
        """Write a batch, and its pictures beside it."""
        place = step.place
        device = f"_device_{place['device']}" if place["device"] else ""
        path = self.folder / f"epoch_{place['epoch']:03d}_batch_{place['batch_idx']:05d}{device}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        batch = {part: value.cpu() for part, value in step.batch.items() if isinstance(value, Tensor)}
        with whole_file(path) as unfinished:
            torch.save({**place, "numbers": step.read(), "batch": batch}, unfinished)
        pictures = [batch[part].float().nan_to_num() for part in ("degraded", "clean") if part in batch]
        if pictures:
            rows = [list(row) for row in zip(*pictures, strict=True)]
            contact_sheet(rows, [["degraded", "clean"]] * len(rows)).save(path.with_suffix(".png"))
        return path

    def _go_back(self, trainer: L.Trainer, pl_module: L.LightningModule) -> Path | None:
        """Take weights and optimiser from the newest checkpoint; None if there is none."""
        for path in newest(self.checkpoints):
            try:
                checkpoint = read_checkpoint(path)
            except UserError as error:
                log.warning("%s", error)
                continue
            rates = [[group["lr"] for group in each.param_groups] for each in trainer.optimizers]
            pl_module.load_state_dict(checkpoint["state_dict"])
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):
                    callback.on_load_checkpoint(trainer, pl_module, checkpoint)
            trainer.strategy.load_optimizer_state_dict(checkpoint)
            for config in trainer.lr_scheduler_configs:
                config.scheduler.base_lrs = [each * self.factor for each in config.scheduler.base_lrs]
            for optimizer, lrs in zip(trainer.optimizers, rates, strict=True):
                for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                    group["lr"] = lr * self.factor
            return path
        return None


class Step:
    """A batch, where it stands in the training, and the numbers that came of it.

    Args:
        batch: As the network got it.
        place: Seed, epoch, batch, step, device.
    """

    def __init__(self, batch: dict[str, Any], place: dict[str, int]) -> None:
        self.batch, self.place = batch, place
        self._numbers: list[Tensor] = []
        self._copied: torch.cuda.Event | None = None

    def note(self, number: Tensor) -> None:
        """Note a number, without waiting for it to be computed."""
        number = number.detach().float()
        if not number.is_cuda:
            self._numbers.append(number)
            return
        here = torch.empty_like(number, device="cpu", pin_memory=True)
        self._numbers.append(here.copy_(number, non_blocking=True))
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()

    def read(self) -> list[float]:
        """The numbers, as soon as they are there."""
        if self._copied is not None:
            self._copied.synchronize()
        return [each.item() for each in self._numbers]

    def is_finite(self) -> bool:
        """Whether all of them are."""
        return all(map(math.isfinite, self.read()))
