"""A training that is hit in the middle of an epoch equals the straight one when it has gone on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from manuscript_restore.train import main
from manuscript_restore.training.resume import claim

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


class HitAt(Callback):
    """Sends this process a signal (0: asks Lightning to stop) in a hook, when so many batches have ended."""

    def __init__(self, hook: str, step: int, signum: int = signal.SIGTERM) -> None:
        def hit(trainer, *_, **__) -> None:
            if trainer.fit_loop.total_batch_idx + 1 == step and not trainer.sanity_checking:
                if signum:
                    signal.raise_signal(signum)
                else:
                    trainer.should_stop = True

        setattr(self, hook, hit)


# In a place that may differ between runs of one experiment.
HIT = "callbacks.progress={{_target_: tests.test_faults.HitAt, hook: {}, step: {}}}"


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
@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
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
            ("trainer.limit_val_batches=0", "trainer.limit_train_batches=4"),
            [("on_train_batch_end", 4), ("on_train_epoch_end", 8), ("on_train_batch_start", 9)],
        ),
    ],
)
def test_a_signal_at_any_moment(command, tmp_path, options, moments):
    assert command(*TINY, *options, "hydra.run.dir=straight") == 0
    ckpt = []
    for hook, step in moments:
        assert command(*TINY, *options, HIT.format(hook, step), *ckpt, "hydra.run.dir=hit") == 143
        ckpt = ["ckpt_path=hit/checkpoints/last.ckpt"]
    assert command(*TINY, *options, *ckpt, "hydra.run.dir=hit") == 0
    assert_same(state(tmp_path / "straight"), state(tmp_path / "hit"))
    assert_same(logged(tmp_path / "straight"), logged(tmp_path / "hit"))
    scores = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("straight", "hit")]
    assert scores[0]["objective"] == scores[1]["objective"]


@pytest.mark.slow
def test_a_training_that_ends_within_an_epoch_goes_on_there(command, tmp_path):
    """As ``trainer.max_time`` ends it."""
    assert command(*TINY, "hydra.run.dir=straight") == 0
    stop = HIT.format("on_train_batch_end", 7)[:-1] + ", signum: 0}"
    assert command(*TINY, stop, "hydra.run.dir=halves") == 0
    assert state(tmp_path / "halves")["global_step"] == 7
    assert command(*TINY, "ckpt_path=halves/checkpoints/last.ckpt", "hydra.run.dir=halves") == 0
    assert_same(state(tmp_path / "straight"), state(tmp_path / "halves"))


@pytest.mark.slow
def test_after_the_last_epoch_nothing_is_done_twice(command, tmp_path):
    options = (*TINY, "trainer.max_epochs=1", "test=true", "hydra.run.dir=run")
    hit = HIT.format("on_test_start", 5)
    assert command(*options, hit) == 143
    assert command(*options, "ckpt_path=run/checkpoints/last.ckpt") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["scores"]["val/psnr"] == summary["objective"]
    assert "test/psnr" in summary["scores"]


def start(*overrides: str, folder: Path) -> subprocess.Popen:
    command = (sys.executable, "-m", "manuscript_restore.train", *TINY, *overrides)
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
    with (folder / "printed.txt").open("a") as printed:
        options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": path}, "start_new_session": True}
        return subprocess.Popen(command, stdout=printed, stderr=printed, **options)


@pytest.mark.processes
@pytest.mark.slow
def test_kill_9(tmp_path):
    """In a batch, and while a checkpoint is written: the same command goes on from the last one that is whole."""
    for number in (7, 11):
        kill = HIT.format("on_train_batch_start", number)[:-1] + f", signum: {int(signal.SIGKILL)}}}"
        process = start(
            "resume=auto", "hydra.run.dir=run", "callbacks.last.every_minutes=0", kill, folder=tmp_path
        )
        assert process.wait(300) == -signal.SIGKILL
        assert state(tmp_path / "run")["global_step"] == number - 1
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    for options in (("resume=auto", "hydra.run.dir=run"), ("hydra.run.dir=straight",)):
        assert start(*options, folder=tmp_path).wait(300) == 0
    assert "last.ckpt is damaged; the one before it is taken" in (tmp_path / "printed.txt").read_text()
    assert_same(state(tmp_path / "straight"), state(tmp_path / "run"))


@pytest.mark.processes
@pytest.mark.slow
def test_two_devices_stop_together(tmp_path):
    """After the same batch, though only the second one gets the signal; nobody waits for ever."""
    two = ("trainer.devices=2", "+trainer.strategy=ddp", "data.num_generated.train=20")
    process = start(*two, "hydra.run.dir=run", "callbacks.last.every_minutes=0", folder=tmp_path)
    while process.poll() is None and not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    second = [
        int(each) for each in children if b"train_ddp_process_1" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]
    os.kill(*second, signal.SIGTERM)
    assert process.wait(120) == 143
    assert 0 < state(tmp_path / "run")["global_step"] < 15
    for options in (("resume=auto", "hydra.run.dir=run"), ("hydra.run.dir=straight",)):
        assert start(*two, *options, folder=tmp_path).wait(300) == 0
    assert_same(state(tmp_path / "straight"), state(tmp_path / "run"))


HOLD = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_is_one_process_s(tmp_path):
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / ".lock"], **options) as holder:
        holder.stdout.readline()
        assert not claim(tmp_path)
        holder.kill()
    assert claim(tmp_path)


class Poison(Callback):
    """Spoils a weight or its gradient, each time so many batches have ended."""

    def __init__(self, what: str, steps: list[int]) -> None:
        self.what, self.steps = what, steps

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step in self.steps and self.what == "weight":
            next(pl_module.parameters()).data.fill_(torch.nan)

    def on_after_backward(self, trainer, pl_module) -> None:
        if trainer.global_step in self.steps and self.what == "gradient":
            next(pl_module.parameters()).grad.fill_(torch.inf)


POISON = "+callbacks.poison={{_target_: tests.test_faults.Poison, what: {}, steps: {}}}"


@pytest.mark.slow
def test_the_batch_of_a_loss_that_is_not_finite_is_kept(command, tmp_path):
    assert command(*TINY, POISON.format("weight", [8]), "hydra.run.dir=run") == 1
    said = (tmp_path / "run" / "train.log").read_text()
    assert "not finite in epoch 1, batch 3 (step 8)" in said
    assert "callbacks.diverged.action=lower_rate" in said
    (kept,) = (tmp_path / "run" / "diverged").glob("*.pt")
    assert kept.with_suffix(".png").is_file()
    found = torch.load(kept, weights_only=True)
    assert {key: found[key] for key in ("seed", "epoch", "batch_idx", "step")} == {
        "seed": 0,
        "epoch": 1,
        "batch_idx": 3,
        "step": 8,
    }
    assert found["batch"]["degraded"].shape == (2, 3, 32, 32)
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 5
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_the_rate_is_lowered_and_training_goes_on(command, tmp_path):
    options = (*TINY, "callbacks.diverged.action=lower_rate", "trainer.max_epochs=2")
    assert command(*options, "hydra.run.dir=straight") == 0
    poison = POISON.format("gradient", [6, 8])
    assert command(*options, poison, "hydra.run.dir=lowered") == 0
    rates = [
        {int(step): float(value) for (name, step), value in logged(tmp_path / run).items() if name == "lr-AdamW"}
        for run in ("straight", "lowered")
    ]
    factors = {step: round(rates[1][step] / rate, 6) for step, rate in rates[0].items()}
    assert factors == dict.fromkeys(range(7), 1) | {7: 0.5, 8: 0.5, 9: 0.25}
    last = torch.load(tmp_path / "lowered" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in last["state_dict"].values())
    assert json.loads((tmp_path / "lowered" / "summary.json").read_text())["rate_lowered_at"] == [6, 8]
    # Steps 6 and 8 did nothing but go back to step 5; AdamW counts 5, and one of each batch that followed.
    steps = {int(each["step"]) for each in last["optimizer_states"][0]["state"].values()}
    assert steps == {6}

    assert command(*options, poison, "callbacks.diverged.at_most=1", "hydra.run.dir=enough") == 1


@pytest.fixture
def runs(command, tmp_path):
    """A folder with an interrupted run in ``outputs/train/smoke``."""
    assert command(*TINY, "callbacks.last.every_minutes=0", HIT.format("on_train_batch_end", 8)) == 143
    return tmp_path / "outputs" / "train" / "smoke"


@pytest.mark.slow
def test_resume_auto(command, runs, tmp_path, capfd):
    """From a whole checkpoint of the same experiment, once; a cut one falls back to the one before."""
    (first,) = runs.iterdir()
    last, previous = (first / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous"))
    content = bytearray(last.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)  # a block that never reached the disk
    last.write_bytes(content)

    assert command(*TINY, "resume=auto", "seed=1", "trainer.max_epochs=1") == 0
    printed = capfd.readouterr().err
    assert "resume=auto: begins anew" in printed
    assert "is another experiment: it differs in seed, trainer.max_epochs" in printed

    assert command(*TINY, "resume=auto", "data.num_workers=1") == 0
    printed = capfd.readouterr().err
    last, previous = (path.relative_to(tmp_path) for path in (last, previous))
    assert f"{last} is damaged; the one before it is taken" in printed
    assert f"goes on from {previous}" in printed
    assert len(list(runs.iterdir())) == 2
    assert command(*TINY, "hydra.run.dir=straight") == 0
    assert_same(state(tmp_path / "straight"), state(first))

    assert command(*TINY, "resume=auto", f"hydra.run.dir={first}") == 0
    assert f"resume=auto: {first} is finished" in capfd.readouterr().err
