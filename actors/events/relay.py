"""Gives events their places and hands them on: to consumers, and to programs that follow.

Plain Python: Ray is added in `actors/remote/events.py`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from actors.events.consumer import GIVE_UP_AFTER, Consumer
from actors.events.delivery import Handler
from actors.events.endpoint_reports import EndpointTrial
from actors.events.endpoints import UnknownEndpointError
from actors.events.feed import RETRY_SECONDS, Feed
from actors.events.marks import (
    NO_EVENT_YET,
    OwnPlace,
    mark_of_all,
    mark_of_own,
    read_own,
    read_place,
)
from actors.events.records import (
    BEGINNING,
    DeadLetter,
    EventPage,
    EventQuery,
    EventStore,
    OrderedEvent,
)
from actors.events.reports import ConsumerReport, DeadReport, EventsReport, UndeliveredReport
from actors.events.roster import Roster
from actors.protocol.store import StorageUnavailableError
from domain.events import event_id
from domain.values import UserId

POLL_SECONDS = 0.05  # How often it is looked for events without a place, while there are some,
QUIET_POLL_SECONDS = 0.2  # and where there was none for a while:
QUIET_AFTER_SECONDS = 2.0  # so long.
HEAD_SECONDS = 5.0  # How often it is looked whether another relay has given places.
NUMBERED_MAX = 1_000  # Events that are given places together.
PAGE_MAX = 200  # Events told to a program together.
FOLLOW_SECONDS = 10.0  # How long a program's question waits for an event.
LISTED_MAX = 200  # Undelivered events, and dead letters, in one report.

UNKNOWN = "no event has this id, or it is too old"

T = TypeVar("T")
logger = logging.getLogger(__name__)


class UnknownEventError(ValueError):
    """No event has this id (any more)."""


class Relay:
    """The events of one database, and those who consume them."""

    def __init__(  # noqa: PLR0913 - what goes on beside it comes in as arguments
        self,
        store: EventStore,
        handlers: Sequence[Handler],
        *,
        clock: Callable[[], datetime],
        give_up_after: timedelta = GIVE_UP_AFTER,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        roster: Roster | None = None,
    ) -> None:
        """`roster`: the endpoints that are made at run time; None: there are none."""
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._feed = Feed(store, sleep, monotonic)
        self.steps = self._feed.steps
        self._closing, self._closed = False, asyncio.Event()
        self._give_up_after = give_up_after
        self._roster = roster
        self.consumers = {handler.name: self._consume(handler) for handler in handlers}
        """Those of the roster come and go."""

    def _consume(self, handler: Handler) -> Consumer:
        return Consumer(
            handler,
            self._store,
            self._feed,
            clock=self._clock,
            give_up_after=self._give_up_after,
            sleep=self._sleep,
        )

    async def run(self) -> None:
        """Relay for ever."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._number_for_ever())
            for consumer in self.consumers.values():
                loops.create_task(consumer.run())
            if self._roster is not None:
                loops.create_task(self._roster.follow(self.consumers, self._consume, loops))

    async def _number_for_ever(self) -> None:
        looked_at, found_at, taken_over = 0.0, 0.0, False
        served = tuple(self.consumers)  # Before any of the roster is among them.
        while not self._closing:
            try:
                now = asyncio.get_running_loop().time()
                if not taken_over:
                    await self._feed.ask(self._store.take_over)
                    await self._feed.ask(lambda: self._store.serve(served))
                    taken_over = True
                if not self._feed.is_ready or now > looked_at + HEAD_SECONDS:
                    self._feed.note_head(await self._feed.ask(self._store.head))
                    looked_at = now
                numbered = await self._feed.ask(lambda: self._store.number(NUMBERED_MAX))
            except StorageUnavailableError as error:
                # Another relay may have given places meanwhile: theirs are read, not guessed.
                logger.warning("events wait for the database: %r", error.__cause__)
                self._feed.distrust()
                await self._sleep(RETRY_SECONDS)
                continue
            self._feed.take(numbered)
            found_at = now if numbered else found_at
            if len(numbered) < NUMBERED_MAX:
                is_quiet = now > found_at + QUIET_AFTER_SECONDS
                await self._sleep(QUIET_POLL_SECONDS if is_quiet else POLL_SECONDS)
        self._closed.set()

    async def close(self) -> None:
        """Give no more places, and return when nothing is open at the database for it."""
        self._closing = True
        await self._closed.wait()

    async def let_go(self, user_id: UserId) -> None:
        """Forget the events of a user as they were: they have other ids in the database now."""
        self._feed.let_go(user_id)
        await asyncio.gather(*(c.let_go(user_id) for c in self.consumers.values()))

    # --- for programs -------------------------------------------------------------------

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        """Return the next events after a place, or none after FOLLOW_SECONDS."""
        deadline = asyncio.get_running_loop().time() + FOLLOW_SECONDS
        while True:
            arrived = self._feed.arrived
            found, order = await self._wanted(query, order)
            if found:
                return EventPage([event.record for event in found], order)
            seconds = deadline - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(seconds, 0)):
                    await arrived.wait()
            except TimeoutError:
                return EventPage([], order)

    async def place(self, after: str | None, of: UserId | None = None) -> int:
        """Return the place after which events come; `of`: only this user's count.

        Raises UnknownEventError.
        """
        if after is None:
            return await self._feed.head()
        if after == BEGINNING:
            return 0
        order, own = read_place(after), read_own(after)
        if order is not None and of is None:
            return await self._kept(order)
        if own is not None and of is not None:
            return await self._place_of_own(of, own)
        found = await self._feed.ask(lambda: self._store.find(after))
        if found is None or of not in (None, found.record.user_id):
            raise UnknownEventError(UNKNOWN)
        return found.order

    async def mark(self, order: int, of: UserId | None = None) -> str:
        """Return an id after which a stream goes on as it does from a place: that user's, or all."""
        if of is None:
            return mark_of_all(order)
        last = await self._feed.ask(lambda: self._store.last_own(of, order))
        return mark_of_own(*(last or NO_EVENT_YET))

    async def _kept(self, order: int) -> int:
        """Return a place, if what comes after it is there. UnknownEventError."""
        head = await self._feed.head()
        following = await self._feed.after(order, 1) if order < head else []
        if order > head or (following and following[0].order != order + 1):
            raise UnknownEventError(UNKNOWN)
        return order

    async def _place_of_own(self, user_id: UserId, own: OwnPlace) -> int:
        """Return the place of a user's event; where it was removed, one before the next of the user."""
        head = await self._feed.head()
        known = event_id(user_id, own.seq, own.place)
        found = await self._feed.ask(lambda: self._store.find(known))
        if found is not None:
            return found.order
        order = 0
        while True:
            kept = await self._feed.ask(partial(self._store.of_user, user_id, order, PAGE_MAX))
            later = next((event for event in kept if event.seq >= own.seq), None)
            if later is not None:
                return later.order - 1
            if len(kept) < PAGE_MAX:
                return head
            order = kept[-1].order

    async def _wanted(self, query: EventQuery, order: int) -> tuple[list[OrderedEvent], int]:
        """Return what is asked for of the events after a place, and the place looked up to."""
        head = await self._feed.head()
        user = query.user_id
        if user is not None and order + 1 not in self._feed and order < head:
            start = order
            found = list(await self._feed.ask(lambda: self._store.of_user(user, start, PAGE_MAX)))
            wanted = [event for event in found if query.wants(event)]
            last = found[-1].order if found else order
            return wanted, last if len(found) == PAGE_MAX else max(head, last)
        while order < head:
            events = await self._feed.after(order, PAGE_MAX)
            if not events:
                return [], head
            order = events[-1].order
            wanted = [event for event in events if query.wants(event)]
            if wanted:
                return wanted, order
        return [], order

    # --- for operators ------------------------------------------------------------------

    async def report(self) -> EventsReport:
        """Return what is undelivered, what is dead, and how the handlers do."""
        dead = await self._feed.ask(lambda: self._store.dead(LISTED_MAX))
        count = await self._feed.ask(self._store.count_dead)
        undelivered = [
            UndeliveredReport.of(name, held.event.record, held.attempts, held.error)
            for name, consumer in self.consumers.items()
            for held in islice(consumer.held.values(), LISTED_MAX)
        ]
        return EventsReport(
            head=self._feed.newest,
            undelivered=undelivered[:LISTED_MAX],
            undelivered_count=sum(map(self.lag_of, self.consumers.values())),
            dead=[DeadReport.of_letter(letter) for letter in dead],
            dead_count=count,
            endpoints=[
                ConsumerReport.of(name, consumer.health, self.lag_of(consumer))
                for name, consumer in self.consumers.items()
            ],
        )

    def lag_of(self, consumer: Consumer) -> int:
        """Return how many events a consumer is not done with."""
        done = sum(last - first + 1 for first, last in consumer.progress.done)
        behind = max(self._feed.newest - consumer.progress.done_until - done, 0)
        return behind + sum(held.again for held in consumer.held.values())

    async def redeliver(self, event_id: str) -> list[str]:
        """Deliver an event again: where it is a dead letter, else to all who want it.

        Returns to whom. It is kept as a letter until it is delivered. UnknownEventError.
        """
        event = await self._feed.ask(lambda: self._store.find(event_id))
        if event is None:
            raise UnknownEventError(UNKNOWN)
        letters = await self._feed.ask(lambda: self._store.dead(LISTED_MAX, event_id=event_id))
        names = [letter.consumer for letter in letters if letter.consumer in self.consumers]
        if not names:
            names = [name for name, c in self.consumers.items() if c.wants(event)]
        for name in names:
            letter = DeadLetter(name, event, self._clock(), 0, "to be delivered again", again=True)
            await self._feed.ask(partial(self._store.bury, letter))
            if name in self.consumers:  # It may have been removed meanwhile.
                self.consumers[name].deliver_again(event)
        return names

    async def try_endpoint(self, endpoint_id: str) -> EndpointTrial:
        """Send one test event to an endpoint, and tell what came of it. UnknownEndpointError."""
        if self._roster is None:
            raise UnknownEndpointError
        return await self._roster.try_endpoint(endpoint_id)
