"""A training that is asked to stop: by a cluster, by Ctrl-C, in the middle of a write, of an epoch, of a sweep."""

import csv
import errno
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from manuscript_restore.config import config_dir, launch
from manuscript_restore.data.workers import explain_worker
from manuscript_restore.errors import UserError
from manuscript_restore.train import main
from manuscript_restore.training import stopping
from manuscript_restore.training.checkpoints import WholeCheckpoints

QUICK = (
    "experiment=smoke",
    "data=pages",
    "data.train_dir=pages",
    "data.image_size=32",
    "data.num_workers=0",
    "degradation=none",
    "degradation@val_degradation=none",
    "loss.perceptual.weight=0",
    "callbacks.progress=null",
    "callbacks.pictures=null",
    "logger=[]",
)


class Signal(Callback):
    """Sends this process a signal in the first batch of an epoch."""

    def __init__(self, signum: int, epoch: int) -> None:
        self.signum, self.epoch = signum, epoch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.current_epoch == self.epoch:
            signal.raise_signal(self.signum)


def signal_in(epoch: int, signum: int) -> str:
    return f"+callbacks.signal={{_target_: tests.test_stopping.Signal, epoch: {epoch}, signum: {signum}}}"


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Call ``command(*arguments)``: the real entry point; returns exit status and what was printed."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return code, printed

    return run


def how_to_go_on(printed: str) -> list[str]:
    """The arguments of the command that was printed, as a shell takes it apart."""
    (line,) = (line for line in printed.splitlines() if "to go on: " in line)
    python, m, module, *arguments = shlex.split(line.split("to go on: ")[1])
    assert [python, m, module] == ["python", "-m", "manuscript_restore.train"]
    return arguments


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_sigterm_in_the_middle_of_a_write(command, tmp_path, monkeypatch):
    """The write is finished, and the command that is printed goes on from it, whatever the folder is called."""
    save = torch.save

    def slow_save(checkpoint, content) -> None:
        if checkpoint["epoch"] == 1:
            signal.raise_signal(signal.SIGTERM)
        save(checkpoint, content)

    monkeypatch.setattr(torch, "save", slow_save)
    (tmp_path / "pages").rename(tmp_path / "it's, a=b")
    names = ('data.train_dir="it\'s, a=b"', 'name="it\'s, a=b"')
    options = (*QUICK, *names, "trainer.max_epochs=3", "callbacks.best=null")
    code, printed = command(*options)
    assert code == 143
    (run,) = (tmp_path / "outputs" / "train" / "it's, a=b").iterdir()
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous.ckpt"}
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
    monkeypatch.setattr(torch, "save", save)
    assert "interrupted" in (run / "train.log").read_text()

    arguments = how_to_go_on(printed)
    assert set(options) < set(arguments)
    code, printed = command(*arguments)
    assert code == 0
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["epochs"]) == ("finished", 3)
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_ctrl_c_during_the_imports_prints_nothing(tmp_path):
    (tmp_path / "lightning.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-m", "manuscript_restore.train"]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_the_line_to_go_on_keeps_the_config(tmp_path, monkeypatch):
    shutil.copytree(config_dir(), tmp_path / "configs")
    (tmp_path / "configs" / "train.yaml").rename(tmp_path / "configs" / "mine.yaml")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    monkeypatch.chdir(tmp_path)
    named = ["--config-path", str(tmp_path / "configs"), "--config-name", "mine"]
    monkeypatch.setattr(sys, "argv", ["train", *named, "seed=3", "hydra.run.dir=run"])
    lines = []
    launch(lambda _: lines.append(stopping.how_to_go_on(tmp_path)), "train")
    assert how_to_go_on(lines[0]) == [*named, "seed=3", "ckpt_path=checkpoints/last.ckpt"]


