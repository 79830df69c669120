"""The last words of a run: what was reached, and where it lies."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print scores, gain over the degraded input, and the paths of a finished run's summary."""
    console = Console()
    table = Table(title=f"{summary['name']}: {summary['epochs']} epochs, {summary['steps']} steps")
    for column in ("", "degraded", "restored", "gain"):
        table.add_column(column, justify="left" if column == "" else "right")
    scores = summary["scores"]
    for split, label in (("val", "validation, last epoch"), ("test", "test, best checkpoint")):
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
    console.print(table)
    lines = {
        "best validation PSNR": None if summary["objective"] is None else f"{summary['objective']:.2f} dB",
        "perceptual network": summary["perceptual_network"],
        "best checkpoint": summary["best_checkpoint"],
        "pictures": summary["pictures"],
    }
    for label, value in lines.items():
        if value:
            console.print(f"{label}: {value}", soft_wrap=True, highlight=False)
    for folder in summary["wandb_sync"]:
        console.print(f"to send this offline run to W&B: wandb sync {folder}", soft_wrap=True, highlight=False)
