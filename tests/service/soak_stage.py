"""A service that is being soaked: what is done to it, and the memory of its processes."""

import asyncio
import contextlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from actors.mongo.embedded_wire import Documents
from tests.service.attack import processes
from tests.service.machines import Machines
from tests.service.mixed_work import Workers
from tests.service.processes import database_pid
from tests.service.receiver_process import ReceiverProcess
from tests.service.running import RunningService
from tests.service.stripe_burst import Storm
from tests.service.stripe_clients import LocalStripe

LOOK_SECONDS = 3.0  # Between two looks at the memory.
FLAT_RATIO_MAX = 1.1  # Of the last quarter to the first.
DATABASE = "database"
DATABASE_MB_MAX = 768.0  # Half more than its cache: what is around it was a fifth.
OURS = {
    *(f"{name}Actor" for name in ("Shard", "Sync", "Janitor", "Event", "Stripe", "Supervisor")),
    "ServeReplica",
}


class Memory:
    """Resident memory by kind of process, incarnations and processes of a kind averaged.

    A process that was killed began anew, so how long the oldest one of a kind lived is told beside
    it: what grows more slowly than that is not seen here.
    """

    def __init__(self) -> None:
        self._first: dict[str, list[float]] = defaultdict(list)
        self._last: dict[str, list[float]] = defaultdict(list)
        self._lives: dict[str, dict[int, list[float]]] = defaultdict(dict)

    def look(self, service: RunningService, moment: float, seconds: float) -> None:
        """Measure, at this moment of so many seconds."""
        found = [(pid, kind_of(name), kb) for pid, name, kb in processes(service) if kb]
        with contextlib.suppress(AssertionError, OSError):  # It is just being started again.
            pid = database_pid(service)
            found.append((pid, DATABASE, resident_kilobytes(pid)))
        sizes: dict[str, list[int]] = defaultdict(list)
        for pid, kind, kilobytes in found:
            sizes[kind].append(kilobytes)
            self._lives[kind].setdefault(pid, []).append(moment)
        if 0.25 < moment / seconds < 0.75:
            return
        kept = self._first if moment <= 0.25 * seconds else self._last
        for kind, each in sizes.items():
            kept[kind].append(sum(each) / len(each) / 1024)

    def ratios(self) -> dict[str, float]:
        """Return by how much each kind has grown from the first to the last quarter."""
        kinds = sorted(self._first.keys() & self._last.keys())
        return {kind: mean(self._last[kind]) / mean(self._first[kind]) for kind in kinds}

    def not_flat(self) -> list[str]:
        """Return which of our processes have grown, and a database past what it may keep."""
        found = [
            f"{kind} has grown {ratio:.2f} times"
            for kind, ratio in self.ratios().items()
            if kind in OURS and ratio > FLAT_RATIO_MAX
        ]
        largest = max(self._first[DATABASE] + self._last[DATABASE])
        if largest > DATABASE_MB_MAX:
            found.append(f"the database has {largest:.0f} MB")
        return found

    def table(self) -> str:
        """Return mean megabytes in the first and last quarter, their ratio, and the oldest life."""
        head = (
            "| process | first quarter, MB | last quarter, MB | ratio | | processes | oldest, s |"
        )
        lines = [head, "| --- " * 7 + "|"]
        for kind, ratio in self.ratios().items():
            sizes = f"{mean(self._first[kind]):.0f} | {mean(self._last[kind]):.0f} | {ratio:.2f}"
            word = "flat" if ratio <= FLAT_RATIO_MAX else "grows"
            lives = self._lives[kind].values()
            oldest = max(life[-1] - life[0] for life in lives)
            lines.append(f"| {kind} | {sizes} | {word} | {len(lives)} | {oldest:.0f} |")
        return "\n".join(lines)


def resident_kilobytes(pid: int) -> int:
    """Return the resident memory of a process. OSError: it has ended."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def kind_of(name: str) -> str:
    """Return what a process is called, without what it is just doing."""
    return Path(name).name.split(".")[0].removeprefix("ray::").split(":")[0]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@dataclass
class Stage:
    """A running service, and what is done to it."""

    service: RunningService
    database: Documents
    receiver: ReceiverProcess
    local: LocalStripe
    workers: Workers
    edited: list[str]
    dice: random.Random
    machines: Machines | None = None
    """Where the service runs on several."""
    storm: Storm = field(default_factory=Storm)
    memory: Memory = field(default_factory=Memory)
    faults: Counter[str] = field(default_factory=Counter)
    edits: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def over_within(self, seconds: float) -> bool:
        """Wait so long, or until it is over; return whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)
        return self.over.is_set()


Fault = Callable[[Stage], Awaitable[object]]
"""Breaks something, and returns when it is replaced."""
