"""Tables of text, as Markdown; the report draws the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the first column names the row.

    Args:
        title: Above the table; may be empty.
        columns: Heads.
        rows: As many cells each as there are columns.
        note: Below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [f"**{self.title}**", ""] if self.title else []
        lines.append(_line(self.columns))
        lines.append(_line(["---"] + ["---:"] * (len(self.columns) - 1)))
        lines += [_line(row) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else []), ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
