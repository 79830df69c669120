"""How a training ends before its time: by the signal of a cluster, of ``kill`` or of Ctrl-C."""

import contextlib
import multiprocessing
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
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException

from manuscript_restore.config import config_dir, override
from manuscript_restore.data.workers import LEAVE

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Of a cluster or ``kill``, of Ctrl-C, and what SLURM's ``--signal=USR1@60`` sends a minute before the end."""
PATIENCE_S = 2.0
"""A signal that comes later than this after the first ends the process at once; shells send one twice."""


class Stopped(SIGTERMException):  # no error; Lightning's own, so that it can be caught as one
    """Raised in the main thread after a signal; ``code`` is the exit status: 128 + the signal's number."""


class Stop:
    """Handles the signals: raises `Stopped` at once, or, while a training can be saved, notes what was asked for.

    Attributes:
        patient: Whether somebody looks at ``signum`` every now and then.
        signum: The signal that came; 0: none.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the signal of an earlier run of this process."""
        self.patient, self.signum, self._at = False, 0, 0.0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """The handler."""
        if self.signum:
            if time.monotonic() - self._at > PATIENCE_S:
                os._exit(128 + signum)
            return
        self.signum, self._at = signum, time.monotonic()
        if not self.patient:
            raise self.stopped()
        # Not by way of a logger, whose writing this may have interrupted.
        os.write(2, b"\nstopping: the batch is finished and saved first; a second signal ends the run at once\n")

    def stopped(self) -> Stopped:
        """What ends the run, for the one who is patient to raise; the signal may have come to another process."""
        return Stopped(128 + (self.signum or signal.SIGTERM))


STOP = Stop()
"""Of this process."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Let `STOP` handle the signals while the block runs.

    Unlike KeyboardInterrupt, `Stopped` reaches the end of the command through everything that Lightning and Hydra
    catch.
    """
    STOP.reset()
    with _handled_by(STOP):
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
        """End the processes of the other devices, which may wait for this one, and the workers.

        A worker would finish its batch first, and a cluster gives half a minute for all.
        """
        if isinstance(exception, SIGTERMException):
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, LEAVE)  # type: ignore[arg-type]
        launcher = trainer.strategy.launcher
        if isinstance(exception, SIGTERMException) and isinstance(launcher, _SubprocessScriptLauncher):
            launcher.kill(signal.SIGKILL)
            launcher.procs.clear()  # else Lightning's watch over them would kill this one too


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
    words += [each for each in job.overrides.task if not each.startswith(("ckpt_path=", "resume="))]
    words += [override("ckpt_path", str(last))]
    return f"interrupted; to go on: python -m manuscript_restore.train {shlex.join(words)}"
