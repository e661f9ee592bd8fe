"""The Stripe actor's loops: find events that wait, have them applied, and note what came of it.

There are two: what was delivered goes before what a comparison has found and what waits for its
user. Nothing is held in memory: what a killed actor left behind is found by the next one.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from actors.protocol.errors import TryAgainError
from actors.protocol.store import StoreError
from actors.runtime.backoff import backoff
from actors.runtime.counters import StripeCounters
from actors.runtime.steps_in_hand import StepsInHand
from actors.stripe.api import StripeAwayError, StripeRefusedError, StripeRestingError
from actors.stripe.applier import NOBODYS, Applier, RecordTakenError
from actors.stripe.commands import CannotBeAppliedError
from actors.stripe.lookups import AWAY_SECONDS
from actors.stripe.objects import Notice, UnreadablePayloadError
from actors.stripe.owners import UnknownUserError
from actors.stripe.parking import PARKED_MAX, is_given_up, parked_pause, waits_until
from actors.stripe.payloads import read_back
from actors.stripe.records import StripeEvent, StripeStore

POLL_SECONDS = 0.25  # How often it is looked for new events while there are none.
STORE_PAUSE_SECONDS = 1.0  # Pause after the database did not answer.
DUE_MAX = 200  # Events that are looked at to find the next subjects.
AT_ONCE = {True: 8, False: 4}
"""Subjects of fresh events, and of others, worked on at once. With few, whoever comes next is soon
among them, and the others leave threads and turns to the fresh ones."""
RETRY_SECONDS_MIN = 0.5  # Pause before an event is tried again; doubled each time,
RETRY_SECONDS_MAX = 60.0  # up to here, and shortened at random by up to a half.
AWAY_ATTEMPTS_MAX = 6_000  # Three days and more: then Stripe itself gives up, too.
DEFECT_ATTEMPTS_MAX = 8  # How often what should not happen is tried.

SUBJECT_SECONDS_MAX = 3600.0  # Requests to Stripe wait for their turn, each with a limit.
VERSIONS_MAX = 20  # Versions of Stripe's that the log names: each once.

CONNECTED_ACCOUNT = "connected account"

logger = logging.getLogger(__name__)


class StripeWork:
    """Applies what is kept. `livemode`: which of Stripe's two modes our key is of."""

    def __init__(
        self,
        store: StripeStore,
        fresh: Applier,
        behind: Applier,
        *,
        livemode: bool,
        clock: Callable[[], datetime],
    ) -> None:
        """`fresh` and `behind` apply events of those urgencies: they differ in who asks Stripe first."""
        self._store = store
        self._appliers = {True: fresh, False: behind}
        self._in_hand: set[str] = set()
        self._newest = False
        self._livemode = livemode
        self._clock = clock
        self._strange_versions: set[str] = set()
        self.counters = StripeCounters()
        self.steps = StepsInHand(time.monotonic)

    async def run(self) -> None:
        """Apply events for ever."""
        await asyncio.gather(self._follow(fresh=True), self._follow(fresh=False))

    async def count(self) -> None:
        """Bring the counters' levels up to what waits. Raises StoreError."""
        waiting = await asyncio.to_thread(self._store.waiting)
        self.counters.fresh, self.counters.found = waiting.fresh, waiting.found
        self.counters.parked, self.counters.dead_letters = waiting.parked, waiting.dead

    async def _follow(self, *, fresh: bool) -> None:
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    running |= await self._begin(AT_ONCE[fresh] - len(running), fresh=fresh)
                    running -= await self._some_end(running)
                except StoreError as error:
                    logger.warning("stripe: the database is away: %r", error.__cause__)
                    await asyncio.sleep(STORE_PAUSE_SECONDS)
        finally:
            for task in running:
                task.cancel()

    async def _some_end(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Return those that have ended, soon after one has. Raises what the first of them raised."""
        if not running:
            await asyncio.sleep(POLL_SECONDS)
            return set()
        ended, _ = await asyncio.wait(
            running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        running -= ended  # Also where one has failed.
        for task in ended:
            task.result()
        return ended

    async def turn(self, *, fresh: bool) -> int:
        """Try some of what is due of an urgency to its end, and return how many subjects that were.

        0: nothing is due. Raises StoreError.
        """
        begun = await self._begin(AT_ONCE[fresh], fresh=fresh)
        for failure in await asyncio.gather(*begun, return_exceptions=True):
            if failure is not None:
                raise failure
        return len(begun)

    async def _begin(self, places: int, *, fresh: bool) -> set[asyncio.Task[None]]:
        """Begin with as many subjects as there are places. What is in hand is left there."""
        if places <= 0:
            return set()
        # Who has just paid does not wait for all before, nor does a flood push back those for ever.
        self._newest = fresh and not self._newest
        with self.steps.step("a look at what is due"):
            due = await asyncio.to_thread(
                self._store.due, self._clock(), DUE_MAX, fresh=fresh, newest=self._newest
            )
        subjects = [subject for subject in due if subject not in self._in_hand][:places]
        self._in_hand.update(subjects)
        return {
            asyncio.create_task(self._take_up(subject, self._appliers[fresh]))
            for subject in subjects
        }

    async def _take_up(self, subject: str, applier: Applier) -> None:
        try:
            with self.steps.step(f"the events of {subject}", SUBJECT_SECONDS_MAX):
                await self._try(subject, applier)
        finally:
            self._in_hand.remove(subject)

    async def _try(self, subject: str, applier: Applier) -> None:
        events = [read_back(kept) for kept in await asyncio.to_thread(self._store.pending, subject)]
        for event in events:
            self._look_at_version(event)
        strays = [event for event in events if event.kept.livemode != self._livemode]
        if strays:
            mode = "live" if self._livemode else "test"
            await self._fail(
                [event.kept for event in strays], f"the API key is of {mode} mode, the event is not"
            )
        foreign = [event for event in events if event.is_foreign]
        if foreign:  # Of an account that is only connected to ours.
            ids = [event.kept.event_id for event in foreign]
            await asyncio.to_thread(self._store.applied, ids, self._clock(), CONNECTED_ACCOUNT)
        ours = [e for e in events if e.kept.livemode == self._livemode and not e.is_foreign]
        if ours:
            await self._apply(subject, ours, applier)

    async def _apply(self, subject: str, events: Sequence[Notice], applier: Applier) -> None:
        kept = [event.kept for event in events]
        try:
            outcome = await applier.apply(subject, events)
        except UnknownUserError as unknown:
            await self._park(kept, paid=unknown.paid)
        except (StripeAwayError, TryAgainError, RecordTakenError) as error:
            await self._put_off(kept, error)
        except (UnreadablePayloadError, CannotBeAppliedError) as error:
            await self._isolate(subject, events, applier, str(error))
        except StripeRefusedError as error:
            await self._try_again(kept, f"Stripe refuses: {error}", DEFECT_ATTEMPTS_MAX)
        except Exception as error:  # A defect in one event keeps no other from being applied.
            if isinstance(error, StoreError):
                raise
            logger.exception("stripe: %s could not be applied", subject)
            await self._try_again(kept, f"a defect: {type(error).__name__}", DEFECT_ATTEMPTS_MAX)
        else:
            await self._note_applied(kept, outcome)

    async def _note_applied(self, events: Sequence[StripeEvent], outcome: str) -> None:
        ids = [event.event_id for event in events]
        await asyncio.to_thread(self._store.applied, ids, self._clock(), outcome)
        self.counters.applied += len(ids)

    async def _park(self, events: Sequence[StripeEvent], *, paid: bool) -> None:
        """Let events wait for their user, each time longer, and not for ever."""
        now, room = self._clock(), self.counters.parked < PARKED_MAX
        given_up = [e for e in events if is_given_up(e, now, paid=paid, room=room)]
        waiting = [event for event in events if event not in given_up]
        if given_up and paid:
            await self._fail(given_up, "credits were paid for, and nobody says for which user")
        elif given_up:
            await self._note_applied(given_up, NOBODYS)
        if waiting:
            ids = [event.event_id for event in waiting]
            again = now + parked_pause(min(event.attempts for event in waiting))
            until = min(again, *(waits_until(event, paid=paid) for event in waiting))
            reason = "its user is not known yet"
            await asyncio.to_thread(self._store.postpone, ids, until, reason, parked=True)
            self.counters.put_off += len(ids)
            self.counters.parked += sum(not event.parked for event in waiting)

    def _look_at_version(self, event: Notice) -> None:
        """Raise the alarm where an event is of a version that nobody has tried."""
        version = None if event.kept.attempts else event.strange_version
        if version is None:
            return
        self.counters.strange_versions += 1
        if version not in self._strange_versions and len(self._strange_versions) < VERSIONS_MAX:
            self._strange_versions.add(version)
            logger.warning("stripe: events of the version %r come, which nobody has tried", version)

    async def _put_off(self, events: Sequence[StripeEvent], error: Exception) -> None:
        """Try events again when Stripe, or a part of ours, may be there again."""
        if not isinstance(error, StripeRestingError):
            await self._try_again(events, f"{type(error).__name__}: {error}", AWAY_ATTEMPTS_MAX)
            return
        spread = random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
        until = self._clock() + timedelta(seconds=AWAY_SECONDS * spread)
        await asyncio.to_thread(self._store.rest, [event.event_id for event in events], until)

    async def _isolate(
        self, subject: str, events: Sequence[Notice], applier: Applier, error: str
    ) -> None:
        """Fail the one event that cannot be applied: the others of its subject can."""
        if len(events) == 1:
            await self._fail([events[0].kept], error)
            return
        for event in events:
            await self._apply(subject, [event], applier)

    async def _try_again(
        self, events: Sequence[StripeEvent], error: str, attempts_max: int
    ) -> None:
        spent = [event for event in events if event.attempts + 1 >= attempts_max]
        if spent:
            await self._fail(spent, error)
        ids = [event.event_id for event in events if event not in spent]
        if ids:
            until = self._clock() + pause_after(max(event.attempts for event in events))
            await asyncio.to_thread(self._store.postpone, ids, until, error)
            self.counters.put_off += len(ids)

    async def _fail(self, events: Sequence[StripeEvent], error: str) -> None:
        ids = [event.event_id for event in events]
        logger.warning("stripe: %d events of %s failed: %s", len(ids), events[0].subject, error)
        await asyncio.to_thread(self._store.fail, ids, error)
        self.counters.dead += len(ids)


def pause_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: doubled each time, with jitter."""
    return timedelta(seconds=backoff(attempts, RETRY_SECONDS_MIN, RETRY_SECONDS_MAX))
