"""Loggers from their config sections, pictures and tables for those that take them, and a run's end."""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock  # torch has it
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from omegaconf import DictConfig, open_dict
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from manuscript_restore.config import build, chosen
from manuscript_restore.errors import UserError
from manuscript_restore.tracking.account import has_account
from manuscript_restore.tracking.facts import Kind

log = logging.getLogger(__name__)
OFFLINE = {"online": False, "run": False, "shared": False, "offline": True, "dryrun": True}
"""What the values of ``WANDB_MODE`` mean, beside ``disabled``."""
SQLITE = "sqlite:///"


class OfflineWandbLogger(WandbLogger):
    """Lightning's, with checkpoints as artifacts offline, too: the training gives them to it when it is done.

    Args:
        log_model: Whether it wants them.
        options: Of Lightning's, and of ``wandb.init()``.
    """

    def __init__(self, *, log_model: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.wants_models = log_model


def build_loggers(group: DictConfig | None, kind: Kind) -> list[Any]:
    """The loggers of a config group.

    Args:
        group: The sections.
        kind: Of the run: what W&B and MLflow sort it by, where the config says nothing else.

    Raises:
        UserError: As `config.build`; or W&B is asked to send the run, and has no account.
    """
    loggers = [_build_logger(section, where, kind) for where, section in chosen(group, "logger")]
    return [each for each in loggers if each is not None]


def log_picture(logger: Any, key: str, picture: Image.Image, *, step: int) -> None:
    """Give a picture to W&B, TensorBoard or MLflow; other loggers take none."""
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [picture], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, pil_to_tensor(picture), step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, picture, key=key, step=step)


def log_table(logger: Any, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, step: int) -> None:
    """Give a table to W&B or, without its pictures, to MLflow; other loggers take none.

    Args:
        logger: Any.
        key: Name of the table.
        columns: Their names.
        rows: Cells: text, numbers, and pictures (3, H, W) in [0, 1].
        step: Of the training.
    """
    if isinstance(logger, WandbLogger):
        cells = [[_wandb_image(cell) if isinstance(cell, Tensor) else cell for cell in row] for row in rows]
        logger.log_table(key, columns=list(columns), data=cells, step=step)
    elif isinstance(logger, MLFlowLogger):
        plain = [[cell for cell in row if not isinstance(cell, Tensor)] for row in rows]
        names = [name for name, cell in zip(columns, rows[0], strict=True) if not isinstance(cell, Tensor)]
        logger.experiment.log_dict(logger.run_id, {"columns": names, "data": plain}, f"{key}/step_{step:07d}.json")


def _wandb_image(picture: Tensor) -> Any:
    import wandb  # an extra: only those who log to it have it

    return wandb.Image(picture.permute(1, 2, 0).numpy())


def release() -> None:
    """Free what the run held: the jobs of a sweep share one process, and W&B would go on in the old run."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _build_logger(section: DictConfig, where: str, kind: Kind) -> Any:
    target = str(section.get("_target_"))
    if target.endswith("WandbLogger"):
        return _build_wandb(section, where, kind)
    if target.endswith("MLFlowLogger"):
        return _build_mlflow(section, where, kind)
    return build(section, where)


def _build_wandb(section: DictConfig, where: str, kind: Kind) -> Any:
    """Build W&B's logger; ``WANDB_MODE``, where it is set, is what it does, and decides before the config."""
    mode = os.environ.get("WANDB_MODE")
    if mode == "disabled":
        log.info("%s: left out, as WANDB_MODE=disabled says", where)
        return None
    if mode and mode not in OFFLINE:
        raise UserError(f"WANDB_MODE={mode}: must be online, offline or disabled")
    offline = OFFLINE[mode] if mode else bool(section.get("offline"))
    if not offline and find_spec("wandb") and not has_account():
        asked = f"WANDB_MODE={mode}" if mode else f"{where}.offline=false"
        raise UserError(
            f"{asked}: there is no W&B account on this machine. Run `wandb login` first, or log offline "
            "(WANDB_MODE=offline) and send the run later"
        )
    with open_dict(section):
        section.offline = offline
        section.job_type = section.get("job_type") or kind.job_type
        section.group = section.get("group") or kind.group
        section.tags = section.get("tags") or list(kind.tags)
    return build(section, where)


def _build_mlflow(section: DictConfig, where: str, kind: Kind) -> Any:
    """Build MLflow's logger; it sends no usage statistics, unless the environment asks for that."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # else it tells of every table that it makes
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    with open_dict(section):
        known = {"job_type": kind.job_type, "group": kind.group} | dict(tag.split("=", 1) for tag in kind.tags)
        section.tags = {key: value for key, value in known.items() if value} | dict(section.get("tags") or {})
    uri = str(section.get("tracking_uri") or "")
    if not uri.startswith(SQLITE):
        return build(section, where)
    database = Path(uri.removeprefix(SQLITE)).absolute()  # MLflow goes on in what it opened first by a name
    database.parent.mkdir(parents=True, exist_ok=True)
    section.tracking_uri = f"{SQLITE}{database}"
    # Two runs that start at once would both make the tables, and the second would fail.
    with FileLock(database.with_name(f".{database.name}.lock")):
        logger = build(section, where)
        _ = logger.experiment
    return logger
