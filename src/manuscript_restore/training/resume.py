"""``resume=auto``: the last whole checkpoint of the same experiment, and the folder that a run goes on in."""

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, read_write

from manuscript_restore.checkpoint import check_same_model
from manuscript_restore.config import NewFolder, plain
from manuscript_restore.errors import UserError
from manuscript_restore.training.checkpoints import newest
from manuscript_restore.training.devices import is_first_process

HARMLESS = (
    *("ckpt_path", "resume", "output_dir", "test", "logger"),
    *(f"data.{key}" for key in ("num_workers", "cache_gb", "cache_dir", "index_dir", "strict")),
    *(f"trainer.{key}" for key in ("enable_progress_bar", "log_every_n_steps", "max_time", "profiler")),
    *(
        f"callbacks.{key}"
        for key in ("best", "last", "diverged", "learning_rate", "step_times", "pictures", "worst", "progress")
    ),
)
"""Keys, with all below them, that do not change what is learned."""


class RunFolder(NewFolder):
    """Hydra callback: a new folder, or, with ``resume=auto``, that of the run to go on with, and its checkpoint.

    Runs are looked for beside the folder that a new one would get, or in the one that the command line names.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Choose or make the folder of a run."""
        try:
            if config.get("resume") is not None:
                _go_on(config)
        except UserError as error:  # as an exception, Hydra would only warn of it and go on
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        super().on_run_start(config)
        claim(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Make the folder of a sweep."""
        if config.get("resume") is not None:
            print("error: resume goes on with one run, not with a sweep; leave it out", file=sys.stderr)
            sys.exit(1)
        super().on_multirun_start(config)


def _go_on(config: DictConfig) -> None:
    if config.resume != "auto":
        raise UserError(
            f"resume={config.resume}: must be auto or null; a checkpoint of your choice is ckpt_path=FILE"
        )
    if config.ckpt_path is not None:
        raise UserError("resume=auto finds the checkpoint itself, and ckpt_path names one; leave one of them out")
    wanted = Path(config.hydra.run.dir)
    named = any(each.startswith("hydra.run.dir=") for each in config.hydra.overrides.hydra)
    folders = [wanted] if named else wanted.parent.glob("*/")
    runs = [folder for folder in folders if newest(folder / "checkpoints")]
    reason = f"there is no checkpoint in {wanted if named else wanted.parent}"
    for run in sorted(runs, key=_age, reverse=True):
        if different := differences(config, run):
            reason = f"{run} is another experiment: it differs in {', '.join(different[:5])}"
            continue
        if _is_finished(run):
            reason = f"{run} is finished"
            if named:
                _say(reason)
                sys.exit(0)
            break
        if not claim(run):
            reason = f"{run} is still running"
            continue
        if checkpoint := last_whole(run, config):
            _say(f"goes on from {checkpoint}")
            with read_write(config), read_write(config.hydra):
                config.ckpt_path, config.hydra.run.dir = str(checkpoint), str(run)
            return
        reason = f"{run} has no whole checkpoint"
    if named and runs:
        raise UserError(f"resume=auto: {reason}; name another folder (hydra.run.dir), or none")
    _say(f"begins anew, as {reason}")


def last_whole(run: Path, config: DictConfig) -> Path | None:
    """The newest checkpoint of a run that can be gone on from; the others are named on stderr."""
    for path in newest(run / "checkpoints"):
        try:
            with zipfile.ZipFile(path) as archive:  # by the checksums, of which torch takes no notice
                if archive.testzip():
                    raise zipfile.BadZipFile
            check_same_model(path, plain(config.model))
        except (zipfile.BadZipFile, OSError):
            _say(f"{path} is damaged; the one before it is taken")
        except UserError as error:
            _say(f"{str(error).splitlines()[0]}; the one before it is taken")
        else:
            return path
    return None


def differences(config: DictConfig, run: Path) -> list[str]:
    """The keys in which a run differs from a config, without the harmless ones."""
    try:
        old, new = (_flat(each) for each in (OmegaConf.load(run / ".hydra" / "config.yaml"), config))
    except (OSError, ValueError) as error:
        return [f"its config, which cannot be read ({error})"]
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _flat(config: Any) -> dict[str, Any]:
    """Values by dotted key, interpolations as they are written."""
    flat: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", OmegaConf.to_container(config, resolve=False))]
    while pending:
        where, value = pending.pop()
        if where == "hydra" or where in HARMLESS:
            continue
        if isinstance(value, dict) and value:
            pending += [(f"{where}.{key}" if where else str(key), below) for key, below in value.items()]
        else:
            flat[where] = value
    return flat


def _age(run: Path) -> float:
    return newest(run / "checkpoints")[0].stat().st_mtime


def _is_finished(run: Path) -> bool:
    try:
        return bool(json.loads((run / "summary.json").read_text(encoding="utf-8"))["status"] == "finished")
    except (OSError, ValueError, KeyError):
        return False


def claim(run: Path) -> bool:
    """Keep other processes from going on in a folder while this one lives, however it ends."""
    if not is_first_process():
        return True
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = os.open(run / ".lock", os.O_RDWR | os.O_CREAT)  # left open: closing it would end the claim
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _say(text: str) -> None:
    if is_first_process():
        print(f"resume=auto: {text}", file=sys.stderr)
