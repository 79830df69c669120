"""Measure what the docs' tables say of a restorer: our damage and others', sound pages, neighbours, ink, text.

    python -m benchmarks quality --pages FOLDER --pairs FOLDER --model NAME=PATH [--model NAME=PATH …]

PAGES holds clean pages in ``val`` and ``test``, of other manuscripts than trained; PAIRS degraded pages ``*_in``
and their ink masks ``*_gt``. Each part is an evaluation of its own below --out, and ``table.md`` joins them. A
part that is there already, of the same models and settings, is not made again: a run that was stopped goes on, and
``--parts foreign text`` makes those two. docs/explanation/evaluation.md explains the scores.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import OmegaConf, open_dict

from benchmarks.measure import parser
from manuscript_restore.config import compose
from manuscript_restore.errors import UserError
from manuscript_restore.evaluate import evaluate
from manuscript_restore.evaluation.peers import GRIDS
from manuscript_restore.evaluation.results import read_summaries
from manuscript_restore.evaluation.scores import describe
from manuscript_restore.evaluation.statistics import Estimate, Summary
from manuscript_restore.evaluation.tables import Table
from manuscript_restore.files import whole_file
from manuscript_restore.released import find_model, identify

GROUPS = {
    "22 of the first tables": "^(fro_25516|la_7499|sa_)",
    "palm leaves": "^sa_(leaf|palmira)",
    "Indic paper": "^sa_(asr|jain|penn)",
    "print": "^(de_|fr_8610802d|frm_(8626779r|k10516302)|la_zoologia)",
    "Latin hands": "^(es|fro|it|pt|fr_[a-z2]|frm_84260029|la_(7499|bnf|fisher|smith|ubl))",
    "Japanese hand": "^ja_",
    "pairs of set 1": "^(la_2johnc1v3|su_leaf)",
    "pairs of set 2": "^dibco",
}
"""Of the pages that the docs' tables are made of: when they came, and what is written on."""
GAINS = ("psnr", "psnr_colour_fit", "ssim")
SCORES = {
    "sound": ("no_harm_psnr", "no_harm_untouched"),
    "ink": ("sauvola/f_measure", "otsu/f_measure", "ink/f_measure", "sauvola/drd", "ink/drd"),
    "text": ("cer", "cer_unsafe", "cer_safe", "ink/f_measure", "psnr"),
}
"""What is shown of the parts that are not about gains in likeness."""
SOUND_TABLE = "sound"
"""The second table of the first preset's part: what became of the clean pages."""


def main(arguments: list[str]) -> None:
    """Evaluate part by part, and join what the parts say."""
    options = parse(arguments)
    models = dict(model.partition("=")[::2] for model in options.model)
    results: dict[str, list[Summary]] = {}
    try:
        hashes = {name: identify(find_model(path)).sha256 for name, path in models.items()}
        known = parts(options)
        if unknown := set(options.parts or ()) - known.keys():
            raise UserError(f"--parts {min(unknown)}: there is none; use some of {', '.join(known)}")
        for part, overrides in known.items():
            if not options.parts or part in options.parts:
                results[part] = made(options.out / part, part, overrides, models, hashes, options.peers)
    except UserError as error:
        sys.exit(f"error: {error}")
    table = "\n".join(each.markdown() for part, found in results.items() for each in tables(part, found))
    with whole_file(options.out / "table.md") as unfinished:
        unfinished.write_text(table, encoding="utf-8")
    print(table)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    options = parser("quality", __doc__)
    options.add_argument("--pages", type=Path, required=True, help="clean pages in val/ and test/")
    options.add_argument("--pairs", type=Path, help="degraded pages *_in and ink masks *_gt")
    options.add_argument("--model", action="append", default=[], metavar="NAME=PATH", help="may be repeated")
    options.add_argument("--out", type=Path, default=Path("outputs/benchmark_quality"))
    options.add_argument("--parts", nargs="+", metavar="PART", help="only these: a preset, like, ink, text")
    options.add_argument(
        "--peers", nargs="*", choices=list(GRIDS), default=["background_division"], metavar="PEER"
    )
    presets = ["reference", "paper", "palm_leaf", "foreign"]
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


