"""Measure what the docs' tables say: restorers and classical peers on held-out pages, ink masks and text.

    python -m benchmarks quality --pages FOLDER --pairs FOLDER --model NAME=PATH [--model NAME=PATH …]

PAGES holds clean pages in ``val`` and ``test``, of other manuscripts than trained; PAIRS degraded pages ``*_in``
and their ink masks ``*_gt``. Writes an evaluation for each preset, for the masks and for generated pages with text
below --out, and ``table.md``, which joins them. docs/explanation/evaluation.md explains the scores.
"""

import argparse
import sys
from pathlib import Path

from omegaconf import OmegaConf, open_dict

from benchmarks.measure import parser
from manuscript_restore.config import compose
from manuscript_restore.errors import UserError
from manuscript_restore.evaluate import evaluate
from manuscript_restore.evaluation.scores import describe
from manuscript_restore.evaluation.statistics import Estimate, Summary
from manuscript_restore.evaluation.tables import Table
from manuscript_restore.files import whole_file

PEERS = ["median", "bilateral", "non_local_means", "unsharp", "clahe", "background_division"]
Results = dict[str, list[Summary]]


def main(arguments: list[str]) -> None:
    """Evaluate, and join what the evaluations say into one table."""
    options = parse(arguments)
    models = dict(model.partition("=")[::2] for model in options.model)
    peers = [*PEERS, "bm3d"] if options.bm3d else PEERS

    def run(name: str, *overrides: str) -> list[Summary]:
        config = compose("evaluate", f"name={name}", *overrides, f"output_dir={options.out / name}")
        with open_dict(config):
            config.models = models
            config.peers = peers
        OmegaConf.resolve(config)
        return evaluate(**{str(key): value for key, value in config.items()})

    pages = [f"data.val_dir={options.pages}/val", f"data.test_dir={options.pages}/test", "data.view=crop"]
    pages += [f"data.image_size={options.crop}", f"data.val_views_per_page={options.views}"]
    pages += [f"tune={options.tune}", f"manuscript='{options.manuscript}'"]
    results: Results = {}
    try:
        for preset in options.presets:
            results[preset] = run(preset, f"degradation={preset}", *pages)
        if options.pairs:
            folders = [f"binarisation.{kind}_dir={options.pairs}" for kind in ("degraded", "ink")]
            endings = ["binarisation.degraded_ending=_in", "binarisation.ink_ending=_gt"]
            results["ink"] = run("ink", "tasks=[binarisation]", *folders, *endings)
        if options.text_pages:
            text = [f"text.num_pages={options.text_pages}", f"text.language={options.language}"]
            results["text"] = run(
                "text", "tasks=[text]", f"degradation={options.text_preset}", "no_harm=false", *text
            )
    except UserError as error:
        sys.exit(f"error: {error}")
    table = "\n".join(each.markdown() for each in tables(results, options.presets))
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
    options.add_argument("--presets", nargs="+", default=["reference", "paper", "palm_leaf"])
    options.add_argument("--crop", type=int, default=256, help="side of the crops, pixels")
    options.add_argument("--views", type=int, default=4, help="crops of each page")
    options.add_argument("--tune", type=int, default=16, help="validation pairs that choose the peers' settings")
    options.add_argument("--manuscript", default="^(.+)_[^_]+$", help="its group names a page's manuscript")
    options.add_argument("--text-pages", type=int, default=16, help="generated pages for OCR; 0: none")
    options.add_argument("--text-preset", default="reference")
    options.add_argument("--language", default="Devanagari", help="of Tesseract")
    options.add_argument("--bm3d", action="store_true", help="with BM3D: 10 s a crop, an extra of its own licence")
    return options.parse_args(arguments)


def tables(results: Results, presets: list[str]) -> list[Table]:
    """The gains on held-out pages, then ink and text."""
    gains = ["psnr", "psnr_colour_fit", "ssim"]
    made = [
        _table(f"{preset}: gain over the degraded page", results[preset], gains, gain=True) for preset in presets
    ]
    clean = [_table("Clean pages, restored", results[presets[0]], ["no_harm_psnr"], gain=False)]
    for name, scores in (
        ("ink", ["sauvola/f_measure", "sauvola/pseudo_f_measure", "sauvola/drd", "otsu/f_measure"]),
        ("text", ["cer", "cer_unsafe", "cer_safe", "psnr"]),
    ):
        if name in results:
            clean.append(_table(f"{name}: scores", results[name], scores, gain=False))
    return [*made, *clean]


def _table(title: str, summaries: list[Summary], scores: list[str], *, gain: bool) -> Table:
    cells = {(s.method, s.score): _written(s, gain=gain) for s in summaries}
    methods = dict.fromkeys(s.method for s in summaries if s.score in scores and not (gain and s.method == "none"))
    rows = [[method, *(cells.get((method, score), "–") for score in scores)] for method in methods]
    counts = next(s for s in summaries if s.score in scores)
    note = f"{counts.num_pairs} pairs of {counts.num_pages} manuscripts or pages; in brackets 95 % intervals."
    if gain:
        inputs = {s.score: s.input_mean for s in summaries if s.score in scores}
        note += " Degraded: " + ", ".join(
            f"{describe(score).title} {value:.{describe(score).digits}f}" for score, value in inputs.items()
        )
    return Table(title, ["method", *(describe(score).title for score in scores)], rows, note)


def _written(summary: Summary, *, gain: bool) -> str:
    estimate: Estimate = summary.gain if gain else summary.value
    number = f"{'+' if gain else ''}.{describe(summary.score).digits}f"
    interval = "" if estimate.low != estimate.low else f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return f"{estimate.mean:{number}}{interval}"
