"""The docs' page of results, from the summaries of an evaluation's parts: docs/reference/results.md."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isnan

from manuscript_restore.evaluation.measure import CLEAN, UNTOUCHED
from manuscript_restore.evaluation.scores import describe
from manuscript_restore.evaluation.statistics import Summary
from manuscript_restore.evaluation.tables import Table

HEAD = """# Results

Written by a run of `make benchmark-quality`: not by hand. [Evaluation](../explanation/evaluation.md) explains the
scores and the pages, and says what follows from them. No network was trained on these manuscripts. "Gain" is over
the damaged page; in brackets 95 % intervals over manuscripts. "(72 of 36)" are 72 crops of 36 manuscripts.

"""
LABELS = {"like": "`reference`, with `--like`", "foreign": "`foreign` (Augraphy)"}
GAINS = ("psnr", "psnr_colour_fit", "ssim")
SOUND = ("no_harm_psnr", "no_harm_untouched")
OTHERS = {
    "ink": ("sauvola/f_measure", "otsu/f_measure", "ink/f_measure", "sauvola/drd", "ink/drd"),
    "text": ("cer", "cer_unsafe", "cer_safe", "ink/f_measure", "psnr"),
}
"""What is shown of the parts that are not about likeness to the clean page."""
NO_METHODS = (UNTOUCHED, CLEAN)
"""Scored beside the methods: the damaged page, and what it was before."""

Parts = Mapping[str, Sequence[Summary]]
"""Summaries by what the pages were damaged by, and of ``like``, ``ink`` and ``text``."""


def page(parts: Parts, networks: Mapping[str, str], wide: Sequence[str]) -> str:
    """All of it in Markdown.

    Args:
        parts: What was measured.
        networks: Those among the methods, with what tells which weights they had; the first is ours.
        wide: Groups of pages for which all methods are shown; for the others, only networks.
    """
    ours = next(iter(networks))
    damages = {_label(name): found for name, found in parts.items() if name not in OTHERS}
    others = {name.capitalize(): (parts[name], scores) for name, scores in OTHERS.items() if name in parts}
    shown = dict.fromkeys(damages, (*GAINS, *SOUND)) | {name: scores for name, (_, scores) in others.items()}
    everything = damages | {name: found for name, (found, _) in others.items()}
    sections = {"Where another method is ahead": [ahead(everything, shown, ours)]}
    sections["All methods"] = [t for group in ("", *wide) for t in by_method(damages, group)]
    sections["By support and script"] = list(by_group(damages, networks))
    for name, (found, scores) in others.items():
        sections[name] = [_lines("", [s for s in found if s.score in scores], scores, gain=False)]
    text = HEAD + "Networks: " + "; ".join(f"{name} `{which}`" for name, which in networks.items()) + ".\n"
    for title, tables in sections.items():
        text += f"\n## {title}\n\n" + "\n".join(table.markdown() for table in tables)
    return text


def ahead(parts: Parts, scores: Mapping[str, Sequence[str]], ours: str) -> Table:
    """Every damage, group of pages and score in which another method's mean is better than ours; the best one."""
    rows = []
    for part, summaries in parts.items():
        own = {(s.group, s.score): s for s in summaries if s.method == ours and s.score in scores[part]}
        best: dict[tuple[str, str], Summary] = {}
        for s in summaries:
            place = s.group, s.score
            if s.method not in NO_METHODS and place in own and _rank(s) > _rank(best.get(place, own[place])):
                best[place] = s
        for (group, score), s in best.items():
            on = "none: sound pages" if score in SOUND else part
            gain = part not in map(str.capitalize, OTHERS)
            two = [_written(each, gain=gain) for each in (s, own[group, score])]
            rows.append([on, _pages(s), describe(score).title, s.method, *two])
    note = "The best other method wherever its mean is better than ours. Where intervals overlap it may be chance."
    return Table("", ["damage", "pages", "score", "method", "its", "ours"], rows, note)


def by_method(damages: Parts, group: str) -> Iterator[Table]:
    """A table for each gain: methods down, damages across, and sound pages."""
    of_group = {name: [s for s in found if s.group == group] for name, found in damages.items()}
    methods = dict.fromkeys(s.method for found in of_group.values() for s in found if s.method not in NO_METHODS)
    for score in GAINS:
        found = {d: {s.method: s for s in some if s.score == score} for d, some in of_group.items()}
        columns = {damage: cells for damage, cells in found.items() if cells}
        if not columns:
            continue
        for kind, title in zip(SOUND, ("sound pages", "left as they are, %"), strict=True):
            sound = {s.method: s for some in of_group.values() for s in some if s.score == kind}
            if sound and score == GAINS[SOUND.index(kind)]:
                columns[title] = sound
        rows = [
            [method, *(_written(cells[method]) if method in cells else "–" for cells in columns.values())]
            for method in methods
        ]
        inputs = [
            next((f"{s.input_mean:.{_digits(s)}f}" for s in cells.values()), "–") for cells in columns.values()
        ]
        rows.append(["*the damaged page itself*", *("–" if value == "nan" else value for value in inputs)])
        some = next(iter(next(iter(columns.values())).values()))
        yield Table(f"{describe(score).title}, gain: {_pages(some)}", ["method", *columns], rows)


def by_group(damages: Parts, networks: Collection[str]) -> Iterator[Table]:
    """A table for each damage, and one of sound pages: groups and networks down, scores across."""
    sound = [s for found in damages.values() for s in found if s.score in SOUND]
    for damage, found, scores in [*((d, s, GAINS) for d, s in damages.items()), ("sound pages", sound, SOUND)]:
        shown = [s for s in found if s.score in scores and s.method in networks]
        if shown:
            yield _lines(damage, shown, scores)


def _lines(title: str, shown: Sequence[Summary], scores: Sequence[str], *, gain: bool = True) -> Table:
    heads = [score for score in scores if any(s.score == score for s in shown)]
    cells = {(s.group, s.method, s.score): _written(s, gain=gain) for s in shown}
    lines = {(s.group, s.method): _pages(s) for s in shown}
    rows = [[pages, line[1], *(cells.get((*line, head), "–") for head in heads)] for line, pages in lines.items()]
    return Table(title, ["pages", "method", *(describe(head).title for head in heads)], rows)


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


def _written(summary: Summary, *, gain: bool = True) -> str:
    """``+1.23 [+0.45, +2.01]``: a gain, or a score where no gain is asked for or there is none."""
    gain = gain and summary.score not in SOUND
    estimate = summary.gain if gain else summary.value
    number = f"{'+' if gain else ''}.{_digits(summary)}f"
    interval = "" if isnan(estimate.low) else f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return f"{estimate.mean:{number}}{interval}".replace("-", "−")