def parts(options: argparse.Namespace) -> dict[str, list[str]]:
    """What each part asks of the evaluation, in the order of the tables."""
    pages = [f"data.val_dir={options.pages}/val", f"data.test_dir={options.pages}/test", "data.view=crop"]
    pages += [f"data.image_size={options.crop}", f"data.val_views_per_page={options.views}"]
    pages += [f"manuscript='{options.manuscript}'"]
    first = options.presets[0]
    found = {preset: [f"degradation={preset}", *pages, f"tune={options.tune}"] for preset in options.presets}
    for preset in options.presets[1:]:
        found[preset] += ["no_harm=false"]  # the clean pages are the same
    if options.like:
        found["like"] = [f"degradation={first}", *pages, f"like={options.like}", "no_harm=false"]
    if options.pairs:
        folders = [f"binarisation.{kind}_dir={options.pairs}" for kind in ("degraded", "ink")]
        endings = ["binarisation.degraded_ending=_in", "binarisation.ink_ending=_gt"]
        found["ink"] = ["tasks=[binarisation]", *folders, *endings]
    if options.text_pages:
        text = [f"text.num_pages={options.text_pages}", f"text.language={options.language}"]
        found["text"] = ["tasks=[text]", f"degradation={options.text_preset}", "no_harm=false", *text]
    return found


def made(
    folder: Path,
    name: str,
    overrides: Sequence[str],
    models: dict[str, str],
    hashes: dict[str, str],
    peers: Sequence[str],
) -> list[Summary]:
    """The part's summaries: those in its folder, if they are of the same models and settings; else new ones."""
    peers = [] if name == "like" else peers  # they look at nothing but the page
    asked = json.dumps([overrides, hashes, list(peers), GROUPS], indent=1)
    file = folder / "asked.json"
    if file.is_file() and file.read_text("utf-8") == asked:
        print(f"{name}: is there already, in {folder}")
        return read_summaries((folder / "summary.csv").read_text("utf-8"))
    file.unlink(missing_ok=True)
    config = compose("evaluate", f"name={name}", *overrides, f"output_dir={folder}")
    with open_dict(config):
        config.models, config.peers, config.groups = models, list(peers), GROUPS
    OmegaConf.resolve(config)
    summaries = evaluate(**{str(key): value for key, value in config.items()})
    with whole_file(file) as unfinished:
        unfinished.write_text(asked, encoding="utf-8")
    return summaries


def tables(part: str, summaries: list[Summary]) -> Iterator[Table]:
    """What is shown of a part."""
    if part in SCORES:
        yield _table(f"{part}: scores", summaries, SCORES[part], gain=False)
        return
    yield _table(f"{part}: gain over the degraded page", summaries, GAINS, gain=True)
    if any(s.score in SCORES[SOUND_TABLE] for s in summaries):
        yield _table("Clean pages, restored", summaries, SCORES[SOUND_TABLE], gain=False)


def _table(title: str, summaries: list[Summary], scores: Sequence[str], *, gain: bool) -> Table:
    shown = [s for s in summaries if s.score in scores and not (gain and s.method == "none")]
    cells = {(s.group, s.method, s.score): _written(s, gain=gain) for s in shown}
    heads = [score for score in scores if any(s.score == score for s in shown)]
    counts = {s.group: f"{s.group or 'all'} ({s.num_pairs} of {s.num_pages})" for s in shown}
    lines = list(dict.fromkeys((s.group, s.method) for s in shown))
    rows = [[counts[line[0]], line[1], *(cells.get((*line, head), "–") for head in heads)] for line in lines]
    note = "Pairs of so many manuscripts or pages; in brackets 95 % intervals"
    note += "." if gain else ", and the share of the pairs that gain."
    if gain:
        inputs = {s.score: s.input_mean for s in shown if not s.group}
        note += " Degraded: " + ", ".join(
            f"{describe(score).title} {value:.{describe(score).digits}f}" for score, value in inputs.items()
        )
    return Table(title, ["pages", "method", *(describe(score).title for score in heads)], rows, note)


def _written(summary: Summary, *, gain: bool) -> str:
    estimate: Estimate = summary.gain if gain else summary.value
    number = f"{'+' if gain else ''}.{describe(summary.score).digits}f"
    interval = "" if estimate.low != estimate.low else f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    known = summary.better == summary.better and summary.method != "none" and not gain
    return f"{estimate.mean:{number}}{interval}" + (f", {summary.better:.0%}" if known else "")
