"""The report of a sweep: Optuna's plots, the trials and the best as a command, in one file that opens offline."""

import copy
import logging
import shlex
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf, open_dict

from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.sweeps.study import Study

log = logging.getLogger(__name__)
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of the study in a sweep's folder, of what is there by now.

    Args:
        folder: Of the sweep.
        output: The HTML file; None: ``report.html`` in the folder.

    Returns:
        The file.

    Raises:
        UserError: There is no study, or the extra is missing.
    """
    output = output or folder / "report.html"
    study = Study(folder)
    plotlyjs = _plotly().offline.get_plotlyjs()
    trials = [trial for trial in study.trials() if "lost" not in trial.user_attrs]
    states = [STATES[trial.state.name] for trial in trials]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    )
    columns, rows = table(study)
    html = template.render(
        folder=folder.name or folder.absolute().name,
        counts=", ".join(f"{states.count(state)} {state}" for state in STATES.values() if state in states),
        best=[(trial.number, _values(study, trial), command(study, trial.params)) for trial in best_trials(study)],
        plots=[
            (title, Markup(figure.to_html(full_html=False, include_plotlyjs=False)))
            for title, figure in plots(study)
        ],
        columns=columns,
        rows=rows,
        best_numbers={trial.number for trial in best_trials(study)},
        plotlyjs=Markup(plotlyjs),
    )
    with study.lock, whole_file(output) as unfinished:  # two processes may come to the end at once
        unfinished.write_text(html, encoding="utf-8")
    return output


def objectives(study: Study) -> list[str]:
    """Names of what is searched for."""
    named = study.optuna.user_attrs.get("definition", {}).get("objective")
    return list(named or (f"objective {i}" for i in range(len(study.optuna.directions))))


def best_trials(study: Study) -> list[Any]:
    """The best finished trial; of several objectives, those that no other beats in all, by the first one."""
    if not study.trials("COMPLETE"):
        return []
    if len(study.optuna.directions) == 1:
        return [study.optuna.best_trial]
    up = study.optuna.directions[0].name == "MAXIMIZE"
    return sorted(study.optuna.best_trials, key=lambda trial: float(trial.values[0]), reverse=up)


def command(study: Study, params: dict[str, Any]) -> str:
    """A command line that trains with these parameters, and with what the sweep had fixed."""
    fixed = study.optuna.user_attrs.get("definition", {}).get("overrides", [])
    of_search = ("hparams_search=", "callbacks.pruning")  # which a run of its own has not
    words = [each for each in fixed if not each.lstrip("+~").startswith(of_search)]
    words += [f"{key}={value}" for key, value in params.items()]
    return f"python -m manuscript_restore.train {shlex.join(words)}"


def table(study: Study) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the trials; those of killed processes, which were done again, are left out."""
    trials = [trial for trial in study.trials() if "lost" not in trial.user_attrs]
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = []
    for trial in trials:
        values = trial.values or [None] * len(study.optuna.directions)
        seconds = None if trial.duration is None else trial.duration.total_seconds()
        state = STATES[trial.state.name]
        if "pruned" in trial.user_attrs:
            state += f" after epoch {trial.user_attrs['pruned'] + 1}"
        rows.append([trial.number, state, *values, *(trial.params.get(name) for name in params), seconds])
    columns = ["trial", "state", *objectives(study), *params, "seconds in all"]
    return columns, [[_text(value) for value in row] for row in rows]


def plots(study: Study) -> Iterator[tuple[str, Any]]:
    """Title and plotly figure of each plot that the trials are enough for."""
    _plotly()
    from optuna import visualization as draw
    from optuna.importance import FanovaImportanceEvaluator

    names, finished = objectives(study), study.trials("COMPLETE")
    if not finished:
        return
    if len(names) in (2, 3):
        yield "Pareto front", _plain(draw.plot_pareto_front(study.optuna, target_names=names))
    for i, name in enumerate(names):
        one = study.optuna if len(names) == 1 else _of_one(study, i)
        yield f"History: {name}", _plain(draw.plot_optimization_history(one, target_name=name))
        yield f"Parallel coordinates: {name}", _plain(draw.plot_parallel_coordinate(one, target_name=name))
        if len({trial.values[i] for trial in finished}) > 1:  # else nothing to explain
            evaluator = FanovaImportanceEvaluator(seed=0)
            figure = draw.plot_param_importances(one, evaluator=evaluator, target_name=name)
            yield f"Importance of each parameter: {name}", _plain(figure)
    if len(names) == 1:
        yield f"Each parameter: {names[0]}", _plain(draw.plot_slice(study.optuna, target_name=names[0]))
        if any(trial.intermediate_values for trial in study.trials()):
            figure = _plain(draw.plot_intermediate_values(study.optuna))
            yield f"By epoch: {names[0]}", figure.update_layout(xaxis_title="epoch, from 0", yaxis_title=names[0])


def log_to_wandb(folder: Path, config: DictConfig) -> None:
    """Log trials and plots as a run of its own, ``job_type=sweep``, if the sweep's runs go to W&B.

    Several processes that come to the end log it once.
    """
    if OmegaConf.select(config, "logger.wandb") is None:
        return
    from manuscript_restore.tracking.facts import Kind
    from manuscript_restore.tracking.loggers import build_loggers, release

    study = Study(folder)
    with study.lock:
        finished = len(study.trials("COMPLETE", "PRUNED"))
        if study.optuna.user_attrs.get("logged") == finished:
            return
        study.optuna.set_user_attr("logged", finished)
    config = copy.deepcopy(config)
    with open_dict(config):
        config.logger = {"wandb": config.logger.wandb}
        config.logger.wandb.update(save_dir=str(folder), name=f"{config.name} sweep")
    try:
        (logger,) = build_loggers(config.logger, Kind("sweep", folder.name, ())) or [None]
        if logger is None:
            return
        import wandb

        columns, rows = table(study)
        trials = {"sweep/trials": wandb.Table(columns=columns, data=rows)}
        logger.experiment.log(trials | {f"sweep/{title}": figure for title, figure in plots(study)})
        for trial in best_trials(study)[:1]:
            logger.experiment.summary.update({"best": trial.params, "best_command": command(study, trial.params)})
    finally:
        release()


def _plotly() -> Any:
    for name in ("plotly", "sklearn"):  # the second computes the importances
        if not find_spec(name):
            raise UserError(f"{name} is missing: pip install 'manuscript-restore[optuna]'")
    import plotly.offline

    return plotly


def _of_one(study: Study, i: int) -> Any:
    """The study of a single objective, for plots that do not know otherwise which way is better."""
    import optuna

    one = optuna.create_study(direction=study.optuna.directions[i])
    for trial in study.trials():  # all of them: they keep their numbers
        finished = trial.state.name == "COMPLETE"
        one.add_trial(
            optuna.create_trial(
                state=trial.state if finished else optuna.trial.TrialState.FAIL,
                value=trial.values[i] if finished else None,
                params=trial.params,
                distributions=trial.distributions,
            )
        )
    return one


def _plain(figure: Any) -> Any:
    """Without the title, which the report has as a heading."""
    return figure.update_layout(title=None, margin={"t": 30})


def _values(study: Study, trial: Any) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in zip(objectives(study), trial.values, strict=True))


def _text(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else str(value)
