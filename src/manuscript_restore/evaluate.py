"""Evaluate restorers: ``python -m manuscript_restore.evaluate 'models={mine: best.ckpt}' data.test_dir=pages``."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import manuscript_restore.requires_train  # noqa: F401  # first: it says what is missing

# isort: split
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from manuscript_restore.checkpoint import load_model
from manuscript_restore.config import build, plain, run_command
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.measure import CLEAN, UNTOUCHED, Method, Model, measure, methods_of
from manuscript_restore.evaluation.pairs import DegradedPages, FolderPairs, Task, TextPages
from manuscript_restore.evaluation.peers import GRIDS, build_peer, tune_peer
from manuscript_restore.evaluation.report import Report
from manuscript_restore.evaluation.results import (
    SUMMARY_HEADS,
    scores_csv,
    summary_csv,
    summary_values,
    write_all,
)
from manuscript_restore.evaluation.scores import Judge
from manuscript_restore.evaluation.sections import section
from manuscript_restore.evaluation.statistics import Row, Summary, by_group, summarise
from manuscript_restore.inference.torch_engine import TorchBackend
from manuscript_restore.metrics.learned import learned_score
from manuscript_restore.released import find_model, identify
from manuscript_restore.tracking.artifacts import log_input_model
from manuscript_restore.tracking.facts import kind_of_run
from manuscript_restore.tracking.loggers import build_loggers, log_table, release

TASKS = ("degraded", "pairs", "binarisation", "text")


def evaluate(
    *,
    name: str,
    tasks: Sequence[str],
    models: Mapping[str, str] | None,
    peers: Sequence[str],
    peer_settings: Mapping[str, Mapping[str, Any]] | None,
    tune: int,
    settings_of: str | None,
    split: str,
    whole: bool,
    manuscript: str | None,
    groups: Mapping[str, str] | None,
    like: int,
    data: DictConfig,
    degradation: DictConfig,
    pairs: Mapping[str, Any],
    binarisation: Mapping[str, Any],
    text: DictConfig,
    no_harm: bool,
    learned_scores: Sequence[str],
    device: str,
    cases: int,
    output_dir: str,
    logger: DictConfig | None = None,
) -> list[Summary]:
    """Restore the pairs of the tasks by every method, score them, write and log the results.

    The arguments are the keys of ``evaluate.yaml``, where each is explained.

    Returns:
        Means and intervals by task, method and score.

    Raises:
        UserError: A mistake in the settings, the pages or the models.
    """
    models, peer_settings = models or {}, peer_settings or {}
    check_settings(tasks, split, models, peers, {"tune": tune, "cases": cases, "like": like})
    if like and "degraded" not in tasks:
        raise UserError(f"like={like}: is for the task degraded; add it to tasks, or leave like out")
    patterns = compile_groups(groups or {})
    if settings_of is not None:
        data, degradation = settings_of_training(settings_of)
    judge = Judge({each: learned_score(each) for each in learned_scores}, text.language, text.layout)
    damage = build(degradation, "degradation")
    datamodule = build(data, "data", seed=0, degradation=damage, val_degradation=damage)
    pages = {"degradation": damage, "whole": whole, "manuscript": manuscript}

    def make(task: str) -> Task:
        if task == "degraded":
            return DegradedPages(datamodule, split=split, like=like, **pages)
        if task == "text":
            generator = build(text.generator, "text.generator")
            return TextPages(generator, degradation=damage, num_pages=text.num_pages, seed=text.seed)
        folders, truth = (pairs, "clean") if task == "pairs" else (binarisation, "ink")
        return FolderPairs(**_folders(folders, truth), truth=truth, manuscript=manuscript, key=task)

    made = [make(task) for task in tasks]
    loaded = {
        each: Model(TorchBackend(load_model(find_model(path)), device=device)) for each, path in models.items()
    }
    settings = {each: dict(peer_settings.get(each, {})) for each in peers}
    if tune:
        held_out = tuning_pages(datamodule, split, pages)
        settings |= {peer: tune_on(peer, held_out, tune) for peer in track(peers, "tuning peers")}
    classical = {each: build_peer(each, settings[each]) for each in peers}
    loggers = build_loggers(logger, kind_of_run("evaluate"))

    rows: list[Row] = []
    sections = []
    for task in made:
        methods = methods_of(task, loaded, classical)
        task_rows = score_task(task, methods, judge, no_harm=no_harm, groups=patterns)
        rows += task_rows
        sections.append(section(task, task_rows, methods, num_cases=cases))
    summaries = summarise(rows)
    summaries += [each for group, members in by_group(rows).items() for each in summarise(members, group=group)]
    record = {
        "name": name,
        "version": version("manuscript-restore"),
        "models": {key: {"path": str(p), "sha256": identify(find_model(p)).sha256} for key, p in models.items()},
        "peers": settings,
        "tuned_on": tune,
        "data": plain(data),
        "degradation": plain(degradation),
        "split": split,
        "whole": whole,
        "manuscript": manuscript,
        "groups": {key: str(pattern) for key, pattern in (groups or {}).items()},
        "like": like,
        "tasks": list(tasks),
        "text": plain(text),
    }
    report = Report(f"Evaluation: {name}", facts(record), sections)
    contents = {
        "scores.csv": scores_csv(rows),
        "summary.csv": summary_csv(summaries),
        "summary.md": report.markdown(),
        "evaluation.json": json.dumps(record, indent=1, ensure_ascii=False) + "\n",
        "report.html": report.html(),
    }
    write_all(Path(output_dir), contents)
    log_results(loggers, record, summaries)
    for what, file in (("report", "report.html"), ("tables", "summary.md")):
        Console().print(f"{what}: {Path(output_dir) / file}", soft_wrap=True, highlight=False)
    return summaries


def check_settings(
    tasks: Sequence[str], split: str, models: Mapping[str, str], peers: Sequence[str], counts: Mapping[str, Any]
) -> None:
    """Check what no other part does.

    Raises:
        UserError: A task, split, name or number that cannot be.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks or len(set(tasks)) < len(tasks):
        raise UserError(f"tasks={list(tasks)}: must be some of {', '.join(TASKS)}, each once")
    if split not in ("val", "test"):
        raise UserError(f"split={split}: must be val or test")
    for name in models:
        if name in (*peers, UNTOUCHED, CLEAN):
            raise UserError(f"models.{name}: is the name of another method; choose another one")
    for peer in peers:
        if peer not in GRIDS:
            raise UserError(f"peers: {peer} is unknown; use some of {', '.join(GRIDS)}")
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UserError(f"{key}={value}: must be a whole number of at least 0")


