"""Brings events to one handler: each user's in order, many users at once, until they are done.

An event counts as done once its handler has taken it (or it is a dead letter) and that is kept.
Only then its slot is free again: a process killed at any instant repeats at most SLOTS events.

A handler that fails for several events in a row is taken to be down: one event at a time is
tried, until one passes; then all that wait are tried at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from actors.events.delivery import (
    PROBE_SECONDS_MAX,
    RETRY_SECONDS_MAX,
    DeliveryError,
    Handler,
    HandlerHealth,
    HeldEvent,
    RefusedDeliveryError,
    pause,
)
from actors.events.feed import Feed
from actors.events.queues import HELD_MAX, UserQueues
from actors.events.records import DeadLetter, EventStore, OrderedEvent, Progress
from actors.protocol.store import StorageUnavailableError
from domain.values import UserId

SLOTS = 16  # Deliveries of one consumer at once.
PAGE = 500  # Events read together.
GIVE_UP_AFTER = timedelta(days=1)  # Then an event is a dead letter, unless settings say otherwise,
REFUSALS_MAX = 5  # or after so many attempts, where the handler says that it will not take it.
STORE_RETRY_SECONDS = 1.0  # Pause before the database is asked again.
LET_GO_PAUSE_SECONDS = 0.05

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Consumer:
    """One handler and its way through the events."""

    def __init__(
        self,
        handler: Handler,
        store: EventStore,
        feed: Feed,
        *,
        clock: Callable[[], datetime],
        give_up_after: timedelta = GIVE_UP_AFTER,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = handler.name
        self.health = HandlerHealth()
        self.progress = Progress()
        self._queues = UserQueues()
        self.held: Mapping[tuple[int, bool], HeldEvent] = self._queues.held
        self._handler = handler
        self._store = store
        self._feed = feed
        self._clock = clock
        self._give_up_after = give_up_after
        self._sleep = sleep
        self._tasks: asyncio.TaskGroup | None = None
        self._slots = asyncio.Semaphore(SLOTS)
        self._probe = asyncio.Lock()
        self._recovered = asyncio.Event()
        self._keeping = asyncio.Lock()
        self._finished = self._kept = 0
        self._freed = asyncio.Event()
        self._calls: set[asyncio.Future[Any]] = set()

    async def run(self) -> None:
        """Deliver for ever."""
        known = await self._insist(lambda: self._store.progress(self.name))
        if known is None:  # A handler that is new here begins with what is new.
            known = Progress(await self._feed.head())
        self.progress = known
        await self._keep_all()
        again = await self._insist(lambda: self._store.dead(HELD_MAX, again=True))
        async with asyncio.TaskGroup() as self._tasks:
            for user in self._queues.users:  # Asked for before this ran.
                self._tasks.create_task(self._drain(user))
            for letter in reversed(again):
                if letter.consumer == self.name:
                    self.deliver_again(letter.event)
            await self._follow(known.done_until)

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether the event concerns the handler."""
        return self._handler.wants(event)

    def deliver_again(self, event: OrderedEvent) -> None:
        """Deliver an event behind what of its user is on its way. It is kept as a letter."""
        self._hold(HeldEvent(event, again=True))

    async def let_go(self, user_id: str) -> None:
        """Return once no handler has an event of a user as it was read before."""
        theirs = [held for held in self.held.values() if held.event.record.user_id == user_id]
        for held in theirs:
            held.since = None
        while any(held.under_way for held in theirs):  # noqa: ASYNC110 - rare, and soon over
            await asyncio.sleep(LET_GO_PAUSE_SECONDS)

    async def ended(self) -> None:
        """Return once nothing of it is on its way to the database, after `run` was cancelled."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _follow(self, order: int) -> None:
        while True:
            head = await self._feed.head()
            page = await self._feed.read_surely(order, PAGE)
            if not page and order < head:  # All of them were removed.
                self.progress.pass_over(order + 1, head)
                order = head
            for event in page:
                if event.order > order + 1:
                    self.progress.pass_over(order + 1, event.order - 1)
                order = event.order
                if order in self.progress:
                    continue
                if self._handler.wants(event):
                    await self._take_up(event)
                else:
                    self._note_done(order)
            await self._keep_all()

    async def _take_up(self, event: OrderedEvent) -> None:
        """Hold an event, or note that it waits in the database."""
        user = event.record.user_id
        while not self._queues.has_room(user):
            self._freed.clear()
            await self._freed.wait()
        if self._queues.is_behind(user):
            self._queues.leave_behind(event)
        else:
            self._hold(HeldEvent(event))

    def _hold(self, held: HeldEvent) -> None:
        held.since = self._clock()
        if self._queues.hold(held) and self._tasks is not None:
            self._tasks.create_task(self._drain(held.event.record.user_id))

    # --- one user's events --------------------------------------------------------------

    async def _drain(self, user: str) -> None:
        while True:
            waiting = self._queues.first_and_last(user)
            if waiting is None:
                if not await self._catch_up(user):
                    return
                continue
            first, last = waiting
            if self._handler.newest_only and first.is_outdated_by(last):
                self._note_done(first.event.order)  # Kept with the one that is taken.
            else:
                await self._deliver(first)
            self._queues.drop_first(user)
            self._freed.set()

    async def _catch_up(self, user: str) -> bool:
        """Read the user's next events again that wait in the database; False: there are none."""
        orders = self._queues.left_of(user)
        if not orders:
            self._queues.end(user)
            return False
        after, limit = orders[0] - 1, len(orders)
        page = await self._insist(lambda: self._store.of_user(UserId(user), after, limit))
        if len(page) == limit:  # There may be others of the user in between.
            orders = [order for order in orders if order <= page[-1].order]
        read = {event.order: event for event in page}
        self._queues.catch_up(user, orders, read)
        self._freed.set()
        for order in set(orders) - read.keys():  # Its user was made anonymous meanwhile.
            self._note_done(order)
        await self._keep_all()
        return True

    async def _deliver(self, held: HeldEvent) -> None:
        """Try until the event is taken or is a dead letter."""
        begun = self._clock()
        for attempt in count(1):
            held.attempts = attempt
            if self.health.is_down:
                async with self._probe:
                    if self.health.is_down:
                        await self._sleep(pause(self.health.failures_in_a_row, PROBE_SECONDS_MAX))
                    failure = await self._try(held)
            else:
                failure = await self._try(held)
            if failure is None:
                return
            refused = isinstance(failure, RefusedDeliveryError) and attempt >= REFUSALS_MAX
            if refused or self._clock() - begun >= self._give_up_after:
                await self._bury(held)
                return
            if not self.health.is_down:
                await self._pause(attempt)

    async def _is_gone(self, held: HeldEvent) -> bool:
        """Say whether the event is there no longer: its user was made anonymous meanwhile."""
        event_id = held.event.record.id
        return await self._insist(lambda: self._store.find(event_id)) is None

    async def _try(self, held: HeldEvent) -> DeliveryError | None:
        async with self._slots:
            try:
                held.under_way = True  # From here on, whoever lets its user go waits for it.
                if held.is_old(self._clock()) and await self._is_gone(held):
                    await self._finish(held)
                    return None
                async with asyncio.timeout(self._handler.seconds_max):
                    await self._handler.handle(held.event)
            except TimeoutError:
                failure = DeliveryError(f"no answer within {self._handler.seconds_max:.0f} seconds")
            except DeliveryError as error:
                failure = error
            except Exception as error:  # A defect in one handler keeps no other from its events.
                logger.exception("%s failed for event %s", self.name, held.event.record.id)
                failure = DeliveryError(f"a defect: {type(error).__name__}")
            else:
                self._note_back()
                self.health.succeed(self._clock())
                await self._finish(held)
                return None
            finally:
                held.under_way = False
        return self._note_failure(held, failure)

    def _note_failure(self, held: HeldEvent, failure: DeliveryError) -> DeliveryError:
        held.error = failure.shown
        refused = isinstance(failure, RefusedDeliveryError)
        if refused:
            self._note_back()
        self.health.fail(held.error, refused=refused)
        return failure

    async def _pause(self, attempt: int) -> None:
        """Wait before the next attempt, or until the handler is back."""
        sleeping = asyncio.ensure_future(self._sleep(pause(attempt, RETRY_SECONDS_MAX)))
        recovered = asyncio.ensure_future(self._recovered.wait())
        try:
            await asyncio.wait((sleeping, recovered), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            recovered.cancel()

    def _note_back(self) -> None:
        if self.health.is_down:  # Whoever waits need not wait longer.
            self._recovered.set()
            self._recovered = asyncio.Event()

    async def _bury(self, held: HeldEvent) -> None:
        letter = DeadLetter(
            self.name, held.event, self._clock(), held.attempts, held.error or "unknown"
        )
        self.health.dead += 1
        logger.warning("%s: event %s is a dead letter", self.name, held.event.record.id)
        await self._insist(lambda: self._store.bury(letter))
        if not held.again:
            self._note_done(held.event.order)
            await self._keep_all()

    async def _finish(self, held: HeldEvent) -> None:
        """Note that an event is done, and return once that is kept."""
        if held.again:
            event_id = held.event.record.id
            await self._insist(lambda: self._store.unbury(self.name, event_id))
            return
        self._note_done(held.event.order)
        await self._keep_all()

    def _note_done(self, order: int) -> None:
        self.progress.finish(order)
        self._finished += 1

    async def _keep_all(self) -> None:
        """Keep what is finished by now; those who come meanwhile share the next write."""
        wanted = self._finished
        async with self._keeping:
            if self._kept >= wanted and wanted:
                return
            finished, progress = self._finished, self.progress.copy()
            await self._insist(lambda: self._store.keep(self.name, progress))
            self._kept = finished

    async def _insist(self, call: Callable[[], T]) -> T:
        while True:
            calling = asyncio.ensure_future(asyncio.to_thread(call))
            self._calls.add(calling)
            calling.add_done_callback(self._calls.discard)
            try:
                return await asyncio.shield(calling)
            except StorageUnavailableError as error:
                logger.warning("%s waits for the database: %r", self.name, error.__cause__)
                await self._sleep(STORE_RETRY_SECONDS)
