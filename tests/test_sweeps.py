"""Sweeps with a study: shared, killed, gone on with, pruned, reported."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning.pytorch import Callback
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.manuscript_restore_sweeps.optuna_sweeper import distribution
from manuscript_restore.config import compose, launch
from manuscript_restore.errors import UserError
from manuscript_restore.sweeps import study as study_module
from manuscript_restore.sweeps.pruning import Pruning
from manuscript_restore.sweeps.report import command, write_report
from manuscript_restore.sweeps.results import write_table
from manuscript_restore.sweeps.samplers import NoRepeats, num_sets
from manuscript_restore.sweeps.study import MAX_ATTEMPTS, Study, StudyJob
from manuscript_restore.train import check_objective, main, objective_values
from tests import sweep_app
from tests.test_report import CHROMIUM, FLAGS
from tests.test_stopping import QUICK
from tests.wandb_runs import only_run

SEARCH = ("-m", "experiment=smoke", "hparams_search=optuna")
RATE = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"
NO_TABLE = "~hydra.callbacks.results_table"
FOLDER = Path("outputs", "sweeps", "smoke")


def trials_in(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """Read by Optuna alone."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    return optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend)).trials


def of_state(folder: Path, *states: str) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials_in(folder) if trial.state.name in states]


@pytest.fixture
def sweep(tmp_path, monkeypatch, capfd):
    """Call ``sweep(*arguments)``: a sweep of the stand-in, in this process; returns exit status and the output."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        code = 0
        try:
            launch(sweep_app.job, "train")
        except SystemExit as end:
            code = int(end.code or 0)
        return code, "".join(capfd.readouterr())

    return run


def test_two_processes_killed_twice_make_twenty_trials(tmp_path):
    """Each trial of a killed process runs once more; none is counted twice, none has the parameters of another."""
    folder = tmp_path / FOLDER
    command = (sys.executable, sweep_app.__file__, *SEARCH, RATE, "seed=range(0, 12)", NO_TABLE)

    def start() -> subprocess.Popen:
        env = os.environ | {"SECONDS_A_TRIAL": "0.3"}
        with (tmp_path / "log.txt").open("a") as printed:
            return subprocess.Popen(command, cwd=tmp_path, env=env, stdout=printed, stderr=printed)

    def kill(process: subprocess.Popen) -> None:
        process.kill()
        process.wait()

    def wait_for(finished: int) -> None:
        until = time.monotonic() + 300
        while len(list(folder.glob("*/summary.json"))) < finished:
            assert time.monotonic() < until
            assert any(each.poll() is None for each in running)
            time.sleep(0.05)

    running = [start(), start()]
    wait_for(4)
    kill(running[0])
    running[0] = start()
    wait_for(10)
    for each in running:
        kill(each)
    running = [start(), start()]
    for each in running:
        assert each.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()

    trials = trials_in(folder)
    finished = of_state(folder, "COMPLETE")
    lost = of_state(folder, "FAIL")
    assert len(finished) == 20
    assert len(trials) == 20 + len(lost)
    assert len({tuple(sorted(trial.params.items())) for trial in finished}) == 20
    again = [trial.params for trial in lost if len(trial.params) == 2]  # less: killed while it was drawn
    assert all(params in [trial.params for trial in finished] for params in again)
    assert len(lost) <= 3  # one for each process that was killed
    started = [line.split() for line in (folder / "started.txt").read_text().splitlines()]
    assert len({number for number, *_ in started}) == len(started)  # no trial was started twice
    assert len({process for *_, process in started}) >= 3
    for trial in finished:
        score = json.loads((folder / str(trial.number) / "summary.json").read_text())["objective"]
        assert trial.values == [score]


def test_the_same_command_goes_on_as_if_it_had_not_ended(sweep, tmp_path):
    whole = [*SEARCH, RATE, "hydra.sweeper.sampler.n_startup_trials=2", NO_TABLE]
    assert sweep(*whole, "hydra.sweeper.n_trials=5")[0] == 0
    straight = [trial.params for trial in trials_in(tmp_path / FOLDER)]
    shutil.rmtree(tmp_path / FOLDER)
    for number in (3, 5):
        assert sweep(*whole, f"hydra.sweeper.n_trials={number}")[0] == 0
    assert [trial.params for trial in trials_in(tmp_path / FOLDER)] == straight
    assert sweep(*whole, "hydra.sweeper.n_trials=5")[0] == 0  # nothing left to do
    assert len(trials_in(tmp_path / FOLDER)) == 5


def test_a_small_space_is_searched_once(sweep, tmp_path):
    code, printed = sweep(*SEARCH, "seed=1,2", "optimizer.lr=1e-3,2e-3,5e-3", NO_TABLE)
    assert code == 0
    assert "no more than 6 sets" in printed
    tried = [(t.params["seed"], t.params["optimizer.lr"]) for t in of_state(tmp_path / FOLDER, "COMPLETE")]
    assert sorted(tried) == [(seed, lr) for seed in (1, 2) for lr in (1e-3, 2e-3, 5e-3)]


def test_a_failed_trial_does_not_end_the_sweep(sweep, tmp_path):
    code, printed = sweep(*SEARCH, "seed=13,14", "optimizer.lr=1e-3,2e-3", NO_TABLE, "hydra.sweeper.n_trials=2")
    assert code == 0
    assert {trial.params["seed"] for trial in of_state(tmp_path / FOLDER, "COMPLETE")} == {14}
    assert len(of_state(tmp_path / FOLDER, "COMPLETE")) == 2
    assert "thirteen" in printed or not of_state(tmp_path / FOLDER, "FAIL")


def test_a_sweep_of_failures_ends(sweep, tmp_path):
    code, printed = sweep(*SEARCH, RATE, "seed=13", "hydra.sweeper.max_failed=2", NO_TABLE)
    assert code == 0
    assert "the last 2 trials failed" in printed
    assert [trial.state.name for trial in trials_in(tmp_path / FOLDER)] == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to search"),
        ([RATE, "hparams_search=pareto", "+callbacks.pruning.x=1"], "pruning needs a single objective"),
        ([RATE, "objective=[val/psnr,seconds]"], "each needs its own direction"),
        ([RATE, "hydra.sweeper.direction=[up]"], "must be maximize or minimize"),
        ([RATE, "objective=[val/psnrr]"], "objective=val/psnrr: must be"),
        ([RATE, "objective=[test/psnr]", "test=false"], "take val/psnr"),
        ([RATE, "objective=[test/psnr]"], "callbacks.pruning.monitor=test/psnr"),
        ([RATE, "hydra.sweeper.n_trials=0"], "n_trials=0: must be 1 or more"),
        (["optimizer.lr=interval(1, 0.1)"], "optimizer.lr=interval"),
        (["optimizer.lr=1e-3,2e-3", "model=vit_tiny,vit_tinny"], "vit_tinny"),
    ],
)
def test_a_mistake_is_told_before_the_first_trial(sweep, tmp_path, arguments, message):
    code, printed = sweep(*SEARCH, *arguments)
    assert code == 1
    assert message in printed
    assert "Traceback" not in printed
    assert not (tmp_path / FOLDER / "0").exists()


def test_another_search_needs_another_folder(sweep):
    assert sweep(*SEARCH, RATE, "hydra.sweeper.n_trials=1", NO_TABLE)[0] == 0
    for other in (
        ["optimizer.lr=interval(0.1, 1)"],
        [RATE, "trainer.max_epochs=7"],
        [RATE, "objective=[val/ssim]"],
    ):
        code, printed = sweep(*SEARCH, *other, NO_TABLE)
        assert code == 1
        assert "hydra.sweep.dir=" in printed


@pytest.mark.parametrize(
    ("sweep_override", "expected"),
    [
        ("a=tag(log, interval(1e-5, 1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("a=interval(0, 1)", FloatDistribution(0, 1)),
        ("a=int(interval(1, 8))", IntDistribution(1, 8)),
        ("a=range(1, 8, 2)", IntDistribution(1, 7, step=2)),
        ("a=0.1,0.2", CategoricalDistribution([0.1, 0.2])),
        ("a=choice(x, y)", CategoricalDistribution(["x", "y"])),
        ("a=true,false", CategoricalDistribution(["True", "False"])),
        ("a='x y',z", CategoricalDistribution(["'x y'", "z"])),  # as they stand on a command line
    ],
)
def test_sweeps_of_hydra_as_distributions(sweep_override, expected):
    assert distribution(OverridesParser.create().parse_override(sweep_override)) == expected


def test_float_ranges_hold_what_hydra_runs_over():
    override = OverridesParser.create().parse_override("a=range(0, 1, 0.25)")
    space = {"a": distribution(override)}
    assert num_sets(space) == len(list(override.sweep_iterator())) == 4
    study = optuna.create_study()
    for i in range(4):
        study.sampler = NoRepeats(optuna.samplers.TPESampler(seed=0), space, i)
        study.tell(study.ask(space), 1.0)
    assert {trial.params["a"] for trial in study.trials} == {0, 0.25, 0.5, 0.75}


def ask(study: Study, number: int = 1, n_trials: int = 100) -> list[optuna.Trial]:
    """As a process that is no more: its name is of nobody."""
    return study.ask(
        number,
        n_trials=n_trials,
        space={"x": FloatDistribution(0, 1)},
        num_sets=float("inf"),
        sampler=lambda seed: optuna.samplers.RandomSampler(seed=seed),
        process="gone",
    )


def test_a_trial_that_kills_its_process_each_time_is_given_up(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    for _ in range(MAX_ATTEMPTS + 1):
        ask(study)
    *attempts, other = trials_in(tmp_path)
    assert len(attempts) == MAX_ATTEMPTS
    assert {trial.params["x"] for trial in attempts} == {attempts[0].params["x"]} != {other.params["x"]}
    assert [trial.number for trial in study.failed()] == [attempts[-1].number]


def test_a_living_process_keeps_its_trial(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    with study.alive("gone"):
        ask(study)
        assert ask(study, n_trials=1) == []
        assert [trial.state.name for trial in trials_in(tmp_path)] == ["RUNNING"]
    with study.alive("trial-0"):  # its job goes on without the process that sent it
        assert ask(study, n_trials=1) == []
    assert len(ask(study, n_trials=1)) == 1


def test_a_job_that_dies_without_a_word_is_done_again(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    with study.alive("gone"):
        died, goes_on = ask(study, 2)
        with study.alive(f"trial-{goes_on.number}"):
            assert study.has_failed(died.number)
            assert not study.has_failed(goes_on.number)
            (again,) = ask(study, n_trials=2)
    assert again.params == died.params
    study.tell(goes_on.number, 1.0)
    assert [trial.state.name for trial in trials_in(tmp_path)] == ["FAIL", "COMPLETE", "RUNNING"]


def test_a_late_result_does_not_count(tmp_path, caplog):
    study = Study(tmp_path, {"direction": "maximize"})
    ask(study)
    ask(study)
    study.tell(0, 5.0)
    assert "given up" in caplog.text
    assert of_state(tmp_path, "COMPLETE") == []


def test_a_line_that_a_full_disk_cut_off(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    study.tell(ask(study)[0].number, 1.0)
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code":4,"worker')
    study = Study(tmp_path)
    study.tell(ask(study)[0].number, 2.0)
    assert [trial.values for trial in trials_in(tmp_path)] == [[1.0], [2.0]]


def test_a_trial_that_is_stopped_again_and_again_is_not_given_up(tmp_path, monkeypatch):
    """Whoever stops a sweep each morning loses no trial."""
    monkeypatch.setattr(study_module, "HydraConfig", SimpleNamespace(get=lambda: job))
    job = SimpleNamespace(sweep=SimpleNamespace(subdir="0"))

    def stopped(_config):
        sys.exit(130)

    study = Study(tmp_path, {"direction": "maximize"})
    for _ in range(MAX_ATTEMPTS + 2):
        (trial,) = ask(study)
        job.sweep.subdir = str(trial.number)
        with pytest.raises(SystemExit):
            StudyJob(stopped, tmp_path)({})
    (again,) = ask(study)
    trials = trials_in(tmp_path)
    assert again.params == trials[0].params
    assert {trial.params["x"] for trial in trials} == {trials[0].params["x"]}
    assert study.failed() == []


def test_a_damaged_study_is_named(tmp_path):
    Study(tmp_path, {"direction": "maximize"})
    journal = tmp_path / "study.journal"
    whole = journal.read_text()
    for damaged in ("no JSON\n" + whole, whole.replace("sweep", "other")):
        journal.write_text(damaged)
        with pytest.raises(UserError, match=r"study\.journal: damaged"):
            Study(tmp_path)
        assert journal.read_text() == damaged


def test_a_study_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "study.lock").mkdir()
    with pytest.raises(UserError, match=r"cannot be written .*check the folder"):
        Study(tmp_path, {"direction": "maximize"})


def test_a_study_with_less_in_its_definition(tmp_path):
    """Of an older version."""
    study = Study(tmp_path, {"direction": "maximize"})
    study.define({"direction": ["maximize"]})
    study.define({"direction": ["maximize"]})
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir="):
        study.define({"direction": ["maximize"], "overrides": ["a=1"]})


def test_a_run_far_below_the_others_is_pruned(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    curves = [[20, 21, 22], [20, 22, 23], [10, 11, 12]]
    for trial, curve in zip(ask(study, 3), curves, strict=True):
        pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
        callback = Pruning(str(tmp_path), str(trial.number), "val/psnr", pruner)
        trainer = SimpleNamespace(sanity_checking=True, should_stop=False, callback_metrics={"val/psnr": 0})
        callback.on_validation_end(trainer, None)
        trainer.sanity_checking = False
        for trainer.current_epoch, score in enumerate(curve):
            trainer.callback_metrics["val/psnr"] = score
            callback.on_validation_end(trainer, None)
            if trainer.should_stop:
                break
        study.tell(trial.number, curve[-1])
        assert callback.pruned == trainer.should_stop
    states = [(trial.state.name, trial.intermediate_values) for trial in trials_in(tmp_path)]
    assert states == [
        ("COMPLETE", {0: 20, 1: 21, 2: 22}),
        ("COMPLETE", {0: 20, 1: 22, 2: 23}),
        ("PRUNED", {0: 10, 1: 11}),
    ]
    trainer.callback_metrics = {"val/ssim": 1}
    with pytest.raises(UserError, match="val/ssim"):
        callback.on_validation_end(trainer, None)


def test_objectives_of_a_summary():
    summary = {"objective": 31.0, "scores": {"val/psnr": 30.0, "val/ssim": 0.9}, "seconds": 7, "parameters": 5}
    assert objective_values(summary, ["val/psnr", "seconds", "parameters", "val/ssim"]) == [31, 7, 5, 0.9]
    failed = {"objective": None, "status": "failed"}
    assert [value == value for value in objective_values(failed, ["val/psnr", "seconds"])] == [False, False]
    for wrong in ("val/psnr", ["psnr"], [], ["val/psnrr"], ["val/psnr", "test/psnr"]):
        with pytest.raises(UserError, match="objective"):
            check_objective(wrong, test=False)
    check_objective(["val/psnr", "test/ssim_gain", "val/loss_l1", "parameters"], test=True)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["optuna", "pareto"])
def test_the_report_opens_offline(sweep, tmp_path, search):
    """Every plot is there, nothing is asked of a network, and the best line composes to the best parameters."""
    options = (f"hparams_search={search}", RATE, "seed=1,2,3", "hydra.sweeper.n_trials=6")
    code, _ = sweep("-m", "experiment=smoke", *options)
    assert code == 0
    with (tmp_path / FOLDER / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page()
        requests, faults = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((tmp_path / FOLDER / "report.html").as_uri())
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
        titles = page.locator("h2").all_inner_texts()
        drawn = page.locator(".js-plotly-plot").count()
        lines = page.locator("pre").all_inner_texts()
        rows = page.locator("tbody tr").count()
        browser.close()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert faults == []
    assert rows == 6
    assert drawn == len(titles) - 2 == {"optuna": 4, "pareto": 7}[search]  # all but the best, and the table
    finished = of_state(tmp_path / FOLDER, "COMPLETE")
    best = max(finished, key=lambda trial: trial.values[0])
    python, m, module, *words = shlex.split(lines[0])
    assert (python, m, module) == ("python", "-m", "manuscript_restore.train")
    config = compose("train", *words)
    assert (config.optimizer.lr, config.seed) == (best.params["optimizer.lr"], best.params["seed"])
    front = {t.number for t in finished if not any(better(o, t) for o in finished)} if search == "pareto" else {1}
    assert len(lines) == len(front)


def better(one: optuna.trial.FrozenTrial, other: optuna.trial.FrozenTrial) -> bool:
    """Whether a trial has the higher score at no higher cost, or the same at a lower one."""
    (score, cost), (others_score, others_cost) = one.values, other.values
    return score >= others_score and cost <= others_cost and one.values != other.values


@pytest.mark.processes
@pytest.mark.slow
def test_wandb_gets_the_sweep_as_a_run_of_its_own(sweep, tmp_path, monkeypatch):
    """Once, however often the command is given."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for _ in range(2):
        assert sweep(*SEARCH, RATE, "logger=wandb", "hydra.sweeper.n_trials=4")[0] == 0
    run = only_run(tmp_path / FOLDER)
    assert (run.run.job_type, run.run.run_group) == ("sweep", (tmp_path / FOLDER).name)
    assert run.history["sweep/trials/nrows"] == 4
    assert run.history["sweep/History: val/psnr/_type"] == "plotly-file"
    best = max(of_state(tmp_path / FOLDER, "COMPLETE"), key=lambda trial: trial.values[0])
    assert f"optimizer.lr={best.params['optimizer.lr']}" in run.summary["best_command"]


