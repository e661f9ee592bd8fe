"""One incarnation of a shard answers at a time, though the one before lives on, or wakes up."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from actors.mongo.accounts.leases import MongoLeases
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.protocol.store import StorageUnavailableError
from actors.shard.lease import (
    LEASE_SECONDS,
    Holder,
    Lease,
    LeaseStore,
    SupersededError,
    is_gone,
    this_process,
)
from domain.values import UserId
from tests.builders.authors import NOON, Author
from tests.fakes.memory_leases import MemoryLeases
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import in_loop, until
from tests.stopping import stop_process
from tests.wire.answers import refusal
from tests.wire.proxy import Answer, Command, Proxy

ANN = UserId("ann")
OLD, NEW = Holder("here", 1), Holder("there", 2)


@pytest.fixture(params=["memory", "mongo"])
def leases(request: pytest.FixtureRequest) -> Iterator[LeaseStore]:
    if request.param == "memory":
        yield MemoryLeases()
    else:
        yield MongoLeases(request.getfixturevalue("embedded").database)


class Time:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def lease_of(
    store: LeaseStore,
    holder: Holder,
    time: Time,
    *,
    gone: Callable[[Holder], bool] = lambda _: True,
) -> Lease:
    return Lease(store, "shard-000", holder, monotonic=time, is_gone=gone)


def test_each_taking_raises_the_epoch_and_names_who_held_the_one_before(
    leases: LeaseStore,
) -> None:
    assert leases.take("shard-000", OLD)[:2] == (1, None)
    assert leases.take("shard-000", NEW)[:2] == (2, OLD)
    assert leases.take("shard-001", OLD)[:2] == (1, None)
    assert leases.epoch("shard-000") == 2


@in_loop
async def test_one_that_was_paused_answers_nothing_and_ends(leases: LeaseStore) -> None:
    time = Time()
    paused, successor = lease_of(leases, OLD, time), lease_of(leases, NEW, time)
    await paused.take()

    await successor.take()
    time.seconds += LEASE_SECONDS

    assert not paused.is_held
    with pytest.raises(SupersededError):
        await paused.confirm()
    await successor.confirm()
    assert successor.is_held


@in_loop
async def test_one_whose_predecessor_may_live_waits_until_that_ones_lease_has_lapsed() -> None:
    leases, time = MemoryLeases(), Time()
    isolated = lease_of(leases, OLD, time)
    await isolated.take()

    successor = lease_of(leases, NEW, time, gone=lambda _: False)
    taking = asyncio.create_task(successor.take())
    await until(lambda: leases.taken["shard-000"][0] == 2)
    time.seconds += LEASE_SECONDS - 0.1
    both = isolated.is_held, successor.is_held
    time.seconds += 0.2
    await taking

    assert both == (True, False)
    assert (isolated.is_held, successor.is_held) == (False, True)


@in_loop
async def test_one_whose_predecessor_gave_the_lease_back_waits_for_nobody(
    leases: LeaseStore,
) -> None:
    time = Time()
    elsewhere = lease_of(leases, OLD, time)
    await elsewhere.take()

    await elsewhere.release()
    successor = lease_of(leases, NEW, time, gone=lambda _: False)
    await successor.take()

    assert (elsewhere.is_held, successor.is_held) == (False, True)


@in_loop
async def test_a_lease_that_was_given_back_is_held_no_more_though_nobody_has_taken_it(
    leases: LeaseStore,
) -> None:
    time = Time()
    lease = lease_of(leases, OLD, time)
    await lease.take()

    await asyncio.gather(lease.renew(), lease.release(), return_exceptions=True)

    assert not lease.is_held
    with pytest.raises(SupersededError):
        await lease.confirm()
    assert not lease.is_held


@in_loop
async def test_a_lease_that_could_not_be_given_back_is_not_held_either() -> None:
    leases, time = MemoryLeases(), Time()
    lease = lease_of(leases, OLD, time)
    await lease.take()
    leases.is_away = True

    with pytest.raises(StorageUnavailableError):
        await lease.release()

    assert not lease.is_held
    assert leases.taken["shard-000"] == (1, OLD)


def test_giving_back_what_a_successor_has_taken_changes_nothing(leases: LeaseStore) -> None:
    epoch = leases.take("shard-000", OLD).epoch
    leases.take("shard-000", NEW)

    leases.release("shard-000", epoch)

    assert leases.take("shard-000", OLD)[:2] == (3, NEW)


@in_loop
async def test_one_whose_taking_was_interrupted_still_waits_for_its_predecessor() -> None:
    leases, time = MemoryLeases(), Time()
    isolated = lease_of(leases, OLD, time)
    await isolated.take()
    asked: list[Holder] = []

    def gone(holder: Holder) -> bool:
        asked.append(holder)
        return len(asked) > 1

    successor = lease_of(leases, NEW, time, gone=gone)
    leases.is_away = True
    with pytest.raises(StorageUnavailableError):
        await successor.take()
    leases.is_away = False
    await successor.take()

    assert set(asked) == {OLD}
    assert successor.is_held


@in_loop
async def test_a_lease_that_lapsed_while_mongodb_was_away_is_renewed_by_the_next_question() -> None:
    leases, time = MemoryLeases(), Time()
    lease = lease_of(leases, OLD, time)
    await lease.take()

    leases.is_away = True
    time.seconds += LEASE_SECONDS - 0.1
    await lease.confirm()
    time.seconds += 0.2
    with pytest.raises(StorageUnavailableError):
        await lease.confirm()
    leases.is_away = False
    await lease.confirm()

    assert lease.is_held


@in_loop
async def test_a_lease_lasts_from_the_question_not_from_the_answer() -> None:
    time = Time()

    class Slow(MemoryLeases):
        def epoch(self, shard: str) -> int:
            time.seconds += 5
            return super().epoch(shard)

    lease = lease_of(Slow(), OLD, time)
    await lease.take()
    time.seconds += LEASE_SECONDS - 5

    assert not lease.is_held


@in_loop
async def test_a_held_lease_is_confirmed_without_asking_and_a_lapsed_one_once_for_all() -> None:
    leases, time = MemoryLeases(), Time()
    lease = lease_of(leases, OLD, time)
    await lease.take()

    await asyncio.gather(*(lease.confirm() for _ in range(100)))
    while_held = leases.renewals
    time.seconds += LEASE_SECONDS
    await asyncio.gather(*(lease.confirm() for _ in range(100)))

    assert (while_held, leases.renewals) == (1, 2)


def test_a_shard_without_its_lease_lands_no_write(embedded: MongoSetup) -> None:
    store = MongoStore(embedded.database, lambda: False)

    with pytest.raises(StorageUnavailableError):
        store.append([Author(ANN).add()])
    with pytest.raises(StorageUnavailableError):
        store.write_views([])
    with pytest.raises(StorageUnavailableError):
        store.mark_clean("shard-000", NOON)

    assert embedded.documents("allotment_journal") == []
    assert embedded.documents("allotment_shards") == []
    assert embedded.store.load([ANN], NOON)[0].entries == []


def test_a_process_that_stands_still_is_not_gone_and_one_that_was_killed_is() -> None:
    started = multiprocessing.get_context("spawn").Event()
    process = multiprocessing.get_context("spawn").Process(target=started.wait, daemon=True)
    process.start()
    assert process.pid is not None
    holder = this_process()._replace(pid=process.pid)

    stop_process(process.pid)
    paused = is_gone(holder)
    elsewhere = is_gone(holder._replace(machine="another"))
    process.kill()
    process.join()

    assert (paused, elsewhere) == (False, False)
    assert is_gone(holder)
    assert not is_gone(this_process())


# --- what a set without a majority answers ------------------------------------------------


def in_linearizable(command: Command) -> bool:
    return bool(command.get("readConcern", {}).get("level") == "linearizable")


@in_loop
async def test_a_majority_that_is_not_heard_renews_nothing_until_it_is(
    proxy: Proxy, embedded: MongoSetup
) -> None:
    database, time = connect(proxy.uri, embedded.database.name), Time()
    lease = lease_of(MongoLeases(database), OLD, time)
    await lease.take()
    rule = proxy.on("find", Answer(refusal(50)), times=None, where=in_linearizable)
    time.seconds += LEASE_SECONDS / 2

    with pytest.raises(StorageUnavailableError):
        await lease.renew()
    held_still = lease.is_held
    time.seconds += LEASE_SECONDS / 2
    held_too_long = lease.is_held
    proxy.forget_rules()
    await lease.confirm()

    assert rule.met
    assert (held_still, held_too_long, lease.is_held) == (True, False, True)
    database.client.close()


# --- marks of shards that come and go -----------------------------------------------------


def test_a_shard_that_is_to_be_started_is_clean_as_long_as_all_are(mongo: MongoSetup) -> None:
    store, leases = MongoStore(mongo.database), MongoLeases(mongo.database)
    store.mark_clean("shard-000", NOON)
    store.mark_clean("shard-001", NOON + timedelta(hours=1))

    leases.begin_mark("shard-002")
    leases.begin_mark("shard-001")

    marks = {mark["_id"]: mark["clean_until"] for mark in mongo.database.allotment_shards.find()}
    assert marks == {
        "shard-000": NOON,
        "shard-001": NOON + timedelta(hours=1),
        "shard-002": NOON,
    }


def test_for_a_shard_that_is_gone_the_others_answer_and_its_epoch_stays(mongo: MongoSetup) -> None:
    store, leases = MongoStore(mongo.database), MongoLeases(mongo.database)
    for index in range(3):
        leases.take(f"shard-00{index}", OLD)
    store.mark_clean("shard-000", NOON + timedelta(hours=1))
    store.mark_clean("shard-001", NOON)

    leases.end_mark("shard-001")
    leases.end_mark("shard-001")
    leases.end_mark("shard-009")

    assert store.clean_until() == NOON
    marks = {
        mark["_id"]: mark.get("clean_until") for mark in mongo.database.allotment_shards.find()
    }
    assert marks == {"shard-000": NOON, "shard-001": None, "shard-002": None}
    assert leases.take("shard-001", NEW)[:2] == (2, OLD)
