"""What is measured, in which order, and how one case becomes numbers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import CREDITS, PAIR
from bench.peers import PEERS, Target
from bench.processes import ROOT, BenchError, Service

MEASURE_SECONDS_SPARE = 120.0  # What a load process may take on top of its measuring time.
BATCH = 256

PATHS = {
    ("allotment", "status"): "/subscription/status",
    ("allotment", "usage"): "/subscription/usage",
    ("allotment", PAIR): "/subscription/holds",
    ("allotment", CREDITS): "/subscription/credits",
    ("no-op", "no-op"): "/healthz",
    ("one call per request", "status"): "/one-call/status",
    ("one call per request", "usage"): "/one-call/usage",
    **{(name, job): f"/{job}" for name, peer in PEERS.items() for job in peer.jobs},
}


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a run is: whom it is for, and how long each case takes."""

    users: int
    seconds: float
    warm_up_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: a job, who does it, and how many callers or how large a batch."""

    server: str
    job: str
    width: int

    @property
    def is_python(self) -> bool:
        return self.server == "Python client"

    @property
    def name(self) -> str:
        unit = (
            ("one by one" if self.width == 1 else f"batches of {self.width}")
            if (self.is_python)
            else f"{self.width} connections"
        )
        return f"{self.job}, {self.server}, {unit}"


@dataclass(slots=True)
class Measured:
    """A case's numbers over all rounds."""

    rates: list[float] = field(default_factory=list)
    """Operations a second, round by round."""
    latencies_us: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    load_us_per_operation: list[float] = field(default_factory=list)
    settle_seconds: list[float] = field(default_factory=list)
    """How long the views needed after each round until they contained everything."""

    @property
    def rate(self) -> float:
        return sum(self.rates) / len(self.rates)

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies_us)
        if not ordered:
            return float("nan")
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] / 1000

    def add(self, result: dict[str, Any]) -> None:
        """Take in the result of one round."""
        self.rates.append(result["operations"] / result["seconds"])
        self.latencies_us += result["latencies_us"]
        self.errors.update(result["errors"])
        spent = result["load_cpu_seconds"] * 1e6
        self.load_us_per_operation.append(spent / max(result["operations"], 1))


def all_cases(connections: Iterable[int]) -> list[Case]:
    """Return every case; what is compared with each other stands side by side."""
    cases = [
        Case(server, job, width)
        for width in connections
        for job in ("status", "no-op", "usage", PAIR, CREDITS)
        for server, done in PATHS
        if done == job
    ]
    cases += [
        Case("Python client", job, width) for job in ("status", "usage") for width in (1, BATCH)
    ]
    return cases


def chosen(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """Return the cases whose name contains all words of one of the choices; no choice: all."""
    choices = [choice.lower().split() for choice in only]
    return [
        case
        for case in cases
        if not choices or any(all(word in case.name.lower() for word in words) for words in choices)
    ]


def without_absent(cases: Sequence[Case]) -> tuple[list[Case], dict[str, str]]:
    """Return the cases that can be measured here, and why which peers cannot."""
    servers = dict.fromkeys(case.server for case in cases if case.server in PEERS)
    absent = {name: why for name in servers if (why := PEERS[name].lacks())}
    return [case for case in cases if case.server not in absent], absent


def measure(
    case: Case, service: Service, peers: Mapping[str, Target], extent: Extent, seed: int
) -> dict[str, Any]:
    """Run one case once, in a process of its own, and return its result."""
    common = {"job": case.job, "seed": seed, **asdict(extent)}
    if case.is_python:
        load = common | {"ray_address": service.ray_address, "batch": case.width}
        return run("bench.python_load", load)
    target = peers.get(case.server, Target(service.port, service.key))
    path = PATHS[case.server, case.job]
    return run(
        "bench.load",
        common | asdict(target) | {"path": path, "connections": case.width},
    )


def run(module: str, load: dict[str, Any]) -> dict[str, Any]:
    """Run a load process and return what it measured. BenchError: it failed, or did not end."""
    what = f"the load of {load['job']} ({module})"
    seconds = load["seconds"] + load["warm_up_seconds"] + MEASURE_SECONDS_SPARE
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(load),
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{what} did not end within {seconds:.0f} seconds") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{what} ended with {error.returncode}; why is said above") from error
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
