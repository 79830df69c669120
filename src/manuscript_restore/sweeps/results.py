"""What stands at the end of a sweep: the table of its jobs, and the report of its study."""

import contextlib
import csv
import json
import logging
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from manuscript_restore.files import whole_file
from manuscript_restore.sweeps.report import log_to_wandb, write_report
from manuscript_restore.sweeps.study import Study

log = logging.getLogger(__name__)
SCORES = ("val/psnr", "val/psnr_gain", "val/ssim", "test/psnr", "test/psnr_gain", "test/ssim")
PRINTED = ("job", "status", "best val/psnr", "test/psnr")
ORDER = ("finished", "pruned")


class ResultsTable(Callback):
    """Hydra callback: writes ``results.csv`` in the sweep's folder, one row per job, best first, and prints it.

    A study gets its ``report.html`` beside it. Ends the process with status 1 if any job failed, after all of them
    have run.
    """

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Collect every job's summary and overrides."""
        folder = Path(config.hydra.sweep.dir)
        has_study = (folder / "study.journal").is_file()
        with Study(folder).lock if has_study else contextlib.nullcontext():  # others may come to their end, too
            rows = write_table(folder)
        if has_study:
            log.info("report: %s", write_report(folder))
            log_to_wandb(folder, config)
        if not rows:
            log.error("no job left a summary in %s", folder)
            sys.exit(1)
        failed = sum(row["status"] == "failed" for row in rows)
        if failed:
            log.error("%d of %d jobs failed; see the table and each job's log", failed, len(rows))
            sys.exit(1)


def write_table(folder: Path) -> list[dict[str, Any]]:
    """Write and print the table of the jobs that left a summary below ``folder``; returns its rows."""
    rows = [_row(path.parent) for path in sorted(folder.glob("*/summary.json"))]
    rows.sort(key=lambda row: ((*ORDER, row["status"]).index(row["status"]), -(row["best val/psnr"] or 0)))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (
        whole_file(folder / "results.csv") as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    table = Table(title=str(folder / "results.csv"))
    # The screen is narrow: neither what is the same for all, nor every score; reasons stand below.
    differing = [each for each in columns if len({str(row.get(each)) for row in rows}) > 1]
    hidden = (*SCORES, "error")
    shown = [each for each in columns if each in PRINTED or (each in differing and each not in hidden)]
    for column in shown:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in shown))
    console = Console()
    console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['job']}: {row['error']}", soft_wrap=True, highlight=False, markup=False)
    return rows


def _row(job: Path) -> dict[str, Any]:
    summary = json.loads((job / "summary.json").read_text(encoding="utf-8"))
    overrides = OmegaConf.load(job / ".hydra" / "overrides.yaml")
    settings = dict(str(override).lstrip("+~").partition("=")[::2] for override in overrides)
    scores = summary.get("scores", {})
    return {
        "job": job.name,
        **settings,
        "status": summary["status"],
        "best val/psnr": summary["objective"],
        **{name: scores[name] for name in SCORES if name in scores},
        **{name: summary[name] for name in ("seconds", "parameters", "error") if name in summary},
    }


def _text(value: Any) -> str:
    with contextlib.suppress(TypeError, ValueError):
        if not float(value).is_integer():
            return f"{float(value):.4g}"
    return "" if value is None else str(value)
