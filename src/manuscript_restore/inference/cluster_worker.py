"""One worker of a cluster: a process that has loaded the model, and restores the pages that it is given."""

import hashlib
import os
import pickle
import platform
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import manuscript_restore
from manuscript_restore.errors import UserError
from manuscript_restore.inference.job import Job
from manuscript_restore.inference.output import Outcome, Output
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.restorer import Restorer
from manuscript_restore.inference.shared import Mark
from manuscript_restore.released import find_model, identify


@dataclass(frozen=True)
class Work:
    """What every worker does.

    Args:
        load: Makes the restorer; called in the worker.
        output: What is written.
        mark: Of the output folder.
        jobs: Files in work at a time.
        num_threads: What a worker computes on.
        start: Folder that relative paths start from; None: all are absolute.
    """

    load: Callable[[], Restorer]
    output: Output
    mark: Mark
    jobs: int = 2
    num_threads: int = 1
    start: Path | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a worker does not work; its page, if it had one, is for another."""

    reason: str


@cache
def code() -> str:
    """Version of this package, and a hash of its modules: two machines with the same do the same."""
    package, digest = Path(manuscript_restore.__file__).parent, hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version('manuscript-restore')} ({digest.hexdigest()[:12]})"


def load(model: str, sha256: str, **options: Any) -> Restorer:
    """The restorer of a model by name or path.

    Args:
        model: As `find_model` takes it.
        sha256: Of its weights.
        options: Of `Restorer.from_checkpoint`.

    Raises:
        UserError: As that; or the weights are others.
    """
    path = find_model(model)
    if (here := identify(path).sha256) != sha256:
        raise UserError(f"model {model}: has weights {here[:12]} and not {sha256[:12]}; give all nodes the same")
    return Restorer.from_checkpoint(path, **options)


class Worker:
    """Restores pages in a process of the cluster; several calls at once.

    Args:
        code: What `code` says where the work comes from.
        work: A `Work`, pickled: it may not be readable with another version.
    """

    def __init__(self, code: str, work: bytes) -> None:
        self._code, self._work = code, work
        self._shares: dict[Path, float] = {}

    def open(self) -> tuple[str, str | Refusal]:
        """Load the model: the name of the worker, and that of the engine or why it cannot do the work."""
        warnings.simplefilter("ignore")
        return f"worker {os.getpid()} on {platform.node()}", self._load()

    def _load(self) -> str | Refusal:
        try:
            if code() != self._code:
                raise UserError(f"has manuscript-restore {code()} and not {self._code}; install the same there")
            work: Work = pickle.loads(self._work)
            os.environ["OMP_NUM_THREADS"] = str(work.num_threads)
            self._go_to(work.start)
            self._held = work.mark.hold()
            if self._held is None:
                raise UserError(
                    f"does not see the output folder {work.mark.path.parent} as it is here; input and output must "
                    "lie where all nodes see them"
                )
            self._job = Job(work.load(), work.output, jobs=work.jobs, on_progress=self._note)
        except UserError as error:
            return Refusal(str(error))
        except Exception as error:  # of a library that is broken there: other nodes may do
            return Refusal(f"{type(error).__name__}: {error}")
        return self._job.restorer.backend.description

    def _go_to(self, start: Path | None) -> None:
        try:
            if start:
                os.chdir(start)
        except OSError as error:
            raise UserError(f"does not see the folder {start} ({error.strerror}); give absolute paths") from error

    def restore(self, task: Task, is_there: bool) -> tuple[Outcome, bool] | Refusal:
        """Restore a file.

        Args:
            task: The file.
            is_there: Whether it is, where the work comes from.

        Returns:
            What became of it, and whether a file of ``page_xml`` belonged to any so far.
        """
        if is_there and not task.source.exists():
            return Refusal(f"does not see {task.source}; input and output must lie where all nodes see them")
        try:
            outcome = self._job.restore(task)
        finally:
            self._shares.pop(task.target, None)
        page_xml = self._job.output.page_xml
        return outcome, page_xml is not None and page_xml.is_used

    def shares(self) -> dict[Path, float]:
        """How far the files in work are, by their target."""
        return self._shares.copy()

    def stop(self) -> None:
        """Leave the files in work as cleanly as an interrupted job does."""
        self._job.stop()

    def _note(self, task: Task, share: float) -> None:
        self._shares[task.target] = share
