"""Whether W&B knows an account on this machine."""

import contextlib
import os
from netrc import netrc
from urllib.parse import urlparse


def has_account() -> bool:
    """Whether it does, for the server that its settings name; without asking it."""
    import wandb  # an extra: only those who log to it have it

    settings = wandb.Settings()
    with contextlib.suppress(FileNotFoundError):
        if netrc().authenticators(urlparse(settings.base_url).hostname or ""):
            return True
    return settings.mode == "offline" or bool(os.environ.get("WANDB_API_KEY"))
