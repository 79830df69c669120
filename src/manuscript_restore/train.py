"""Train a restorer: ``python -m manuscript_restore.train experiment=vit_base``."""

import json
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # Ctrl-C during the imports, which take seconds, ends without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import manuscript_restore.requires_train  # noqa: F401  # first: it says what is missing

# isort: split
import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from manuscript_restore.checkpoint import check_same_model, read_checkpoint, start_from
from manuscript_restore.config import build, call, chosen, launch, plain
from manuscript_restore.data.workers import explain_worker
from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.foreign import ForeignDamage
from manuscript_restore.files import whole_file
from manuscript_restore.sweeps.objective import check_objective, objective_values
from manuscript_restore.sweeps.results import write_table
from manuscript_restore.tracking.artifacts import log_models, log_start
from manuscript_restore.tracking.facts import kind_of_run
from manuscript_restore.tracking.loggers import build_loggers, release
from manuscript_restore.training import precision
from manuscript_restore.training.checkpoints import LastCheckpoint, StepOfLoggers, WholeCheckpoints
from manuscript_restore.training.devices import check_devices, is_first_process
from manuscript_restore.training.memory import keep_memory
from manuscript_restore.training.stopping import STOP, OwnSignals, how_to_go_on, stop_on_signals
from manuscript_restore.training.summary import describe, print_summary
from manuscript_restore.training.timing import StepTimes

log = logging.getLogger(__name__)
SUMMARY = "summary.json"
USER_MISTAKES = (UserError, MisconfigurationException, OmegaConfBaseException)


def train(
    *,
    name: str,
    seed: int,
    ckpt_path: str | None,
    resume: str | None = None,  # Hydra's callback has made a ckpt_path of it
    init_from: str | None,
    objective: Sequence[str],
    test: bool,
    output_dir: str,
    data: DictConfig,
    degradation: DictConfig,
    val_degradation: DictConfig,
    model: DictConfig,
    loss: DictConfig,
    optimizer: DictConfig,
    module: DictConfig,
    trainer: DictConfig,
    callbacks: DictConfig | None = None,
    logger: DictConfig | None = None,
) -> dict[str, Any]:
    """Build everything that the config names, fit, and score the best checkpoint.

    The arguments are the top-level keys of the config: a key that is no argument is an error.

    Returns:
        The summary: best score, test scores, paths; also written to ``summary.json`` in the output folder.

    Raises:
        UserError: A mistake in the config or the data.
    """
    settings = {key: plain(value) for key, value in locals().items()}  # the whole config, for the loggers
    quiet()
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UserError(f"seed={seed}: must be a whole number from 0 to 2³¹ − 1")
    L.seed_everything(seed, workers=True, verbose=False)
    if ckpt_path is not None:
        check_same_model(ckpt_path, plain(model))
    damage = build_degradation(degradation)
    datamodule = build(
        data,
        "data",
        seed=seed,
        degradation=damage,
        val_degradation=build(val_degradation, "val_degradation"),
    )
    datamodule.setup("fit")
    test = test and datamodule.has_test_pages
    check_objective(objective, test=test)
    if test:
        datamodule.setup("test")  # now: a mistake in the folder should not show after hours of training
    net = build(
        module,
        "module",
        model=plain(model),
        loss=plain(loss),
        optimizer=plain(optimizer),
        seed=seed,
        damages=getattr(damage, "kinds", None),
    )
    if init_from is not None:
        start_from(net.model, init_from, key="init_from")
    kind = kind_of_run("train" if init_from is None else "finetune")
    loggers = build_loggers(logger, kind)
    if "precision" in trainer:
        trainer.precision = precision.resolve(trainer.precision, accelerator=trainer.get("accelerator", "auto"))
    files = WholeCheckpoints()
    run = build(
        trainer,
        "trainer",
        callbacks=build_callbacks(
            callbacks, logging=bool(loggers), validating=trainer.get("limit_val_batches") != 0
        ),
        logger=loggers,
        plugins=[files],
        default_root_dir=output_dir,
    )
    check_devices(run, test=test)
    facts = log_start(run, settings, kind, datamodule.sources) if run.is_global_zero else {}

    num_parameters = sum(parameter.numel() for parameter in net.model.parameters())
    device = run.strategy.root_device.type
    where = f"{device} in {run.precision}"
    log.info("%s: %s parameters, on %s; writing to %s", name, f"{num_parameters:,}", where, output_dir)
    net.to(run.strategy.root_device)  # before the callbacks' setup, where EMA copies it to where it finds it
    started = time.perf_counter()
    run.fit(net, datamodule, ckpt_path=ckpt_path)
    files.finish()
    seconds = time.perf_counter() - started
    summary = describe(run)
    if run.is_global_zero:
        of_models = {"best val/psnr": summary["objective"], "epochs": summary["epochs"], "steps": summary["steps"]}
        log_models(loggers, best=summary["best_checkpoint"], last=summary["last_checkpoint"], facts=of_models)
    scores = {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("val/")}
    for each in run.checkpoint_callbacks:
        if isinstance(each, LastCheckpoint) and not scores:  # a run that was interrupted after its last epoch
            scores = dict(each.scores)
    pruned = any(getattr(each, "pruned", False) for each in run.callbacks)
    if test and not pruned:
        if summary["best_checkpoint"]:
            # Not by test(ckpt_path=…): the EMA callback would load the weights before averaging.
            net.load_state_dict(read_checkpoint(summary["best_checkpoint"])["state_dict"])
        run.test(net, datamodule, verbose=False)
        scores |= {key: float(value) for key, value in run.callback_metrics.items() if key.startswith("test/")}
    return {
        "name": name,
        "status": "pruned" if pruned else "finished",
        "seconds": seconds,
        "parameters": num_parameters,
        "perceptual_network": loss["perceptual"]["network"] if loss["perceptual"]["weight"] else None,
        "scores": scores,
        "pictures": str(Path(output_dir) / "pictures"),
        **facts,
        **summary,
    }


