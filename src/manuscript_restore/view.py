"""Look at pages, decide, restore again: ``manuscript-restore view scans/``, in the browser of this machine."""

import os
import secrets
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from manuscript_restore import options
from manuscript_restore.errors import UserError

PORT = 8470


def view(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Of page images; without: pages are dropped on it.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the restored pages; without: FOLDER-restored beside it."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Without: {PORT}, or a free one if that is taken.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    model: options.Model = "default",
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    open: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
) -> None:
    """See pages before and after, accept or reject them, and restore them again, in the browser.

    Only this machine can reach it, unless you say otherwise. It writes only below the output folder. Ctrl-C
    ends it.
    """
    try:
        if folder and not folder.is_dir():
            mend = "is no folder; give the one it is in" if folder.exists() else "no such folder; check the path"
            raise UserError(f"{folder}: {mend}")
        place = out or (_beside(folder) if folder else Path("restored"))
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ImportError as error:
            raise UserError(f"{error.name} is missing: pip install 'manuscript-restore[view]'") from error
        # Here, so that --help does not wait for the libraries.
        from manuscript_restore.desk.desk import Desk
        from manuscript_restore.desk.serve import address_of, is_loopback, listen, serve
        from manuscript_restore.inference import Restorer
        from manuscript_restore.inference.folders import alone_in
        from manuscript_restore.released import find_model

        with alone_in(place), listen(host, port, PORT) as listening:
            restorer = Restorer.from_checkpoint(find_model(model), device=device, engine=engine)
            warnings.simplefilter("ignore")  # of libraries about odd files
            desk = Desk(folder, place, restorer)
            token = None if is_loopback(host) else secrets.token_urlsafe(24)
            address = address_of(host, listening, token)
            count = "1 page" if len(desk.pages) == 1 else f"{len(desk.pages)} pages"
            print(f"{address}\n{count}; results go to {place}; Ctrl-C ends it", flush=True)
            if token:
                print(
                    "warning: whoever reads this network can read along; better a tunnel (ssh -L)", file=sys.stderr
                )
            serve(desk, listening, token=token, browse=address if open and _has_screen() else None)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _beside(folder: Path) -> Path:
    return folder.resolve().with_name(f"{folder.resolve().name}-restored")


def _has_screen() -> bool:
    """Whether a browser with windows can be opened; others would take the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
