"""The table of a run, the ratios the project promises, and the raw numbers for a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.cases import BATCH, Case, Measured

Measurements = Mapping[Case, Measured]


@dataclass(frozen=True, slots=True)
class Promise:
    """A number the project promises: a rate, or how many times another rate it is."""

    text: str
    case: Case
    divided_by: Case | None
    target: float

    def value(self, measured: Measurements) -> float | None:
        """Return the number; None where a part of it was not measured."""
        above = measured.get(self.case)
        below = measured.get(self.divided_by) if self.divided_by else None
        if above is None or (self.divided_by and (below is None or not below.rate)):
            return None
        return above.rate / (below.rate if below else 1.0)


PROMISES = [
    Promise(
        "status at 64 / no-op at 64",
        Case("allotment", "status", 64),
        Case("no-op", "no-op", 64),
        0.6,
    ),
    Promise(
        "status at 64 / one call per request at 64",
        Case("allotment", "status", 64),
        Case("one call per request", "status", 64),
        2.0,
    ),
    Promise(
        "usage at 64 / plain FastAPI usage at 64",
        Case("allotment", "usage", 64),
        Case("plain FastAPI", "usage", 64),
        4.0,
    ),
    Promise(
        f"statuses a second, Python, batches of {BATCH}",
        Case("Python client", "status", BATCH),
        None,
        50_000,
    ),
]


def print_report(console: Console, measured: Measurements, facts: Mapping[str, Any]) -> None:
    """Print the table, the promises and what went wrong."""
    console.print(case_table(measured))
    console.print(promise_table(measured))
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    for case, numbers in measured.items():
        if numbers.errors:
            console.print(f"[red]errors[/red] in {case.name}: {dict(numbers.errors)}")


def case_table(measured: Measurements) -> Table:
    """Return a row a case."""
    table = Table(title="Operations a second and latencies (ms)")
    for title in ("job", "served by", "callers"):
        table.add_column(title, no_wrap=True)
    for title in ("per second", "by round", "p50", "p99", "errors", "load µs/op", "settle s"):
        table.add_column(title, justify="right", no_wrap=True)
    for case, numbers in measured.items():
        table.add_row(
            case.job,
            case.server,
            f"batch {case.width}" if case.is_python else str(case.width),
            f"{numbers.rate:,.0f}",
            " ".join(f"{rate:,.0f}" for rate in numbers.rates),
            f"{numbers.percentile(50):.2f}",
            f"{numbers.percentile(99):.2f}",
            f"[red]{numbers.errors.total()}[/red]" if numbers.errors else "0",
            f"{sum(numbers.load_us_per_operation) / len(numbers.rates):.0f}",
            " ".join(f"{seconds:.1f}" for seconds in numbers.settle_seconds),
        )
    return table


def promise_table(measured: Measurements) -> Table:
    """Return a row a promise."""
    table = Table("promise", title="What the project promises")
    for title in ("measured", "target", "verdict"):
        table.add_column(title, justify="right")
    for promise in PROMISES:
        value = promise.value(measured)
        if value is not None:
            verdict = "[green]meets[/green]" if value >= promise.target else "[red]below[/red]"
            target = f"{promise.target:,.0f}" if promise.target >= 100 else f"{promise.target:.1f}"
            shown = f"{value:,.0f}" if promise.target >= 100 else f"{value:.2f}"
            table.add_row(promise.text, shown, f">= {target}", verdict)
    return table


def write_json(path: Path, measured: Measurements, facts: Mapping[str, Any]) -> None:
    """Write the numbers to a file, latencies as percentiles."""
    path.write_text(json.dumps({"machine": facts, **raw(measured)}, indent=2) + "\n")


def raw(measured: Measurements) -> dict[str, Sequence[dict[str, Any]]]:
    """Return the numbers of every case, and the promises they keep."""
    cases = [
        {
            "job": case.job,
            "server": case.server,
            "width": case.width,
            "rates": numbers.rates,
            "latency_ms": {p: numbers.percentile(p) for p in (50, 90, 99, 99.9, 100)},
            "errors": dict(numbers.errors),
            "load_us_per_operation": numbers.load_us_per_operation,
            "settle_seconds": numbers.settle_seconds,
        }
        for case, numbers in measured.items()
    ]
    promises = [
        {"promise": p.text, "measured": value, "target": p.target, "meets": value >= p.target}
        for p in PROMISES
        if (value := p.value(measured)) is not None
    ]
    return {"cases": cases, "promises": promises}
