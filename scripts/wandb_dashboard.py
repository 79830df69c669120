"""The team's W&B workspace and report, from code.

    python scripts/wandb_dashboard.py --entity TEAM [--project manuscript_restore] [--sweep NAME]
    python scripts/wandb_dashboard.py -o dashboard.json

Saves a new workspace and a new report in the project. With -o it writes both as JSON instead, and needs neither an
account nor a network. What is drawn are the names in manuscript_restore.tracking.logged.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.files import whole_file
from manuscript_restore.tracking import logged
from manuscript_restore.tracking.account import has_account

try:
    import wandb
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing}; pip install 'manuscript-restore[wandb]'")

NAME = "Restoring manuscripts"
STEP = "trainer/global_step"
PARAMETERS = (
    "model.encoder",
    "model.decoder.name",
    "optimizer.lr",
    "data.batch_size",
    "loss.ssim.weight",
    "loss.perceptual.weight",
    "degradation.severity",
)
"""Config keys that a sweep's parallel coordinates show, unless --parameters names others."""


def curve(title: str, *metrics: str, x: str = STEP, **options: Any) -> wr.LinePlot:
    """Curves of metrics over the steps."""
    return wr.LinePlot(title=title, x=x, y=list(metrics), **options)


def sections(parameters: list[str]) -> dict[str, list[Any]]:
    """The panels by section, for the workspace as for the report."""
    restored = {"val/psnr": "restored", "val/ssim": "restored"}
    degraded = {"val/input_psnr": "degraded", "val/input_ssim": "degraded"}
    coordinates = [*map(wr.Config, parameters), *map(wr.SummaryMetric, (logged.PSNR[0], logged.GAINS[0]))]
    return {
        "Scores": [
            curve("PSNR (dB), and of the degraded pages", *logged.PSNR, line_titles=restored | degraded),
            curve("SSIM, and of the degraded pages", *logged.SSIM, line_titles=restored | degraded),
            curve("Gain of PSNR (dB)", logged.GAINS[0]),
            curve("Gain of SSIM", logged.GAINS[1]),
            curve("Scores of training batches: PSNR (dB)", logged.TRAIN_SCORES[0]),
            curve("Scores of training batches: SSIM", logged.TRAIN_SCORES[1]),
            wr.BarPlot(title="Test, best checkpoint: gain of PSNR (dB)", metrics=[logged.TEST_GAINS[0]]),
            wr.BarPlot(title="Test, best checkpoint: gain of SSIM", metrics=[logged.TEST_GAINS[1]]),
        ],
        "Pages": [
            wr.MediaBrowser(
                title="The same pages, by epoch", media_keys=[logged.PICTURES], gallery_axis="step", num_columns=2
            ),
            wr.MediaBrowser(
                title="The worst pages, by epoch",
                media_keys=[logged.WORST_PICTURES],
                gallery_axis="step",
                num_columns=2,
            ),
            wr.WeavePanelSummaryTable(table_name=logged.WORST_PAGES),
            wr.WeavePanelSummaryTable(table_name=logged.PAGES),
        ],
        "Loss": [
            curve("Loss", *logged.LOSS),
            *(curve(terms[0].removeprefix("train/loss_"), *terms) for terms in logged.LOSS_TERMS),
            curve("Learning rate", logged.LEARNING_RATE),
        ],
        "Speed": [
            curve("Seconds of a step, by part", *logged.TIMES[:-1], plot_type="stacked-area"),
            curve("Seconds of a step", logged.TIMES[-1]),
            *(curve(title, *metrics, x="_runtime") for title, metrics in logged.SYSTEM.items()),
        ],
        "Sweeps": [
            wr.ParallelCoordinatesPlot(
                title="Validation PSNR (dB) by setting",
                columns=[wr.ParallelCoordinatesPlotColumn(metric=metric) for metric in coordinates],
            ),
            wr.ParameterImportancePlot(with_respect_to=logged.PSNR[0]),
            wr.ScatterPlot(
                title="PSNR (dB) against seconds of a step",
                x=wr.SummaryMetric(logged.TIMES[-1]),
                y=wr.SummaryMetric(logged.PSNR[0]),
            ),
            wr.RunComparer(diff_only="split"),
        ],
    }


def workspace(entity: str, project: str, parameters: list[str]) -> ws.Workspace:
    """All runs of the project, the best first."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            ws.Section(name=name, panels=panels, is_open=name in ("Scores", "Pages"))
            for name, panels in sections(parameters).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP),
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary(logged.PSNR[0]), ascending=False)],
            pinned_columns=[f"summary:{name}" for name in (logged.PSNR[0], logged.GAINS[0])],
        ),
    )


def report(entity: str, project: str, parameters: list[str], sweep: str | None) -> wr.Report:
    """The same panels, to read from top to bottom; of one sweep's runs, or of all."""
    runs = wr.Runset(name=sweep or "All runs", filters=f"Metric('Group') == {sweep!r}" if sweep else "")
    blocks: list[Any] = [wr.TableOfContents()]
    for name, panels in sections(parameters).items():
        blocks += [wr.H2(name), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title=sweep or NAME, blocks=blocks, width="fluid")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entity", help="user or team; yours by default")
    parser.add_argument("--project", default="manuscript_restore")
    parser.add_argument("--sweep", metavar="NAME", help="the report shows this group only: the name of its folder")
    parser.add_argument("--parameters", nargs="+", default=list(PARAMETERS), metavar="KEY", help="of the sweep")
    parser.add_argument("-o", "--dry-run", type=Path, metavar="FILE", help="write both as JSON; nothing is sent")
    args = parser.parse_args()
    try:
        if args.dry_run:
            entity = args.entity or "entity"
            made = {
                "workspace": workspace(entity, args.project, args.parameters),
                "report": report(entity, args.project, args.parameters, args.sweep),
            }
            contents = {
                name: each._to_model().model_dump(mode="json", by_alias=True) for name, each in made.items()
            }
            with whole_file(args.dry_run) as unfinished:
                unfinished.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
            print(f"workspace and report as JSON: {args.dry_run}")
            return
        save(args.entity, args.project, args.parameters, args.sweep)
    except UserError as error:
        sys.exit(f"error: {error}")


def save(entity: str | None, project: str, parameters: list[str], sweep: str | None) -> None:
    """Send both to W&B.

    Raises:
        UserError: There is no account, or W&B refuses.
    """
    if not has_account():
        raise UserError("there is no W&B account here; run `wandb login`, or write a file: -o FILE.json")
    try:
        entity = entity or str(wandb.Api().default_entity)
        saved = [workspace(entity, project, parameters).save(), report(entity, project, parameters, sweep).save()]
    except Exception as error:  # whatever the client raises: no network, no such project, no right to it
        raise UserError(f"{entity or ''}/{project}: W&B did not take it ({error})") from error
    for each in saved:
        print(each.url)


if __name__ == "__main__":
    main()
