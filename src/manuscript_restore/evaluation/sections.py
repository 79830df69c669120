"""The part of the report that tells of a task: tables, plots, and pages to look at."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from manuscript_restore.evaluation.measure import CLEAN, UNTOUCHED, Method
from manuscript_restore.evaluation.pairs import Pair, Task
from manuscript_restore.evaluation.peers import BINARISERS
from manuscript_restore.evaluation.report import Bar, Case, Plot, Section
from manuscript_restore.evaluation.scores import OF_CLEAN, ScoreInfo, describe
from manuscript_restore.evaluation.statistics import Estimate, Row, Summary, by_damage, by_group, summarise
from manuscript_restore.evaluation.tables import Table
from manuscript_restore.images.figures import error_map, ink_errors
from manuscript_restore.images.tensors import quantize

INTROS = {
    "clean": "Restored pages against the clean ones they were damaged from.",
    "ink": "Restored pages, thresholded, against the true ink masks.",
    "text": "Restored pages against the clean ones, and what Tesseract reads on them against what was written.",
}
MAIN_SCORES = ("psnr", "psnr_colour_fit", "ssim", "cer", "sauvola/f_measure", "otsu/f_measure")
"""Those that are plotted, the first that a task has being the one that orders its pages."""
GROUP_SCORES = (*MAIN_SCORES, "ink/f_measure", *OF_CLEAN)
"""Those that are tabled by groups of pages."""
INTERVALS = "In brackets: 95 % bootstrap intervals over pages or manuscripts."


def section(task: Task, rows: Sequence[Row], methods: Mapping[str, Method], *, num_cases: int) -> Section:
    """The part of the report that tells of a task.

    Args:
        task: Makes the pictures of the pages that are shown, once more.
        rows: Of the task.
        methods: Of the task; the first one's pages are shown.
        num_cases: So many of the worst, of the median and of the best pages.
    """
    summaries = summarise(rows)
    found = list(dict.fromkeys(row.score for row in rows))
    main = [score for score in MAIN_SCORES if score in found]
    kind = "text" if "cer" in found else "ink" if "psnr" not in found else "clean"
    num_pairs, num_pages = summaries[0].num_pairs, summaries[0].num_pages
    intro = f"{INTROS[kind]} {num_pairs} pairs of {num_pages} pages or manuscripts. {task.note}".strip()
    shown = next(iter(methods), UNTOUCHED)
    return Section(
        title=task.name,
        intro=intro,
        tables=[*_summary_tables(summaries, found), *_group_tables(rows), *_damage_tables(rows, main[0])],
        plots=[_gain_plot(summaries, score) for score in main],
        cases=_cases(task, rows, shown, methods.get(shown), main[0], num_cases),
        pages=_page_table(rows, main[0]),
    )


def _summary_tables(summaries: Sequence[Summary], scores: Sequence[str]) -> list[Table]:
    """Scores and gains, methods by rows; a table of its own for each threshold, and for reading."""
    families: dict[str, list[str]] = {}
    for score in scores:
        family = "reading" if score[:3] in ("cer", "wer") else score.partition("/")[0] if "/" in score else ""
        families.setdefault(family, []).append(score)
    tables = []
    for family, members in families.items():
        suffix = f": {family}" if family else ""
        tables.append(_method_table(f"Scores{suffix}", summaries, members, lambda s: s.value))
        gaining = [score for score in members if any(not math.isnan(s.gain.mean) for s in _of(summaries, score))]
        others = [s for s in summaries if s.method not in (UNTOUCHED, CLEAN)]
        if others:
            title = f"Gain over the degraded page{suffix}, positive is better"
            tables.append(_method_table(title, others, gaining, lambda s: s.gain, sign="+"))
    return tables


def _method_table(
    title: str,
    summaries: Sequence[Summary],
    scores: Sequence[str],
    value: Callable[[Summary], Estimate],
    sign: str = "",
) -> Table:
    cells = {(s.method, s.score): _written(value(s), describe(s.score), sign) for s in summaries}
    methods = dict.fromkeys(s.method for s in summaries if s.score in scores)
    heads = [_head(describe(score)) for score in scores]
    rows = [[method, *(cells.get((method, score), "–") for score in scores)] for method in methods]
    return Table(title, ["method", *heads], rows, INTERVALS)


def _group_tables(rows: Sequence[Row]) -> list[Table]:
    """A table for each score: groups of pages by rows, methods by columns."""
    groups = by_group(rows)
    found = {row.score for row in rows}
    note = f"A page counts in each group that it belongs to. {INTERVALS}"
    tables: list[Table] = []
    for score in (score for score in GROUP_SCORES if groups and score in found):
        tables += _table_of_parts(groups, score, "group", note)
    return tables


def _damage_tables(rows: Sequence[Row], score: str) -> list[Table]:
    if not any(row.damage for row in rows):
        return []
    note = f"A page counts under each damage that it got, alone or among others. {INTERVALS}"
    return _table_of_parts(by_damage(rows), score, "kind of damage", note)


def _table_of_parts(parts: Mapping[str, Sequence[Row]], score: str, what: str, note: str) -> list[Table]:
    """The gain in a score on parts of the pages, or, where it has none, the score; none without methods."""
    info, lines = describe(score), []
    chosen = {
        name: [row for row in rows if row.score == score and row.method not in (UNTOUCHED, CLEAN)]
        for name, rows in parts.items()
    }
    methods = list(dict.fromkeys(row.method for rows in chosen.values() for row in rows))
    gains = any(not math.isnan(row.gain) for rows in chosen.values() for row in rows)
    for name, rows in chosen.items():
        found = {s.method: s for s in summarise(rows)}
        cells = [_written(s.gain if gains else s.value, info, "+" if gains else "") for s in found.values()]
        written = dict(zip(found, cells, strict=True))
        count = str(max((s.num_pairs for s in found.values()), default=0))
        lines.append([name, count, *(written.get(method, "–") for method in methods)])
    title = f"Gain in {info.title} by {what}" if gains else f"{_head(info)} by {what}"
    return [Table(title, [what.rpartition(" ")[2], "pairs", *methods], lines, note)] if methods else []


def _gain_plot(summaries: Sequence[Summary], score: str) -> Plot:
    info = describe(score)
    gains = [s for s in _of(summaries, score) if s.method not in (UNTOUCHED, CLEAN)]
    bars = [
        Bar(s.method, s.gain.mean, s.gain.low, s.gain.high, f"{s.gain.mean:+.{info.digits}f}")
        for s in sorted(gains, key=lambda s: -s.gain.mean)
    ]
    return Plot(f"Gain in {_head(info)}", bars)


def _cases(
    task: Task, rows: Sequence[Row], shown: str, method: Method | None, score: str, number: int
) -> list[Case]:
    """The worst, the median and the best pages of a method, restored once more."""
    ranked = sorted((row for row in rows if row.method == shown and row.score == score), key=lambda r: r.gain)
    if method is None or not ranked:
        return []
    middle = max(0, (len(ranked) - number) // 2)
    picks: dict[int, tuple[str, Row]] = {}
    for label, some in (
        ("worst", ranked[:number]),
        ("median", ranked[middle : middle + number]),
        ("best", ranked[::-1][:number]),
    ):
        for row in some:
            picks.setdefault(row.index, (label, row))
    info, cases = describe(score), []
    for label, row in picks.values():
        pair = task.pair(row.index)
        if pair is not None:
            before, after = (f"{value:.{info.digits}f}" for value in (row.input_value, row.value))
            caption = f"{_head(info)} {before} → {after} ({row.gain:+.{info.digits}f})"
            caption += f"; damage: {', '.join(row.damage)}" if row.damage else ""
            restored = quantize(method(pair.degraded, pair).picture)
            title = f"{label}: {row.name}, {shown}"
            cases.append(Case(title, caption, pair.degraded, restored, _details(pair, restored, score)))
    return cases


def _details(pair: Pair, restored: Tensor, score: str) -> dict[str, Any]:
    """The truth and where the pictures miss it, by caption."""
    views = {"degraded": pair.degraded, "restored": restored}
    if pair.clean is not None:
        errors = {f"error of the {name} page": error_map(view, pair.clean) for name, view in views.items()}
        return {"clean": pair.clean, **errors}
    if pair.ink is not None:
        binarise = BINARISERS[score.partition("/")[0]]
        key = "right in black, false in red, missed in blue"
        inks = {name: ink_errors(binarise(view), pair.ink) for name, view in views.items()}
        return {f"ink of the {name} page: {key}": picture for name, picture in inks.items()}
    return {}


def _page_table(rows: Sequence[Row], score: str) -> Table:
    info = describe(score)
    pages: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.score == score:
            pages.setdefault(row.name, {})[row.method] = row
    methods = list(dict.fromkeys(row.method for row in rows if row.score == score))

    def cell(row: Row | None) -> str:
        return "–" if row is None or math.isnan(row.value) else f"{row.value:.{info.digits}f}"

    lines = [[name, *(cell(found.get(method)) for method in methods)] for name, found in pages.items()]
    return Table(f"{_head(info)} of every page", ["page", *methods], lines)


def _of(summaries: Sequence[Summary], score: str) -> list[Summary]:
    return [summary for summary in summaries if summary.score == score]


def _head(info: ScoreInfo) -> str:
    return f"{info.title} ({info.unit})" if info.unit else info.title


def _written(estimate: Estimate, info: ScoreInfo, sign: str) -> str:
    if math.isnan(estimate.mean):
        return "–"
    number = f"{sign}.{info.digits}f"
    interval = "" if math.isnan(estimate.low) else f" [{estimate.low:{number}}, {estimate.high:{number}}]"
    return f"{estimate.mean:{number}}{interval}"
