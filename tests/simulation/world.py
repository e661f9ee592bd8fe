"""One simulation: everything that a seed decides, from the first fault to the last audit."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from actors.janitor.expiry import Expiry
from actors.janitor.hold_expiry import HoldsExpiry
from actors.janitor.pack_expiry import PacksExpiry
from actors.protocol.directory import even, shard_name
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError
from actors.routing.router import Router
from domain.values import Credits, Policy, UserId
from tests.simulation.auditor import Auditor
from tests.simulation.books import Rules
from tests.simulation.clients import Client
from tests.simulation.database import SimulatedStore, SimulatedStream
from tests.simulation.database_reads import SimulatedEnds
from tests.simulation.foreign_edits import ForeignProgram
from tests.simulation.network import Network
from tests.simulation.onlookers import onlookers
from tests.simulation.plan import Plan
from tests.simulation.processes import Setting, ShardProcess, SyncProcess
from tests.simulation.resharding import JanitorProcess, SimulatedCrew, SimulatedTables
from tests.simulation.resting import audit, come_to_rest
from tests.simulation.step_stalls import StepStalls
from tests.simulation.virtual_time import PROCESS, VirtualLoop

ROUTER_SECONDS_MAX = 12.0
RESTART_SECONDS = 0.5  # A process that died is there again after so long.
STALL_SECONDS_MAX = 6.0  # A majority confirms nothing for so long.
ZOMBIE_SECONDS = 4.0  # An old incarnation lives on beside its successor so long at most.


@dataclass
class Tally:
    """What a simulation did: a simulation in which nothing happened proves nothing."""

    entries: int = 0
    replies: int = 0
    reads: int = 0
    deaths: int = 0
    two_owners: int = 0
    reshards: int = 0
    edits: int = 0
    resyncs: int = 0
    days: int = 0
    virtual_seconds: float = 0.0
    drifted: int = 0
    stalls: int = 0
    rollbacks: int = 0
    settled_in_time: int = 0
    settled_too_late: int = 0
    """Settlements that met the expiry of their hold, and won or lost."""
    failures: list[BaseException] = field(default_factory=list)


class World:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:  # noqa: PLR0915 - all that a world is made of
        dice = random.Random(plan.seed)
        self.plan = plan
        self.tally = Tally()
        self._dice = dice
        self.loop = VirtualLoop(dice)
        self._jumps = timedelta()
        policy = Policy(
            1000,
            None if plan.cap is None else Credits(plan.cap),
            plan.zone,
            20,
            holds_per_account=plan.holds_max,
            late_settle_seconds=plan.late_seconds,
        )
        rules = Rules(1000, plan.cap, plan.zone, 20, plan.holds_max, plan.late_seconds)
        self.auditor = Auditor(rules, self._is_stray)
        self.store = SimulatedStore(self.loop, dice, self.auditor)
        self.auditor.watch(self.store)
        self.stream = SimulatedStream(self.store, self.loop, dice)
        self.network = Network(self.loop, dice, self._owners)
        self.setting = Setting(
            self.loop,
            dice,
            self.store,
            policy,
            self.clock,
            plan.accounts_max,
            plan.max_staleness,
            self.tally.failures.append,
            low_percents=plan.low_percents,
        )
        self.shards: list[ShardProcess | None] = [None] * plan.shards
        self.zombies: list[ShardProcess] = []
        self.sync: SyncProcess | None = None
        self.janitor: JanitorProcess | None = None
        self.step_stalls = StepStalls(self.store, self.loop, dice)
        self.setting.step = self.step_stalls.around
        self.tables = SimulatedTables(self.store, self.step_stalls)
        self._numbers = 0
        self.at_work = True
        self.users = [f"user-{number}" for number in range(plan.users)]
        self.auditor.foreign = set(self.users[: plan.edited_users])
        self.program = ForeignProgram(self.store, self.stream, self.auditor, dice, self.clock)
        self.routers = [Router(self.network, ROUTER_SECONDS_MAX) for _ in range(2)]
        self.clients = [
            self.client(f"client-{number}", self.routers[number % 2])
            for number in range(plan.clients)
        ]

    def client(self, name: str, router: Router | None = None) -> Client:
        """Return one more client, by default in a process of its own."""
        return Client(
            name,
            router or Router(self.network, ROUTER_SECONDS_MAX),
            self.auditor,
            self._dice,
            self.users,
            self.clock,
            self._is_doubtful,
            self.plan.duels,
        )

    # --- time and ownership -------------------------------------------------------------

    def clock(self) -> datetime:
        return self.plan.start + self._jumps + timedelta(seconds=self.loop.time())

    def _owners(self, index: int) -> list[ShardProcess]:
        named = self.shards[index] if index < len(self.shards) else None
        zombies = [z for z in self.zombies if z.index == index and not z.is_dead]
        return ([named] if named is not None and not named.is_dead else []) + zombies

    def _is_stray(self) -> bool:
        return PROCESS.get() not in self.shards or getattr(PROCESS.get(), "is_dead", True)

    def _is_doubtful(self, user_id: str) -> bool:
        assert self.store.table is not None, "it is published at the start"
        index = self.store.table.owner(UserId(user_id))
        zombies = [z for z in self.zombies if z.index == index and not z.is_dead]
        return user_id in self.auditor.astray or bool(zombies)

    # --- processes ----------------------------------------------------------------------

    def _start_shard(self, index: int) -> None:
        self._numbers += 1
        shard = self.shards[index] = ShardProcess(self.setting, index, self._numbers)
        shard.on_death = lambda: self._died(lambda: self._start_again(shard), shard, index)

    def start(self, index: int) -> None:
        """Start a shard, unless it is there, or will be again soon."""
        if index >= len(self.shards):
            self.shards += [None] * (index + 1 - len(self.shards))
        self.store.begin_mark(shard_name(index))
        if self.shards[index] is None:
            self._start_shard(index)

    def end(self, index: int) -> None:
        """End a shard for good, if it is there."""
        ended = self.shards[index] if index < len(self.shards) else None
        if ended is not None:
            self.shards[index] = None
            ended.on_death = lambda: None
            ended.kill()
        while self.shards[-1] is None:
            self.shards.pop()
        self.store.end_mark(shard_name(index))

    def _start_again(self, shard: ShardProcess) -> None:
        if shard in self.shards:  # Else it was replaced, or ended for good.
            self._start_shard(shard.index)

    def _start_janitor(self) -> None:
        self._numbers += 1
        lag = self.plan.hand_over_lag
        crew = SimulatedCrew(self, self.network, self._dice, lag, self.step_stalls)
        self.janitor = JanitorProcess(self.setting, self.tables, crew, self.clock, self._numbers)
        self.janitor.on_death = lambda: self._died(self._start_janitor)

    def _start_sync(self) -> None:
        self._numbers += 1
        self.sync = SyncProcess(self.setting, self.stream, self.network, self._numbers)
        self.sync.on_death = lambda: self._died(self._start_sync)

    def _died(
        self, start: object, shard: ShardProcess | None = None, index: int | None = None
    ) -> None:
        self.tally.deaths += 1
        if shard is not None and index is not None and self.shards[index] is not shard:
            return  # It was replaced before.
        self.loop.call_later(self._dice.uniform(0, RESTART_SECONDS), start)  # type: ignore[arg-type]

    def _two_owners(self, index: int) -> None:
        """Start a successor while the old incarnation lives on, and believes it is the owner."""
        old = self.shards[index]
        if old is None or old.is_dead:
            return
        self.tally.two_owners += 1
        self.zombies.append(old)
        self.loop.call_later(self._dice.uniform(0.5, ZOMBIE_SECONDS), old.kill)
        self._start_shard(index)

    # --- what happens meanwhile ---------------------------------------------------------

    async def _make_trouble(self) -> None:
        plan, dice = self.plan, self._dice
        while self.at_work:
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            if not self.at_work:
                break
            if dice.random() < plan.kills:
                self._die(dice.choice(self.shards))
            if dice.random() < plan.sync_kills and self.sync is not None:
                self.sync.die_after(dice.randrange(8))
            if dice.random() < plan.zombies:
                self._two_owners(dice.randrange(plan.shards))
            if dice.random() < plan.jumps:
                self._jump()
            if plan.stalls and dice.random() < plan.stalls and not self.store.is_stalled:
                self.store.stall()
                rolled_back = dice.random() < 0.5
                self.loop.call_later(dice.uniform(0.1, STALL_SECONDS_MAX), self._go_on, rolled_back)

    async def _reshard(self) -> None:
        dice = self._dice
        while self.at_work and self.plan.reshards:
            await asyncio.sleep(dice.uniform(0.1, 1.0) / self.plan.reshards)
            if self.janitor is not None and self.at_work:
                self.tally.reshards += 1
                self.janitor.begin(dice.randrange(1, 5))
                if dice.random() < self.plan.janitor_kills:
                    self.loop.call_later(dice.uniform(0, 1), self.janitor.kill)

    def _go_on(self, rolled_back: bool) -> None:
        self.store.end_stall(rolled_back=rolled_back)

    def _die(self, shard: ShardProcess | None) -> None:
        if shard is not None:
            shard.die_after(self._dice.randrange(8))

    def _jump(self) -> None:
        """Let the wall clock jump: a little either way, or on to another day."""
        jump = self._dice.choice((-8.0, 5.0, 3600.0, 26 * 3600.0))
        self.tally.days += jump > 24 * 3600
        self._jumps += timedelta(seconds=jump)

    async def _edit(self) -> None:
        while self.at_work and self.plan.edited_users:
            await asyncio.sleep(self._dice.uniform(0, 2 * self.plan.edit_seconds))
            if self.at_work and not self.store.is_stalled:
                self.program.edit()

    async def _expire(self) -> None:
        """Do what the janitor does; where it fails it is done again."""
        ends = SimulatedEnds(self.store)
        ahead = timedelta(seconds=self.plan.janitor_ahead_seconds)
        expiry = Expiry(ends, self.routers[0], lambda: self.clock() + ahead)
        packs = PacksExpiry(ends, self.routers[0], lambda: self.clock() + ahead)
        holds = HoldsExpiry(ends, self.routers[0], lambda: self.clock() + ahead)
        while self.at_work:
            await asyncio.sleep(self._dice.uniform(1, 6))
            try:
                await expiry.run(self.clock())
                await packs.run(self.clock())
                await holds.run(self.clock())
            except (StoreError, UnavailableError):
                continue

    async def _sweep(self) -> None:
        while self.at_work and self.plan.sweeps:
            await asyncio.sleep(self._dice.uniform(2, 8))
            for shard in list(self.shards):
                if shard is not None and not shard.is_dead:
                    task = shard.spawn(shard.compare(repair=True, whole=False))
                    await asyncio.wait([task])
                    if not task.cancelled() and (error := task.exception()) is not None:
                        shard.report(error)

    # --- one simulation -----------------------------------------------------------------

    def run(self) -> Tally:
        """Return what was done. Raises BrokenPromiseError, or what else broke."""
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._note_error)
        try:
            self.loop.run_until_complete(self._run())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            asyncio.set_event_loop(None)
            self.loop.close()
        self.tally.virtual_seconds = self.loop.time()
        self.tally.stalls, self.tally.rollbacks = self.store.stalls, self.store.rollbacks
        return self.tally

    def _note_error(self, loop: object, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.tally.failures.append(error)

    async def _run(self) -> None:
        self.store.table = even(1, self.plan.shards)
        for index in range(self.plan.shards):
            self.start(index)
        self._start_sync()
        if self.plan.reshards:
            self._start_janitor()
        self.store.faults = self.plan.faults
        self.network.troubles = self.plan.troubles
        self.step_stalls.share = self.plan.step_stalls
        self.setting.crash_share = self.plan.crash_share
        self.loop.share_of_slow_calls = self.plan.slow_calls
        background = [self._make_trouble(), self._edit(), self._expire(), self._sweep()]
        background += [self._reshard(), *onlookers(self)]
        tasks = [asyncio.ensure_future(job) for job in background]
        work = [c.work(self.plan.commands, self.plan.pause_seconds) for c in self.clients]
        await self.watched(asyncio.gather(*work))
        self.at_work = False
        self._heal()
        await self.watched(asyncio.gather(*tasks))
        await come_to_rest(self)
        await audit(self)

    async def watched(self, work: "asyncio.Future[Any]") -> None:
        """Wait, and raise at once what has broken meanwhile."""
        while not work.done():
            await asyncio.wait([work], timeout=1.0)
            self.raise_failures()
        work.result()
        self.raise_failures()

    def raise_failures(self) -> None:
        for failure in self.tally.failures:
            raise failure

    def _heal(self) -> None:
        self.step_stalls.share = 0.0
        self.store.heal()
        self.network.heal()
        self.setting.crash_share = 0.0
