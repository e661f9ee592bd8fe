"""Draws boxes and arrows on a grid as SVG that GitHub and the site show alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape

CELL = (222, 96)  # Pixels from one column, and one row, to the next.
GAP = (60, 38)  # How much of a cell its box leaves free, for arrows and what they say.
MARGIN = 24
LINE = 17  # Pixels of a line of text.
LETTER, BOLD_LETTER = 6.9, 7.5  # Pixels, about: no text may be wider than its box.
COLORS = {  # Fill and stroke: black text is easy to read on each.
    "actor": ("#dbeafe", "#2563eb"),
    "store": ("#fef3c7", "#b45309"),
    "outside": ("#f1f5f9", "#64748b"),
    "step": ("#ffffff", "#334155"),
    "good": ("#dcfce7", "#15803d"),
    "bad": ("#fee2e2", "#b91c1c"),
    "room": ("#f8fafc", "#cbd5e1"),
}
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#0f172a}"
    ".title{font-weight:600}.said{font-size:12px;fill:#334155;"
    "paint-order:stroke;stroke:#fff;stroke-width:5px;stroke-linejoin:round}"
    ".arrow{fill:none;stroke:#334155;stroke-width:1.5}.dashed{stroke-dasharray:5 4}"
)
HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#334155"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A box at a column and a row, so many cells wide and high. The first line of `text` is bold.

    A room is a box that others are drawn into: its text is at the top, and it fills its cells.
    """

    name: str
    text: str
    column: float
    row: float
    kind: str = "step"
    wide: float = 1
    high: float = 1

    @property
    def left(self) -> float:
        return MARGIN + self.column * CELL[0] - (GAP[0] / 4 if self.kind == "room" else 0)

    @property
    def top(self) -> float:
        return MARGIN + self.row * CELL[1] - (GAP[1] / 4 if self.kind == "room" else 0)

    @property
    def right(self) -> float:
        free = GAP[0] / 2 if self.kind == "room" else GAP[0]
        return MARGIN + (self.column + self.wide) * CELL[0] - free

    @property
    def bottom(self) -> float:
        free = GAP[1] / 2 if self.kind == "room" else GAP[1]
        return MARGIN + (self.row + self.high) * CELL[1] - free


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, by their names, and what is written beside it.

    `at` says where along the shared side it runs, from 0 to 1: two arrows between the same boxes
    differ in it. A dashed arrow is what happens seldom, or later.
    """

    start: str
    end: str
    said: str = ""
    at: float = 0.5
    dashed: bool = False
    both: bool = False


class Point(NamedTuple):
    """Pixels from the left and the top."""

    x: float
    y: float


@dataclass(frozen=True)
class Picture:
    """Boxes and arrows, and what somebody is told who cannot see them."""

    name: str
    title: str
    boxes: Sequence[Box]
    arrows: Sequence[Arrow] = ()

    def svg(self) -> str:
        """Return the text of the file."""
        boxes = {box.name: box for box in self.boxes}
        assert len(boxes) == len(self.boxes), f"two boxes of {self.name} have one name"
        width = max(box.right for box in self.boxes) + MARGIN
        height = max(box.bottom for box in self.boxes) + MARGIN
        size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{STYLE}</style><defs>{HEAD}</defs>",
            f'<rect width="{width:g}" height="{height:g}" rx="10" fill="#fff"/>',
            *(draw_box(box) for box in self.boxes),
            *(draw_arrow(boxes[one.start], boxes[one.end], one) for one in self.arrows),
            "</svg>\n",
        ]
        return "\n".join(parts)


def draw_box(box: Box) -> str:
    fill, stroke = COLORS[box.kind]
    lines = box.text.split("\n")
    widths = [BOLD_LETTER * len(lines[0]), *(LETTER * len(line) for line in lines[1:])]
    assert max(widths) < box.right - box.left, f"{box.name} is too narrow"
    middle = (box.left + box.right) / 2
    first = box.top + 20
    if box.kind != "room":
        first = (box.top + box.bottom) / 2 - (len(lines) - 1) * LINE / 2 + 4.5
    kinds = [' class="title"', *[""] * (len(lines) - 1)]
    texts = [
        f'<text x="{middle:g}" y="{first + LINE * row:g}" text-anchor="middle"{kind}>'
        f"{escape(line)}</text>"
        for row, (line, kind) in enumerate(zip(lines, kinds, strict=True))
    ]
    rect = (
        f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.right - box.left:g}"'
        f' height="{box.bottom - box.top:g}" rx="7" fill="{fill}" stroke="{stroke}"/>'
    )
    return rect + "".join(texts)


def draw_arrow(start: Box, end: Box, arrow: Arrow) -> str:
    points = way(start, end, arrow.at)
    path = "M" + "L".join(f"{point.x:g} {point.y:g}" for point in points)
    kind = "arrow dashed" if arrow.dashed else "arrow"
    back = ' marker-start="url(#head)"' if arrow.both else ""
    line = f'<path class="{kind}" d="{path}" marker-end="url(#head)"{back}/>'
    if not arrow.said:
        return line
    one, other = middle_of(points)
    x, y = (one.x + other.x) / 2, (one.y + other.y) / 2
    rows = arrow.said.split("\n")
    top = y + 4 - (len(rows) - 1) * (LINE - 2) / 2
    if one.y == other.y:  # Above a level arrow, not on it.
        top = y - 6 - (len(rows) - 1) * (LINE - 2)
    return line + "".join(
        f'<text class="said" x="{x:g}" y="{top + (LINE - 2) * row:g}" text-anchor="middle">'
        f"{escape(text)}</text>"
        for row, text in enumerate(rows)
    )


def middle_of(points: list[Point]) -> tuple[Point, Point]:
    """Return the ends of the line in the middle of an arrow."""
    first = (len(points) - 1) // 2
    return points[first], points[first + 1]


def way(start: Box, end: Box, at: float) -> list[Point]:
    """Return the corners of an arrow: straight where the boxes face each other, else two bends."""
    top, bottom = max(start.top, end.top), min(start.bottom, end.bottom)
    left, right = max(start.left, end.left), min(start.right, end.right)
    after = end.left > start.right
    if top < bottom:
        y = top + (bottom - top) * at
        return [
            Point(start.right if after else start.left, y),
            Point(end.left if after else end.right, y),
        ]
    if left < right:
        x = left + (right - left) * at
        down = end.top > start.bottom
        return [
            Point(x, start.bottom if down else start.top),
            Point(x, end.top if down else end.bottom),
        ]
    y, there = start.top + (start.bottom - start.top) * at, (end.top + end.bottom) / 2
    bend = end.left - GAP[0] / 2 if after else end.right + GAP[0] / 2
    return [
        Point(start.right if after else start.left, y),
        Point(bend, y),
        Point(bend, there),
        Point(end.left if after else end.right, there),
    ]
