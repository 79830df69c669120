"""Restore damaged pages: ``manuscript-restore restore scans/ -o restored/``."""

import json
import os
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manuscript_restore import options
from manuscript_restore.descriptor import OVERLAP, TILE
from manuscript_restore.errors import UserError

if TYPE_CHECKING:
    from manuscript_restore.iiif import Book
    from manuscript_restore.inference.cluster_job import ClusterJob
    from manuscript_restore.inference.job import Job
    from manuscript_restore.inference.output import Outcome
    from manuscript_restore.inference.plan import Plan, Task

INPUTS = "Files, folders (with all below them), patterns such as 'scans/**/*.tif'; or one IIIF manifest."


def restore(
    inputs: Annotated[list[str], typer.Argument(metavar="IN…", help=INPUTS)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the restored pages; made if missing.")],
    model: options.Model = "default",
    format: options.Format = None,
    quality: options.Quality = 95,
    strength: options.Strength = 1.0,
    keep_colour: options.KeepColour = False,
    damaged: options.Damaged = False,
    like: options.Like = None,
    flips: Annotated[
        bool, typer.Option("--flips", help="Average four views of the page: 4 times slower.")
    ] = False,
    page_tone: Annotated[bool, typer.Option(help="Judge fading and tint once per page, or for each tile.")] = True,
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    allow_signed: options.AllowSigned = False,
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16; auto is bf16 on a GPU.")] = "auto",
    jobs: options.Jobs = 2,
    tile: Annotated[int, typer.Option(help="Side of the tiles, pixels.")] = TILE,
    overlap: Annotated[int, typer.Option(help="Pixels that neighbouring tiles share.")] = OVERLAP,
    batch: Annotated[int | None, typer.Option(help="Tiles at once; without: what suits the device.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the network first: for many pages.")] = False,
    report: Annotated[Path | None, typer.Option(help="JSON file that says what became of each page.")] = None,
    base_url: options.BaseUrl = None,
    iiif_tiles: options.IiifTiles = False,
    allow_private: options.AllowPrivate = False,
    ray: options.Ray = None,
    ray_workers: options.RayWorkers = None,
    ray_cpus: options.RayCpus = 1,
    ray_gpus: options.RayGpus = None,
) -> None:
    """Restore damaged pages at their full size, in their own formats.

    Interrupted, give the same command again: finished pages are left as they are.
    Of a PDF, the pictures of its pages are restored in their places. Exit status: 0 if every page was restored, 1
    if one failed or was flagged; pictures that cannot be read at all (HEIC, camera raw …) are left out and counted
    at the end.
    """
    try:
        suffix = options.suffix_of(format)
        maps = options.maps_of(
            change=change_map, confidence=confidence_map, damage=damage_map, ink=ink, comparison=comparison
        )
        # Here, so that --help does not wait for the libraries.
        from manuscript_restore.inference import Restorer, Settings
        from manuscript_restore.inference.folders import alone_in
        from manuscript_restore.inference.job import Job
        from manuscript_restore.inference.look import Look
        from manuscript_restore.inference.plan import plan
        from manuscript_restore.released import find_model, identify

        if not ray and (ray_workers, ray_cpus, ray_gpus) != (None, 1, None):
            raise UserError("--ray-workers, --ray-cpus and --ray-gpus are for a cluster; give --ray too")
        look = Look.of(like) if like else None
        settings = Settings(
            strength, keep_colour, flips, confidence_map, page_tone, tile, overlap, batch, look, damaged
        )
        output = options.output_of(
            quality=quality,
            maps=maps,
            sidecar=sidecar,
            max_change=max_change,
            overwrite=overwrite,
            allow_signed=allow_signed,
            mark=mark,
            provenance=provenance,
            sign_cert=sign_cert,
            sign_key=sign_key,
            page_xml=page_xml,
        )
        weights = find_model(model)  # a wrong name is told before hours of fetching
        book = _fetch(inputs, out, report, base_url, iiif_tiles, allow_private)
        if book:
            inputs, out = book.files, book.restored
        planned = plan(inputs, out, suffix=suffix, beside=output.beside)
        tasks = planned.tasks
        if report:
            _check_report(report, tasks)
        loading: dict[str, Any] = {
            "device": device,
            "precision": precision,
            "compile": compile,
            "engine": engine,
            "settings": settings,
        }
        restorer = None if ray else Restorer.from_checkpoint(weights, **loading)
        folder = out.parent if len(tasks) == 1 and tasks[0].target == out else out
        progress = PageProgress(planned, report)
        with alone_in(folder), ExitStack() as stack:
            job: Job | ClusterJob
            if restorer:
                job = Job(restorer, output, jobs=jobs, on_progress=progress.update)
            else:
                from manuscript_restore.inference.cluster import cluster_job

                on_cluster = cluster_job(
                    str(ray), tasks, folder, output, model=model, jobs=jobs, cpus=ray_cpus, gpus=ray_gpus,
                    num_workers=ray_workers, tell=progress.tell, on_progress=progress.update, **loading,
                )  # fmt: skip
                job = stack.enter_context(on_cluster)
            outcomes = progress.follow(job)
        done = any(outcome.status in ("restored", "partly", "sound") for outcome in outcomes)
        if output.page_xml and done and not output.page_xml.is_used:
            print(
                f"--page-xml {page_xml}: no PAGE-XML or ALTO file there belongs to a page; "
                "such a file names the page's image, or is called as it is",
                file=sys.stderr,
            )
        if book:
            outcomes += _give_back(
                book, outcomes, restorer.identity if restorer else identify(weights), base_url, iiif_tiles
            )
        if report:
            _write_report(report, outcomes, planned)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted; give the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    if any(outcome.status in ("failed", "flagged", "partly") for outcome in outcomes):
        raise typer.Exit(1)


def _fetch(
    inputs: list[str], out: Path, report: Path | None, base_url: str | None, tiles: bool, allow_private: bool
) -> "Book | None":
    """Fetch the pages of a IIIF manifest; None: the inputs are none."""
    from manuscript_restore import iiif

    if not iiif.is_named(inputs):
        if base_url or tiles or allow_private:
            raise UserError("--base-url, --iiif-tiles and --allow-private are for a IIIF manifest; leave them out")
        return None
    from rich.console import Console
    from rich.progress import track

    from manuscript_restore.inference.folders import alone_in

    iiif.check(base_url, tiles)
    _check_manifests(inputs[0], out, report)
    console = Console(stderr=True)
    with alone_in(out):
        book = iiif.Book.open(inputs, out, allow_private=allow_private)
        for given in track(book.fetch(), "fetching", total=len(book.canvases), console=console):
            for said in filter(None, (given.reason, *given.canvas.notes)):
                console.print(said, markup=False, soft_wrap=True)
    if not book.files:
        raise UserError(f"{inputs[0]}: none of its pages could be fetched")
    return book


def _check_manifests(source: str, out: Path, report: Path | None) -> None:
    """Refuse to write over the manifest that is given, or a report over one of the book's."""
    from manuscript_restore.inference.plan import same_file

    if same_file(out / "manifest.json", Path(source)):
        raise UserError(f"{source}: would be replaced by that of the restored book; give another output folder")
    written = {os.path.realpath(out / name) for name in ("manifest.json", "originals/manifest.json")}
    if report and (same_file(report, Path(source)) or os.path.realpath(report) in written):
        raise UserError(f"--report {report}: is the place of a manifest; give another name")


def _give_back(
    book: "Book", outcomes: "list[Outcome]", model: Any, base_url: str | None, tiles: bool
) -> "list[Outcome]":
    """Write the manifest of the restored book; what became of the pages that were not fetched."""
    from manuscript_restore.inference.output import Outcome
    from manuscript_restore.inference.plan import Task

    results = {o.task.source: o.written for o in outcomes if o.status in ("restored", "sound", "skipped")}
    name = f"{model.name} (SHA-256 {model.sha256})" if model else ""
    print(f"manifest: {book.write(results, base_url=base_url, with_tiles=tiles, model=name)}")
    missing = [(book.originals / given.canvas.name, given.reason) for given in book.given if not given.path]
    return [Outcome(Task(path, path, ""), "failed", reason) for path, reason in missing]


class PageProgress:
    """A progress bar in pages, to which pages in work count in part; and the words of the end."""

    def __init__(self, plan: "Plan", report: Path | None) -> None:
        from rich.console import Console  # here: --help does without
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._tasks, self._left_out = plan.tasks, plan.left_out
        self._told = f"{report} says why" if report else "--report FILE says why"
        self._shares: dict[Path, float] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.1f}/{task.total} pages"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=Console(stderr=True),
        )

    def update(self, task: "Task", share: float) -> None:
        """Note how far a file is; called from the page threads."""
        self._shares[task.target] = share
        done = sum(self._shares.copy().values())
        speed = done / max(1e-9, time.perf_counter() - self._started)
        self._bar.update(self._id, completed=done, speed=f"{speed:.2f} pages/s")

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, soft_wrap=True)

    def follow(self, job: "Job | ClusterJob") -> "list[Outcome]":
        """Run the job, telling of bad pages as they come and of all at the end."""
        self._id = self._bar.add_task("restoring", total=len(self._tasks), speed="")
        self._started = time.perf_counter()
        outcomes = []
        with self._bar, closing(job.run(self._tasks)) as running:
            for outcome in running:
                outcomes.append(outcome)
                self.update(outcome.task, 1)
                if outcome.status == "failed":
                    self._bar.console.print(f"failed: {outcome.reason}", style="red", markup=False, soft_wrap=True)
                elif outcome.status == "flagged":
                    self.tell(f"flagged: {outcome.reason}")
                elif outcome.status in ("restored", "partly", "sound") and outcome.reason:
                    self.tell(f"{outcome.written}: {outcome.reason}")
        self._print_summary(outcomes)
        return outcomes

    def _print_summary(self, outcomes: "list[Outcome]") -> None:
        counts = Counter(outcome.status for outcome in outcomes)
        seconds = time.perf_counter() - self._started
        megapixels = sum(outcome.num_pixels for outcome in outcomes) / 1e6
        words = {
            "restored": "restored",
            "partly": "restored in part",
            "sound": "sound (left as is)",
            "skipped": "there already",
            "flagged": "flagged",
            "failed": "failed",
        }
        said = ", ".join(f"{counts[status]} {words[status]}" for status in words if counts[status])
        if self._left_out:
            from manuscript_restore.archive import kinds

            said += f"; left out: {kinds.counted(kind.name for _, kind in self._left_out)} ({self._told})"
        if counts["skipped"]:
            said += "; --overwrite makes those anew that were there"
        pages = "1 page" if len(outcomes) == 1 else f"{len(outcomes)} pages"
        speed = f", {megapixels / seconds:.2f} megapixels/s" if megapixels else ""
        print(f"{pages}: {said}; {seconds:.1f} s{speed}")


