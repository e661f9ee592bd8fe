"""The processes of a simulation: incarnations of shards and of the synchronisation.

A process that is killed stops amid whatever it awaits; what it had asked the database for is
done all the same, or is not.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from actors.protocol.changes import Changes, Stamp
from actors.protocol.directory import Directory
from actors.protocol.reports import Findings
from actors.protocol.store import StorageUnavailableError, StoreError
from actors.runtime.service_settings import ServiceSettings
from actors.shard.comparison import Comparison
from actors.shard.hand_over import hand_over
from actors.shard.shard import Shard
from actors.sync.notifier import FollowingShards
from actors.sync.sync import Sync
from domain.values import Policy
from tests.simulation.database import SimulatedReader, SimulatedStore, SimulatedStream
from tests.simulation.database_reads import SimulatedWarmth
from tests.simulation.virtual_time import PROCESS, VirtualLoop

RETRY_SECONDS = 1.0  # Pause of a starting shard before it asks again, as in the actor.
HOPS_MAX = 12  # A crash comes so many turns of the loop after its occasion at most.

T = TypeVar("T")


@dataclass
class Setting:
    """What all processes of one simulation share."""

    loop: VirtualLoop
    dice: random.Random
    store: SimulatedStore
    policy: Policy
    clock: Callable[[], datetime]
    accounts_max: int
    max_staleness: float
    failed: Callable[[BaseException], None]
    """Is told of a loop that ended, which would end the process."""
    low_percents: tuple[tuple[int, ...], ...] = ((),)
    step: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    """Surrounds a step of a resharding that a process takes by itself."""
    crash_share: float = 0.0
    """Of blocking calls: so many of them are the occasion of their process's death."""


class Killable:
    """A process: its tasks, and its end."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.on_death: Callable[[], None] = lambda: None
        self._setting = setting
        self._tasks: dict[asyncio.Task[Any], None] = {}  # In order: a set has none.
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = self._setting.loop.create_task(coroutine, context=self._context)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def spawn_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a loop that never ends by itself."""
        self.spawn(coroutine).add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._setting.failed(error)

    def report(self, error: BaseException) -> None:
        """Take up what a question ended with: but for the database, nothing may go wrong."""
        if not isinstance(error, StoreError):
            self._setting.failed(error)

    def kill(self) -> None:
        if self.is_dead:
            return
        self.is_dead = True
        for task in list(self._tasks):
            task.cancel()
        self.on_death()

    # --- what the loop tells of blocking calls ------------------------------------------

    def asks(self) -> None:
        self._perhaps_die()

    def reaches(self) -> bool:
        return not self.is_dead or self._setting.dice.random() < 0.5

    def hears(self) -> None:
        self._perhaps_die()

    def _perhaps_die(self) -> None:
        if not self.is_dead and self._setting.dice.random() < self._setting.crash_share:
            self.die_after(self._setting.dice.randrange(HOPS_MAX))

    def die_after(self, hops: int) -> None:
        """Die so many turns of the loop from now: between any two steps of what goes on."""
        if hops:
            self._setting.loop.call_soon(self.die_after, hops - 1)
        else:
            self.kill()


class ShardProcess(Killable):
    """One incarnation of a shard: what `ShardActor` is, without Ray."""

    def __init__(self, setting: Setting, index: int, number: int) -> None:
        super().__init__(setting, f"shard-{index}.{number}")
        self.index = index
        self._percents = setting.low_percents[number % len(setting.low_percents)]
        self.shard: asyncio.Future[Shard] = setting.loop.create_future()
        self.spawn_loop(self._begin())

    async def _begin(self) -> None:
        setting, table = self._setting, None
        while table is None:
            setting.store.elections.know()  # The lease is taken by a write.
            try:
                table = await asyncio.to_thread(setting.store.table_at_start)
            except StorageUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
        setting.store.doubt()  # A start waits for all that was confirmed before.
        shard = Shard(
            self.index,
            setting.store,
            setting.policy,
            accounts_max=setting.accounts_max,
            clock=setting.clock,
            table=table,
            max_staleness=setting.max_staleness,
            monotonic=setting.loop.time,
        )
        shard.take(ServiceSettings(low_credits_percents=self._percents))
        self.spawn_loop(shard.run())
        self.spawn_loop(shard.views.run(shard.clean_until))
        self.spawn_loop(shard.loads.run())
        self.spawn_loop(shard.reloader.run())
        self.spawn_loop(shard.expiry.run())
        self.spawn_loop(self._catch_up_and_warm(shard))
        self.shard.set_result(shard)

    async def _catch_up_and_warm(self, shard: Shard) -> None:
        while not shard.caught_up:
            try:
                await shard.catch_up()
            except StorageUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
        warmth = SimulatedWarmth(self._setting.store)
        await shard.warm_start.run(warmth, at_once=bool(shard.ownership.slots))

    async def directory(self) -> Directory:
        """Return the newest directory, and follow it."""
        shard = await self.shard
        try:
            seen = await asyncio.to_thread(self._setting.store.see_table)
        except StorageUnavailableError:
            seen = None
        if seen is not None:
            shard.follow_table(seen)
        return shard.table

    async def follow(self, changes: Changes) -> Stamp | None:
        shard = await self.shard
        if changes.version > shard.table.version:
            await self.directory()
        return shard.following.follow(changes) if changes.version == shard.table.version else None

    async def hand_over(self, version: int) -> int:
        """Follow the newest table; return under which version all is handed over."""
        shard = await self.shard
        if shard.table.version < version:
            seen = await asyncio.to_thread(self._setting.store.see_table)
            assert seen is not None, "it is published at the start"
            with self._setting.step("follow"):
                shard.follow_table(seen)
        return await hand_over(shard)

    async def take_up(self) -> None:
        shard = await self.shard
        await shard.catch_up()
        shard.accounts.filling.begin()

    async def compare(self, *, repair: bool, whole: bool) -> Findings:
        shard = await self.shard
        comparison = Comparison(shard, self._setting.store)
        return await comparison.compare(repair=repair, whole=whole)


class SyncProcess(Killable):
    """One incarnation of the synchronisation."""

    def __init__(
        self, setting: Setting, stream: SimulatedStream, shards: FollowingShards, number: int
    ) -> None:
        super().__init__(setting, f"sync.{number}")
        self.sync = Sync(
            SimulatedReader(stream),
            shards,
            setting.store.read_table,
            clock=setting.clock,
            monotonic=setting.loop.time,
        )
        self.spawn_loop(self.sync.run())
