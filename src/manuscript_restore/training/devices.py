"""Trainings on several devices: what goes together, told before the work and not after hours of it."""

import sys

import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from manuscript_restore.errors import UserError


def is_first_process() -> bool:
    """Whether this is the process of all devices that writes and prints, however they were started."""
    return not getattr(rank_zero_only, "rank", 0)


def check_devices(trainer: L.Trainer, *, test: bool) -> None:
    """Refuse what several devices cannot do.

    Args:
        trainer: With its callbacks and its strategy.
        test: Whether the best checkpoint is to be scored at the end.

    Raises:
        UserError: A sweep on several devices; processes that were started one by one and would write to a folder
            each; with FSDP, what needs the whole network on one device.
    """
    if isinstance(trainer.strategy, FSDPStrategy):
        _check_sharded(trainer, test=test)
    if trainer.world_size == 1 or not HydraConfig.initialized():
        return
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("a sweep runs one job after the other, each on one device; use trainer.devices=1")
    environment = getattr(trainer.strategy, "cluster_environment", None)
    names_folder = any(word.startswith(("hydra.run.dir=", "ckpt_path=")) for word in sys.argv)
    if environment and environment.creates_processes_externally and not names_folder:
        raise UserError(
            "torchrun or SLURM starts every process by itself, and each would name an output folder after its own "
            "start; give hydra.run.dir=outputs/train/NAME"
        )


def _check_sharded(trainer: L.Trainer, *, test: bool) -> None:
    if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise UserError(
            "trainer=fsdp: each device has a part of the weights, and callbacks=ema averages whole ones; leave "
            "ema out, or use trainer=ddp"
        )
    if trainer.gradient_clip_val and trainer.gradient_clip_algorithm in (None, "norm"):
        raise UserError(
            "trainer=fsdp: Lightning cannot clip the norm of gradients of which each device has a part; give "
            "trainer.gradient_clip_val=null, or use trainer=ddp"
        )
    if test:
        raise UserError(
            "trainer=fsdp: the best checkpoint is not loaded into a network in parts; give test=false, and score "
            "it on one device: manuscript-restore evaluate"
        )
