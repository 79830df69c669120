"""Trainings on two devices: two processes on the CPU, against one."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import FSDPStrategy

from manuscript_restore.config import config_dir, register_resolvers
from manuscript_restore.data.sampler import EpochSampler
from manuscript_restore.errors import UserError
from manuscript_restore.training.devices import check_devices
from tests.conftest import Run

SMOKE = ("experiment=smoke", "data.num_generated={train: 9, val: 3, test: 5}", "data.fresh_pages=9", "logger=null")
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.mark.parametrize("number", [7, 8, 9])
def test_no_page_comes_twice(number: int) -> None:
    for epoch in range(3):
        seen = []
        for rank in range(2):
            sampler = EpochSampler(range(number), 2, rank, seed=0)  # type: ignore[arg-type]
            sampler.set_epoch(epoch)
            seen.append([index for _, index in sampler])
            assert len(sampler) == len(seen[-1])
        assert len(seen[0]) == len(seen[1]) == number // 2  # else one would wait for the other for ever
        assert max(Counter(seen[0] + seen[1]).values()) == 1
    waiting = {(epoch, i) for epoch in range(20) for i in range(7)} - {
        each for epoch in range(20) for rank in range(2) for each in _of(epoch, rank)
    }
    assert len({index for _, index in waiting}) > 3  # not always the same


def _of(epoch: int, rank: int) -> list[tuple[int, int]]:
    sampler = EpochSampler(range(7), 2, rank, seed=0)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    return list(sampler)


def on_two(folder: Path, *overrides: str, launcher: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train in two processes; the summary."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        *launcher,
        "manuscript_restore.train",
        *SMOKE,
        *TWO,
        *overrides,
    ]
    process = subprocess.Popen(
        [*command, f"hydra.run.dir={folder}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, cwd=folder.parent,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=400)
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of them, should they hang
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize(
    ("callbacks", "launcher"),
    [("[checkpoints]", ()), ("[checkpoints,ema]", TORCHRUN)],
    ids=["lightning", "torchrun"],
)
def test_two_processes_are_as_one(train: Run, tmp_path: Path, callbacks: str, launcher: tuple[str, ...]) -> None:
    def on_one(name: str, *overrides: str) -> dict[str, Any]:
        return train(*SMOKE, f"callbacks={callbacks}", *overrides, folder=tmp_path / name)

    first = on_one("run", "trainer.max_epochs=1")
    go_on = ("trainer.max_epochs=2", f"callbacks={callbacks}", f"ckpt_path={first['last_checkpoint']}")
    second = on_two(tmp_path / "run", *go_on, launcher=launcher)
    assert (second["status"], second["epochs"]) == ("finished", 2)
    assert second["steps"] == first["steps"] + 1  # four pages for each of the two
    best = shutil.copy(second["best_checkpoint"], tmp_path)
    third = on_one("run", "trainer.max_epochs=3", f"ckpt_path={second['last_checkpoint']}")
    assert (third["status"], third["epochs"], third["steps"]) == ("finished", 3, second["steps"] + 3)
    # One process that takes over the best weights of the two has their scores.
    again = on_one("again", f"init_from={best}", "trainer.limit_train_batches=0", "callbacks=[checkpoints]")
    of_input = {name: score for name, score in second["scores"].items() if "input" in name}
    assert of_input.keys() == {f"{s}/input_{m}" for s in ("val", "test") for m in ("mse", "psnr", "ssim")}
    assert of_input == pytest.approx({name: first["scores"][name] for name in of_input}, rel=1e-5)
    of_batches = ("test/loss_perceptual", "test/loss")  # with other batches on one device, these are others, too
    of_test = {
        name: score
        for name, score in second["scores"].items()
        if name.startswith("test/") and name not in of_batches
    }
    assert len(of_test) > 8
    assert of_test == pytest.approx({name: again["scores"][name] for name in of_test}, rel=1e-4, abs=1e-5)


def test_fsdp_is_composed_and_built() -> None:
    register_resolvers()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", ["experiment=crops", "trainer=fsdp", "trainer.num_nodes=2", "trainer.devices=4"])
    options = {key: value for key, value in config.trainer.items() if key != "_target_"}
    assert (options["strategy"], options["num_nodes"], options["precision"]) == ("fsdp", 2, "auto")
    with pytest.raises(Exception, match="requires a GPU accelerator"):
        L.Trainer(**{**options, "accelerator": "cpu", "precision": "32-true"})


class Sharded:
    """What `check_devices` looks at of a trainer that FSDP runs; one can be built only where there are GPUs."""

    world_size, gradient_clip_algorithm = 1, None

    def __init__(self, gradient_clip_val: float | None = None, callbacks: tuple[L.Callback, ...] = ()) -> None:
        self.strategy, self.gradient_clip_val, self.callbacks = FSDPStrategy(), gradient_clip_val, callbacks


def test_what_fsdp_cannot_do_is_told_first() -> None:
    check_devices(Sharded(), test=False)  # type: ignore[arg-type]
    for trainer, test, words in (
        (Sharded(), True, "give test=false"),
        (Sharded(1.0), False, r"give trainer\.gradient_clip_val=null"),
        (Sharded(callbacks=(EMAWeightAveraging(),)), False, "leave ema out"),
    ):
        with pytest.raises(UserError, match=words):
            check_devices(trainer, test=test)  # type: ignore[arg-type]


def test_the_batch_script_for_slurm(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "cluster.md").read_text("utf-8")
    (script,) = re.findall(r"```sh\n(#!.*?)```", page, re.DOTALL)
    for name, end in (("srun", "exit ${STATUS_OF_SRUN}"), ("scontrol", "")):  # which note how they are called
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/$(basename "$0").called"\n{end}\n')
        program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    for status, again in ((0, False), (1, False), (143, True)):
        environment = {"PATH": path, "SLURM_JOB_ID": "17", "STATUS_OF_SRUN": str(status)}
        done = subprocess.run(["bash", "-u"], input=script, text=True, env=environment)
        assert done.returncode == status
        assert (tmp_path / "scontrol.called").exists() is again
    assert (tmp_path / "scontrol.called").read_text().split() == ["requeue", "17"]
    words = (tmp_path / "srun.called").read_text().splitlines()
    assert words[1:4] == ["python", "-m", "manuscript_restore.train"]
    assert {"hydra.run.dir=outputs/train/release-17", "resume=auto"} <= set(words)
    register_resolvers()
    with initialize_config_dir(config_dir(), version_base="1.3"):
        config = compose("train", [word for word in words[4:] if not word.startswith(("hydra.", "resume="))])
    tasks = dict(re.findall(r"#SBATCH --(\S+)=(\d+)$", script, re.MULTILINE))
    assert config.trainer.num_nodes == int(tasks["nodes"])
    assert config.trainer.devices == int(tasks["ntasks-per-node"]) == int(tasks["gpus-per-node"])


@pytest.mark.processes
@pytest.mark.slow
def test_processes_that_are_started_one_by_one_need_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "manuscript_restore.train", *SMOKE, *TWO]
    environment = {
        **os.environ, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29599",
    }  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "give hydra.run.dir=" in done.stdout + done.stderr
