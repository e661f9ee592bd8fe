"""Changes the number of shards amid everything else, as the janitor's process does."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from actors.cluster.resharding import Plan, Resharding
from actors.protocol.directory import Directory
from actors.protocol.store import StorageUnavailableError
from tests.simulation.database import SimulatedStore
from tests.simulation.processes import Killable, Setting, ShardProcess
from tests.simulation.step_stalls import StepStalls

SLOTS_AT_ONCE = 1024  # Users are few, and so are the steps in which one of them moves.
ANSWER_SECONDS_MAX = 5.0

T = TypeVar("T")


class SimulatedTables:
    """Table and plan. What is written may land although the writer hears nothing of it."""

    def __init__(self, store: SimulatedStore, stalls: StepStalls) -> None:
        self._store = store
        self._stalls = stalls

    def read(self) -> Directory | None:
        return self._store.read_table()

    def publish(self, table: Directory) -> bool:
        assert self._store.table is not None, "the first one is there from the beginning"
        self._store.enter("publish")
        with self._stalls.around(_step(self._store.table, table)):
            fits = table.version == self._store.table.version + 1
            if fits:
                self._store.table = table
            self._confirm("publish")
            return fits

    def plan(self) -> Plan | None:
        self._store.enter("plan")
        return self._store.seen_plan()

    def begin(self, plan: Plan) -> bool:
        self._store.enter("begin")
        kept = self._store.plan
        if kept is not None and kept.ended_at is None:
            self._store.confirm("begin")
            return False
        with self._stalls.around("begin"):
            self._store.plan = plan
            self._confirm("begin")
            return True

    def end(self, plan: Plan) -> None:
        self._store.enter("end")
        with self._stalls.around("finish"):
            if self._store.plan == plan._replace(ended_at=None):
                self._store.plan = plan
            self._confirm("end")

    def _confirm(self, call: str) -> None:
        self._store.confirm(call)
        if self._store.strikes(self._store.faults.unavailable):
            raise StorageUnavailableError("landed") from ConnectionError("a fault was rolled")


def _step(table: Directory, newer: Directory) -> str:
    """Return what a table does that is published after another one."""
    if newer.shards != table.shards:
        return "grow" if newer.shards > table.shards else "shrink"
    return "leave" if newer.leaving else "arrive"


class Machines(Protocol):
    """Where shards are started and ended."""

    def start(self, index: int) -> None:
        """Start a shard, unless it is there, or will be again soon."""

    def end(self, index: int) -> None:
        """End a shard for good, if it is there."""


class Asking(Protocol):
    """The way to the shards."""

    async def ask(
        self, index: int, question: Callable[[ShardProcess], Coroutine[Any, Any, T]]
    ) -> T:
        """Return a shard's answer. Raises ShardLostError; some answers never come."""


class SimulatedCrew:
    """The shards over the network. Each hears up to `lag` seconds late of slots on their way."""

    def __init__(
        self,
        machines: Machines,
        network: Asking,
        dice: random.Random,
        lag: float,
        stalls: StepStalls,
    ) -> None:
        self._machines = machines
        self._network = network
        self._dice = dice
        self._lag = lag
        self._stalls = stalls

    async def start(self, index: int) -> None:
        with self._stalls.around("start"):
            self._machines.start(index)
            await self._ask(index, ShardProcess.directory)

    async def hand_over(self, index: int, version: int) -> int:
        if self._lag:
            await asyncio.sleep(self._dice.uniform(0, self._lag))
        with self._stalls.around("hand over"):
            return await self._ask(index, lambda process: process.hand_over(version))

    async def take_up(self, index: int) -> None:
        with self._stalls.around("take up"):
            await self._ask(index, ShardProcess.take_up)

    async def end(self, index: int) -> None:
        with self._stalls.around("end"):
            self._machines.end(index)

    async def _ask(
        self, index: int, question: Callable[[ShardProcess], Coroutine[Any, Any, T]]
    ) -> T:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await self._network.ask(index, question)


class JanitorProcess(Killable):
    """One incarnation of the janitor, as far as it carries out plans."""

    def __init__(
        self,
        setting: Setting,
        tables: SimulatedTables,
        crew: SimulatedCrew,
        clock: Callable[[], datetime],
        number: int,
    ) -> None:
        super().__init__(setting, f"janitor.{number}")
        self._resharding = Resharding(tables, crew, clock, slots_at_once=SLOTS_AT_ONCE)
        self.spawn_loop(self._resharding.run())

    def begin(self, shards: int) -> None:
        self.spawn(self._begin(shards))

    async def _begin(self, shards: int) -> None:
        try:
            await self._resharding.begin(shards)
        except StorageUnavailableError:
            return  # Whoever asked for it may ask again.
