"""Stands in for the training in tests of sweeps: a parabola with its best learning rate at 3e-3.

Each call adds its parameters to ``started.txt``; ``seed=13`` fails.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from manuscript_restore.config import launch

SECONDS = float(os.environ.get("SECONDS_A_TRIAL", "0"))


def job(config: DictConfig) -> float | list[float]:
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (folder.parent / "started.txt").open("a") as file:
        file.write(f"{folder.name} {config.optimizer.lr!r} {config.seed} {os.getpid()}\n")
    time.sleep(SECONDS)
    if config.seed == 13:
        raise RuntimeError("thirteen")
    score = 30 - (math.log10(config.optimizer.lr) - math.log10(3e-3)) ** 2
    summary = {"status": "finished", "objective": score}
    (folder / "summary.json").write_text(json.dumps(summary))
    return [score, 1000 * config.optimizer.lr][: len(config.objective)]


if __name__ == "__main__":
    sys.exit(launch(job, "train"))
