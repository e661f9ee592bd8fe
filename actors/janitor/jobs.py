"""The janitor's jobs, put together: what they are called and when they run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from actors.janitor.agenda import Agenda
from actors.janitor.expiry import EndedSubscriptions, Expiry
from actors.janitor.hold_expiry import HoldsExpiry, OverdueHolds
from actors.janitor.pack_expiry import EndedPacks, PacksExpiry
from actors.janitor.scheduler import FAILURES, Janitor, Job, Run
from actors.janitor.sweep import ComparingShards, IndexCare, Invariants, Sweep
from actors.protocol.calls import Calls
from actors.protocol.reports import Findings, SweepReport
from actors.protocol.store import StoreError
from actors.runtime.clock_doubt import ClockInDoubtError

SWEEP, EXPIRE, TRIM, RECONCILE = "sweep", "expire", "trim", "reconcile"
LOOK_SECONDS = 900.0  # How often the time is looked at, whenever the jobs run.

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the jobs run, as cron lines on the clocks of a time zone."""

    sweep: str
    expire: str
    trim: str
    reconcile: str
    timezone: str
    journal_days: int
    """How old entries are that are trimmed."""
    audit_days: int = 400
    """How old administrative acts are that are trimmed."""


class Journal(Protocol):
    """The journal, as far as it may be shortened."""

    def trim(self, before: datetime) -> int:
        """Remove entries made before an instant that all views contain, and count them.

        Blocks; may raise StorageUnavailableError.
        """


class AuditTrail(Protocol):
    """What is kept of administrators' acts, as far as it may be shortened."""

    def trim_audit(self, before: datetime) -> int:
        """Remove acts of before an instant, and keys that nobody could use since; count them.

        Blocks; may raise StorageUnavailableError.
        """


class JobStore(
    EndedSubscriptions,
    EndedPacks,
    OverdueHolds,
    Invariants,
    IndexCare,
    Journal,
    AuditTrail,
    Protocol,
):
    """What the jobs need of the database."""


class JanitorJobs:
    """The janitor with its jobs, and the runs that operators ask for."""

    def __init__(  # noqa: PLR0913 - what the jobs stand on, each once
        self,
        owner: str,
        schedule: Schedule,
        agenda: Agenda,
        store: JobStore,
        shards: ComparingShards,
        router: Calls,
        *,
        clock: Callable[[], datetime],
        publish: Callable[[SweepReport], None] = lambda _: None,
        reconcile: Run | None = None,
        check_time: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`check_time` blocks; it raises ClockInDoubtError where what cannot be undone waits."""
        self._sweep = Sweep(shards, store)
        self._check_time = check_time
        self._sleep = sleep
        self._store = store
        self._clock = clock
        self._journal_age = timedelta(days=schedule.journal_days)
        self._audit_age = timedelta(days=schedule.audit_days)
        self._expiries = (
            Expiry(store, router, clock),
            PacksExpiry(store, router, clock),
            HoldsExpiry(store, router, clock),
        )
        jobs = [
            Job(SWEEP, schedule.sweep, lambda _: self._sweep.run()),
            Job(EXPIRE, schedule.expire, self._expire),
            Job(TRIM, schedule.trim, self._trim),
        ]
        if reconcile is not None:
            jobs.append(Job(RECONCILE, schedule.reconcile, reconcile))
        self.janitor = Janitor(
            owner,
            jobs,
            agenda,
            clock=clock,
            timezone=schedule.timezone,
            publish=publish,
            sleep=sleep,
        )

    async def validate(self, *, repair: bool) -> SweepReport:
        """Run a whole sweep now. Raises one of the janitor's FAILURES."""
        return await self.janitor.ask(SWEEP, lambda _: self._sweep.run(repair=repair, part=None))

    async def expire(self) -> SweepReport:
        """Expire what has ended, now. Raises one of the janitor's FAILURES."""
        return await self.janitor.ask(EXPIRE)

    async def reconcile(self) -> SweepReport | None:
        """Compare with Stripe, now; None: Stripe is not set up. Raises one of FAILURES."""
        return await self.janitor.ask(RECONCILE) if RECONCILE in self.janitor.jobs else None

    async def watch_time(self) -> None:
        """Look at the time again and again: jobs may be days apart, and so long a span is a doubt."""
        while True:
            try:
                await asyncio.to_thread(self._check_time)
            except ClockInDoubtError as error:
                logger.warning("expiry and trimming will wait: %s", error)
            except StoreError as error:  # It is looked at again soon.
                logger.debug("the time cannot be looked at: %r", error)
            await self._sleep(LOOK_SECONDS)

    async def _expire(self, due: datetime) -> Findings:
        await asyncio.to_thread(self._check_time)
        found, failure = Findings(), None
        for expiry in self._expiries:
            try:
                found.add(await expiry.run(due))
            except FAILURES as error:  # The other parts are of other documents.
                failure = failure or error
        if failure is not None:  # The run is repeated: what is expired stays so.
            raise failure
        return found

    async def _trim(self, _due: datetime) -> Findings:
        await asyncio.to_thread(self._check_time)
        now = self._clock()
        entries = await asyncio.to_thread(self._store.trim, now - self._journal_age)
        acts = await asyncio.to_thread(self._store.trim_audit, now - self._audit_age)
        return Findings(trimmed=entries + acts)
