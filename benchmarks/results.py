"""The docs' page of results, from the summaries of an evaluation's parts: docs/reference/results.md.

The same as CSV, ``results.csv``, can be given to a later run, which then measures only what is new.
"""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from math import isclose, isnan
from pathlib import Path

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.measure import CLEAN, UNTOUCHED
from manuscript_restore.evaluation.results import SUMMARY_HEADS, read_summaries, summary_csv
from manuscript_restore.evaluation.scores import describe
from manuscript_restore.evaluation.statistics import Summary
from manuscript_restore.evaluation.tables import Table

HEAD = """# Results

Written by a run of `make benchmark-quality`: not by hand. [Evaluation](../explanation/evaluation.md) explains the
scores and the pages, and says what follows from them. No network was trained on these manuscripts. "Gain" is over
the damaged page; in brackets 95 % intervals over manuscripts. "(72 of 36)" are 72 crops of 36 manuscripts.
[The same as CSV](results.csv).

"""
LABELS = {
    "like": "`reference`, with `--like`",
    "foreign": "`foreign` (Augraphy)",
    "ink": "Ink",
    "text": "Text",
}
GAINS = ("psnr", "psnr_colour_fit", "ssim")
SOUND = {"no_harm_psnr": "sound pages", "no_harm_untouched": "left as they are, %"}
"""Scores of the clean pages, and what heads their columns."""
OTHERS = {
    "ink": ("sauvola/f_measure", "otsu/f_measure", "ink/f_measure", "sauvola/drd", "ink/drd"),
    "text": ("cer", "cer_unsafe", "cer_safe", "ink/f_measure", "psnr"),
}
"""What is shown of the parts that are not about likeness to the clean page."""
NO_METHODS = (UNTOUCHED, CLEAN)
"""Scored beside the methods: the damaged page, and what it was before."""

Parts = Mapping[str, Sequence[Summary]]
"""Summaries by what the pages were damaged by, and of ``like``, ``ink`` and ``text``."""


def to_csv(parts: Parts, networks: Mapping[str, str]) -> str:
    """What the page is made of: each summary after its part and, of a network, what tells which weights it had."""
    lines = [",".join(("part", "weights", *SUMMARY_HEADS))]
    for part, summaries in parts.items():
        found = [s for s in summaries if s.score in _shown(part)]
        of_summaries = summary_csv(found).splitlines()[1:]
        lines += [
            f"{part},{networks.get(s.method, '')},{line}" for s, line in zip(found, of_summaries, strict=True)
        ]
    return "\n".join(lines) + "\n"


