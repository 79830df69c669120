"""How a training ends before its time: SIGTERM (a cluster, ``kill``) or SIGINT (Ctrl-C), checkpoints whole."""

import contextlib
import io
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException

from manuscript_restore.config import config_dir, override
from manuscript_restore.files import whole_file

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_S = 2.0
"""A signal that comes later than this after the first ends the process at once; shells send one twice."""


class Stopped(SIGTERMException):  # no error; Lightning's own, so that it can be caught as one
    """Raised in the main thread by a signal; ``code`` is the exit status: 128 + the signal's number."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Stopped` while the block runs.

    Unlike KeyboardInterrupt it reaches the end of the command through everything that Lightning and Hydra catch.
    """
    first: list[float] = []

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if not first:
            first.append(time.monotonic())
            raise Stopped(128 + signum)
        if time.monotonic() - first[0] > PATIENCE_S:
            os._exit(128 + signum)

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Let a signal that comes while the block runs wait for its end."""
    came: list[int] = []
    with _handled_by(lambda signum, _: came.append(signum)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals nowhere else
        yield
        return
    before = {each: signal.signal(each, handler) for each in SIGNALS}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


class OwnSignals(L.Callback):
    """Keeps Lightning's handlers out: with several devices they talk to each other, and wait for ever."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Note the handlers."""
        self._handlers = {each: signal.getsignal(each) for each in SIGNALS}

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put them back."""
        if threading.current_thread() is threading.main_thread():
            for each, handler in self._handlers.items():
                signal.signal(each, handler)

    on_train_start = on_test_start = on_sanity_check_start

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """End the processes of the other devices, which may wait for this one."""
        launcher = trainer.strategy.launcher
        if isinstance(exception, Stopped) and isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGKILL)
            launcher.procs.clear()  # else Lightning's watch over them would kill this one too


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, whatever comes in between.

    Lightning's own goes by way of the temporary folder, which may be too small, and is copied, not renamed, from
    there to another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write it.

        Raises:
            UserError: It cannot be written; the one that was there is as it was.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with signals_wait(), whole_file(path) as unfinished:
            content = io.BytesIO()  # by way of memory: torch's own writer does not say that a disk is full
            torch.save(checkpoint, content)
            unfinished.write_bytes(content.getbuffer())


def how_to_go_on(output_dir: Path) -> str:
    """The command that goes on with the Hydra job that runs, from the last checkpoint in its folder."""
    folder = output_dir / "checkpoints"
    last = max(folder.glob("*.ckpt"), key=lambda path: (path.stem == "last", path.stat().st_mtime), default=None)
    if last is None:
        return "interrupted before its first checkpoint, nothing to go on from: give the same command again"
    if last.is_relative_to(Path.cwd()):
        last = last.relative_to(Path.cwd())
    job = HydraConfig.get()
    sources = [source.path for source in job.runtime.config_sources if source.provider == "command-line"]
    words = [word for path in sources for word in ("--config-dir", path)]
    main = next(source.path for source in job.runtime.config_sources if source.provider == "main")
    words += ["--config-path", main] if main != config_dir() else []
    words += ["--config-name", name] if (name := str(job.job.config_name)) != "train" else []
    words += [each for each in job.overrides.task if not each.startswith("ckpt_path=")]
    words += [override("ckpt_path", str(last))]
    return f"interrupted; to go on: python -m manuscript_restore.train {shlex.join(words)}"
