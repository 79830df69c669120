"""The study of a sweep in a folder: its trials, shared by processes each of which may be killed at any moment."""

import logging
import math
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from manuscript_restore.errors import UserError

log = logging.getLogger(__name__)
NAME = "sweep"
MAX_ATTEMPTS = 3
"""Of a trial whose process is killed each time, perhaps by the trial itself."""


class Study:
    """An Optuna study in a folder.

    ``study.journal`` holds the trials: lines that are only ever added, which also NFS takes from several machines.
    ``study.lock`` is held to write one, and to take the next trials. ``processes/`` has a file for each process
    that takes trials, and for each job, locked as long as it lives: however it ends, the others see it at once.

    Args:
        folder: Where it is, or will be.
        create: Arguments of `optuna.create_study` for a new one; None: it must be there.

    Raises:
        UserError: Optuna is missing, there is no study, or its folder or file cannot be used.
    """

    def __init__(self, folder: Path, create: Mapping[str, Any] | None = None) -> None:
        self.folder = folder.absolute()
        journal = self.folder / "study.journal"
        if not find_spec("optuna"):
            raise UserError("optuna is missing: pip install 'manuscript-restore[optuna]'")
        if create is None and not journal.is_file():
            raise UserError(
                f"{folder}: holds no study.journal; name the folder of a sweep with hparams_search=optuna"
            )
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(self.folder / "study.lock")
            with self.lock:
                _mend(journal)
                self._open(journal, create)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written ({error.strerror or error}); check the folder"
            ) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # whatever a broken line leads to
            raise UserError(
                f"{journal}: damaged ({error}); put it back from a copy, or begin another study with "
                "hydra.sweep.dir=…"
            ) from error

    def _open(self, journal: Path, create: Mapping[str, Any] | None) -> None:
        import optuna

        backend = optuna.storages.journal.JournalFileBackend(str(journal), lock_obj=self.lock)
        self.storage = optuna.storages.JournalStorage(backend)
        if create is None:
            self.optuna = optuna.load_study(study_name=NAME, storage=self.storage)
        else:
            self.optuna = optuna.create_study(study_name=NAME, storage=self.storage, load_if_exists=True, **create)

    def trials(self, *states: str) -> list[Any]:
        """The trials in these states (``"COMPLETE"``, ``"PRUNED"`` …), all without."""
        trials = self.optuna.get_trials(deepcopy=False)
        return [trial for trial in trials if not states or trial.state.name in states]

    def failed(self) -> list[Any]:
        """The trials that will not be done again, by a mistake of their own or for being killed each time."""
        failed = self.trials("FAIL")
        return [t for t in failed if "lost" not in t.user_attrs or t.user_attrs.get("attempt", 1) >= MAX_ATTEMPTS]

    def define(self, definition: dict[str, Any]) -> None:
        """Note what is searched and how, or compare it with what is noted.

        Raises:
            UserError: The study is of something else.
        """
        with self.lock:
            noted = self.optuna.user_attrs.get("definition")
            if noted is None:
                self.optuna.set_user_attr("definition", definition)
                return
        for key, value in definition.items():
            known = noted.get(key)
            if value != known and not (key == "overrides" and known and sorted(value) == sorted(known)):
                raise UserError(
                    f"{self.folder}: this study has {key} {known}, not {value}; give the same command "
                    "to go on, or begin another study with hydra.sweep.dir=…"
                )

    def ask(
        self,
        at_most: int,
        *,
        n_trials: int,
        space: Mapping[str, Any],
        num_sets: float,
        sampler: Callable[[int], Any],
        process: str,
    ) -> list[Any]:
        """The next trials for this process: those of killed processes again, then new ones.

        Args:
            at_most: That many.
            n_trials: How many the study shall have in the end, finished or pruned, by all processes together.
            space: Distribution of each parameter.
            num_sets: How many different sets of parameters that makes.
            sampler: Makes a sampler from the number of trials there are, so that no two draw the same.
            process: Name of this process, as `alive` gave it.

        Returns:
            Optuna's trials; none if there are enough, with those that run.
        """
        with self.lock:
            self._give_up_lost(len(space))
            taken = len(self.trials("COMPLETE", "PRUNED", "RUNNING"))
            free = min(n_trials - taken, num_sets - taken - len(self.failed()))
            asked = []
            for _ in range(int(min(at_most, free))):
                self.optuna.sampler = sampler(len(self.trials()))
                trial = self.optuna.ask(dict(space))
                trial.set_user_attr("process", process)
                asked.append(trial)
            return asked

    def tell(self, number: int, values: Any) -> None:
        """End a trial: with its values, as pruned if it was, as failed without (None, NaN)."""
        trial = self.trials()[number]
        values = [values] if not isinstance(values, Sequence) else list(values)
        good = len(values) == len(self.optuna.directions) and all(
            value is not None and math.isfinite(value) for value in values
        )
        if trial.state.is_finished():
            log.warning("trial %d has been given up meanwhile; its result does not count", number)
        elif "pruned" in trial.user_attrs:
            self.optuna.tell(number, state=_state("PRUNED"))
        elif good:
            self.optuna.tell(number, values)
        else:
            log.error("trial %d failed: its objective is %s", number, values)
            self.optuna.tell(number, state=_state("FAIL"))

    def has_failed(self, number: int) -> bool:
        """Whether a trial that this process has sent has failed, or is no more without having told anything.

        Of the latter this process lets go: it is lost, and done again, unless its job runs on without us.
        """
        trial = self.trials()[number]
        if trial.state.name != "RUNNING":
            return bool(trial.state.name == "FAIL")
        self.note(number, "process", "")
        return not self._lives(job_name(number))

    def excuse(self, number: int) -> None:
        """Do not count this attempt of a running trial: a signal stops it, which is no fault of its own."""
        trial = self.trials()[number]
        if not trial.state.is_finished():
            self.note(number, "attempt", trial.user_attrs.get("attempt", 1) - 1)

    def note(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a running trial."""
        self.storage.set_trial_user_attr(self.trials()[number]._trial_id, key, value)

    def report(self, number: int, step: int, value: float) -> None:
        """Set the score of a running trial at a step."""
        self.storage.set_trial_intermediate_value(self.trials()[number]._trial_id, step, value)

    @contextmanager
    def alive(self, name: str | None = None) -> Iterator[str]:
        """Let the others know that this process lives; yields its name."""
        name = name or f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        path = self.folder / "processes" / name
        path.parent.mkdir(exist_ok=True)
        with FileLock(path):
            try:
                yield name
            finally:
                path.unlink(missing_ok=True)

    def _lives(self, name: str) -> bool:
        path = self.folder / "processes" / name
        if not path.is_file():
            return False
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return True
        return False

    def _give_up_lost(self, num_params: int) -> None:
        """Mark the trials of processes that are no more as failed, and put their parameters in front."""
        for trial in self.trials("RUNNING"):
            if self._lives(str(trial.user_attrs.get("process"))) or self._lives(job_name(trial.number)):
                continue
            attempt = trial.user_attrs.get("attempt", 1)
            self.note(trial.number, "lost", True)
            self.optuna.tell(trial.number, state=_state("FAIL"))  # first: killed here, nothing runs twice
            if len(trial.params) == num_params and attempt < MAX_ATTEMPTS:
                log.info("trial %d: its process was killed; it is done again", trial.number)
                self.optuna.enqueue_trial(trial.params, user_attrs={"attempt": attempt + 1})


class StudyJob:
    """The function of a job, which tells the study itself what came out, from whatever machine it runs on.

    So no result is lost if the process that sent it there, or another job of the same batch, dies.
    """

    def __init__(self, function: Callable[[DictConfig], Any], folder: Path) -> None:
        self.function, self.folder = function, folder

    def __call__(self, config: DictConfig) -> Any:
        """Run it; a job that is stopped (`SystemExit`) leaves its trial to the next process."""
        number = int(HydraConfig.get().sweep.subdir)
        study = Study(self.folder)
        with study.alive(job_name(number)):
            if study.trials()[number].state.is_finished():
                log.warning("trial %d has been given up; nothing to do", number)
                return None
            values = None
            try:
                values = self.function(config)
            except Exception:
                study.tell(number, None)
                raise
            except SystemExit:
                study.excuse(number)
                raise
            study.tell(number, values)
            return values


def job_name(number: int) -> str:
    """Name of a trial's job among the processes."""
    return f"trial-{number}"


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _mend(journal: Path) -> None:
    """Cut off a last line that a full disk or a loss of power left unfinished: Optuna would read no further."""
    if journal.is_file() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
