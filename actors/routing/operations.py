"""What operators ask of the whole service: the same over HTTP, from Python and by command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from actors.protocol.directory import Directory
from actors.protocol.errors import (
    GoesOnError,
    IdempotencyKeyReusedError,
    ShardLostError,
    UnavailableError,
)
from actors.protocol.ranking import Order, Ranked, first_of_all
from actors.protocol.reports import (
    AnonymizationReport,
    Anonymized,
    Reread,
    RereadReport,
    ReshardReport,
    SweepReport,
)
from domain.values import UserId

SYNC_SECONDS_MAX = 900.0  # How long all shards may take to read everything anew.
RANK_SECONDS_MAX = 8.0  # How long all shards may take to say who of their users has the least left.
ASK_SECONDS_MAX = 5.0  # How long the janitor may take to answer what needs no run.
ANONYMIZE_SECONDS_MAX = 40.0  # How long the janitor may take to say that it goes on.
RECONCILE_SECONDS_MAX = 3600.0  # How long a comparison with Stripe may take.
RUN_SECONDS_MAX = 900.0  # How long a run of the janitor may take, those before it included.


class ShardsAsked(Protocol):
    """The way to the shards. Every call may raise ShardLostError."""

    async def directory(self) -> Directory:
        """Return the newest directory."""

    async def reread(self, index: int, user_id: UserId | None) -> Reread:
        """Have one shard read a user, or all it has in RAM, anew from MongoDB."""

    async def ranked(self, index: int, order: Order, limit: int) -> Ranked:
        """Return the first of one shard's users in RAM by what they have left."""


class JanitorWay(Protocol):
    """The way to the janitor. Every call may raise UnavailableError."""

    async def validate(self, *, repair: bool) -> SweepReport:
        """Run a whole sweep now."""

    async def expire(self) -> SweepReport:
        """Expire what has ended, now."""

    async def reconcile(self) -> SweepReport | None:
        """Compare with Stripe, now; None: Stripe is not set up."""

    async def reshard(self, shards: int) -> ReshardReport:
        """Begin to change the number of shards; report of what runs now, be it another change."""

    async def resharding(self) -> ReshardReport:
        """Report of the newest change of the number of shards."""

    async def anonymize(
        self, user_id: UserId, by: str | None, key: str | None
    ) -> Anonymized | None:
        """Make a user anonymous; None: the key was used for another user."""

    async def anonymizations(self, limit: int) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first."""


class Operations:
    """Asks shards and janitor. Every method may raise UnavailableError."""

    def __init__(self, shards: ShardsAsked, janitor: JanitorWay) -> None:
        self._shards = shards
        self._janitor = janitor

    async def reread(self, user_id: UserId | None) -> RereadReport:
        """Read one user, or everything in RAM, anew from MongoDB."""
        loop = asyncio.get_running_loop()
        started, found = loop.time(), Reread()
        try:
            async with asyncio.timeout(SYNC_SECONDS_MAX):
                table = await self._shards.directory()
                shards = range(table.shards) if user_id is None else [table.owner(user_id)]
                for part in await asyncio.gather(
                    *(self._shards.reread(index, user_id) for index in shards)
                ):
                    found.add(part)
        except (ShardLostError, TimeoutError) as error:
            raise UnavailableError from error
        return RereadReport(
            checked=found.checked,
            reloaded=found.reloaded,
            removed=found.removed,
            elapsed_ms=round((loop.time() - started) * 1000),
        )

    async def ranked(self, order: Order, limit: int) -> Ranked:
        """Return the first of all users in RAM by what they have left."""
        try:
            async with asyncio.timeout(RANK_SECONDS_MAX):
                table = await self._shards.directory()
                asked = (self._shards.ranked(i, order, limit) for i in range(table.shards))
                return first_of_all(await asyncio.gather(*asked), order, limit)
        except (ShardLostError, TimeoutError) as error:
            raise UnavailableError from error

    async def validate(self, *, repair: bool) -> SweepReport:
        """Compare RAM with MongoDB and hold the views to their rules, now."""
        async with _within(RUN_SECONDS_MAX):
            return await self._janitor.validate(repair=repair)

    async def expire(self) -> SweepReport:
        """Expire the subscriptions that have ended, now."""
        async with _within(RUN_SECONDS_MAX):
            return await self._janitor.expire()

    async def reconcile(self) -> SweepReport | None:
        """Compare with Stripe, now; None: Stripe is not set up."""
        async with _within(RECONCILE_SECONDS_MAX):
            return await self._janitor.reconcile()

    async def reshard(self, shards: int) -> ReshardReport:
        """Begin to change the number of shards; report of what runs now, be it another change."""
        async with _within(ASK_SECONDS_MAX):
            return await self._janitor.reshard(shards)

    async def resharding(self) -> ReshardReport:
        """Report of the newest change of the number of shards."""
        async with _within(ASK_SECONDS_MAX):
            return await self._janitor.resharding()

    async def anonymize(self, user_id: UserId, by: str | None, key: str | None) -> Anonymized:
        """Make a user anonymous. Raises IdempotencyKeyReusedError, GoesOnError."""
        async with _within(ANONYMIZE_SECONDS_MAX):
            done = await self._janitor.anonymize(user_id, by, key)
        if done is None:
            raise IdempotencyKeyReusedError
        if done.report.finished_at is None:
            raise GoesOnError
        return done

    async def anonymizations(self, limit: int) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first."""
        async with _within(ASK_SECONDS_MAX):
            return await self._janitor.anonymizations(limit)


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Give the block so long. Raises UnavailableError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UnavailableError from error
