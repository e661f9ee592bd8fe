"""A janitor whose jobs do what a test says, on a clock that yields; and the real jobs on a database."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from actors.janitor.agenda import Agenda
from actors.janitor.jobs import JanitorJobs
from actors.janitor.scheduler import Janitor, Job
from actors.mongo.jobs.store import MongoJobStore
from actors.protocol.calls import Call, Calls, Reply
from actors.protocol.directory import Directory
from actors.protocol.reports import Findings
from actors.protocol.store import StorageUnavailableError
from actors.settings import Settings
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.setups import MongoSetup
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


class NoShards:
    """No shard is compared, and nothing expires."""

    async def directory(self) -> Directory:
        raise AssertionError

    async def compare(self, index: int, *, repair: bool, whole: bool) -> Findings:
        raise AssertionError

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        assert not calls
        return []


def jobs_on(
    mongo: MongoSetup, clock: Clock, router: Calls | None = None, **others: Any
) -> JanitorJobs:
    """Return the jobs as a service without settings has them; `router`: the way to its users."""
    return JanitorJobs(
        "janitor",
        Settings(_env_file=None).schedule,
        MemoryAgenda(),
        MongoJobStore(mongo.database, "UTC"),
        NoShards(),
        router or NoShards(),
        clock=clock,
        **others,
    )
