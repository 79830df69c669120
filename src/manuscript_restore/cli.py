"""The command ``manuscript-restore``."""

import subprocess
import sys

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Restore damaged manuscript pages.")


@app.callback()
def root() -> None:
    """Restore damaged manuscript pages."""


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Train a restorer; takes the same arguments as `python -m manuscript_restore.train`.",
)
def train(context: typer.Context) -> None:
    """Hand the command line to Hydra, in a process that Lightning knows how to start again for other devices."""
    command = [sys.executable, "-m", "manuscript_restore.train", *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def main() -> None:
    """Console script."""
    app()
