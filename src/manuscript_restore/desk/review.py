"""What the reviewer wrote: in the sidecar of the page, and of all pages in ``review.csv``.

Each is written whole, one after the other; of two that differ the later counts. So nothing is lost if the
process is killed between, if a page is restored again, or if it has no sidecar.
"""

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from manuscript_restore.desk.folder import DeskPage, check_inside, read_record
from manuscript_restore.errors import UserError
from manuscript_restore.files import sha256, whole_file

NAME = "review.csv"
COLUMNS = ("name", "state", "decision", "note", "date", "sha256")
DECISIONS = (None, "accepted", "rejected")
MAX_NOTE = 4000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
"""What spreadsheets take for the beginning of a formula; and what is put before that."""


class Reviews:
    """The reviews of an output folder.

    Args:
        out: The folder.

    Raises:
        UserError: Its ``review.csv`` cannot be read, and would be lost.
    """

    def __init__(self, out: Path) -> None:
        self.path, self._out = out / NAME, out
        self._rows: dict[str, dict[str, str]] = {}
        self._read_as: tuple[int, int] | None = None
        self._read()

    def _read(self) -> None:
        """Take in the file if it is not as it was read or written last: somebody may write in it meanwhile."""
        if not self.path.exists() or self._read_as == self._state():
            return
        try:
            state = self._state()
            text = io.StringIO(self.path.read_bytes().decode("utf-8-sig"), newline="")
            reader = csv.DictReader(text)
            rows = [{k: _plain(v or "") for k, v in row.items() if k} for row in reader]
            if "name" not in (reader.fieldnames or ["name"]):
                raise ValueError("another file")
            self._rows, self._read_as = {row["name"]: row for row in rows}, state
        except (OSError, ValueError, KeyError, csv.Error, AttributeError) as error:
            what = "must be UTF-8, with commas, and begin with a line of names"
            raise UserError(f"{self.path}: cannot be read; it {what}; mend it, or move it away") from error

    def _state(self) -> tuple[int, int]:
        file = self.path.stat()
        return file.st_mtime_ns, file.st_size

    def recall(self, page: DeskPage) -> None:
        """Give a page what was written of it; a picture that was made since then is undecided."""
        of_sidecar, row = page.record.get("review"), self._rows.get(page.name)
        found = of_sidecar if isinstance(of_sidecar, dict) else {}
        if row and (not found or _moment(row) > _moment(found)):
            found = dict(row)
            if found.get("decision") and _is_of_another(row, page):
                found["decision"] = ""
        decision = found.get("decision") or None
        page.decision = decision if decision in DECISIONS and page.written else None
        page.note = str(found.get("note") or "")[:MAX_NOTE]

    def keep(self, page: DeskPage) -> None:
        """Write down what is decided and noted of a page.

        Raises:
            UserError: It cannot be written.
        """
        hash = _hash(page) if page.decision else ""
        date = datetime.now().astimezone().isoformat(timespec="seconds")
        review = {"decision": page.decision, "note": page.note, "date": date}
        said = {"state": page.state, "decision": page.decision or "", "note": page.note}
        said |= {"date": date, "sha256": hash}
        check_inside(self.path.parent, self._out)
        self._read()
        before = self._rows
        self._rows = {**before, page.name: {**before.get(page.name, {}), "name": page.name, **said}}
        try:
            with whole_file(self.path) as unfinished:
                unfinished.write_bytes(self.as_csv())
        except UserError:
            self._rows = before  # or it would be written with the next one
            raise
        self._read_as = self._state()
        if record := read_record(page.sidecar):
            page.record = {**record, "review": review}
            check_inside(page.sidecar.parent, self._out)
            with whole_file(page.sidecar) as unfinished:
                text = json.dumps(page.record, ensure_ascii=False, indent=1) + "\n"
                unfinished.write_text(text, "utf-8", "backslashreplace")

    def as_csv(self, names: set[str] | None = None) -> bytes:
        """All reviews, or those of some pages, as a file; with a mark by which spreadsheets know UTF-8."""
        columns = list(dict.fromkeys([*COLUMNS, *(key for row in self._rows.values() for key in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        for name, row in self._rows.items():
            if names is None or name in names:
                writer.writerow({key: _harmless(value) for key, value in row.items()})
        return text.getvalue().encode("utf-8-sig", "backslashreplace")


def _hash(page: DeskPage) -> str:
    """Of the result; the file is read only if no sidecar says it."""
    known = page.record.get("output", {}).get("sha256")
    return str(known or (sha256(page.written) if page.written else ""))


def _is_of_another(row: dict[str, str], page: DeskPage) -> bool:
    """Whether the result has been made since a line was written."""
    if not page.written or not row.get("sha256"):
        return False
    is_older = page.written.stat().st_mtime < _moment(row) + 1
    return not (is_older and not page.record) and _hash(page) != row["sha256"]


def _moment(review: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(review.get("date"))).timestamp()
    except ValueError:
        return 0.0


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith(tuple(f"'{start}" for start in _FORMULA)) else cell