def build_degradation(config: DictConfig) -> Any:
    """The damage of the training pages.

    Raises:
        UserError: It is the damage that models are judged by.
    """
    degradation = build(config, "degradation")
    if any(isinstance(module, ForeignDamage) for module in degradation.modules()):
        raise UserError(
            "degradation: foreign damage is for judging models, and a model that trained on it cannot be judged "
            "by it; choose another preset, and degradation@val_degradation=foreign to validate on it"
        )
    return degradation


def build_callbacks(group: DictConfig | None, *, logging: bool, validating: bool) -> list[L.Callback]:
    """The callbacks of the config that have something to log to and to watch, and our own."""
    sections = chosen(group, "callbacks")
    if not logging:
        sections = [each for each in sections if not each[1]["_target_"].endswith("LearningRateMonitor")]
    if not validating:
        log.info("trainer.limit_val_batches=0: no validation, so no best checkpoint; the last weights are tested")
        sections = [each for each in sections if not str(each[1].get("monitor")).startswith("val/")]
    built = [build(section, key) for key, section in sections]
    built.sort(key=lambda each: isinstance(each, StepTimes))  # its step ends after what others do at a step's end
    return [OwnSignals(), StepOfLoggers(), *built]


def run_job(config: DictConfig) -> float | list[float]:
    """Train once, print and write the summary; a failed job of a sweep does not end the sweep, a stopped one does.

    Returns:
        What ``objective`` names, for a sweep: one value, or a list of several; NaN for what is not there.
    """
    job = HydraConfig.get()
    sweeping = job.mode == RunMode.MULTIRUN
    last = Path(job.runtime.output_dir, "checkpoints", "last.ckpt")
    if sweeping and os.environ.get("SLURM_RESTART_COUNT") and config.ckpt_path is None and last.is_file():
        config.ckpt_path = str(last)  # of this very job, which SLURM has queued again
    try:
        summary, exit_status = attempt(config, sweeping=sweeping)
        if is_first_process():  # else another process of trainer=ddp
            output_dir = Path(job.runtime.output_dir)
            with whole_file(output_dir / SUMMARY) as unfinished:
                unfinished.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            if summary["status"] == "finished":
                print_summary(summary)
            elif summary["status"] == "interrupted":
                if not (Path(job.sweep.dir) / "study.journal").is_file():  # a study goes on by its own command
                    log.warning(how_to_go_on(output_dir))
                if sweeping:
                    write_table(Path(job.sweep.dir))
    finally:
        release()
    if exit_status:
        sys.exit(exit_status)
    values = objective_values(summary, config.objective)
    return values[0] if len(values) == 1 else values


def attempt(config: DictConfig, *, sweeping: bool) -> tuple[dict[str, Any], int]:
    """Train, or find out why not: the summary, and the exit status of the whole command (0: it may go on)."""
    try:
        return call(train, config), 0
    except SIGTERMException as stopped:
        code = stopped.code or STOP.stopped().code
        return {"name": config.get("name"), "status": "interrupted", "objective": None}, int(str(code))
    except Exception as raised:
        error = explain_worker(raised) or raised
        mistake = isinstance(error, USER_MISTAKES)
        if not sweeping and not mistake:
            raise
        message = str(error) if mistake else f"{type(error).__name__}: {error}"
        log.error(message, exc_info=not mistake)
        return {
            "name": config.get("name"),
            "status": "failed",
            "error": message,
            "objective": None,
        }, 0 if sweeping else 1


def quiet() -> None:
    """Silence what Lightning says on every start: a user should see our lines and real warnings only."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # asked for by trainer.profiler
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1×1: they lie in memory as well
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # data.num_workers is explicit
    warnings.filterwarnings("ignore", message=".*log_every_n_steps.*")  # an epoch may be shorter
    warnings.filterwarnings("ignore", message=".*requested to overfit.*")  # debug=overfit: what it is for
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # EpochSampler is
    warnings.filterwarnings("ignore", message="Checkpoint directory .* not empty")  # a resumed run goes on there


def main() -> None:
    """Entry point of ``python -m manuscript_restore.train`` and ``manuscript-restore train``."""
    keep_memory()
    with stop_on_signals():
        launch(run_job, "train")


if __name__ == "__main__":
    main()
