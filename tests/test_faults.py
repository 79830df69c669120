"""A training that is hit in the middle of an epoch equals the straight one when it has gone on."""

import csv
import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from manuscript_restore.train import main

TINY = (
    "experiment=smoke",
    "data.image_size=32",
    "data.num_generated={train: 10, val: 4, test: 2}",
    "data.batch_size=2",
    "data.val_batch_size=1",
    "data.augment.photometric=1",
    "model.drop_path_rate=0.2",
    "loss.perceptual.weight=0",
    "test=false",
    "trainer.max_epochs=3",
    "module.train_metrics_every=2",
    "callbacks=[checkpoints,ema]",
    "callbacks.progress=null",
    "callbacks.ema.decay=0.7",
)
"""Three epochs of five steps, each followed by four batches of validation."""


class SignalAt(Callback):
    """Sends this process a signal in a hook, when so many batches have ended."""

    def __init__(self, hook: str, step: int, signum: int = signal.SIGTERM) -> None:
        def hit(trainer, *_, **__) -> None:
            if trainer.fit_loop.total_batch_idx + 1 == step and not trainer.sanity_checking:
                signal.raise_signal(signum)

        setattr(self, hook, hit)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Call ``command(*overrides)``: the real entry point in this process; returns the exit status."""

    def run(*overrides: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train", *overrides])
        try:
            main()
        except SystemExit as exit_:
            return exit_.code
        return 0

    return run


def state(run: Path) -> dict:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {
        key: checkpoint[key]
        for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "global_step")
        if key in checkpoint
    }


def assert_same(a, b, where="") -> None:
    """Bit for bit."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}.{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def logged(run: Path) -> dict[tuple[str, str], str]:
    """Every number that was logged, by name and step; of steps done twice the later one."""
    values = {}
    for file in sorted(run.glob("csv/version_*/metrics.csv")):
        with file.open() as rows:
            for row in csv.DictReader(rows):
                values |= {(name, row["step"]): value for name, value in row.items() if value}
    return values


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "moments"),
    [
        (
            ("data.num_workers=2",),
            [("on_train_batch_end", 2), ("on_validation_batch_end", 5), ("on_train_epoch_end", 10)],
        ),
        (
            ("trainer.accumulate_grad_batches=2", "+trainer.val_check_interval=2"),
            [("on_train_batch_end", 1), ("on_validation_batch_end", 4), ("on_before_backward", 7)],
        ),
        (
            ("+trainer.max_steps=14", "trainer.check_val_every_n_epoch=2"),
            [("on_train_batch_end", 5), ("on_train_batch_end", 8), ("on_validation_start", 10)],
        ),
        (
            ("trainer.limit_val_batches=0", "trainer.limit_train_batches=4", "callbacks=[checkpoints]"),
            [("on_train_batch_end", 4), ("on_train_epoch_end", 8), ("on_train_batch_start", 9)],
        ),
    ],
)
def test_a_signal_at_any_moment(command, tmp_path, options, moments):
    assert command(*TINY, *options, "hydra.run.dir=straight") == 0
    ckpt = []
    for hook, step in moments:
        hit = f"+callbacks.hit={{_target_: tests.test_faults.SignalAt, hook: {hook}, step: {step}}}"
        assert command(*TINY, *options, hit, *ckpt, "hydra.run.dir=hit") == 143
        ckpt = ["ckpt_path=hit/checkpoints/last.ckpt"]
    assert command(*TINY, *options, *ckpt, "hydra.run.dir=hit") == 0
    assert_same(state(tmp_path / "straight"), state(tmp_path / "hit"))
    assert_same(logged(tmp_path / "straight"), logged(tmp_path / "hit"))
    scores = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("straight", "hit")]
    assert scores[0]["objective"] == scores[1]["objective"]
