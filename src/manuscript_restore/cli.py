"""The command ``manuscript-restore``."""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from manuscript_restore.errors import UserError
from manuscript_restore.pdf import pdf
from manuscript_restore.restore import restore
from manuscript_restore.view import view
from manuscript_restore.watch import watch

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Restore damaged manuscript pages."
)
TO_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"manuscript-restore {version('manuscript-restore')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Restore damaged manuscript pages."""


@app.command(add_help_option=False, context_settings=TO_HYDRA)
def train(context: typer.Context) -> None:
    """Train a restorer; takes the same arguments as `python -m manuscript_restore.train`."""
    _hand_over("train", context)


@app.command(add_help_option=False, context_settings=TO_HYDRA)
def evaluate(context: typer.Context) -> None:
    """Score restorers and classical peers on the same pages; as `python -m manuscript_restore.evaluate`."""
    _hand_over("evaluate", context)


@app.command(add_help_option=False, context_settings=TO_HYDRA)
def generate(context: typer.Context) -> None:
    """Write generated pages with their text and ink; as `python -m manuscript_restore.generate`."""
    _hand_over("generate", context)


app.command()(restore)
app.command()(watch)
app.command()(view)
app.command()(pdf)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a training run.")],
    folder: Annotated[
        Path, typer.Argument(help="Made here, for config.json, model.safetensors and the ONNX files.")
    ],
    name: Annotated[str, typer.Option(help="Name of the model in records.")],
    full: Annotated[bool, typer.Option("--full", help="Weights in float32; else in float16.")] = False,
    onnx: Annotated[bool, typer.Option(help="Write the ONNX files too, which a CPU restores faster with.")] = True,
    purpose: Annotated[str | None, typer.Option(help="What it is for, in a sentence.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights: CC-BY-4.0.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Where its pages come from; may be repeated.")] = None,
    letters: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Height in pixels of the letters it was trained on, small and large."),
    ] = None,
) -> None:
    """Turn a training checkpoint into a model you can share: numbers and settings, no code."""
    import manuscript_restore.requires_train  # noqa: F401
    from manuscript_restore import checkpoint as models

    try:
        models.export(
            checkpoint,
            folder,
            name=name,
            half=not full,
            onnx=onnx,
            purpose=purpose,
            licence=licence,
            sources=source or (),
            letters_px=letters,
        )
        print(f"model: {folder}; restore with -m {folder}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def describe(
    model: Annotated[
        str, typer.Argument(help="Exported model's folder, name, or training checkpoint.")
    ] = "default",
    json: Annotated[bool, typer.Option("--json", help="As its config.json has it.")] = False,
) -> None:
    """Say what a model is for, what it takes and gives, and what it was trained on."""
    from manuscript_restore.descriptor import Descriptor
    from manuscript_restore.released import CONFIG, find_model

    try:
        path = find_model(model)
        if path.is_dir():
            described = Descriptor.read(path / CONFIG)
        else:
            import manuscript_restore.requires_train  # noqa: F401
            from manuscript_restore import checkpoint as models

            described = models.describe(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(described.to_json() if json else f"{described.table()}\n", end="")


@app.command()
def onnx(
    model: Annotated[str, typer.Argument(help="Folder of an exported model, or name of one in the package.")],
    single: Annotated[
        Path | None,
        typer.Option(help="Write this one file instead, for other programs: a picture in, a picture out."),
    ] = None,
) -> None:
    """Write the ONNX files of an exported model beside its weights, and check them."""
    import manuscript_restore.requires_train  # noqa: F401
    from manuscript_restore import checkpoint as models
    from manuscript_restore.released import find_model

    try:
        if single:
            models.write_single_onnx(find_model(model), single)
        else:
            models.write_onnx(find_model(model))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def sweep_report(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep with hparams_search=optuna, finished or not.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; report.html in the folder otherwise.")
    ] = None,
) -> None:
    """Write the report of a sweep: its trials, plots, and the best as a command line."""
    import manuscript_restore.requires_train  # noqa: F401
    from manuscript_restore.sweeps.report import write_report

    try:
        print(write_report(folder, output))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _hand_over(module: str, context: typer.Context) -> None:
    """Become the command of Hydra's, which Lightning knows how to start again for other devices.

    Not a process below this one, which would have to hand on signals and the exit status.
    """
    os.execv(sys.executable, [sys.executable, "-m", f"manuscript_restore.{module}", *context.args])


def main() -> None:
    """Console script."""
    app()
