"""The LightningModule: one restorer, one loss, the metrics, the optimiser and its schedule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from manuscript_restore.errors import UserError, check_keys
from manuscript_restore.images.tensors import quantize
from manuscript_restore.metrics import RestorationMetrics
from manuscript_restore.models import build_model
from manuscript_restore.training.losses import CombinedLoss

Batch = Mapping[str, Any]


class RestorationModule(L.LightningModule):
    """Learns degraded → clean.

    A batch holds ``degraded`` and ``clean``, both (B, 3, H, W) in [0, 1], and in training ``ink``, (B, 1, H, W).
    Validation and test score pictures rounded to 8 bits, as a file would hold them, and the degraded input.

    Args:
        model: As `build_model` takes it.
        loss: Arguments of `CombinedLoss`.
        optimizer: Fields of `Schedule`.
        train_metrics_every: Training metrics are computed every so many batches.
        seed: Seed of what the network draws while it trains (stochastic depth).
        damages: Kinds of damage of the training pages; kept in the checkpoint, for the descriptor of the model.
    """

    def __init__(
        self,
        *,
        model: dict[str, Any],
        loss: dict[str, Any],
        optimizer: dict[str, Any],
        train_metrics_every: int = 10,
        seed: int = 0,
        damages: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_keys(CombinedLoss, loss, "loss")
        check_keys(Schedule, optimizer, "optimizer")
        self.schedule = Schedule(**optimizer)
        if train_metrics_every < 1:
            raise UserError(f"module.train_metrics_every={train_metrics_every}: must be at least 1")
        network = build_model(model)
        self.model = network.to(memory_format=network.memory_format)
        self.schedule.freeze(self.model)
        self.loss = CombinedLoss(**loss)
        self.train_metrics = RestorationMetrics("train/")
        self.val_metrics = RestorationMetrics("val/")
        self.val_input_metrics = RestorationMetrics("val/input_")
        self.test_metrics = RestorationMetrics("test/")
        self.test_input_metrics = RestorationMetrics("test/input_")

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore (B, 3, H, W) in [0, 1]."""
        restored: Tensor = self.model(degraded)
        return restored

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Key the global generator to the batch, so that a resumed run draws what the straight one drew."""
        key = (self.hparams["seed"], self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; every term of the loss is logged."""
        prediction = self.model.predict(batch["degraded"])
        terms = self.loss(prediction, batch)
        self.log_dict(_named("train", terms))
        self.log("loss", terms["loss"], prog_bar=True, logger=False)
        if batch_idx % self.hparams["train_metrics_every"] == 0:
            self.train_metrics.update(prediction.image.detach().float(), batch["clean"])
        loss: Tensor = terms["loss"]
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the means of the training metrics."""
        if any(metric.update_called for metric in self.train_metrics.values()):
            self.log_dict(self.train_metrics.compute(), sync_dist=True)  # equal already, as below
        self.train_metrics.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the unfinished means of the training metrics."""
        checkpoint["train_metrics"] = {
            name: dict(metric.metric_state)
            for name, metric in self.train_metrics.items(keep_base=True)
            if metric.update_called
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up again, on one device: all together would count them several times."""
        for name, state in checkpoint.get("train_metrics", {}).items() if self.global_rank == 0 else ():
            metric = self.train_metrics[name]
            for key, value in state.items():
                setattr(metric, key, value.to(metric.device))
            metric._update_count = 1  # else it would call them empty

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch; the restored pictures go to the callbacks."""
        return self._evaluate(batch, "val", self.val_metrics, self.val_input_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Score a batch; the restored pictures go to the callbacks."""
        return self._evaluate(batch, "test", self.test_metrics, self.test_input_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the epoch and their gain over the degraded input."""
        self._log_scores("val", self.val_metrics, self.val_input_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the scores and their gain over the degraded input."""
        self._log_scores("test", self.test_metrics, self.test_input_metrics)

    def _evaluate(
        self, batch: Batch, split: str, metrics: RestorationMetrics, input_metrics: RestorationMetrics
    ) -> dict[str, Tensor]:
        prediction = self.model.predict(batch["degraded"])
        restored = prediction.image.float()
        if not torch.isfinite(restored).all():
            raise UserError("the network diverged: it restores pages to NaN. Try a lower optimizer.lr")
        restored = quantize(restored)
        terms = self.loss(prediction._replace(image=restored), batch)
        # Lightning takes the mean of the sizes over the devices in whole numbers: so it is one.
        size = len(restored) * self.trainer.world_size
        self.log_dict(_named(split, terms), batch_size=size, sync_dist=True)
        metrics.update(restored, batch["clean"])
        input_metrics.update(batch["degraded"], batch["clean"])
        return {"restored": restored}

    def _log_scores(self, split: str, metrics: RestorationMetrics, input_metrics: RestorationMetrics) -> None:
        scores = {**metrics.compute(), **input_metrics.compute()}
        for name in ("psnr", "ssim"):
            scores[f"{split}/{name}_gain"] = scores[f"{split}/{name}"] - scores[f"{split}/input_{name}"]
        self.log_dict(scores, sync_dist=True)  # equal on all devices already: compute() gathers
        self.log("psnr", scores[f"{split}/psnr"], prog_bar=True, logger=False, sync_dist=True)
        metrics.reset()
        input_metrics.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over all parameters that learn, cosine per step; the horizon is the trainer's."""
        num_steps = self.trainer.estimated_stepping_batches
        if math.isinf(num_steps):
            raise UserError(
                "trainer.max_epochs=-1: the cosine needs an end; give a number of epochs (or max_steps)"
            )
        schedule = self.schedule
        # Fused: one pass over the weights and their moments, where the loop over tensors makes a dozen. Float16's
        # scaling it would undo itself, too late for Lightning to clip.
        fused = getattr(self.trainer.precision_plugin, "scaler", None) is None
        learning = [each for each in self.model.parameters() if each.requires_grad]
        optimizer = AdamW(learning, schedule.lr, weight_decay=schedule.weight_decay, fused=fused)
        if fused:
            optimizer._step_supports_amp_scaling = False  # by which PyTorch marks that; here is nothing to undo
        factor = LambdaLR(optimizer, lambda step: schedule.factor(step, num_steps=int(num_steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}


def _named(split: str, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """``train/loss``, ``train/loss_l1`` and so on: plain ``train/ssim`` is the metric."""
    return {f"{split}/loss" if name == "loss" else f"{split}/loss_{name}": term for name, term in terms.items()}


@dataclass(frozen=True)
class Schedule:
    """What AdamW is told (``optimizer``): the learning rate's course, the decay of the weights, and what learns.

    Args:
        lr: Highest learning rate.
        weight_decay: Of all parameters.
        min_lr: End of the cosine.
        warmup_steps: Steps of the linear rise at the start.
        frozen: Parts of the network that do not learn, such as ``encoder``: attributes of it, by name.
    """

    lr: float
    weight_decay: float
    min_lr: float
    warmup_steps: int
    frozen: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay", "min_lr", "warmup_steps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise UserError(f"optimizer.{name}={value}: must be a number of at least 0")
        if self.lr == 0:
            raise UserError("optimizer.lr=0: must be greater than 0")
        if isinstance(self.frozen, str) or not isinstance(self.frozen, Sequence):
            raise UserError(f"optimizer.frozen={self.frozen}: must be a list; write optimizer.frozen=[encoder]")

    def freeze(self, network: nn.Module) -> None:
        """Let the parts that are named learn nothing.

        Raises:
            UserError: The network has no such part with weights, or nothing is left that learns.
        """
        parts = {name for name, part in network.named_children() if next(part.parameters(), None) is not None}
        for name in self.frozen:
            if name not in parts:
                raise UserError(
                    f"optimizer.frozen={name}: no part of this network; it has {', '.join(sorted(parts))}"
                )
            network.get_submodule(name).requires_grad_(False)
        if not any(each.requires_grad for each in network.parameters()):
            raise UserError("optimizer.frozen: nothing is left that learns")

    def factor(self, step: int, *, num_steps: int) -> float:
        """Factor on ``lr`` at a step: linear warm-up, then a half cosine down to ``min_lr``.

        A function of the step alone, so that a run resumed with more epochs follows the longer cosine.

        Source: Loshchilov & Hutter 2017, eq. 5, one cycle.
        """
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        progress = min(1.0, (step - self.warmup_steps) / max(1, num_steps - self.warmup_steps))
        floor = self.min_lr / self.lr
        return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2
