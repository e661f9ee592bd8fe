"""RAM follows what others write, whatever the shard is doing when it is told."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from actors.protocol.calls import Outcome
from actors.protocol.changes import Stamp
from actors.shard.shard import Shard
from domain.recalls import NOTHING_BESIDE
from domain.values import UserId, mark_of, owner_mark
from tests.builders.authors import NOON
from tests.builders.told_changes import tell
from tests.fakes.setups import MemorySetup
from tests.fakes.shards import (
    Seconds,
    ask_one,
    at_the_gate,
    charge_call,
    credit_call,
    in_loop,
    running,
    status,
    until,
)

ANN, BOB = UserId("ann"), UserId("bob")
FOREIGN_ID = "65f0a1b2c3d4e5f601234501"
FOREIGN_DAY_ID = "65f0a1b2c3d4e5f601234502"


def subscription(user_id: str = ANN, **changed: Any) -> dict[str, Any]:
    """Return a document as another program writes it: 90 credits a day."""
    return {
        "_id": FOREIGN_ID,
        "user_id": user_id,
        "start_date": NOON - timedelta(hours=12),
        "end_date": NOON + timedelta(days=29, hours=12),
        "total_credits": 3000.0,
        "system_portion": 300.0,
        "spendable_credits": 2700.0,
        "status": "active",
    } | changed


async def remaining(shard: Shard, user_id: str = ANN) -> int:
    return (await status(shard, user_id)).remaining_credits


# --- what is told -------------------------------------------------------------------------


@in_loop
async def test_a_changed_account_is_read_again_behind_the_traffic() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        assert await remaining(shard) == 90
        setup.change("subscriptions", {"user_id": ANN}, spendable_credits=5400.0)
        tell(shard, ANN)
        await until(lambda: setup.store.calls["load"] == 2)
        await until(lambda: shard.counters.users == 1)

        assert await remaining(shard) == 180
        assert setup.store.calls["load"] == 2
        assert shard.counters.followed == 1


@in_loop
async def test_a_user_who_was_absent_is_seen_with_a_first_subscription() -> None:
    setup = MemorySetup()
    async with running(setup.store) as shard:
        assert (await status(shard, ANN)).status == "none"
        setup.insert("subscriptions", **subscription())
        tell(shard, ANN)

        assert (await status(shard, ANN)).status == "active"


@in_loop
async def test_an_account_that_is_not_in_ram_is_not_read_because_it_changed() -> None:
    setup = MemorySetup()
    async with running(setup.store) as shard:
        tell(shard, ANN, BOB)
        await status(shard, BOB)

        assert setup.store.calls["load"] == 1


@pytest.mark.parametrize("collection", ["subscriptions", "dailycredits"])
@in_loop
async def test_a_deleted_document_of_ours_finds_its_account_by_its_id(collection: str) -> None:
    setup = MemorySetup()
    async with running(setup.store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await ask_one(shard, charge_call(ANN, 30, "k"))
        await shard.settle()
        document_id = setup.document(collection)["_id"]
        assert mark_of(document_id) == owner_mark(ANN)

        setup.remove(collection, user_id=ANN)
        tell(shard, documents=(document_id,))

        expected = {"subscriptions": ("none", 0), "dailycredits": ("active", 90)}[collection]
        shown = await status(shard, ANN)
        assert (shown.status, shown.remaining_credits) == expected


@pytest.mark.parametrize("document_id", [FOREIGN_ID, FOREIGN_DAY_ID])
@in_loop
async def test_a_deleted_document_of_another_program_finds_its_account(document_id: str) -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    setup.insert(
        "dailycredits",
        _id=FOREIGN_DAY_ID,
        subscription_id=FOREIGN_ID,
        date=NOON.replace(hour=0),
        credits_used=50,
    )
    collection = "subscriptions" if document_id == FOREIGN_ID else "dailycredits"
    async with running(setup.store) as shard:
        assert await remaining(shard) == 40
        setup.remove(collection, _id=document_id)
        tell(shard, documents=(document_id,))

        assert await remaining(shard) == (0 if document_id == FOREIGN_ID else 90)


@in_loop
async def test_a_subscription_given_to_another_user_is_taken_from_the_first() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        assert (await remaining(shard, ANN), await remaining(shard, BOB)) == (90, 0)
        setup.change("subscriptions", {"_id": FOREIGN_ID}, user_id=BOB)
        tell(shard, BOB, documents=(FOREIGN_ID,))

        assert (await remaining(shard, ANN), await remaining(shard, BOB)) == (0, 90)


@in_loop
async def test_a_full_resync_forgets_everything() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        await remaining(shard)
        setup.remove("subscriptions", _id=FOREIGN_ID)
        tell(shard, forget_all=True)

        assert await remaining(shard) == 0
        assert shard.counters.resyncs == 1


@in_loop
async def test_an_edit_between_a_charge_and_its_views_keeps_both() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store, views=False) as shard:
        await ask_one(shard, charge_call(ANN, 30, "k"))
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        tell(shard, ANN)

        assert await remaining(shard) == 150
        await shard.views.flush()
        assert setup.document("subscriptions")["spendable_credits"] == 5400.0
        assert setup.document("dailycredits")["credits_used"] == 30
        assert await remaining(shard) == 150


# --- told while something is under way ------------------------------------------------------


@in_loop
async def test_a_change_told_during_a_load_is_not_lost_behind_what_it_read() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        gate = HeldLoad(setup)
        first = asyncio.create_task(remaining(shard))
        await gate.until_read()
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        tell(shard, ANN)
        gate.open()
        await first

        assert await remaining(shard) == 180


@in_loop
async def test_a_document_deleted_during_the_load_that_read_it_is_followed() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        gate = HeldLoad(setup)
        first = asyncio.create_task(remaining(shard))
        await gate.until_read()
        setup.remove("subscriptions", _id=FOREIGN_ID)
        tell(shard, documents=(FOREIGN_ID,))
        gate.open()
        await first

        assert await remaining(shard) == 0


@in_loop
async def test_everything_forgotten_during_a_load_includes_what_it_reads() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        gate = HeldLoad(setup)
        first = asyncio.create_task(remaining(shard))
        await gate.until_read()
        setup.remove("subscriptions", _id=FOREIGN_ID)
        tell(shard, forget_all=True)
        gate.open()
        await first

        assert await remaining(shard) == 0


@in_loop
async def test_nobody_reads_what_a_doubted_load_brought_while_its_batch_is_appended() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        load, append = HeldLoad(setup), setup.store.hold("append")
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 30, "k")))
        await load.until_read()
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        tell(shard, ANN)
        load.open()
        await at_the_gate(append)
        meanwhile = asyncio.create_task(remaining(shard))
        await asyncio.sleep(0)
        append.open()

        assert (await charge).outcome is Outcome.DONE
        assert await meanwhile == 150
        assert await remaining(shard) == 150


@in_loop
async def test_a_change_told_during_an_append_is_not_lost_behind_what_is_published() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        await remaining(shard)
        gate = setup.store.hold("append")
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 30, "k")))
        await at_the_gate(gate)
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        tell(shard, ANN)
        gate.open()

        assert (await charge).outcome is Outcome.DONE
        assert await remaining(shard) == 150


@pytest.mark.parametrize("fault", ["in doubt, landed", "in doubt, lost"])
@in_loop
async def test_a_change_told_during_an_append_in_doubt_is_not_lost(fault: Any) -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        await remaining(shard)
        setup.store.fail_append(fault)
        gate = setup.store.hold("find_entries")
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 30, "k")))
        await at_the_gate(gate)
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        tell(shard, ANN)
        gate.open()

        assert (await charge).outcome is Outcome.DONE
        assert await remaining(shard) == 150


@in_loop
async def test_a_load_that_failed_leaves_no_account_in_doubt() -> None:
    setup = MemorySetup()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store) as shard:
        setup.store.fail_next("load")
        reply = await ask_one(shard, charge_call(ANN, 30, "k"))
        assert reply.outcome is Outcome.UNAVAILABLE
        tell(shard, ANN)

        assert await remaining(shard) == 90
        assert not shard.accounts.doubted


@pytest.mark.parametrize("seed", range(20))
@in_loop
async def test_after_any_interleaving_of_edits_and_charges_ram_is_what_mongodb_holds(
    seed: int,
) -> None:
    dice = Random(seed)
    setup = MemorySetup()
    users = [f"user-{number}" for number in range(5)]
    for number, user in enumerate(users):
        setup.insert("subscriptions", **subscription(user, _id=f"s-{number}"))
    async with running(setup.store) as shard:

        async def edit(number: int) -> None:
            for _ in range(30):
                await asyncio.sleep(dice.random() / 300)
                changed = {"spendable_credits": 30.0 * dice.randrange(100, 200)}
                setup.change("subscriptions", {"_id": f"s-{number}"}, **changed)
                tell(shard, users[number])

        async def charge(number: int) -> None:
            for turn in range(30):
                call = charge_call(users[number], dice.randrange(3), f"{number}-{turn}")
                await ask_one(shard, call)
                await remaining(shard, dice.choice(users))

        turns = range(len(users))
        await asyncio.gather(*(work(n) for n in turns for work in (edit, charge)))
        await shard.settle()
        shown = [await status(shard, user) for user in users]
        async with running(setup.store) as fresh:
            assert shown == [await status(fresh, user) for user in users], f"seed {seed}"


# --- how old the news are -------------------------------------------------------------------


@in_loop
async def test_reads_and_writes_go_through_to_mongodb_while_the_heartbeat_is_old() -> None:
    setup, seconds = MemorySetup(), Seconds()
    setup.insert("subscriptions", **subscription())
    async with running(setup.store, max_staleness=10, monotonic=seconds) as shard:
        assert await remaining(shard) == 90
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=5400.0)
        seconds.now += 10
        assert await remaining(shard) == 90

        seconds.now += 1
        assert shard.following.is_stale
        assert await remaining(shard) == 180
        setup.change("subscriptions", {"_id": FOREIGN_ID}, spendable_credits=8100.0)
        reply = await ask_one(shard, charge_call(ANN, 200, "k"))
        assert reply.outcome is Outcome.DONE
        assert shard.counters.read_throughs == 2


@in_loop
async def test_a_heartbeat_makes_ram_current_again() -> None:
    setup, seconds = MemorySetup(), Seconds()
    async with running(setup.store, max_staleness=10, monotonic=seconds) as shard:
        await remaining(shard)
        seconds.now += 100
        stamp = tell(shard)
        seconds.now += 1

        tell(shard, age_seconds=0.5, stamp=stamp)

        assert shard.following.heartbeat_age == 1.5
        loads = setup.store.calls["load"]
        await remaining(shard)
        assert setup.store.calls["load"] == loads


@in_loop
async def test_a_heartbeat_that_was_long_on_its_way_proves_only_what_was_true_when_it_left() -> (
    None
):
    seconds = Seconds()
    async with running(MemorySetup().store, max_staleness=10, monotonic=seconds) as shard:
        stamp = tell(shard)
        seconds.now += 60

        tell(shard, age_seconds=0.1, stamp=stamp)

        assert shard.following.is_stale


@in_loop
async def test_a_stamp_of_an_earlier_incarnation_proves_nothing() -> None:
    seconds = Seconds()
    async with running(MemorySetup().store, max_staleness=10, monotonic=seconds) as shard:
        seconds.now += 60

        tell(shard, age_seconds=0.1, stamp=Stamp("an earlier one", seconds.now))

        assert shard.following.is_stale


@in_loop
async def test_a_message_after_which_more_is_to_come_makes_nothing_current() -> None:
    seconds = Seconds()
    async with running(MemorySetup().store, max_staleness=10, monotonic=seconds) as shard:
        seconds.now += 60
        stamp = tell(shard)

        tell(shard, ANN, age_seconds=None, stamp=stamp)

        assert shard.following.is_stale


# --- fakes ----------------------------------------------------------------------------------


class HeldLoad:
    """Stops the next load after it has read, before it returns."""

    def __init__(self, setup: MemorySetup) -> None:
        store = setup.store
        inner = store.load
        self._after = store.hold("after load")

        def load(user_ids: Any, now: Any, recalls: Any = NOTHING_BESIDE) -> Any:
            found = inner(user_ids, now, recalls)
            store.load = inner  # type: ignore[method-assign]
            store.enter("after load")
            return found

        store.load = load  # type: ignore[method-assign]

    async def until_read(self) -> None:
        await at_the_gate(self._after)

    def open(self) -> None:
        self._after.open()