def test_on_a_full_disk_checkpoints_wait_for_room(tmp_path, monkeypatch, caplog):
    """The one that was there stays; the first of a run must be written."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    files = WholeCheckpoints()
    files.save_checkpoint({"epoch": 1}, last)
    full = r"last\.ckpt: cannot be written \(No space left on device\)"
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", refuse)
        files.save_checkpoint({"epoch": 2}, last, {"keep_as": "previous.ckpt"})
        assert re.search(full, caplog.text)
        assert f"{last} is as it was" in caplog.text
        with pytest.raises(UserError, match=full):
            files.finish()
        with pytest.raises(UserError, match=full):
            WholeCheckpoints().save_checkpoint({"epoch": 1}, last)
        assert torch.load(last) == {"epoch": 1}
        assert list(tmp_path.iterdir()) == [last]
    files.save_checkpoint({"epoch": 3}, best)
    assert [torch.load(tmp_path / f"{name}.ckpt")["epoch"] for name in ("best", "last", "previous")] == [3, 2, 1]

    def refuse_beside_previous(*_):
        if (tmp_path / "previous.ckpt").exists():
            refuse()

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", refuse_beside_previous)
        files.save_checkpoint({"epoch": 4}, best)
    assert [torch.load(tmp_path / f"{name}.ckpt")["epoch"] for name in ("best", "last")] == [4, 2]


@pytest.mark.usefixtures("pages")
def test_ctrl_c_before_the_first_checkpoint(command, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    code, printed = command(*QUICK, signal_in(0, signal.SIGINT), "callbacks.last=null", "hydra.run.dir=run")
    assert code == 130
    assert printed.count("interrupted before its first checkpoint, nothing to go on from") == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_stopped_sweep_leaves_its_table(command, tmp_path):
    stop = signal_in(1, signal.SIGTERM)
    sweep = ("trainer.max_epochs=1,2,3", "hydra.sweep.dir=sweep")
    code, printed = command("-m", *QUICK, stop, *sweep)
    assert code == 143
    with (tmp_path / "sweep" / "results.csv").open() as file:
        rows = {row["trainer.max_epochs"]: row["status"] for row in csv.DictReader(file)}
    assert rows == {"1": "finished", "2": "interrupted"}
    assert not (tmp_path / "sweep" / "2").exists()
    arguments = how_to_go_on(printed)
    assert "trainer.max_epochs=2" in arguments
    assert "ckpt_path=sweep/1/checkpoints/last.ckpt" in arguments


def run_python(*arguments: str, cwd: Path, **options) -> subprocess.Popen:
    """A process of its own, in a group of its own as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def ready(process: subprocess.Popen, folder: Path) -> None:
    """Wait for the first checkpoint."""
    while process.poll() is None and not (folder / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_of_processes(tmp_path, signum):
    """What a terminal sends on Ctrl-C, and a cluster at the end of a job's time: workers get it too."""
    cli = ("-c", "from manuscript_restore.cli import main; main()", "train")
    options = ("data.num_workers=2", "trainer.max_epochs=100000", "hydra.run.dir=run")
    process = run_python(*cli, *QUICK, *options, cwd=tmp_path)
    ready(process, tmp_path / "run")
    os.killpg(process.pid, signum)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert "Traceback" not in printed
    assert "ckpt_path=run/checkpoints/last.ckpt" in how_to_go_on(printed)


class KillWorker(Callback):
    """Does to a worker what the kernel does when memory ends."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == 1:
            (worker, *_) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_killed_worker_gives_one_message(command, tmp_path):
    kill = "+callbacks.kill={_target_: tests.test_stopping.KillWorker}"
    code, printed = command(*QUICK, kill, "data.num_workers=1", "trainer.max_epochs=3", "hydra.run.dir=run")
    assert code == 1
    assert printed.count("data.num_workers=0") == 1
    error = json.loads((tmp_path / "run" / "summary.json").read_text())["error"]
    assert re.search("worker process (is killed by signal: Killed|exited unexpectedly) while", error)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_too_small_a_shared_memory_gives_one_message(tmp_path):
    """What Docker gives unless told otherwise is little, and hung the training."""
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && "$@"'
    small = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount)
    if not shutil.which("unshare") or subprocess.run([*small, "sh", "true"], capture_output=True).returncode:
        pytest.skip("no folder can be mounted here")
    train = (sys.executable, "-m", "manuscript_restore.train", *QUICK, "data.num_workers=2", "data.image_size=128")
    done = subprocess.run([*small, "sh", *train], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("docker run --shm-size") == 1
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "is killed by signal: Killed while",
        ),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "exited unexpectedly while"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible"), "/dev/shm"),
        (
            UserError("Caught UserError in …\nOriginal Traceback …\nmanuscript_restore.errors.UserError: a.png"),
            "a.png",
        ),
        (UserError("a.png: is empty"), None),
        (RuntimeError("shape mismatch"), None),
    ],
)
def test_what_pytorch_says_of_workers(error, message):
    explained = explain_worker(error)
    assert explained is None if message is None else message in str(explained)
    assert "Traceback" not in str(explained)
