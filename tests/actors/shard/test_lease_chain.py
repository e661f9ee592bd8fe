"""A lease whose holder died while it waited for the one before it: the next one waits for both."""

import asyncio

import pytest

from actors.mongo.accounts.leases import MongoLeases
from actors.protocol.store import StorageUnavailableError
from actors.shard.lease import LEASE_SECONDS, Holder, Lease, LeaseStore
from tests.fakes.memory_leases import MemoryLeases
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Seconds, in_loop

SHARD = "shard-000"
FIRST, SECOND, THIRD = Holder("here", 1), Holder("there", 2), Holder("there", 3)


@pytest.fixture(params=["memory", "mongomock", "embedded"])
def leases(request: pytest.FixtureRequest) -> LeaseStore:
    if request.param == "memory":
        return MemoryLeases()
    return MongoLeases(request.getfixturevalue(request.param).database)


class Machines:
    """Where processes hold leases of one shard, and end; all by one clock that stands."""

    def __init__(self, leases: LeaseStore) -> None:
        self._leases = leases
        self.clock = Seconds()
        self.gone = set[Holder]()
        self._waiting: list[asyncio.Task[None]] = []

    def lease(self, holder: Holder) -> Lease:
        return Lease(
            self._leases, SHARD, holder, monotonic=self.clock, is_gone=self.gone.__contains__
        )

    async def begin_to_take(self, lease: Lease, epoch: int) -> "asyncio.Task[None]":
        """Return once it has raised the epoch and waits."""
        taking = asyncio.create_task(lease.take())
        async with asyncio.timeout(10):
            while await asyncio.to_thread(self._leases.epoch, SHARD) < epoch:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # Longer than it takes to begin, where it need not wait.
        return taking

    async def kill(self, holder: Holder, taking: "asyncio.Task[None]") -> None:
        taking.cancel()
        await asyncio.wait([taking])
        self.gone.add(holder)


@pytest.fixture
def machines(leases: LeaseStore) -> Machines:
    return Machines(leases)


@in_loop
async def test_whoever_follows_one_that_died_waiting_waits_for_the_one_before_that(
    machines: Machines,
) -> None:
    first, second, third = map(machines.lease, (FIRST, SECOND, THIRD))
    await first.take()
    await machines.kill(SECOND, await machines.begin_to_take(second, 2))

    taking = await machines.begin_to_take(third, 3)
    amid = first.is_held, taking.done()
    machines.clock.now += LEASE_SECONDS
    await taking

    assert amid == (True, False)
    assert (first.is_held, third.is_held) == (False, True)


@in_loop
async def test_one_that_died_waiting_for_one_that_died_waiting_hides_nobody_either(
    machines: Machines,
) -> None:
    first = machines.lease(FIRST)
    await first.take()
    for pid in (2, 3, 4):
        holder = Holder("there", pid)
        await machines.kill(holder, await machines.begin_to_take(machines.lease(holder), pid))

    last = machines.lease(Holder("there", 5))
    taking = await machines.begin_to_take(last, 5)

    assert (first.is_held, last.is_held, taking.done()) == (True, False, False)
    await machines.kill(Holder("there", 5), taking)


@in_loop
async def test_one_that_gave_the_lease_back_while_it_waited_hides_nobody(
    machines: Machines,
) -> None:
    first, second, third = map(machines.lease, (FIRST, SECOND, THIRD))
    await first.take()
    waiting = await machines.begin_to_take(second, 2)
    await second.release()
    await machines.kill(SECOND, waiting)

    taking = await machines.begin_to_take(third, 3)

    assert (first.is_held, third.is_held, taking.done()) == (True, False, False)
    await machines.kill(THIRD, taking)


@in_loop
async def test_nobody_waits_for_one_that_is_gone_and_had_begun_to_answer(
    machines: Machines,
) -> None:
    """By a clock that stands, nobody who waits comes to an end."""
    async with asyncio.timeout(10):
        for pid in range(1, 6):
            lease = machines.lease(Holder("here", pid))
            await lease.take()
            machines.gone.add(Holder("here", pid))

    assert lease.is_held


@in_loop
async def test_one_that_had_waited_and_gave_the_lease_back_costs_no_wait(
    machines: Machines,
) -> None:
    first, second, third = map(machines.lease, (FIRST, SECOND, THIRD))
    await first.take()
    waiting = await machines.begin_to_take(second, 2)
    machines.clock.now += LEASE_SECONDS
    await waiting
    await second.release()

    async with asyncio.timeout(10):
        await third.take()

    assert third.is_held


def test_a_wait_that_is_over_is_noted_for_its_own_epoch_only(leases: LeaseStore) -> None:
    first = leases.take(SHARD, FIRST)
    leases.take(SHARD, SECOND)
    leases.note_waited(SHARD, 1)
    third = leases.take(SHARD, THIRD)
    leases.note_waited(SHARD, 3)
    fourth = leases.take(SHARD, FIRST)

    assert first == (1, None, True)
    assert third == (3, SECOND, False)
    assert fourth == (4, THIRD, True)


@in_loop
async def test_a_wait_that_cannot_be_noted_answers_nothing_and_is_noted_later() -> None:
    leases = MemoryLeases()
    machines = Machines(leases)
    lease = machines.lease(FIRST)
    leases.is_away = True

    with pytest.raises(StorageUnavailableError):
        await lease.take()
    held_unnoted = lease.is_held
    leases.is_away = False
    await lease.take()

    assert (held_unnoted, lease.is_held) == (False, True)
    assert leases.take(SHARD, SECOND) == (2, FIRST, True)


# --- documents of other versions ----------------------------------------------------------


def test_whoever_held_a_document_without_a_word_of_a_wait_had_waited(mongo: MongoSetup) -> None:
    leases = MongoLeases(mongo.database)
    document = {"_id": SHARD, "sessions": [], "epoch": 7, "holder": FIRST._asdict()}
    mongo.database.allotment_shards.insert_one(document)

    after_the_version_before = leases.take(SHARD, SECOND)
    after_one_that_died_waiting = leases.take(SHARD, THIRD)

    assert after_the_version_before == (8, FIRST, True)
    assert after_one_that_died_waiting == (9, SECOND, False)


def test_of_a_version_that_notes_no_wait_nothing_is_known_once_one_was_noted(
    mongo: MongoSetup,
) -> None:
    leases = MongoLeases(mongo.database)
    leases.take(SHARD, FIRST)
    leases.note_waited(SHARD, 1)
    taken_by_the_version_before = {"$set": {"epoch": 2, "holder": SECOND._asdict()}}
    mongo.database.allotment_shards.update_one({"_id": SHARD}, taken_by_the_version_before)

    assert leases.take(SHARD, THIRD) == (3, SECOND, False)
