"""Measure what the docs' tables say of a restorer: our damage and others', sound pages, neighbours, ink, text.

    python -m benchmarks quality --pages FOLDER --pairs FOLDER --model NAME=PATH [--model NAME=PATH …]

PAGES holds clean pages in ``val`` and ``test``, of other manuscripts than trained; PAIRS degraded pages ``*_in``
and their ink masks ``*_gt``. Each part is an evaluation of its own below --out, and ``results.md`` joins them. A
part that is there already, of the same models, settings and files, is not made again: a run that was stopped goes
on, and ``--parts foreign text`` makes those two. ``--add results.csv`` joins the rows that an earlier run of the
same settings wrote: only what is new need be measured. docs/explanation/evaluation.md explains the scores.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict

from benchmarks import results
from benchmarks.measure import parser
from manuscript_restore.config import compose, override
from manuscript_restore.errors import UserError
from manuscript_restore.evaluate import evaluate
from manuscript_restore.evaluation.peers import GRIDS
from manuscript_restore.evaluation.results import read_summaries, write_all
from manuscript_restore.evaluation.statistics import Summary
from manuscript_restore.files import whole_file
from manuscript_restore.inference.folders import make_folder
from manuscript_restore.released import find_model, identify

GROUPS = {
    "the first 22": "^(fro_25516|la_7499|sa_)",
    "palm leaves": "^sa_(leaf|palmira)",
    "Indic paper": "^sa_(asr|jain|penn)",
    "print": "^(de_|fr_8610802d|frm_(8626779r|k10516302)|la_zoologia)",
    "Latin hands": "^(es|fro|it|pt|fr_[a-z2]|frm_84260029|la_(7499|bnf|fisher|smith|ubl))",
    "Japanese hand": "^ja_",
    "older pairs": "^(la_2johnc1v3|su_leaf)",
    "contest of 2010": "^dibco",
}
"""Of the pages that the docs' tables are made of: when they came, and what is written on."""
WIDE = ["the first 22"]
"""Groups for which all methods are shown, not the networks alone."""


def main(arguments: list[str]) -> None:
    """Evaluate part by part, and join what the parts say."""
    options = parse(arguments)
    found: dict[str, list[Summary]] = {}
    try:
        models = named(options.model)
        hashes = {name: identify(find_model(path)).sha256 for name, path in models.items()}
        current = {name: sha[:12] for name, sha in hashes.items()}
        earlier, networks = results.read_csv(options.add) if options.add else ({}, {})
        earlier = results.without_other_weights(earlier, networks, current)
        networks |= current
        known = parts(options)
        make_folder(options.out)
        if unknown := set(options.parts or ()) - known.keys():
            raise UserError(f"--parts {min(unknown)}: there is none; use some of {', '.join(known)}")
        for part, overrides in known.items():
            if not options.parts or part in options.parts:
                files = [] if part == "text" else files_of(options.pairs if part == "ink" else options.pages)
                found[part] = made(options.out / part, part, overrides, models, hashes, options.peers, files)
        joined = results.joined(earlier, found, networks)
        text = results.page(joined, networks, WIDE)
        write_all(options.out, {"results.md": text, "results.csv": results.to_csv(joined, networks)})
    except UserError as error:
        sys.exit(f"error: {error}")
    print(text)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    options = parser("quality", __doc__)
    options.add_argument("--pages", type=Path, required=True, help="clean pages in val/ and test/")
    options.add_argument("--pairs", type=Path, help="degraded pages *_in and ink masks *_gt")
    options.add_argument("--model", action="append", default=[], metavar="NAME=PATH", help="may be repeated")
    options.add_argument("--out", type=Path, default=Path("outputs/benchmark_quality"))
    options.add_argument("--add", type=Path, metavar="CSV", help="results.csv of an earlier run, to join")
    options.add_argument("--parts", nargs="+", metavar="PART", help="only these: a preset, like, ink, text")
    options.add_argument(
        "--peers", nargs="*", choices=list(GRIDS), default=["background_division"], metavar="PEER"
    )
    presets = ["reference", "paper", "palm_leaf", "local", "foreign"]
    options.add_argument("--presets", nargs="+", default=presets)
    options.add_argument("--crop", type=int, default=256, help="side of the crops, pixels")
    options.add_argument("--views", type=int, default=4, help="crops of each page")
    options.add_argument("--tune", type=int, default=16, help="validation pairs that choose the peers' settings")
    options.add_argument(
        "--like", type=int, default=3, help="pages that say what a page should look like; 0: none"
    )
    options.add_argument("--manuscript", default="^(.+)_[^_]+$", help="its group names a page's manuscript")
    options.add_argument("--text-pages", type=int, default=16, help="generated pages for OCR; 0: none")
    options.add_argument("--text-preset", default="reference")
    options.add_argument("--language", default="Devanagari", help="of Tesseract")
    return options.parse_args(arguments)


