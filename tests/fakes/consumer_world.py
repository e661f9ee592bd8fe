"""A consumer with its store, its handler and its clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from actors.events.relay import Relay
from actors.events.roster import Roster
from tests.builders.authors import Author, write
from tests.fakes.janitor import yielding
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.memory_store import MemoryStore
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.shards import Clock


class World:
    """A database with events, and relays that come and go."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.events = MemoryEvents(self.store)
        self.clock = Clock()
        self._authors: dict[str, Author] = {}

    def happen(self, user: str, count: int = 1) -> None:
        author = self._authors.setdefault(user, Author(user))
        entries = [author.add(10, 1, f"t-{author.account.seq}") for _ in range(count)]
        write(self.store, entries)

    @asynccontextmanager
    async def relaying(
        self,
        *handlers: NotingHandler,
        monotonic: Callable[[], float] = time.monotonic,
        roster: Roster | None = None,
        sleep: Callable[[float], Awaitable[None]] = yielding,
    ) -> AsyncIterator[Relay]:
        relay = Relay(
            self.events,
            handlers,
            clock=self.clock,
            give_up_after=timedelta(hours=1),
            sleep=sleep,
            monotonic=monotonic,
            roster=roster,
        )
        running = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            running.cancel()
            (ended,) = await asyncio.gather(running, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
