"""What a sweep looks for: the values that a run is judged by."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from manuscript_restore.errors import UserError

COSTS = ("seconds", "parameters")
SCORES = ("psnr", "ssim", "mse", "input_psnr", "input_ssim", "input_mse", "psnr_gain", "ssim_gain", "loss")
"""Of a validation or a test, beside the terms of the loss: ``loss_l1`` …"""


def check_objective(objective: Sequence[str], *, test: bool) -> None:
    """Refuse, before the training, an objective that is misspelt or not measured, and one that is no list.

    Args:
        objective: Of a sweep.
        test: Whether its runs are tested.
    """
    names = [objective] if isinstance(objective, str) else list(objective)
    for name in names:
        split, _, score = str(name).partition("/")
        is_score = split in ("val", "test") and (score in SCORES or score.startswith("loss_"))
        if name not in COSTS and not is_score:
            known = ", ".join(SCORES)
            raise UserError(f"objective={name}: must be seconds, parameters, or val/ or test/ and one of {known}")
        if split == "test" and not test:
            raise UserError(
                f"objective={name}: there is no test; give test=true and data.test_dir, or take val/{score}"
            )
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
