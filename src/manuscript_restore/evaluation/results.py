"""What an evaluation leaves behind as files: CSV, Markdown, JSON and the HTML report, all of them or none."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.evaluation.statistics import Estimate, Row, Summary
from manuscript_restore.files import whole_file


def scores_csv(rows: Sequence[Row]) -> str:
    """Every score of every method on every page."""
    heads = ("task", "page", "manuscript", "groups", "damage", "method", "score", "value", "input", "gain")

    def values(row: Row) -> tuple[Any, ...]:
        of = (row.task, row.name, row.page, "; ".join(row.groups), " ".join(row.damage), row.method, row.score)
        return (*of, row.value, row.input_value, row.gain)

    return _csv(heads, map(values, rows))


SUMMARY_HEADS = (
    *("task", "method", "score", "group", "num_pairs", "num_pages"),
    *("mean", "low", "high", "input", "gain", "gain_low", "gain_high", "better"),
)


def summary_values(summary: Summary) -> tuple[Any, ...]:
    """A summary as values under `SUMMARY_HEADS`."""
    value, gain = summary.value, summary.gain
    of = (summary.task, summary.method, summary.score, summary.group, summary.num_pairs, summary.num_pages)
    means = (value.mean, value.low, value.high, summary.input_mean, gain.mean, gain.low, gain.high)
    return (*of, *means, summary.better)


def summary_csv(summaries: Sequence[Summary]) -> str:
    """Means and intervals."""
    return _csv(SUMMARY_HEADS, map(summary_values, summaries))


def read_summaries(text: str) -> list[Summary]:
    """The means and intervals that `summary_csv` wrote."""
    return [_summary(row) for row in csv.DictReader(io.StringIO(text))]


def _summary(row: Mapping[str, str]) -> Summary:
    numbers = {head: float(row[head] or "nan") for head in SUMMARY_HEADS[4:]}
    return Summary(
        *(row["task"], row["method"], row["score"], int(numbers["num_pairs"]), int(numbers["num_pages"])),
        value=Estimate(numbers["mean"], numbers["low"], numbers["high"]),
        input_mean=numbers["input"],
        gain=Estimate(numbers["gain"], numbers["gain_low"], numbers["gain_high"]),
        better=numbers["better"],
        group=row["group"],
    )


def write_all(folder: Path, contents: Mapping[str, str]) -> None:
    """Write files of text by name: all of them, or none.

    Raises:
        UserError: The folder cannot be made, or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    with ExitStack() as stack:
        for name, content in contents.items():
            stack.enter_context(whole_file(folder / name)).write_text(content, encoding="utf-8")


def _csv(heads: Sequence[str], rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.8g}"
