"""Work that stands still is found, whatever causes it: a call that never comes back, here."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.events.records import OrderedEvent
from actors.janitor.scheduler import RUN_SECONDS_MAX
from actors.runtime.steps_in_hand import STEP_SECONDS_MAX, StepsInHand
from actors.shard.lease import RENEWAL_SECONDS_MAX, Holder, Lease
from actors.sync import sync as sync_module
from actors.sync.changes import StreamedChange
from actors.sync.sync import Sync
from tests.builders.authors import NOON
from tests.builders.tables import TABLE
from tests.fakes.consumer_world import World
from tests.fakes.janitor import MINUTE, Works, janitor
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.memory_changes import MemoryChanges, NotingShards
from tests.fakes.memory_leases import MemoryLeases
from tests.fakes.memory_store import Gate, MemoryStore
from tests.fakes.shards import (
    Clock,
    Seconds,
    ask,
    at_the_gate,
    charge_call,
    credit_call,
    in_loop,
    running,
    until,
)


def test_a_step_stands_still_once_it_is_over_its_time_and_not_before() -> None:
    seconds = Seconds(0.0)
    steps = StepsInHand(seconds)

    with steps.step("a flush", 10.0), steps.step("an append", 30.0):
        seconds.now = 10.0
        in_time = steps.standstill()
        seconds.now = 40.0
        late = steps.standstill()

    assert (in_time, late) == (None, "a flush, for 40 seconds")
    assert steps.standstill() is None


def test_a_step_that_failed_is_in_hand_no_more() -> None:
    seconds = Seconds(0.0)
    steps = StepsInHand(seconds)

    with pytest.raises(OSError, match="away"), steps.step("an append"):
        raise OSError("away")
    seconds.now = 2 * STEP_SECONDS_MAX

    assert steps.standstill() is None


@pytest.mark.parametrize(("call", "step"), [("append", "a batch"), ("load", "a read of accounts")])
@in_loop
async def test_a_step_of_a_shard_that_never_comes_back_is_named(call: str, step: str) -> None:
    store, seconds = MemoryStore(), Seconds()
    async with running(store, monotonic=seconds) as shard:
        await ask(shard, credit_call("ann", 900))
        gate = store.hold(call)
        charging = asyncio.create_task(ask(shard, charge_call("bob", 1, "k", record=True)))
        await at_the_gate(gate)

        seconds.now += STEP_SECONDS_MAX
        in_time = shard.steps.standstill()
        seconds.now += 1
        late = shard.steps.standstill()
        gate.open()
        await charging

        assert (in_time, late) == (None, f"{step}, for 241 seconds")
        assert shard.steps.standstill() is None


@in_loop
async def test_a_flush_of_views_that_never_ends_is_named() -> None:
    store, seconds = MemoryStore(), Seconds()
    async with running(store, monotonic=seconds) as shard:
        gate = store.hold("write_views")
        await ask(shard, credit_call("ann", 900))
        await at_the_gate(gate)

        seconds.now += STEP_SECONDS_MAX + 1
        late = shard.steps.standstill()
        gate.open()

        assert late == "a flush of views, for 241 seconds"


@in_loop
async def test_a_renewal_that_is_never_answered_is_named() -> None:
    gate, seconds = Gate(), Seconds()

    class Silent(MemoryLeases):
        def epoch(self, shard: str) -> int:
            gate.pass_through()
            return super().epoch(shard)

    one = Lease(Silent(), "s", Holder("m", 1), monotonic=seconds, is_gone=lambda _: True)
    taking = asyncio.create_task(one.take())
    await at_the_gate(gate)

    seconds.now += RENEWAL_SECONDS_MAX + 1
    late = one.steps.standstill()
    gate.open()
    await taking

    assert late == "a renewal of the lease, for 91 seconds"


@in_loop
async def test_a_stream_that_is_never_answered_is_named() -> None:
    gate, seconds = Gate(), Seconds()

    class Silent(MemoryChanges):
        def take(self) -> Sequence[StreamedChange]:
            gate.pass_through()
            return super().take()

    sync = Sync(Silent(), NotingShards(), lambda: TABLE, clock=Clock(), monotonic=seconds)
    loop = asyncio.create_task(sync.run())
    await at_the_gate(gate)

    seconds.now += sync_module.STEP_SECONDS_MAX + 1
    # A beat that is on its way now comes back.
    await until(lambda: sync.steps.standstill() == "the change stream, for 121 seconds")
    gate.open()
    loop.cancel()
    await asyncio.wait([loop])

    assert sync.steps.standstill() is None


@in_loop
async def test_a_relay_whose_call_never_comes_back_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, seconds, gate = World(), Seconds(), Gate()

    def silent(_limit: int) -> Sequence[OrderedEvent]:
        gate.pass_through()
        return []

    monkeypatch.setattr(world.events, "number", silent)
    async with world.relaying(monotonic=seconds) as relay:
        await at_the_gate(gate)

        seconds.now += STEP_SECONDS_MAX + 1
        late = relay.steps.standstill()
        gate.open()

    assert late == "a call to the database, for 241 seconds"


@in_loop
async def test_a_sweep_that_never_ends_is_named() -> None:
    clock, seconds, work = Clock(NOON + 2 * MINUTE), Seconds(), Works()
    agenda = MemoryAgenda()
    agenda.entry("sweep", clock())
    clock.advance(minutes=3)
    work.gate.clear()
    one = janitor(agenda, work, clock)
    one.steps = StepsInHand(seconds)
    following = asyncio.create_task(one.follow(one.jobs["sweep"]))
    await until(lambda: work.dues)

    seconds.now += RUN_SECONDS_MAX + STEP_SECONDS_MAX + 1
    late = one.steps.standstill()
    following.cancel()
    await asyncio.wait([following])

    assert late == "the job sweep, for 3841 seconds"
