"""The events in their order: the newest from RAM, older ones from the database."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from actors.events.records import EventStore, OrderedEvent
from actors.protocol.store import StorageUnavailableError
from actors.runtime.steps_in_hand import StepsInHand
from domain.values import UserId

TAIL_LENGTH = 5_000  # The newest events, kept in RAM for all who read them.
RETRY_SECONDS = 1.0  # Pause before the database is asked again.

T = TypeVar("T")


class Feed:
    """What the relay has given places, for all who read it."""

    def __init__(
        self,
        store: EventStore,
        sleep: Callable[[float], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sleep = sleep
        self.steps = StepsInHand(monotonic)
        self._threads = asyncio.Semaphore(4)
        self._tail: OrderedDict[int, OrderedEvent] = OrderedDict()
        self._ready = asyncio.Event()
        self.newest = 0
        """The last place that was given, as far as it is known."""
        self.arrived = asyncio.Event()
        """Set, and replaced, when there is more."""

    def __contains__(self, order: int) -> bool:
        return order in self._tail

    @property
    def is_ready(self) -> bool:
        """Whether `newest` is known."""
        return self._ready.is_set()

    def distrust(self) -> None:
        """Have readers wait until the last place is known again."""
        self._ready.clear()

    def note_head(self, head: int) -> None:
        """Take up the last place: another relay may have given some."""
        is_new = self._ready.is_set() and head > self.newest
        self.newest = max(head, self.newest)
        self._ready.set()
        if is_new:
            self._announce()

    def _announce(self) -> None:
        self.arrived.set()
        self.arrived = asyncio.Event()

    def take(self, numbered: Sequence[OrderedEvent]) -> None:
        """Take events up that have just been given their places."""
        if not numbered:
            return
        self._tail.update((event.order, event) for event in numbered)
        while len(self._tail) > TAIL_LENGTH:
            self._tail.popitem(last=False)
        self.newest = numbered[-1].order
        self._announce()

    async def head(self) -> int:
        """Return the last place that was given."""
        await self._ready.wait()
        return self.newest

    async def read(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return events after a place, as soon as there are some."""
        while True:
            arrived = self.arrived
            if order < await self.head():
                try:
                    return await self.after(order, limit)
                except StorageUnavailableError:
                    await self._sleep(RETRY_SECONDS)
            else:
                await arrived.wait()

    async def read_surely(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return events after a place: what is not among them was removed.

        An event that is renamed during a read may be missed by it, and by no read after it.
        """
        page = await self.read(order, limit)
        if not page or page[-1].order - order > len(page):
            page = await self.read(order, limit)
        return page

    async def after(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return the events after a place that are there: not all, where old ones were removed."""
        last = min(order + limit, self.newest)
        known = [self._tail[o] for o in range(order + 1, last + 1) if o in self._tail]
        if len(known) == last - order:
            return known
        return await self.ask(partial(self._store.after, order, limit))

    def let_go(self, user_id: UserId) -> None:
        """Forget the events of a user as they were."""
        for order in [o for o, e in self._tail.items() if e.record.user_id == user_id]:
            del self._tail[order]

    async def ask(self, call: Callable[[], T]) -> T:
        """Return what the database says; few ask at once."""
        with self.steps.step("a call to the database"):
            async with self._threads:
                return await asyncio.to_thread(call)