def _check_report(path: Path, tasks: "list[Task]") -> None:
    """Refuse, before the work, a report that cannot be written or would replace what is none; make its folder."""
    if path.suffix.lower() != ".json" or path.is_dir():  # no input, result or picture of evidence ends so
        raise UserError(f"--report {path}: must be a file that ends in .json")
    pages = {os.path.realpath(name) for task in tasks for name in (task.target, task.flagged)}
    of_page = os.path.realpath(path).removesuffix(".json")
    if {of_page, of_page.removesuffix(".prov")} & pages:
        raise UserError(f"--report {path}: is the record of a page (--sidecar, --provenance); give another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--report {path}: its folder cannot be made ({error.strerror})") from error


def _write_report(path: Path, outcomes: "list[Outcome]", plan: "Plan") -> None:
    from manuscript_restore.files import whole_file

    none: dict[str, Any] = {"output": None, "status": "left out", "seconds": 0, "pages": []}
    left_out = [{"input": str(file), **none, "reason": kind.reason} for file, kind in plan.left_out]
    pages: list[dict[str, Any]] = left_out + [
        {
            "input": str(outcome.task.source),
            "output": str(outcome.written) if outcome.status != "failed" else None,
            "status": outcome.status,
            "reason": outcome.reason,
            "seconds": round(outcome.seconds, 3),
            "pages": outcome.pages,
        }
        for outcome in outcomes
    ]
    pages.sort(key=lambda page: str(page["input"]))
    with whole_file(path) as unfinished:
        text = json.dumps(pages, ensure_ascii=False, indent=1) + "\n"
        unfinished.write_text(text, "utf-8", "backslashreplace")  # names that are not UTF-8, as JSON allows


def main() -> None:
    """Entry point of ``python -m manuscript_restore.restore``."""
    typer.run(restore)


if __name__ == "__main__":
    main()
