"""The table of a run, the ratios the project promises, and the raw numbers for a file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.cases import BATCH, Case, Measured
from bench.load import CREDITS, PAIR
from bench.peers import MONGOOSE, ONE_INSERT, PLAIN, REDIS

Measurements = Mapping[Case, Measured]


def rate(numbers: Measured) -> float:
    """Return the operations a second."""
    return numbers.rate


def p50(numbers: Measured) -> float:
    """Return the median latency, in milliseconds."""
    return numbers.percentile(50)


@dataclass(frozen=True, slots=True)
class Promise:
    """A number of a case, or how many times that of another case it is, and what it should be."""

    text: str
    case: Case
    divided_by: Case | None
    target: float | None
    """What the project promises; None: nothing, but it is worth knowing."""
    of: Callable[[Measured], float] = rate
    at_most: bool = False
    """The target is not to be exceeded."""

    def value(self, measured: Measurements) -> float | None:
        """Return the number; None where a part of it was not measured."""
        above = measured.get(self.case)
        below = measured.get(self.divided_by) if self.divided_by else None
        if above is None or (self.divided_by and (below is None or not below.rate)):
            return None
        return self.of(above) / (self.of(below) if below else 1.0)

    def meets(self, value: float) -> bool | None:
        """Say whether a value is as promised; None: nothing is promised."""
        if self.target is None:
            return None
        return value <= self.target if self.at_most else value >= self.target

    @property
    def goal(self) -> str:
        """The target, as a reader compares it with the number."""
        if self.target is None:
            return ""
        number = f"{self.target:,.0f}" if self.target >= 100 else f"{self.target:.1f}"
        return f"{'<=' if self.at_most else '>='} {number}"


def beside(job: str, server: str, target: float | None = None) -> Promise:
    """Return how many times as many operations the service does as a peer, at 64."""
    text = f"{job} at 64 / {server} {job} at 64"
    return Promise(text, Case("allotment", job, 64), Case(server, job, 64), target)


def per_charge(job: str) -> Promise:
    """Return how many of a job the service does for each charge it could do, at 64."""
    charges = Case("allotment", "usage", 64)
    return Promise(f"{job} at 64 / usage at 64", Case("allotment", job, 64), charges, 0.5)


def alone(server: str, target: float | None = None) -> Promise:
    """Return how many times as long a single caller waits for a charge as with a peer."""
    text = f"p50 of usage at 1 / {server} usage at 1"
    both = Case("allotment", "usage", 1), Case(server, "usage", 1)
    return Promise(text, *both, target, of=p50, at_most=True)


PROMISES = [
    Promise(
        "status at 64 / no-op at 64",
        Case("allotment", "status", 64),
        Case("no-op", "no-op", 64),
        0.6,
    ),
    beside("status", "one call per request", 2.0),
    per_charge(PAIR),
    per_charge(CREDITS),
    beside("usage", PLAIN, 4.0),
    beside("usage", MONGOOSE),
    beside("status", MONGOOSE),
    beside("usage", REDIS, 1.0),
    beside("status", REDIS, 1.0),
    alone(ONE_INSERT, 1.5),
    alone(PLAIN),
    alone(MONGOOSE),
    alone(REDIS),
    Promise(
        f"statuses a second, Python, batches of {BATCH}",
        Case("Python client", "status", BATCH),
        None,
        50_000,
    ),
]
VERDICTS = {True: "[green]meets[/green]", False: "[red]misses[/red]", None: ""}


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
            shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
            table.add_row(promise.text, shown, promise.goal, VERDICTS[promise.meets(value)])
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
        {"promise": p.text, "measured": value, "target": p.target, "meets": p.meets(value)}
        for p in PROMISES
        if (value := p.value(measured)) is not None
    ]
    return {"cases": cases, "promises": promises}
