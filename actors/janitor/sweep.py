"""The sweep: every shard compares its RAM with MongoDB, and the views are held to their rules."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.reports import Findings

ATTEMPTS_MAX = 5  # How often a shard that was lost amid its part is asked again,
PAUSE_SECONDS = 2.0  # after a pause as long as a shard takes to start.
PART_MAX = 5_000  # Subscriptions whose documents one ordinary sweep holds to the rules.


class ComparingShards(Protocol):
    """The way to the shards. Every call may raise ShardLostError."""

    async def directory(self) -> Directory:
        """Return the newest directory."""

    async def compare(self, index: int, *, repair: bool, whole: bool) -> Findings:
        """Compare all of one shard's RAM with MongoDB, or the accounts whose turn it is."""


class Invariants(Protocol):
    """Holds documents to the rules of the accounting."""

    def check(self, limit: int | None) -> Findings:
        """Check the documents of so many subscriptions, on from the last check's; None: of all.

        Counts `invariants_broken`, and `quarantined` for what cannot be read. Blocks; may raise
        StorageUnavailableError.
        """


class IndexCare(Protocol):
    """Looks after the indexes."""

    def look_after(self, *, repair: bool) -> Findings:
        """Make indexes that are missing, or only name them, and name those that are in the way.

        Blocks; may raise StorageUnavailableError.
        """


class SweepStore(Invariants, IndexCare, Protocol):
    """What a sweep needs of the database."""


class Sweep:
    """The job that compares."""

    def __init__(
        self,
        shards: ComparingShards,
        store: SweepStore,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shards = shards
        self._store = store
        self._sleep = sleep

    async def run(self, *, repair: bool = True, part: int | None = PART_MAX) -> Findings:
        """Compare all shards at the same time. Raises ShardLostError, StorageUnavailableError.

        The rules are held against the documents of `part` subscriptions. None: of all, and all
        accounts are compared, not those alone whose turn it is. Quarantined are documents of
        accounts that were compared or, where that is more, of the part.
        """
        table = await self._shards.directory()
        found = Findings()
        for one in await asyncio.gather(
            *(
                self._compare(index, repair=repair, whole=part is None)
                for index in range(table.shards)
            )
        ):
            found.add(one)
        rules = await asyncio.to_thread(self._store.check, part)
        found.invariants_broken = rules.invariants_broken
        found.quarantined = max(found.quarantined, rules.quarantined)
        found.add(Findings(users=rules.users))
        found.add(await asyncio.to_thread(self._store.look_after, repair=repair))
        return found

    async def _compare(self, index: int, *, repair: bool, whole: bool) -> Findings:
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return await self._shards.compare(index, repair=repair, whole=whole)
            except ShardLostError:  # Its successor has little in RAM, and is compared soon.
                await self._sleep(PAUSE_SECONDS)
        return await self._shards.compare(index, repair=repair, whole=whole)
