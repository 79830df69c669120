"""How each kind of command that README and docs give is given in a test."""

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from tests.documented import installing, restoring, training
from tests.documented.giving import World


def nothing(_: World, __: list[str]) -> None:
    """See `NOT_RUN`."""


NOT_RUN = {
    r"journalctl -fu \S+": "shows the log of a service that systemd runs",
    r"kraken ": "is not installed, nor its models; the command before it writes the pages that it reads",
    r"sbatch train\.sbatch": "the file is run itself",
    r"wandb sync FOLDER": "sends to a server; the line is printed by a run, which tests/test_tracking.py reads",
    r"mlflow ui ": "needs the whole of MLflow, as the page says",
    r"manuscript-restore evaluate …": "names a command without its arguments",
    r"(for python in .*; do|uv tool run .*|done)$": "needs three Pythons, and the package index",
    r"cp outputs/models/new/": "puts weights into the package",
    r"python -m tests\.test_golden$": "writes the golden file anew",
    r"python -m manuscript_restore\.restore$": "names a command without its arguments",
}
"""Why not."""


@dataclass(frozen=True)
class Way:
    """How commands that begin so are given, and the marker of their tests."""

    begins: str
    give: Callable[[World, list[str]], None]
    mark: str = ""


PYTHON = r"(\.venv/bin/)?python3? "
WAYS = [
    *(Way(begins, nothing) for begins in NOT_RUN),
    Way(rf"{PYTHON}-m manuscript_restore\.train (--help|.*--cfg job)", training.train, "slow"),
    Way(rf"{PYTHON}-m manuscript_restore\.train ", training.train, "processes"),
    Way(rf"{PYTHON}-m manuscript_restore\.evaluate ", training.evaluate, "processes"),
    Way(rf"{PYTHON}-m manuscript_restore\.generate ", training.generate, "slow"),
    Way(rf"{PYTHON}-m benchmarks ", training.benchmark, "processes"),
    Way(rf"{PYTHON}scripts/\w+\.py", training.script, "slow"),
    Way(rf"{PYTHON}-m http\.server ", installing.http_server),
    Way(rf"{PYTHON}-m venv ", installing.environment),
    Way(r"manuscript-restore (export|sweep-report|onnx) ", restoring.command, "processes"),
    Way(r"manuscript-restore .*--ray ", restoring.command, "processes"),
    Way(r"manuscript-restore (view|watch)\b", restoring.command, "slow"),
    Way(r"manuscript-restore ", restoring.command),
    Way(r"make (benchmark-quality|ablate|bench) ", installing.make, "processes"),
    Way(r"make ", installing.make),
    Way(r"(\S*/)?pip install ", installing.pip),
    Way(r"source \.venv/bin/activate$", installing.activate),
    Way(r"\.venv/bin/pre-commit install$", installing.pre_commit),
    Way(r"torchrun ", training.torchrun, "processes"),
    Way(r"#!/bin/bash\n#SBATCH", training.job_script, "processes"),
    Way(r"ocrmypdf ", restoring.ocrmypdf, "processes"),
    Way(r"ray start ", installing.ray_start, "processes"),
    Way(r"ocrd-preprocess-image ", restoring.ocrd),
    Way(r"systemctl enable ", restoring.systemctl),
    Way(r"docker ", restoring.docker),
]


def way_of(line: str) -> Way | None:
    return next((way for way in WAYS if re.match(way.begins, line)), None)


def give(world: World, line: str) -> None:
    """Give one command."""
    way = way_of(line)
    assert way, f"nothing gives this command; tests/documented/ways.py has the ways: {line}"
    way.give(world, [line] if line.startswith("#!") else shlex.split(os.path.expandvars(line)))