def read_csv(file: Path) -> tuple[dict[str, list[Summary]], dict[str, str]]:
    """The parts and networks that `to_csv` wrote.

    Raises:
        UserError: The file is not there, or no such table.
    """
    parts: dict[str, list[Summary]] = {}
    networks: dict[str, str] = {}
    try:
        text = file.read_text("utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        for row, summary in zip(rows, read_summaries(text), strict=True):
            if summary.score not in _shown(row["part"]):
                raise ValueError(summary.score)
            parts.setdefault(row["part"], []).append(summary)
            if row["weights"] and networks.setdefault(summary.method, row["weights"]) != row["weights"]:
                raise UserError(f"{file}: {summary.method} has two weights; leave the rows of one out")
        if not rows:
            raise ValueError("no rows")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (KeyError, ValueError) as error:
        raise UserError(f"{file}: is no results.csv of this benchmark") from error
    return parts, networks


def without_other_weights(
    parts: Parts, networks: Mapping[str, str], current: Mapping[str, str]
) -> dict[str, list[Summary]]:
    """Without the rows of networks that have other weights now: a name stands for one network."""
    other = {name for name, which in current.items() if networks.get(name, which) != which}
    return {part: [s for s in found if s.method not in other] for part, found in parts.items()}


def joined(earlier: Parts, now: Parts, networks: Collection[str]) -> dict[str, list[Summary]]:
    """What was measured earlier, and what now: in its place, or new.

    Raises:
        UserError: The damaged pages were others than now.
    """
    parts = {}
    for part in {**earlier, **now}:
        old, new = ({(s.group, s.method, s.score): s for s in found.get(part, ())} for found in (earlier, now))
        damaged = [place for place in old.keys() & new.keys() if place[1] == UNTOUCHED]
        if old and new and not (damaged and all(_same(old[place], new[place]) for place in damaged)):
            raise UserError(f"--add: {part!r} was measured on other pages or damage; make it anew, without --add")
        groups = list(dict.fromkeys(group for group, *_ in {**old, **new}))
        # By group, and in it: the damaged page, networks, other methods, the clean page.
        rank = {UNTOUCHED: 0, **dict.fromkeys(networks, 1), CLEAN: 3}
        parts[part] = sorted({**old, **new}.values(), key=lambda s: (groups.index(s.group), rank.get(s.method, 2)))
    return parts


def _same(one: Summary, other: Summary) -> bool:
    counts = (one.num_pairs, one.num_pages) == (other.num_pairs, other.num_pages)
    return counts and isclose(one.value.mean, other.value.mean, rel_tol=0.001)


def page(parts: Parts, networks: Mapping[str, str], wide: Sequence[str]) -> str:
    """All of it in Markdown.

    Args:
        parts: What was measured.
        networks: Those among the methods, with what tells which weights they had; the first is ours.
        wide: Groups of pages for which all methods are shown; for the others, only networks.
    """
    damages = {name: found for name, found in parts.items() if name not in OTHERS}
    sections = {
        "Where another method is ahead": [ahead(parts, next(iter(networks), ""))],
        "All methods": [table for group in ("", *wide) for table in by_method(damages, group)],
        "By support and script": list(by_group(damages, networks)),
    }
    sections |= {_label(name): [_lines("", parts[name], OTHERS[name])] for name in OTHERS if name in parts}
    text = HEAD + "Networks: " + "; ".join(f"{name} `{which}`" for name, which in networks.items()) + ".\n"
    for title, tables in sections.items():
        text += f"\n## {title}\n\n" + "\n".join(table.markdown() for table in tables)
    return text


def ahead(parts: Parts, ours: str) -> Table:
    """Every damage, group of pages and score in which another method's mean is better than ours; the best one."""
    rows = []
    for part, summaries in parts.items():
        own = {(s.group, s.score): s for s in summaries if s.method == ours and s.score in _shown(part)}
        best: dict[tuple[str, str], Summary] = {}
        for s in summaries:
            place = s.group, s.score
            if s.method not in NO_METHODS and place in own and _rank(s) > _rank(best.get(place, own[place])):
                best[place] = s
        for place, s in best.items():
            on = "none: sound pages" if s.score in SOUND else _label(part)
            rows.append([on, _pages(s), describe(s.score).title, s.method, _written(s), _written(own[place])])
    note = "The best other method wherever its mean is better than ours. Where intervals overlap it may be chance."
    return Table("", ["damage", "pages", "score", "method", "its", "ours"], rows, note)


def by_method(damages: Parts, group: str) -> Iterator[Table]:
    """A table for each gain: methods down, damages across; the first two have a column on sound pages each."""
    shown = {_label(name): [s for s in found if s.group == group] for name, found in damages.items()}
    everything = [s for found in shown.values() for s in found]
    methods = dict.fromkeys(s.method for s in everything if s.method not in NO_METHODS)
    for score, of_sound in zip_longest(GAINS, SOUND):
        columns = {damage: {s.method: s for s in found if s.score == score} for damage, found in shown.items()}
        if of_sound:
            columns[SOUND[of_sound]] = {s.method: s for s in everything if s.score == of_sound}
        columns = {head: cells for head, cells in columns.items() if cells}
        if not columns:
            continue
        rows = [[m, *(_written(cells[m]) if m in cells else "–" for cells in columns.values())] for m in methods]
        some = [next(iter(cells.values())) for cells in columns.values()]
        inputs = ["–" if isnan(s.input_mean) else f"{s.input_mean:.{_digits(s)}f}" for s in some]
        rows.append(["*the damaged page itself*", *inputs])
        yield Table(f"{describe(score).title}, gain: {_pages(some[0])}", ["method", *columns], rows)


def by_group(damages: Parts, networks: Collection[str]) -> Iterator[Table]:
    """A table for each damage, and one of sound pages: groups and networks down, scores across."""
    of_networks = {name: [s for s in found if s.method in networks] for name, found in damages.items()}
    for name, found in of_networks.items():
        yield _lines(_label(name), found, GAINS)
    sound = [s for found in of_networks.values() for s in found if s.score in SOUND]
    if sound:
        yield _lines("sound pages", sound, list(SOUND))


def _lines(title: str, summaries: Sequence[Summary], scores: Sequence[str]) -> Table:
    shown = [s for s in summaries if s.score in scores]
    heads = [score for score in scores if any(s.score == score for s in shown)]
    cells = {(s.group, s.method, s.score): _written(s) for s in shown}
    lines = {(s.group, s.method): _pages(s) for s in shown}
    rows = [[pages, line[1], *(cells.get((*line, head), "–") for head in heads)] for line, pages in lines.items()]
    return Table(title, ["pages", "method", *(describe(head).title for head in heads)], rows)


def _shown(part: str) -> Sequence[str]:
    return OTHERS.get(part, (*GAINS, *SOUND))


def _pages(summary: Summary) -> str:
    return f"{summary.group or 'all'} ({summary.num_pairs} of {summary.num_pages})"


def _label(part: str) -> str:
    return LABELS.get(part, f"`{part}`")


def _rank(summary: Summary) -> float:
    """The gain where there is one, else the score itself; more is better."""
    if not isnan(summary.gain.mean):
        return summary.gain.mean
    return summary.value.mean * (1 if describe(summary.score).higher_is_better else -1)


def _digits(summary: Summary) -> int:
    return min(3, describe(summary.score).digits)


def _written(summary: Summary) -> str:
    """``+1.23 [+0.45, +2.01]``: the gain of a damaged page, of all else the score itself."""
    is_gain = summary.task == "degraded" and summary.score not in SOUND
    estimate = summary.gain if is_gain else summary.value
    number = f"{'+' if is_gain else ''}.{_digits(summary)}f"
    interval = "" if isnan(estimate.low) else f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return f"{estimate.mean:{number}}{interval}".replace("-", "−")
