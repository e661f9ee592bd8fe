"""Changes how many shards there are, while they serve: a few slots at a time, a version a step.

    start what is missing → (put slots on their way → wait until every shard has handed over)
    repeated until all have arrived → end what is left over

All that is known of how far it is stands in the table and the plan, both in MongoDB: whoever
carries a plan out may end at any instant, and another one takes the next step. Two at once do no
harm: of two next versions one is published, and each waits for all shards before the one after.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, Protocol

from actors.protocol.directory import Directory, even
from actors.protocol.errors import ShardLostError, TryAgainError
from actors.protocol.reports import ReshardReport
from actors.protocol.store import StorageUnavailableError, StoreError

SLOTS_AT_ONCE = 128  # On their way together: their users wait until all shards have handed over.
POLL_SECONDS = 5.0  # How often it is looked for a plan that another process has begun.
RETRY_SECONDS = 0.2  # Pause after a step that failed.
UNUSED_SECONDS = 3.0  # From the last version that names a shard until it is ended.

FAILURES = (StoreError, ShardLostError, TryAgainError, TimeoutError)

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """How many shards there shall be. Names are those of its document."""

    shards: int
    shards_before: int
    slots: int
    """How many had to move when it was begun."""
    started_at: datetime
    ended_at: datetime | None = None


class Tables(Protocol):
    """Keeps table and plan. Every call blocks; every call may raise StorageUnavailableError."""

    def read(self) -> Directory | None:
        """Return the newest table; None before the first one."""

    def publish(self, table: Directory) -> bool:
        """Put a table in the place of its predecessor. False: somebody else was faster."""

    def plan(self) -> Plan | None:
        """Return the newest plan, be it carried out or not."""

    def begin(self, plan: Plan) -> bool:
        """Keep a plan. False: another one is not carried out yet."""

    def end(self, plan: Plan) -> None:
        """Note that a plan is carried out."""


class Crew(Protocol):
    """The shards, as far as they are started, told and ended. Every call may be repeated.

    Every call may raise ShardLostError, StorageUnavailableError, TimeoutError.
    """

    async def start(self, index: int) -> None:
        """Return once a shard runs and answers."""

    async def hand_over(self, index: int, version: int) -> int:
        """Have a shard follow the table, and return under which version it has handed over."""

    async def take_up(self, index: int) -> None:
        """Have a shard look after what its new users' former owners could not write."""

    async def end(self, index: int) -> None:
        """Return once a shard runs no longer, if it did."""


def table_at_start(tables: Tables, shards: int, *, is_set: bool) -> Directory:
    """Return the table with which the service starts: the first one is made for so many shards.

    A later one has its own number, and it is said where the operator's (`is_set`) is another one.
    """
    table = tables.read()
    if table is None:
        tables.publish(even(1, shards))
        return even(1, shards)
    if is_set and table.shards != shards:
        logger.warning(
            "ALLOTMENT_SHARDS=%d counts for the first start only: there are %d shards, and"
            " `allotment reshard --shards %d` changes that",
            shards,
            table.shards,
            shards,
        )
    return table


def check_grown(tables: Tables) -> None:
    """Return if every shard that may run is in the table; StorageUnavailableError: it is not yet."""
    plan, table = tables.plan(), tables.read()
    if plan is None or plan.ended_at is not None or table is None:
        return
    if table.shards < plan.shards:
        raise StorageUnavailableError("shards are being started")


