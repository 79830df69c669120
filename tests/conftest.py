"""Shared by the tests: running the real entry point, and folders of small pages."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# The tests' pictures are too small for threads to share, and other tests run beside.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

from manuscript_restore.images import write
from manuscript_restore.synthesis import generate_page

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder of five small clean pages, one of them in a folder of its own."""
    folder = tmp_path / "pages"
    for i in range(5):
        path = folder / ("page_2" if i == 4 else "") / f"page_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(generate_page(1, i, height=90, width=120), path)
    return folder


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call ``train(*overrides)``: the real entry point in this process; returns the run's summary."""
    from manuscript_restore.train import main

    def run(*overrides: str, folder: Path = tmp_path / "run") -> dict[str, Any]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train", *overrides, f"hydra.run.dir={folder}"])
        main()
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
        return summary

    return run
