"""Where the pictures of a PDF's page stand: what its content draws, and where (ISO 32000-1, 8.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manuscript_restore.archive.pdf_streams import unpacked

if TYPE_CHECKING:
    from pikepdf import Object, Page

Matrix = tuple[float, float, float, float, float, float]
"""(x, y) → (a·x + c·y + e, b·x + d·y + f)."""

MAX_CONTENT = 1_000_000
"""Bytes of what draws a page that are looked at: of a scan they are few, even with a layer of text."""
_MAX_DEPTH, _MAX_DRAWN, _MAX_PARENTS = 8, 1000, 100
_INLINE = "INLINE IMAGE"


class ContentError(ValueError):
    """A page that is not looked at; what it says is why."""


@dataclass(frozen=True)
class Placed:
    """A picture on a page: its object, and where its unit square comes to lie.

    The object is None of a picture in the content itself.
    """

    image: "Object | None"
    matrix: Matrix

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top on the page, in its units."""
        a, b, c, d, e, f = self.matrix
        xs, ys = [e, e + a, e + c, e + a + c], [f, f + b, f + d, f + b + d]
        return min(xs), min(ys), max(xs), max(ys)


def placed_on(page: "Page") -> list[Placed]:
    """The pictures that a page draws.

    Raises:
        ContentError: It draws so much that it is no scan.
    """
    drawn: list[Placed] = []
    budget = [MAX_CONTENT]
    resources = _inherited(page.obj, "/Resources")
    for placed in _drawn(page.obj.get("/Contents"), resources, (1, 0, 0, 1, 0, 0), 0, budget):
        drawn.append(placed)
        if len(drawn) > _MAX_DRAWN:
            raise ContentError("too many pictures")
    return drawn


def rotation_of(page: "Page") -> int:
    """How far a page is turned for looking at it, clockwise: 0, 90, 180 or 270 degrees."""
    return int(_inherited(page.obj, "/Rotate") or 0) // 90 * 90 % 360


def orientation(matrix: Matrix, rotation: int) -> int:
    """How a picture's rows and columns are to be turned to be as the page shows them: EXIF's numbers, 1–8."""
    a, b, c, d, _, _ = matrix
    across, down = (a, b), (-c, -d)  # where its columns and its rows go
    for _ in range(rotation // 90):
        across, down = ((x[1], -x[0]) for x in (across, down))
    sides = (_side(across), _side(down))
    names = ("right down", "left down", "left up", "right up", "down right", "down left", "up left", "up right")
    return next((number for number, name in enumerate(names, 1) if name == " ".join(sides)), 1)


def _side(vector: tuple[float, float]) -> str:
    x, y = vector
    return ("right" if x > 0 else "left") if abs(x) >= abs(y) else ("up" if y > 0 else "down")


def _drawn(content: Any, resources: Any, matrix: Matrix, depth: int, budget: list[int]) -> Iterator[Placed]:
    import pikepdf

    if not isinstance(content, pikepdf.Stream | pikepdf.Array) or depth > _MAX_DEPTH:
        return
    stack = []
    named = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    for operands, operator in _operations(content, budget):
        if operator == "q":
            stack.append(matrix)
        elif operator == "Q" and stack:
            matrix = stack.pop()
        elif operator == "cm" and len(operands) == 6:
            matrix = _after(_matrix(operands), matrix)
        elif operator == _INLINE:
            yield Placed(None, matrix)
        elif operator == "Do" and isinstance(named, pikepdf.Dictionary) and operands:
            drawn = named.get(str(operands[0]))
            if not isinstance(drawn, pikepdf.Stream):
                continue
            if drawn.get("/Subtype") == "/Image":
                yield Placed(drawn, matrix)
            elif drawn.get("/Subtype") == "/Form":
                inner = drawn.get("/Matrix")
                within = _after(_matrix(inner.as_list()), matrix) if inner is not None else matrix
                yield from _drawn(drawn, drawn.get("/Resources", resources), within, depth + 1, budget)


def _operations(content: Any, budget: list[int]) -> list[tuple[list[Any], str]]:
    """The operations that place something; what is left of the budget of bytes goes down with each look."""
    import pikepdf

    parts = list(content) if isinstance(content, pikepdf.Array) else [content]
    data = b""
    for part in parts:
        if isinstance(part, pikepdf.Stream):
            data += unpacked(part, MAX_CONTENT) + b"\n"
        if len(data) + 100 > budget[0]:  # a form that draws nothing costs, too
            raise ContentError("drawings or text that are too long to look for pictures in")
    budget[0] -= len(data) + 100
    with pikepdf.new() as scratch:
        found = pikepdf.parse_content_stream(scratch.make_stream(data), operators="q Q cm Do BI ID EI")
        return [(list(operation.operands), str(operation.operator)) for operation in found]


def _matrix(numbers: Any) -> Matrix:
    a, b, c, d, e, f = (float(number) for number in numbers)
    return a, b, c, d, e, f


def _after(first: Matrix, second: Matrix) -> Matrix:
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _inherited(node: Any, key: str) -> Any:
    for _ in range(_MAX_PARENTS):
        if node is None:
            break
        if (value := node.get(key)) is not None:
            return value
        node = node.get("/Parent")
    return None
