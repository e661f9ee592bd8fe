"""A service that is being soaked: what is done to it, and the memory of its processes."""

import asyncio
import contextlib
import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from actors.mongo.connection import Documents
from tests.service.attack import processes
from tests.service.mixed_work import Workers
from tests.service.receiver_process import ReceiverProcess
from tests.service.running import RunningService
from tests.service.stripe_burst import Storm
from tests.service.stripe_clients import LocalStripe
from tests.service.test_outage import database_pid

LOOK_SECONDS = 3.0  # Between two looks at the memory.


class Memory:
    """Resident memory by kind of process, incarnations and processes of a kind averaged."""

    def __init__(self) -> None:
        self._first: dict[str, list[float]] = defaultdict(list)
        self._last: dict[str, list[float]] = defaultdict(list)

    def look(self, service: RunningService, share: float) -> None:
        """Measure, at this share of the time."""
        if 0.25 < share < 0.75:
            return
        sizes: dict[str, list[int]] = defaultdict(list)
        for _, name, kilobytes in processes(service):
            if kilobytes:
                sizes[kind_of(name)].append(kilobytes)
        with contextlib.suppress(AssertionError, OSError):  # It is just being started again.
            sizes["database"] = [resident_kilobytes(database_pid(service))]
        kept = self._first if share <= 0.25 else self._last
        for kind, found in sizes.items():
            kept[kind].append(sum(found) / len(found) / 1024)

    def table(self) -> str:
        """Return mean megabytes in the first and last quarter, and their ratio."""
        lines = ["| process | first quarter, MB | last quarter, MB | ratio |", "| --- " * 4 + "|"]
        for kind in sorted(self._first.keys() & self._last.keys()):
            first, last = mean(self._first[kind]), mean(self._last[kind])
            lines.append(f"| {kind} | {first:.0f} | {last:.0f} | {last / first:.2f} |")
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
