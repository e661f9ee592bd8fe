"""The service's clock: the real one, or the real one set forward, to rehearse a month in a minute.

It ticks on after it was set, and never goes back: what it is ahead is kept in the database, grows
only, and reaches every shard and the janitor before whoever set it is answered.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from actors.runtime.steady_time import SteadyTime


class ClockStore(Protocol):
    """Where it is kept how far the clock is ahead. Every call blocks; StorageUnavailableError."""

    def offset(self) -> timedelta:
        """Return how far the clock is ahead of the real one."""

    def advance(self, offset: timedelta) -> timedelta:
        """Keep this, unless the clock is further ahead already; return what is kept."""


class TimeGoesForwardError(Exception):
    """The clock was to be set to a time that has passed."""


def real_time() -> datetime:
    """Return the real time in UTC."""
    return datetime.now(UTC)


class ServiceClock:
    """What one process takes to be the time."""

    def __init__(self, real: Callable[[], datetime] | None = None) -> None:
        """`real`: the real time; without, that of the machine, as far as it is steady."""
        self.real = real or SteadyTime()
        self._offset = timedelta(0)
        self._moved = asyncio.Event()

    def __call__(self) -> datetime:
        return self.real() + self._offset

    def set_forward(self, offset: timedelta) -> None:
        """Be so far ahead of the real time, unless it is more already. Sleepers wake."""
        if offset > self._offset:
            self._offset = offset
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as the clock was set forward."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()


class TestClock:
    """What sets the clock of the whole service. `tell` takes it to the parts that decide by it."""

    __test__ = False  # It tests nothing itself.

    def __init__(
        self,
        clock: ServiceClock,
        store: ClockStore,
        tell: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._tell = tell

    async def now(self) -> datetime:
        """Return the time, as another process may have set it. Raises StorageUnavailableError."""
        self._clock.set_forward(await asyncio.to_thread(self._store.offset))
        return self._clock()

    async def set(self, now: datetime) -> datetime:
        """Make it `now`, everywhere, and return the time.

        Raises TimeGoesForwardError, and what the store and `tell` raise: then it may be set in
        part, and setting a later time sets it everywhere.
        """
        if now < await self.now():
            raise TimeGoesForwardError
        kept = await asyncio.to_thread(self._store.advance, now - self._clock.real())
        await self._tell(kept)
        self._clock.set_forward(kept)
        return self._clock()
