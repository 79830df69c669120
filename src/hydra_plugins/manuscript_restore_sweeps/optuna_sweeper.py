"""Hydra's sweeper on Optuna: ``hparams_search=optuna``. Hydra finds plugins in ``hydra_plugins`` only."""

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
"""At the study, while others have the last trials."""


class OptunaSweeper(Sweeper):
    """Runs the trials of a study in the folder of the sweep; several processes may, and each may be killed.

    Args:
        n_trials: That the study shall have in the end, finished or pruned, by all processes and calls together.
        n_jobs: Trials that the launcher gets at once.
        direction: ``maximize`` or ``minimize``, for each objective.
        sampler: Section of one of Optuna's.
        seed: Of the sampler.
        max_failed: Trials that may fail one after the other; then this process gives up.
        params: What to search, as overrides with a sweep of Hydra's: ``{optimizer.lr: "interval(1e-5, 1e-3)"}``.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int,
        direction: list[str],
        sampler: DictConfig,
        seed: int,
        max_failed: int,
        params: Mapping[str, Any] | None,
    ) -> None:
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, list(direction)
        self.sampler, self.seed, self.max_failed = sampler, seed, max_failed
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, whose jobs tell the study their results."""
        from manuscript_restore.sweeps.study import StudyJob

        self.hydra_context, self.config = hydra_context, config  # what `validate_batch_is_legal` reads
        self._context, self._config = hydra_context, config
        self.folder = Path(config.hydra.sweep.dir).absolute()
        job = StudyJob(task_function, self.folder)
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=job, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has enough."""
        from manuscript_restore.errors import UserError

        try:
            self._sweep(arguments)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except SystemExit as end:
            if end.code != 1:  # but by a signal
                log.warning("interrupted; to go on with the sweep, give the same command again")
            raise

    def _sweep(self, arguments: list[str]) -> None:
        from manuscript_restore.errors import UserError
        from manuscript_restore.sweeps.study import Study

        words = [f"{key}={value}" for key, value in self.params.items()] + arguments
        overrides = OverridesParser.create(config_loader=self._context.config_loader).parse_overrides(words)
        swept = {each.get_key_element(): each for each in overrides if each.is_sweep_override()}
        fixed = [str(each.input_line) for each in overrides if not each.is_sweep_override()]
        if not swept:
            example = "'optimizer.lr=tag(log, interval(1e-5, 1e-3))'"
            raise UserError(f"nothing to search; say what, for example: {example}, or in hydra.sweeper.params")
        self._check(swept)
        study = Study(self.folder, {"directions": self.direction})
        self._space = {key: distribution(each) for key, each in swept.items()}
        self._check_jobs(fixed)
        objective = OmegaConf.to_container(self._config.objective) if "objective" in self._config else None
        study.define(
            {
                "objective": objective,
                "direction": self.direction,
                "params": {key: each.get_value_string() for key, each in sorted(swept.items())},
                "overrides": fixed,
            }
        )
        OmegaConf.save(self._config, self.folder / "multirun.yaml")
        with study.alive() as process:
            self._run(study, process, fixed)

    def _check(self, swept: Mapping[str, Override]) -> None:
        from manuscript_restore.errors import UserError
        from manuscript_restore.sweeps.objective import check_objective

        where = "hydra.sweeper"
        for name, number in (
            ("n_trials", self.n_trials),
            ("n_jobs", self.n_jobs),
            ("max_failed", self.max_failed),
        ):
            if number < 1:
                raise UserError(f"{where}.{name}={number}: must be 1 or more")
        if not set(self.direction) <= {"maximize", "minimize"}:
            raise UserError(f"{where}.direction={self.direction}: each must be maximize or minimize")
        objective = self._config.get("objective", self.direction)
        if "objective" in self._config:
            check_objective(objective, test=bool(self._config.get("test")))
        if len(objective) != len(self.direction):
            raise UserError(
                f"objective={list(objective)}, {where}.direction={self.direction}: each needs its own direction"
            )
        if len(self.direction) > 1 and OmegaConf.select(self._config, "callbacks.pruning") is not None:
            raise UserError(
                "pruning needs a single objective; for several, choose hparams_search=pareto, "
                "or callbacks.pruning=null"
            )
        monitor = OmegaConf.select(self._config, "callbacks.pruning.monitor")
        if monitor is not None and not str(monitor).startswith("val/"):
            raise UserError(
                f"callbacks.pruning.monitor={monitor}: must be a score of each epoch's validation, as val/psnr; "
                "or give callbacks.pruning=null"
            )

    def _check_jobs(self, fixed: list[str]) -> None:
        """Compose a job for each choice, so that a misspelt one shows now and not in the last trial."""
        choices = {key: list(getattr(each, "choices", None) or [each.low]) for key, each in self._space.items()}
        for i in range(max(map(len, choices.values()))):
            params = {key: values[min(i, len(values) - 1)] for key, values in choices.items()}
            self.validate_batch_is_legal([[*fixed, *_words(params)]])

    def _run(self, study: Any, process: str, fixed: list[str]) -> None:
        from manuscript_restore.sweeps.samplers import num_sets

        failed = 0
        waiting = False
        while failed < self.max_failed:
            running = study.trials("RUNNING")  # before asking: what fails meanwhile is asked for again
            trials = study.ask(
                self.n_jobs,
                n_trials=self.n_trials,
                space=self._space,
                num_sets=num_sets(self._space),
                sampler=self._sampler,
                process=process,
            )
            if trials:
                failed = self._launch(study, [trial.number for trial in trials], fixed, failed)
            elif not running:
                break
            else:
                if not waiting:
                    log.info("%d trials run in other processes; waiting for their end", len(running))
                waiting = True
                time.sleep(LOOK_EVERY_S)
        done = len(study.trials("COMPLETE", "PRUNED"))
        log.info("%d of %d trials are done, %d failed: %s", done, self.n_trials, len(study.failed()), self.folder)
        if failed >= self.max_failed:
            log.error("the last %d trials failed; mend that and give the same command again", failed)
        elif done < self.n_trials:
            log.info("there are no more than %d sets of parameters", num_sets(self._space))

    def _sampler(self, number: int) -> Any:
        """A new one for each trial: seeded the same, one that goes on would draw again what it drew before."""
        import numpy as np

        from manuscript_restore.config import build
        from manuscript_restore.sweeps.samplers import NoRepeats

        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        return NoRepeats(build(self.sampler, "hydra.sweeper.sampler", seed=seed), self._space, seed)

    def _launch(self, study: Any, numbers: list[int], fixed: list[str], failed: int) -> int:
        """Run trials; returns how many failed one after the other, with those before."""
        jobs = [
            [*fixed, *_words(study.trials()[number].params), f"hydra.sweep.subdir={number}"] for number in numbers
        ]
        try:
            results = self._launcher.launch(jobs, initial_job_idx=numbers[0])
        except Exception as error:  # by one of the jobs; the others tell the study what they reach
            log.error("%s: %s", type(error).__name__, error)
            results = []
        for result in results:
            try:
                _ = result.return_value
            except Exception as error:
                log.error("job %s: %s: %s", result.overrides, type(error).__name__, error)
        for number in numbers:
            failed = failed + 1 if study.has_failed(number) else 0
        return failed


def distribution(override: Override) -> Any:
    """Optuna's distribution of what a sweep of Hydra's runs over.

    ``a,b`` and ``choice(a, b)`` are choices, ``range(1, 9, 2)`` is 1, 3, 5, 7, ``interval(0, 1)`` is continuous,
    ``int(interval(1, 8))`` whole numbers with both ends; ``tag(log, …)`` makes an interval logarithmic.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from manuscript_restore.errors import UserError

    value: Any = override.value()
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = IntDistribution if whole else FloatDistribution
        try:
            return kind(value.start, value.end, log="log" in value.tags)
        except ValueError as error:
            raise UserError(f"{override.input_line}: {error}") from error
    items: list[Any] = list(override.sweep_iterator(Transformer.encode))
    if not items:
        raise UserError(f"{override.input_line}: nothing to choose from")
    if override.is_range_sweep():
        steps = sorted(items)
        step = steps[1] - steps[0] if len(steps) > 1 else 1
        kind = IntDistribution if all(isinstance(each, int) for each in steps) else FloatDistribution
        return kind(steps[0], steps[-1], step=step)
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in items)
    return CategoricalDistribution(items if numbers else list(override.sweep_string_iterator()))


def _words(params: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]
