"""Restore pages as they appear: ``manuscript-restore watch scans/ restored/``."""

import contextlib
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from manuscript_restore import options
from manuscript_restore.errors import UserError


def watch(
    folder: Annotated[Path, typer.Argument(metavar="IN", help="Folder in which pages appear, and all below it.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the restored pages; made if missing.")],
    model: options.Model = "default",
    format: options.Format = None,
    quality: options.Quality = 95,
    strength: options.Strength = 1.0,
    keep_colour: options.KeepColour = False,
    damaged: options.Damaged = False,
    like: options.Like = None,
    change_map: options.ChangeMap = False,
    confidence_map: options.ConfidenceMap = False,
    damage_map: options.DamageMap = False,
    ink: options.Ink = False,
    comparison: options.Comparison = False,
    sidecar: options.Sidecar = False,
    mark: options.Mark = True,
    provenance: options.Provenance = None,
    sign_cert: options.SignCert = None,
    sign_key: options.SignKey = None,
    page_xml: options.PageXmlFolder = None,
    max_change: options.MaxChange = 30.0,
    allow_signed: options.AllowSigned = False,
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    jobs: options.Jobs = 2,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a page must not have changed: it may be half copied.")
    ] = 3.0,
    rescan: Annotated[
        float, typer.Option(min=0, help="Look so often, seconds, even if the system tells of no change.")
    ] = 60.0,
    retry: Annotated[bool, typer.Option("--retry", help="First forget what failed, and try it again.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End when every page that is there is done.")] = False,
) -> None:
    """Restore pages as they appear in a folder, until stopped; the model is loaded once.

    A page that is replaced is restored anew. What is done is kept in a journal in OUT: stopped or killed at any
    moment, the service goes on where it was. Exit status: 0 after SIGTERM, 130 after Ctrl-C; with --once 1 if a
    page failed or was flagged.
    """
    counts: Counter[str] = Counter()

    def tell(page: str, status: str, seconds: float, reason: str) -> None:
        counts[status] += 1
        _print(f"{status} {seconds:.1f} s {page}" + (f": {reason}" if reason else ""))

    with _stoppable() as stopped:
        try:
            maps = options.maps_of(
                change=change_map, confidence=confidence_map, damage=damage_map, ink=ink, comparison=comparison
            )
            suffix = options.suffix_of(format)
            # Here, so that --help does not wait for the libraries.
            from manuscript_restore.inference import Restorer, Settings
            from manuscript_restore.inference.folders import alone_in
            from manuscript_restore.inference.job import Job
            from manuscript_restore.inference.look import Look
            from manuscript_restore.inference.watched import WatchedFolder
            from manuscript_restore.inference.watching import Watcher
            from manuscript_restore.released import find_model

            pages = WatchedFolder(folder, out, settle, _warn)
            output = options.output_of(
                quality=quality,
                maps=maps,
                sidecar=sidecar,
                max_change=max_change,
                overwrite=True,
                allow_signed=allow_signed,
                mark=mark,
                provenance=provenance,
                sign_cert=sign_cert,
                sign_key=sign_key,
                page_xml=page_xml,
            )
            look = Look.of(like) if like else None
            settings = Settings(strength, keep_colour, confidence=confidence_map, like=look, damaged=damaged)
            restorer = Restorer.from_checkpoint(find_model(model), device=device, engine=engine, settings=settings)
            Job(restorer, output, jobs=jobs)  # says now what is wrong with the options
            with alone_in(out):
                watcher = Watcher(pages, out, output, suffix=suffix, rescan=rescan, retry=retry, tell=tell)
                _print(f"watching {folder}; results go to {out}")
                with closing(watcher.batches(once=once)) as batches:
                    for tasks in batches:
                        with closing(Job(restorer, output, jobs=jobs).run(tasks)) as running:
                            for outcome in running:
                                watcher.note(outcome)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _print("stopped; what was in work is done at the next start")
            raise typer.Exit(0 if stopped else 130) from None
    if counts["failed"] or counts["flagged"] or counts["partly"]:
        raise typer.Exit(1)


@contextlib.contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Let SIGTERM interrupt as Ctrl-C does; it is then in the list."""
    came: list[int] = []

    def stop(signum: int, _: object) -> None:
        came.append(signum)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(text: str, file: Any = None) -> None:
    """One line for a log, whatever bytes the names of files hold."""
    moment = datetime.now().astimezone().isoformat(timespec="seconds")
    line = re.sub(r"[\x00-\x1f\x7f]", "?", f"{moment} {text}")
    stream = file or sys.stdout
    encoding = stream.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _warn(text: str) -> None:
    _print(f"warning: {text}", sys.stderr)
