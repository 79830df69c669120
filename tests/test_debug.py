"""configs/debug: each group does what its header says."""

import csv
import json
from pathlib import Path

import pytest

from manuscript_restore.config import build, compose, config_dir
from manuscript_restore.training.precision import resolve

KINDS = sorted(path.stem for path in Path(config_dir(), "debug").glob("*.yaml"))
SMALL = ("experiment=smoke", "data.image_size=32", "data.num_generated={train:4,val:2,test:2}")
CHEAP = ("loss.perceptual.weight=0", "callbacks=[checkpoints]", "callbacks.progress=null")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("experiment", ["crops", "release", "smoke"])
def test_every_kind_goes_with_every_experiment(kind, experiment):
    config = compose("train", f"experiment={experiment}", f"debug={kind}", "output_dir=out")
    config.trainer.precision = resolve(config.trainer.precision, accelerator="cpu")
    assert config.name == "debug"  # so that its folder is not taken for the experiment's
    build(config.trainer, "trainer", logger=False, default_root_dir="out")


def test_they_are_those_that_readers_expect():
    assert KINDS == ["fast", "limit", "overfit", "profile"]


@pytest.mark.slow
def test_fast_runs_one_batch_and_leaves_no_checkpoint(train, tmp_path):
    summary = train(*SMALL, *CHEAP, "debug=fast")
    assert (summary["status"], summary["steps"]) == ("finished", 1)
    assert not summary["best_checkpoint"]
    assert {"val/psnr", "test/psnr"} <= summary["scores"].keys()
    assert not list((tmp_path / "run").rglob("*.ckpt"))
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


@pytest.mark.slow
def test_overfit_learns_its_batch(train, tmp_path):
    settings = ("trainer.max_epochs=15", "optimizer.lr=3e-3")
    summary = train(*SMALL, *CHEAP, "debug=overfit", *settings, "callbacks.pictures=null")
    assert summary["steps"] == 15
    (table,) = (tmp_path / "run").rglob("metrics.csv")
    losses = [
        float(row["train/loss"]) for row in csv.DictReader(table.read_text().splitlines()) if row["train/loss"]
    ]
    assert losses[-1] < 0.7 * losses[0]