def named(models: Sequence[str]) -> dict[str, str]:
    """Paths by name, of ``NAME=PATH``."""
    found: dict[str, str] = {}
    for model in models:
        name, _, path = model.partition("=")
        if not (name and path and name.isprintable()):
            raise UserError(f"--model {model!r}: write NAME=PATH")
        if name in found or name in GRIDS or name in results.NO_METHODS:
            raise UserError(f"--model {model}: the name is taken; give another")
        found[name] = path
    return found


def parts(options: argparse.Namespace) -> dict[str, list[str]]:
    """What each part asks of the evaluation, in the order of the tables."""
    pages = [override(f"data.{split}_dir", f"{options.pages}/{split}") for split in ("val", "test")]
    pages += ["data.view=crop", f"data.image_size={options.crop}", f"data.val_views_per_page={options.views}"]
    pages += [override("manuscript", options.manuscript)]
    first = options.presets[0]
    found = {preset: [f"degradation={preset}", *pages, f"tune={options.tune}"] for preset in options.presets}
    for preset in options.presets[1:]:
        found[preset] += ["no_harm=false"]  # the clean pages are the same
    if options.like:
        found["like"] = [f"degradation={first}", *pages, f"like={options.like}", "no_harm=false"]
    if options.pairs:
        folders = [override(f"binarisation.{kind}_dir", str(options.pairs)) for kind in ("degraded", "ink")]
        endings = ["binarisation.degraded_ending=_in", "binarisation.ink_ending=_gt"]
        found["ink"] = ["tasks=[binarisation]", *folders, *endings]
    if options.text_pages:
        text = [f"text.num_pages={options.text_pages}", f"text.language={options.language}"]
        found["text"] = ["tasks=[text]", f"degradation={options.text_preset}", "no_harm=false", *text]
    return found


def files_of(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes in bytes of what a part is measured on."""
    return sorted((str(f.relative_to(folder)), f.stat().st_size) for f in folder.rglob("*") if f.is_file())


def made(
    folder: Path,
    name: str,
    overrides: Sequence[str],
    models: dict[str, str],
    hashes: dict[str, str],
    peers: Sequence[str],
    files: Sequence[tuple[str, int]],
) -> list[Summary]:
    """The part's summaries: those in its folder, if they are of the same models, settings, files; else new."""
    peers = [] if name == "like" else peers  # they look at nothing but the page
    of_files = hashlib.sha256(repr(files).encode()).hexdigest()
    asked = json.dumps([overrides, hashes, list(peers), GROUPS, of_files], indent=1)
    file, summary = folder / "asked.json", folder / "summary.csv"
    if summary.is_file() and file.is_file() and file.read_text("utf-8") == asked:
        print(f"{name}: is there already, in {folder}")
        return read_summaries(summary.read_text("utf-8"))
    file.unlink(missing_ok=True)
    try:
        config = compose("evaluate", override("name", name), *overrides, override("output_dir", str(folder)))
    except HydraException as error:
        raise UserError(f"--presets {name}: {error}") from error
    with open_dict(config):
        config.models, config.peers, config.groups = models, list(peers), GROUPS
    OmegaConf.resolve(config)
    summaries = evaluate(**{str(key): value for key, value in config.items()})
    with whole_file(file) as unfinished:
        unfinished.write_text(asked, encoding="utf-8")
    return summaries