@pytest.mark.slow
def test_a_real_training_is_pruned(tmp_path, monkeypatch):
    """By a pruner that lets nothing pass: a row of its own in the table, and no failure."""
    monkeypatch.chdir(tmp_path)
    key = "callbacks.pruning.pruner"
    pruner = (f"{key}._target_=optuna.pruners.ThresholdPruner", f"+{key}.lower=1000", f"{key}.n_warmup_steps=1")
    small = ("loss.perceptual.weight=0", "data.num_generated.train=4", "trainer.max_epochs=4", "logger=[]")
    options = [*SEARCH, *small, *pruner, f"~{key}.n_startup_trials", "seed=1,2", "hydra.sweeper.n_trials=1"]
    monkeypatch.setattr(sys, "argv", ["train", *options])
    main()
    (trial,) = trials_in(tmp_path / FOLDER)
    assert trial.state.name == "PRUNED"
    assert sorted(trial.intermediate_values) == [0, 1]
    summary = json.loads((tmp_path / FOLDER / "0" / "summary.json").read_text())
    assert (summary["status"], summary["epochs"]) == ("pruned", 2)
    assert summary["objective"] == pytest.approx(max(trial.intermediate_values.values()))
    assert (summary["parameters"] > 0, summary["seconds"] > 0) == (True, True)
    assert not [name for name in summary["scores"] if name.startswith("test/")]
    with (tmp_path / FOLDER / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["status"] == "pruned"


def test_the_best_command_is_one_of_a_training(tmp_path):
    study = Study(tmp_path, {"direction": "maximize"})
    overrides = [
        "experiment=smoke",
        "hparams_search=optuna",
        "callbacks.pruning.pruner.n_startup_trials=2",
        "callbacks.pruning=null",
        "~callbacks.pruning",
        "logger=[csv]",
    ]
    study.define({"objective": ["val/psnr"], "overrides": overrides})
    words = shlex.split(command(study, {"optimizer.lr": 0.002}))
    assert words[:3] == ["python", "-m", "manuscript_restore.train"]
    config = compose("train", *words[3:])
    assert (config.name, config.optimizer.lr, list(config.logger)) == ("smoke", 0.002, ["csv"])


def test_there_is_no_report_without_a_study(tmp_path):
    with pytest.raises(UserError, match=r"study\.journal"):
        write_report(tmp_path)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray", "submitit_local"])
def test_trials_in_other_processes(tmp_path, launcher):
    pytest.importorskip(launcher.split("_")[0])
    two = (f"hydra/launcher={launcher}", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=2")
    env = os.environ | {"SECONDS_A_TRIAL": "1"}
    command = [sys.executable, sweep_app.__file__, *SEARCH, RATE, "seed=13,14", NO_TABLE, *two]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / FOLDER
    assert len(of_state(folder, "COMPLETE")) == 2
    assert all(trial.params["seed"] == 13 for trial in of_state(folder, "FAIL"))
    started = [line.split() for line in (folder / "started.txt").read_text().splitlines()]
    assert len({process for *_, process in started[:2]}) == 2


def test_slurm_gets_what_the_config_says(tmp_path):
    """A dry run: a ``sbatch`` that keeps what it is given."""
    pytest.importorskip("submitit")
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/submitted.sh\necho no cluster >&2\nexit 1\n')
    sbatch.chmod(0o755)
    (sbatch.parent / "srun").symlink_to(sbatch)
    options = ("hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.sweeper.max_failed=1")
    command = [sys.executable, sweep_app.__file__, *SEARCH, RATE, NO_TABLE, *options]
    env = os.environ | {"PATH": f"{sbatch.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert "no cluster" in done.stdout
    lines = (tmp_path / "submitted.sh").read_text().splitlines()
    for line in ("--partition=gpu", "--time=240", "--signal=USR2@120", "--requeue", "--gpus-per-node=1"):
        assert f"#SBATCH {line}" in lines


class NoteEpochs(Callback):
    """Adds the number of each epoch that is trained to ``epochs.txt``."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        with Path("epochs.txt").open("a") as file:
            file.write(f"{trainer.current_epoch} ")


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_job_that_slurm_queued_again_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    note = "+callbacks.note={_target_: tests.test_sweeps.NoteEpochs}"
    for epochs, restarts in ((1, None), (3, "1")):
        if restarts:
            monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        options = (*QUICK, note, f"trainer.max_epochs={epochs}", "test=false", "hydra.sweep.dir=sweep")
        monkeypatch.setattr(sys, "argv", ["train", "-m", *options])
        main()
    assert Path("epochs.txt").read_text().split() == ["0", "1", "2"]


def test_the_reason_of_a_failure_is_read_at_any_width(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    reason = "the loss or its gradient is not finite in epoch 0, batch 1 (step 1); the batch is kept in x"
    for job, summary in (
        ("0", {"status": "failed", "objective": None, "error": reason}),
        ("1", {"status": "finished", "objective": 30.0}),
    ):
        (tmp_path / job / ".hydra").mkdir(parents=True)
        (tmp_path / job / ".hydra" / "overrides.yaml").write_text(f"- seed={job}\n")
        (tmp_path / job / "summary.json").write_text(json.dumps(summary))
    write_table(tmp_path)
    assert f"0: {reason}\n" in capsys.readouterr().out
