"""What is written for each page, and what became of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manuscript_restore.errors import UserError
from manuscript_restore.inference.page_xml import PageXml
from manuscript_restore.inference.plan import Task
from manuscript_restore.inference.provenance import PROVENANCE
from manuscript_restore.inference.signing import Signer
from manuscript_restore.inference.waiting import ending

OF_NETWORK = ("damage", "ink")
"""Maps that the network must have."""
MAPS = ("change", "confidence", "comparison", *OF_NETWORK)


@dataclass(frozen=True)
class Output:
    """What is written for each page.

    Args:
        quality: Of JPEG and WebP, 1–100.
        maps: Which of `MAPS` are written beside the page.
        sidecar: Write the record beside the page.
        max_change: Mean CIEDE2000 above which a page is flagged: written under another name.
        overwrite: Replace results that are there; else they are left, and count as done.
        allow_signed: Restore signed PDFs too; the results have no valid signature.
        mark: Say in each page's XMP that it was enhanced, out of which file, by what and when.
        provenance: Which of `PROVENANCE` is written beside the page.
        signer: Signs each page (C2PA).
        page_xml: Whose files are copied beside their pages.
    """

    quality: int = 95
    maps: frozenset[str] = frozenset()
    sidecar: bool = False
    max_change: float = 30.0
    overwrite: bool = False
    allow_signed: bool = False
    mark: bool = True
    provenance: str | None = None
    signer: Signer | None = None
    page_xml: PageXml | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UserError(f"quality={self.quality}: must be between 1 and 100")
        if unknown := self.maps - set(MAPS):
            raise UserError(f"maps={min(unknown)}: must be one of {', '.join(MAPS)}")
        if self.provenance not in (None, *PROVENANCE):
            raise UserError(f"provenance={self.provenance}: must be one of {', '.join(PROVENANCE)}")
        if not self.max_change > 0:
            raise UserError(f"max-change={self.max_change}: must be above 0")

    @property
    def beside(self) -> list[str]:
        """What follows the name of a page in those of the pictures beside it."""
        return [ending(name) for name in sorted(self.maps)]

    def found(self, task: Task) -> "Outcome | None":
        """What became of a task in an earlier run, if that is left alone."""
        for target, status in ((task.target, "skipped"), (task.flagged, "flagged")):
            if not self.overwrite and target.exists():
                return Outcome(task, status, f"{target} is there already")
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of a task, and why.

    ``status`` is ``restored``, ``partly`` (of a damaged PDF, what could be), ``sound`` (left as
    it is), ``skipped`` (there already), ``flagged`` or ``failed``.
    """

    task: Task
    status: str
    reason: str = ""
    seconds: float = 0.0
    num_pixels: int = 0
    pages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def written(self) -> Path:
        """The file that it was restored into."""
        return self.task.flagged if self.status == "flagged" else self.task.target
