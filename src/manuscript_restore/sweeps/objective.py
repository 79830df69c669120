"""What a sweep looks for: the values that a run is judged by."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from manuscript_restore.errors import UserError


def check_objective(objective: Sequence[str]) -> None:
    """Refuse a misspelt objective before the training, and one that is no list."""
    names = [objective] if isinstance(objective, str) else list(objective)
    for name in names:
        if name not in ("seconds", "parameters") and not str(name).startswith(("val/", "test/")):
            raise UserError(f"objective={name}: must be seconds, parameters, or a score: val/psnr, test/ssim …")
    if isinstance(objective, str) or not names:
        raise UserError(f"objective={objective}: must be a list: objective=[val/psnr]")


def objective_values(summary: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """The values of a run's objectives: the best epoch's ``val/psnr``, other scores as they were at the end."""
    known = {
        **summary.get("scores", {}),
        "seconds": summary.get("seconds"),
        "parameters": summary.get("parameters"),
    }
    if summary["objective"] is not None:
        known["val/psnr"] = summary["objective"]
    return [math.nan if known.get(name) is None else float(known[name]) for name in names]
