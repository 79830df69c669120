"""Loggers from their config sections, and what a finished run leaves in memory."""

import contextlib
import gc
import logging
import os
import sys
from importlib.util import find_spec
from netrc import netrc
from typing import Any
from urllib.parse import urlparse

import torch
from omegaconf import DictConfig, open_dict

from manuscript_restore.config import build, chosen
from manuscript_restore.errors import UserError

log = logging.getLogger(__name__)
OFFLINE = {"online": False, "run": False, "shared": False, "offline": True, "dryrun": True}
"""What the values of ``WANDB_MODE`` mean, beside ``disabled``."""


def build_loggers(group: DictConfig | None) -> list[Any]:
    """The loggers of a config group.

    Raises:
        UserError: As `config.build`; or W&B is asked to send the run, and has no account.
    """
    loggers = [_build_logger(section, where) for where, section in chosen(group, "logger")]
    return [each for each in loggers if each is not None]


def release() -> None:
    """Free what the run held: the jobs of a sweep share one process, and W&B would go on in the old run."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _build_logger(section: DictConfig, where: str) -> Any:
    """Build a logger; ``WANDB_MODE``, where it is set, is what W&B does, and decides before the config."""
    if not str(section.get("_target_")).endswith("WandbLogger"):
        return build(section, where)
    mode = os.environ.get("WANDB_MODE")
    if mode == "disabled":
        log.info("%s: left out, as WANDB_MODE=disabled says", where)
        return None
    if mode and mode not in OFFLINE:
        raise UserError(f"WANDB_MODE={mode}: must be online, offline or disabled")
    offline = OFFLINE[mode] if mode else bool(section.get("offline"))
    if not offline and find_spec("wandb") and not _has_account():
        asked = f"WANDB_MODE={mode}" if mode else f"{where}.offline=false"
        raise UserError(
            f"{asked}: there is no W&B account on this machine. Run `wandb login` first, or log offline "
            "(WANDB_MODE=offline) and send the run later"
        )
    with open_dict(section):
        section.offline = offline
    return build(section, where)


def _has_account() -> bool:
    import wandb  # an extra: only those who log to it have it

    settings = wandb.Settings()
    with contextlib.suppress(FileNotFoundError):
        if netrc().authenticators(urlparse(settings.base_url).hostname or ""):
            return True
    return settings.mode == "offline" or bool(os.environ.get("WANDB_API_KEY"))
