"""Loggers from their config sections, and what a finished run leaves in memory."""

import contextlib
import gc
import os
import sys
from importlib.util import find_spec
from netrc import netrc
from typing import Any
from urllib.parse import urlparse

import torch
from omegaconf import DictConfig

from manuscript_restore.config import build
from manuscript_restore.errors import UserError


def build_logger(section: DictConfig, where: str) -> Any:
    """Build a logger; one that would ask for an account on the terminal is refused instead."""
    online = section["_target_"].endswith("WandbLogger") and not section.get("offline")
    if online and find_spec("wandb"):
        import wandb  # an extra: only those who log to it have it

        settings = wandb.Settings()
        host = urlparse(settings.base_url).hostname or ""
        with contextlib.suppress(FileNotFoundError):
            if netrc().authenticators(host):
                return build(section, where)
        if settings.mode != "offline" and not os.environ.get("WANDB_API_KEY"):
            raise UserError(
                f"{where}.offline=false: there is no W&B account on this machine. Run `wandb login` first, or "
                f"log offline ({where}.offline=true) and send the run later"
            )
    return build(section, where)


def release() -> None:
    """Free what the run held: the jobs of a sweep share one process, and W&B would go on in the old run."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
