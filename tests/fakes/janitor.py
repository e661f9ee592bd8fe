"""A janitor whose jobs do what a test says, on a clock that yields."""

import asyncio
from datetime import datetime, timedelta

from actors.janitor.agenda import Agenda
from actors.janitor.scheduler import Janitor, Job
from actors.protocol.reports import Findings
from actors.protocol.store import StorageUnavailableError
from tests.fakes.shards import Clock

EVERY_FIVE = "*/5 * * * *"
MINUTE = timedelta(minutes=1)


class Works:
    """A job's work: it notes when it was due, waits at its gate, and fails as often as it is told."""

    def __init__(self) -> None:
        self.dues: list[datetime] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, due: datetime) -> Findings:
        self.dues.append(due)
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise StorageUnavailableError("a fault was asked for")
        return Findings(checked=4, stale=1)


def janitor(agenda: Agenda, work: Works, clock: Clock, owner: str = "first") -> Janitor:
    jobs = [Job("sweep", EVERY_FIVE, work)]
    return Janitor(owner, jobs, agenda, clock=clock, timezone="UTC", sleep=yielding)


async def yielding(_seconds: float) -> None:
    await asyncio.sleep(0)
