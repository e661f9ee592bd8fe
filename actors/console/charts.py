"""Charts as coordinates: templates draw them as SVG, which needs no inline style and no script."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

LINE_WIDTH, LINE_HEIGHT = 600, 64
BAR_WIDTH = 100.0  # Bars are in percent of their width.
SPANS_MIN = 0.6  # The least percent that an amount which is not 0 is shown with.


class Part(NamedTuple):
    """A part of a bar, in percent of its width."""

    name: str
    amount: int
    begins: float
    width: float


class Column(NamedTuple):
    """One day of a chart; its height is in percent of the highest."""

    date: str
    amount: int
    height: float


def line_of(values: Sequence[float]) -> str:
    """Return the points of a line; an empty text where there are too few."""
    if len(values) < 2:
        return ""
    highest = max(*values, 1.0)
    step = LINE_WIDTH / (len(values) - 1)
    return " ".join(
        f"{place * step:.1f},{LINE_HEIGHT - 2 - value / highest * (LINE_HEIGHT - 4):.1f}"
        for place, value in enumerate(values)
    )


def bar_of(parts: Mapping[str, int]) -> list[Part]:
    """Return a bar whose parts fill it; those of 0 and less are left out."""
    amounts = {name: amount for name, amount in parts.items() if amount > 0}
    widths = {
        name: max(amount / sum(amounts.values()) * BAR_WIDTH, SPANS_MIN)
        for name, amount in amounts.items()
    }
    scale, begins, bar = BAR_WIDTH / max(sum(widths.values()), 1.0), 0.0, []
    for name, amount in amounts.items():
        width = widths[name] * scale
        bar.append(Part(name, amount, round(begins, 3), round(width, 3)))
        begins += width
    return bar


def columns_of(by_day: Mapping[str, Mapping[str, Any]], last: date, days: int) -> list[Column]:
    """Return a column for each of the last days, oldest first."""
    dates = [f"{last - timedelta(days=back):%Y-%m-%d}" for back in reversed(range(days))]
    amounts = [int(by_day.get(one, {}).get("credit_amount", 0)) for one in dates]
    highest = max(*amounts, 1)
    return [
        Column(one, amount, round(amount / highest * 100, 2))
        for one, amount in zip(dates, amounts, strict=True)
    ]
