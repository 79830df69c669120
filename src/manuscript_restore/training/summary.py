"""The last words of a run: what was reached, and where it lies."""

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from rich.console import Console
from rich.table import Table

from manuscript_restore.training.checkpoints import LastCheckpoint
from manuscript_restore.training.diverged import Diverged


def describe(run: L.Trainer) -> dict[str, Any]:
    """What a finished trainer did and where its files lie."""
    kept = run.checkpoint_callbacks
    best = next((each for each in kept if isinstance(each, ModelCheckpoint) and each.monitor), None)
    last = next((each for each in kept if isinstance(each, LastCheckpoint)), None)
    best_score = best.best_model_score if best else None
    callbacks = run.callbacks  # type: ignore[attr-defined]
    lowered = [step for each in callbacks if isinstance(each, Diverged) for step in each.lowered]
    return {
        "epochs": run.current_epoch,
        "steps": run.global_step,
        "objective": None if best_score is None else float(best_score),
        "best_checkpoint": best.best_model_path if best else "",
        "last_checkpoint": str(last.path) if last and last.path.exists() else "",
        **({"rate_lowered_at": lowered} if lowered else {}),
        "wandb_sync": [
            str(Path(each.experiment.dir).parent)
            for each in run.loggers
            if isinstance(each, WandbLogger) and run.is_global_zero and each.experiment.offline
        ],
    }


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print scores, gain over the degraded input, and the paths of a finished run's summary."""
    console = Console()
    table = Table(title=f"{summary['name']}: {summary['epochs']} epochs, {summary['steps']} steps")
    for column in ("", "degraded", "restored", "gain"):
        table.add_column(column, justify="left" if column == "" else "right")
    scores = summary["scores"]
    tested = "best checkpoint" if summary["best_checkpoint"] else "last weights"
    for split, label in (("val", "validation, last epoch"), ("test", f"test, {tested}")):
        if f"{split}/psnr" not in scores:
            continue
        for metric, unit, digits in (("psnr", " dB", 2), ("ssim", "", 4)):
            before, after = scores[f"{split}/input_{metric}"], scores[f"{split}/{metric}"]
            table.add_row(
                f"{label}: {metric.upper()}{unit and ' (dB)'}",
                f"{before:.{digits}f}",
                f"{after:.{digits}f}",
                f"{after - before:+.{digits}f}",
            )
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)  # a path may hold brackets
    if table.row_count:
        console.print(table)
    else:
        say(f"{table.title}; no scores, as there was neither validation nor test")
    lines = {
        "best validation PSNR": None if summary["objective"] is None else f"{summary['objective']:.2f} dB",
        "perceptual network": summary["perceptual_network"],
        "best checkpoint": summary["best_checkpoint"] or _no_best(summary),
        "last checkpoint": None if summary["best_checkpoint"] else summary["last_checkpoint"],
        "pictures": summary["pictures"],
    }
    for label, value in lines.items():
        if value:
            say(f"{label}: {value}")
    for folder in summary["wandb_sync"]:
        say(f"to send this offline run to W&B: wandb sync {shlex.quote(folder)}")


def _no_best(summary: Mapping[str, Any]) -> str:
    if "val/psnr" in summary["scores"]:
        return "none, as this run keeps no checkpoints"
    return "none, for want of a validation"