class Resharding:
    """Begins plans and carries them out."""

    def __init__(
        self,
        tables: Tables,
        crew: Crew,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        slots_at_once: int = SLOTS_AT_ONCE,
    ) -> None:
        self._tables = tables
        self._crew = crew
        self._clock = clock
        self._sleep = sleep
        self._slots_at_once = slots_at_once
        self._begun = asyncio.Event()
        self._carried_out: Plan | None = None
        self._widest = 0
        """The most shards that a table had while that plan was carried out."""

    async def begin(self, shards: int) -> ReshardReport:
        """Begin a plan, unless one is not carried out yet; report of that which runs now.

        Raises StorageUnavailableError.
        """
        plan = await asyncio.to_thread(self._tables.plan)
        if plan is None or plan.ended_at is not None:
            table = await self._table()
            slots = table.slots_to_move(shards)
            begun = Plan(shards, table.shards, slots, self._clock())
            await asyncio.to_thread(self._tables.begin, begun)
            self._begun.set()
        return await self.report()

    async def report(self) -> ReshardReport:
        """Return how far the newest plan is. Raises StorageUnavailableError."""
        plan, table = await asyncio.to_thread(self._tables.plan), await self._table()
        if plan is None:
            return ReshardReport(shards=table.shards, shards_before=table.shards, running=False)
        running = plan.ended_at is None
        return ReshardReport(
            shards=plan.shards,
            shards_before=plan.shards_before,
            slots=plan.slots,
            moved=plan.slots - (table.slots_to_move(plan.shards) if running else 0),
            running=running,
            started_at=plan.started_at,
            elapsed_seconds=((plan.ended_at or self._clock()) - plan.started_at).total_seconds(),
        )

    async def run(self) -> None:
        """Carry out, for ever, what this process or another one has begun."""
        while True:
            try:
                if await self.step():
                    continue
            except FAILURES as error:
                logger.warning("a step of the resharding is tried again: %r", error)
                await self._sleep(RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._begun.wait()
            except TimeoutError:
                continue
            self._begun.clear()

    async def step(self) -> bool:
        """Take the next step of the plan; return whether there was one. Raises FAILURES."""
        plan = await asyncio.to_thread(self._tables.plan)
        if plan is None or plan.ended_at is not None:
            return False
        table = await self._table()
        self._note(plan, table)
        await asyncio.gather(*map(self._crew.start, range(table.shards, plan.shards)))
        if table.shards < plan.shards:
            await self._publish(table.with_shards(plan.shards))
            return True
        await self._wait_until_handed_over(table)
        newer = table.towards(plan.shards, self._slots_at_once)
        if newer is not None:
            await self._publish(newer)
        elif table.shards > plan.shards:
            await self._publish(table.with_shards(plan.shards))
        else:
            await self._finish(plan)
        return True

    def _note(self, plan: Plan, table: Directory) -> None:
        if plan != self._carried_out:
            self._carried_out, self._widest = plan, 0
        self._widest = max(self._widest, table.shards)

    async def _wait_until_handed_over(self, table: Directory) -> None:
        told = (self._crew.hand_over(i, table.version) for i in range(table.shards))
        oldest = min(await asyncio.gather(*told))
        if oldest < table.version:
            raise TimeoutError(f"a shard follows version {oldest} in the place of {table.version}")

    async def _finish(self, plan: Plan) -> None:
        """Let those that have got users look after them, end what is left over, and the plan."""
        grown = plan.shards > plan.shards_before
        have_got = range(plan.shards_before if grown else 0, plan.shards)
        left_over = range(plan.shards, plan.shards_before)
        # Another plan may have been carried out while this one was made: it knows too few then.
        is_outdated = self._widest > max(plan.shards, plan.shards_before)
        if is_outdated:
            have_got, left_over = range(plan.shards), range(plan.shards, self._widest)
        if plan.slots or is_outdated:
            await asyncio.gather(*map(self._crew.take_up, have_got))
        if left_over:
            await self._sleep(UNUSED_SECONDS)
        if await asyncio.to_thread(self._tables.plan) != plan:
            return  # It was carried out meanwhile, and the next one may need these shards.
        await asyncio.gather(*map(self._crew.end, left_over))
        await asyncio.to_thread(self._tables.end, plan._replace(ended_at=self._clock()))

    async def _table(self) -> Directory:
        table = await asyncio.to_thread(self._tables.read)
        assert table is not None, "there is one before anything else starts"
        return table

    async def _publish(self, table: Directory) -> None:
        """Publish. Where somebody else was faster, the next step begins with that version."""
        await asyncio.to_thread(self._tables.publish, table)
