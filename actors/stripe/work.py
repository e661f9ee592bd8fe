"""The Stripe actor's loop: finds events that wait, has them applied, and notes what came of it.

Nothing is held in memory: what a killed actor left behind is found by the next one.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from actors.counters import StripeCounters
from actors.failures import TryAgainError
from actors.store import StoreError
from actors.stripe.api import StripeAwayError, StripeRefusedError, StripeRestingError
from actors.stripe.applying import Applier, RecordTakenError, UnknownUserError
from actors.stripe.lookups import AWAY_SECONDS
from actors.stripe.reading import UnreadablePayloadError, parse_object, strange_version
from actors.stripe.records import StripeEvent, StripeStore
from actors.stripe.telling import CannotBeAppliedError

POLL_SECONDS = 0.25  # How often it is looked for new events while there are none.
STORE_PAUSE_SECONDS = 1.0  # Pause after the database did not answer.
SUBJECTS_MAX = 200  # Subjects taken up together,
SUBJECTS_AT_ONCE = 16  # and how many of them are worked on at once.
RETRY_SECONDS_MIN = 0.5  # Pause before an event is tried again; doubled each time,
RETRY_SECONDS_MAX = 60.0  # up to here, and shortened at random by up to a half.
AWAY_ATTEMPTS_MAX = 6_000  # Three days and more: then Stripe itself gives up, too.
DEFECT_ATTEMPTS_MAX = 8  # How often what should not happen is tried.
PARKED_SECONDS = 60.0  # How often it is looked whether an unknown user has become known.

VERSIONS_MAX = 20  # Versions of Stripe's that the log names: each once.

CONNECTED_ACCOUNT = "connected account"

logger = logging.getLogger(__name__)


class StripeWork:
    """Applies what is kept. `livemode`: which of Stripe's two modes our key is of."""

    def __init__(
        self,
        store: StripeStore,
        applier: Applier,
        *,
        livemode: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._applier = applier
        self._livemode = livemode
        self._clock = clock
        self._places = asyncio.Semaphore(SUBJECTS_AT_ONCE)
        self._strange_versions: set[str] = set()
        self.counters = StripeCounters()

    async def run(self) -> None:
        """Apply events for ever."""
        while True:
            pause = POLL_SECONDS
            try:
                if await self.turn():
                    pause = 0.0
            except StoreError as error:
                logger.warning("stripe: the database is away: %r", error.__cause__)
                pause = STORE_PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def turn(self) -> int:
        """Try all that is due, and return how many subjects that were. Raises StoreError."""
        subjects = await asyncio.to_thread(self._store.due, self._clock(), SUBJECTS_MAX)
        done = await asyncio.gather(*map(self._take_up, subjects), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure
        return len(subjects)

    async def _take_up(self, subject: str) -> None:
        async with self._places:
            events = await asyncio.to_thread(self._store.pending, subject)
            for event in events:
                self._look_at_version(event)
            strays = [event for event in events if event.livemode != self._livemode]
            if strays:
                mode = "live" if self._livemode else "test"
                await self._fail(strays, f"the API key is of {mode} mode, the event is not")
            foreign = [e.event_id for e in events if parse_object(e.body).get("account")]
            if foreign:  # Of an account that is only connected to ours.
                await asyncio.to_thread(
                    self._store.applied, foreign, self._clock(), CONNECTED_ACCOUNT
                )
            ours = [e for e in events if e not in strays and e.event_id not in foreign]
            if ours:
                await self._apply(subject, ours)

    async def _apply(self, subject: str, events: Sequence[StripeEvent]) -> None:
        ids = [event.event_id for event in events]
        try:
            outcome = await self._applier.apply(subject, events)
        except UnknownUserError:
            until = self._clock() + timedelta(seconds=PARKED_SECONDS)
            reason = "its user is not known yet"
            await asyncio.to_thread(self._store.postpone, ids, until, reason, parked=True)
            self.counters.put_off += len(ids)
        except (StripeAwayError, TryAgainError, RecordTakenError) as error:
            await self._put_off(events, error)
        except (UnreadablePayloadError, CannotBeAppliedError) as error:
            await self._isolate(subject, events, str(error))
        except StripeRefusedError as error:
            await self._try_again(events, f"Stripe refuses: {error}", DEFECT_ATTEMPTS_MAX)
        except Exception as error:  # A defect in one event keeps no other from being applied.
            if isinstance(error, StoreError):
                raise
            logger.exception("stripe: %s could not be applied", subject)
            await self._try_again(events, f"a defect: {type(error).__name__}", DEFECT_ATTEMPTS_MAX)
        else:
            await asyncio.to_thread(self._store.applied, ids, self._clock(), outcome)
            self.counters.applied += len(ids)

    def _look_at_version(self, event: StripeEvent) -> None:
        """Raise the alarm where an event is of a version that nobody has tried."""
        version = None if event.attempts else strange_version(parse_object(event.body))
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

    async def _isolate(self, subject: str, events: Sequence[StripeEvent], error: str) -> None:
        """Fail the one event that cannot be applied: the others of its subject can."""
        if len(events) == 1:
            await self._fail(events, error)
            return
        for event in events:
            await self._apply(subject, [event])

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
    seconds = min(RETRY_SECONDS_MIN * 2.0 ** min(attempts, 20), RETRY_SECONDS_MAX)
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
