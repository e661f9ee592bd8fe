"""Shards that come and go in a test's own event loop, and the plan by which they do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from actors.cluster.resharding import Plan
from actors.protocol.calls import Envelope, Reply
from actors.protocol.directory import Directory, even
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from actors.shard.hand_over import hand_over
from actors.shard.shard import Shard
from domain.values import Policy
from tests.fakes.shards import Clock
from tests.simulation.majority import ReplicatedStore


class JanitorCrashedError(Exception):
    """Whoever carried out the plan ended amid it."""


@dataclass
class MemoryTables:
    """Keeps table and plan."""

    table: Directory
    kept: Plan | None = None

    def read(self) -> Directory:
        return self.table

    def publish(self, table: Directory) -> bool:
        if table.version != self.table.version + 1:
            return False
        self.table = table
        return True

    def plan(self) -> Plan | None:
        return self.kept

    def begin(self, plan: Plan) -> bool:
        if self.kept is not None and self.kept.ended_at is None:
            return False
        self.kept = plan
        return True

    def end(self, plan: Plan) -> None:
        self.kept = plan


@dataclass
class Incarnation:
    """A shard with its loops."""

    shard: Shard
    loops: list[asyncio.Task[None]]

    async def die(self) -> None:
        for loop in self.loops:
            loop.cancel()
        await asyncio.wait(self.loops)


@dataclass
class Fleet:
    """Every shard, and the way to it: `Crew` and `Shards`."""

    store: ReplicatedStore
    tables: MemoryTables
    clock: Clock = field(default_factory=Clock)
    running: dict[int, Incarnation] = field(default_factory=dict)

    async def start(self, index: int) -> None:
        if index in self.running:
            return
        shard = Shard(
            index,
            self.store,
            Policy(system_portion_bps=0),
            accounts_max=10_000,
            clock=self.clock,
            table=self.tables.read(),
        )
        loops = [shard.run(), shard.views.run(shard.clean_until), shard.reloader.run()]
        loops += [shard.expiry.run(), shard.loads.run()]
        self.running[index] = Incarnation(shard, [asyncio.create_task(loop) for loop in loops])
        await shard.catch_up()

    async def end(self, index: int) -> None:
        if (ended := self.running.pop(index, None)) is not None:
            await ended.die()

    async def restart(self, index: int) -> None:
        """Kill a shard, and start another one in its place."""
        await self.end(index)
        await self.start(index)

    async def hand_over(self, index: int, version: int) -> int:
        shard = self._shard(index)
        shard.ownership.follow(self.tables.read())
        return await hand_over(shard)

    async def take_up(self, index: int) -> None:
        await self._shard(index).catch_up()

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        return await self._shard(index).handle(envelope)

    async def query(self, index: int, version: int, query: Query) -> Reply:
        raise NotImplementedError

    async def directory(self) -> Directory:
        table = self.tables.read()
        self._shard(0).ownership.follow(table)
        return table

    def _shard(self, index: int) -> Shard:
        if index not in self.running:
            raise ShardLostError(f"shard {index} does not run")
        return self.running[index].shard


@contextlib.asynccontextmanager
async def fleet_of(shards: int) -> AsyncIterator[Fleet]:
    """Run so many shards, with whatever a test makes of them."""
    fleet = Fleet(ReplicatedStore(), MemoryTables(even(1, shards)))
    for index in range(shards):
        await fleet.start(index)
    try:
        yield fleet
    finally:
        for index in list(fleet.running):
            await fleet.end(index)