def compile_groups(groups: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """The regular expressions that tell which pages belong to a group.

    Raises:
        UserError: One is none.
    """
    compiled = {}
    for name, pattern in groups.items():
        try:
            compiled[str(name)] = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UserError(f"groups.{name}={pattern}: not a regular expression ({error})") from error
    return compiled


def settings_of_training(folder: str) -> tuple[DictConfig, DictConfig]:
    """Sections ``data`` and ``val_degradation`` of the configuration that a training left in its folder.

    Raises:
        UserError: The folder holds none.
    """
    path = Path(folder) / ".hydra" / "config.yaml"
    if not path.is_file():
        raise UserError(f"settings_of={folder}: no .hydra/config.yaml there; give the output folder of a training")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    return config.data, config.val_degradation


def tuning_pages(datamodule: Any, split: str, options: Mapping[str, Any]) -> DegradedPages:
    """The validation pairs.

    Raises:
        UserError: They are those that are reported.
    """
    if split == "val" or datamodule.splits.alias("test") == "val":
        raise UserError(
            "tune: the validation pages are those that are reported; set data.test_dir and split=test, or tune=0"
        )
    return DegradedPages(datamodule, split="val", **options)


def tune_on(peer: str, task: Task, number: int) -> dict[str, float]:
    """The peer's best settings on the first ``number`` pairs."""
    found = (task.pair(index) for index in range(min(number, len(task))))
    return tune_peer(peer, ((pair.degraded, pair.clean) for pair in found if pair and pair.clean is not None))


def score_task(
    task: Task,
    methods: Mapping[str, Method],
    judge: Judge,
    *,
    no_harm: bool,
    groups: Mapping[str, re.Pattern[str]],
) -> list[Row]:
    """Rows of all pairs, with a progress bar."""
    measured = measure(task, methods, judge, no_harm=no_harm, groups=groups)
    return [row for rows in track(measured, task.name, total=len(task)) for row in rows]


def facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the head of the report says."""
    models = {key: f"{value['path']} (SHA-256 {value['sha256'][:12]}…)" for key, value in record["models"].items()}
    peers = {
        key: ", ".join(f"{k}={v}" for k, v in value.items()) or "default settings"
        for key, value in record["peers"].items()
    }
    tuned = f"chosen on {record['tuned_on']} validation pairs" if record["tuned_on"] else "not tuned"
    return [
        ("software", f"manuscript-restore {record['version']}, torch {torch.__version__}"),
        *((f"model {key}", value) for key, value in models.items()),
        *((f"peer {key}", f"{value} ({tuned})") for key, value in peers.items()),
    ]


def log_results(loggers: Sequence[Any], record: Mapping[str, Any], summaries: Sequence[Summary]) -> None:
    """Means as numbers to every logger, the whole summary as a table and the models to W&B and MLflow."""
    means = {f"{s.task}/{s.method}/{s.score}": s.value.mean for s in summaries if not s.group}
    for each in loggers:
        each.log_hyperparams(dict(record))
        each.log_metrics(means, step=0)
        log_table(each, "summary", SUMMARY_HEADS, [list(summary_values(s)) for s in summaries], step=0)
    for model in record["models"].values():
        log_input_model(loggers, find_model(model["path"]))
    for each in loggers:
        each.finalize("success")
    release()


def _folders(section: Mapping[str, Any], truth: str) -> dict[str, Any]:
    """Arguments of `FolderPairs` from a section, whose keys name the truth."""
    return {key.replace(truth, "truth"): value for key, value in section.items()}


def main() -> None:
    """Entry point of ``python -m manuscript_restore.evaluate`` and ``manuscript-restore evaluate``."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    run_command(evaluate, "evaluate")


if __name__ == "__main__":
    main()
