"""The report of an evaluation: one HTML file that needs nothing else, no network and no other file.

Pictures lie in it as WebP, plots as SVG. The slider between before and after is a range input, so that it works by
keyboard; on paper both pictures stand side by side.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor

from manuscript_restore.evaluation.tables import Table
from manuscript_restore.images import to_picture

LONGEST_SIDE = 1100
"""Of a picture in the report, pixels; larger ones are shrunk."""
WEBP_QUALITY = 82
PLOT_WIDTH, PLOT_LEFT, PLOT_RIGHT, PLOT_ROW = 640, 170, 90, 24


@dataclass(frozen=True)
class Bar:
    """A value with its interval (NaN bounds: none), and how it is written."""

    label: str
    mean: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Values with intervals on one axis that shows zero."""

    title: str
    bars: Sequence[Bar]

    def svg(self) -> Markup:
        """The plot as an SVG element."""
        ends = [v for bar in self.bars for v in (bar.mean, bar.low, bar.high) if v == v] + [0.0]
        low, high = min(ends), max(ends)
        scale = (PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT) / ((high - low) or 1)
        height = PLOT_ROW * len(self.bars) + 8

        def x(value: float) -> float:
            return round(PLOT_LEFT + (value - low) * scale, 1)

        parts = [
            f'<svg viewBox="0 0 {PLOT_WIDTH} {height}" role="img" aria-label="{escape(self.title)}">',
            f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height}"/>',
        ]
        for i, bar in enumerate(self.bars):
            y = PLOT_ROW * i + PLOT_ROW / 2 + 4
            side = "worse" if bar.high < 0 else "better" if bar.low > 0 else "unsure"
            parts.append(f'<text class="label" x="{PLOT_LEFT - 10}" y="{y + 4}">{escape(bar.label)}</text>')
            if bar.low == bar.low:
                parts.append(f'<line class="{side}" x1="{x(bar.low)}" x2="{x(bar.high)}" y1="{y}" y2="{y}"/>')
            parts.append(f'<circle class="{side}" cx="{x(bar.mean)}" cy="{y}" r="4"/>')
            parts.append(f'<text x="{PLOT_WIDTH - PLOT_RIGHT + 10}" y="{y + 4}">{escape(bar.text)}</text>')
        return Markup("".join([*parts, "</svg>"]))


@dataclass(frozen=True)
class Case:
    """A page to look at: pictures (3, H, W) in [0, 1] of one size.

    Args:
        title: Why it is shown, and which it is.
        caption: Its scores.
        degraded, restored: Before and after.
        details: Further pictures by caption: the clean page, maps of errors.
    """

    title: str
    caption: str
    degraded: Tensor
    restored: Tensor
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of the report, as a palm leaf does."""
        height, width = self.degraded.shape[-2:]
        return bool(width > 2 * height)


@dataclass(frozen=True)
class Section:
    """What is told of one task; ``pages`` is the long table, folded."""

    title: str
    intro: str
    tables: Sequence[Table]
    plots: Sequence[Plot] = ()
    cases: Sequence[Case] = ()
    pages: Table | None = None


@dataclass(frozen=True)
class Report:
    """A title, what was measured and how, and the sections."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section] = field(default_factory=list)

    def html(self) -> str:
        """The file's content."""
        return _template().render(report=self, data_uri=data_uri)

    def markdown(self) -> str:
        """Facts and tables, without plots, pictures and single pages."""
        parts = [f"# {self.title}", "", *(f"- {name}: {fact}" for name, fact in self.facts), ""]
        for section in self.sections:
            parts += [f"## {section.title}", "", section.intro, "", *(t.markdown() for t in section.tables)]
        return "\n".join(parts)


def data_uri(picture: Any) -> str:
    """A picture (3, H, W) in [0, 1] as the text that an ``img`` element holds."""
    image = Image.fromarray(to_picture(picture))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()


@cache
def _template() -> jinja2.Template:
    source = (files(__package__) / "template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)
