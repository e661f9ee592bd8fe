"""What a shard does when the database refuses, does not answer, or answers too late."""

import asyncio
from datetime import timedelta

import pytest

from actors.protocol.calls import UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.store import StorageUnavailableError
from actors.shard import shard as shard_module
from actors.shard.shard import Shard
from domain.values import Policy, UserId
from tests.fakes.memory_store import AppendFault, MemoryStore
from tests.fakes.shards import (
    Clock,
    ask,
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
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""

FAULTS: tuple[AppendFault, ...] = (
    "in doubt, landed",
    "in doubt, lost",
    "in doubt, lands later",
)


def used(store: MemoryStore, user_id: UserId) -> int:
    """Return what the day documents say was used."""
    days = store.collections["dailycredits"].values()
    return sum(day["credits_used"] for day in days if day["user_id"] == user_id)


async def charged_once(shard: Shard, store: MemoryStore, amount: int) -> None:
    """Check that both users were charged once, in RAM, in the journal and in the views."""
    await shard.settle()
    for user_id in (ANN, BOB):
        assert (await status(shard, user_id)).credits_used == amount
        assert used(store, user_id) == amount
        assert len([e for e in store.journal.values() if e.user_id == user_id]) == 2


# --- in doubt -----------------------------------------------------------------------------


@in_loop
async def test_a_call_that_landed_before_it_was_decided_again_is_not_refused() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 100))
        store.fail_append("in doubt, lands later")
        gate = store.hold("load")
        charge = charge_call(ANN, 60, "k", keep_refusal=False)
        asking = asyncio.create_task(ask_one(shard, charge))
        await at_the_gate(gate)

        assert store.land_late_appends() == 1
        gate.open()
        reply = await asking

        assert reply.outcome is Outcome.DONE
        assert (await status(shard, ANN)).credits_used == 60


@pytest.mark.parametrize("fault", FAULTS)
@in_loop
async def test_an_append_in_doubt_charges_exactly_once(fault: AppendFault) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
        store.fail_append(fault)

        replies = await ask(shard, charge_call(ANN, 50, "k"), charge_call(BOB, 50, "k"))
        assert store.land_late_appends() == 0

        assert [reply.outcome for reply in replies] == [Outcome.DONE] * 2
        assert shard.counters.appends_in_doubt == 1
        await charged_once(shard, store, 50)
        again = await ask(shard, charge_call(ANN, 50, "k"), charge_call(BOB, 50, "k"))
        assert [r.body for r in again] == [r.body for r in replies]


@pytest.mark.parametrize("door", ["find_entries", "load", "append"])
@in_loop
async def test_an_append_that_lands_while_it_is_looked_for_charges_exactly_once(door: str) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
        store.fail_append("in doubt, lands later")
        gate = store.hold("find_entries")
        charge = asyncio.create_task(
            ask(shard, charge_call(ANN, 50, "k"), charge_call(BOB, 50, "k"))
        )
        await at_the_gate(gate)
        if door != "find_entries":
            looking, gate = gate, store.hold(door)
            looking.open()
            await at_the_gate(gate)
        assert store.land_late_appends() == 1
        gate.open()

        replies = await charge

        assert [reply.outcome for reply in replies] == [Outcome.DONE] * 2
        await charged_once(shard, store, 50)


@in_loop
async def test_an_append_that_stays_in_doubt_charges_exactly_once_at_the_repeat() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
        store.fail_append("in doubt, lands later")
        store.fail_next("find_entries")
        calls = (charge_call(ANN, 50, "k"), charge_call(BOB, 50, "k"))

        assert await ask(shard, *calls) == [UNAVAILABLE] * 2
        assert store.land_late_appends() == 1
        replies = await ask(shard, *calls)

        assert [r.outcome for r in replies] == [Outcome.DONE] * 2
        await charged_once(shard, store, 50)


@in_loop
async def test_an_append_always_in_doubt_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "APPENDS_MAX", 3)
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
        for _ in range(3):
            store.fail_append("in doubt, lost")
        calls = (charge_call(ANN, 50, "k"), charge_call(BOB, 50, "k"))

        assert await ask(shard, *calls) == [UNAVAILABLE] * 2
        await ask(shard, *calls)

        await charged_once(shard, store, 50)


@in_loop
async def test_a_refused_append_disturbs_nobody_else_in_the_batch() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard, running(store, policy=WHOLE) as other:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
        await ask_one(other, charge_call(ANN, 120, "theirs"))

        rejected, done = await ask(shard, charge_call(ANN, 90, "k"), charge_call(BOB, 90, "k"))

        assert (rejected.outcome, done.outcome) == (Outcome.REFUSED, Outcome.DONE)
        assert not done.replayed
        assert (await status(shard, ANN)).remaining_credits == 80
        assert (await status(shard, BOB)).remaining_credits == 110
        assert shard.counters.append_conflicts == 1


async def with_an_old_charge(shard: Shard) -> Call:
    """Give both users credits; return a charge of Bob's that RAM has let go of, as after a restart."""
    old = charge_call(BOB, 10, "old")
    await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200), old)
    await shard.settle()
    shard.accounts.answers.clear()
    return old


@in_loop
async def test_who_shares_a_batch_with_a_repeat_is_told_once_that_it_was_done() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        old, charge = await with_an_old_charge(shard), charge_call(ANN, 60, "k")

        first, again, repeat = await ask(shard, charge, charge, old)

        assert [r.outcome for r in (first, again, repeat)] == [Outcome.DONE] * 3
        assert [r.replayed for r in (first, again, repeat)] == [False, True, True]
        assert first.body == again.body
        assert (shard.counters.charges, shard.counters.credits_charged) == (2, 70)
        assert shard.counters.appended_entries == len(store.journal) == 4
        assert shard.counters.repeats == 2


@in_loop
async def test_what_landed_and_could_not_be_looked_up_holds_the_mark_until_views_have_it() -> None:
    store = MemoryStore()
    clock = Clock()
    async with running(store, policy=WHOLE, clock=clock) as shard:
        old = await with_an_old_charge(shard)
        await shard.catch_up()
        clock.now += timedelta(seconds=1)
        store.fail_next("find_entries")

        assert await ask(shard, charge_call(ANN, 60, "k"), old) == [UNAVAILABLE] * 2
        landed = max(entry.at for entry in store.journal.values())
        clock.now += timedelta(seconds=1)
        mark = shard.clean_until()
        assert mark is not None
        assert mark <= landed

        await until(lambda: used(store, ANN) == 60)
        # The shard hears of it a turn of its loop later.
        await until(lambda: (shard.clean_until() or landed) > landed)


# --- the database is away -----------------------------------------------------------------


@in_loop
async def test_a_database_that_is_away_is_unavailable_for_all_and_changes_nothing() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200))
        await shard.settle()
        store.unavailable = True

        replies = await shard.handle(
            Envelope(1, (charge_call(ANN, 50, "a"), charge_call(BOB, 50, "b")), (UserId("c"),))
        )

        assert replies == [UNAVAILABLE] * 3
        assert (await status(shard, ANN)).remaining_credits == 200
    assert len(store.journal) == 1


@in_loop
async def test_a_shard_serves_again_by_itself_when_the_database_is_back() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200))
        store.unavailable = True
        await ask(shard, charge_call(ANN, 50, "a"))
        store.unavailable = False

        assert (await ask_one(shard, charge_call(ANN, 50, "a"))).outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 150
        assert (await status(shard, BOB)).status == "none"


@in_loop
async def test_an_append_that_never_reached_the_database_publishes_nothing() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200))
        store.fail_next("append")

        assert await ask_one(shard, charge_call(ANN, 50, "a")) == UNAVAILABLE

        assert (await status(shard, ANN)).remaining_credits == 200
        assert (await ask_one(shard, charge_call(ANN, 50, "a"))).replayed is False
        assert (await status(shard, ANN)).remaining_credits == 150


@in_loop
async def test_a_failed_catching_up_says_so_and_may_be_repeated() -> None:
    store = MemoryStore()
    async with running(store, views=False) as shard:
        await ask_one(shard, credit_call(ANN, 200))
    async with running(store) as shard:
        store.fail_next("load")
        with pytest.raises(StorageUnavailableError):
            await shard.catch_up()
        assert shard.clean_until() is None

        await shard.catch_up()
        await shard.settle()

        assert shard.clean_until() is not None
        assert len(store.collections["subscriptions"]) == 1


# --- the accounts of a batch may be forgotten while it waits ------------------------------


@in_loop
async def test_an_account_forgotten_while_others_are_loaded_is_loaded_as_well() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200))
        gate = store.hold("load")
        replies: asyncio.Task[list[Reply]] = asyncio.create_task(
            ask(shard, charge_call(ANN, 50, "a"), charge_call(BOB, 0, "b"))
        )
        await at_the_gate(gate)

        shard.accounts.forget(ANN)  # As the view writer does where another one was faster.
        gate.open()

        done, absent = await replies
        assert (done.outcome, absent.outcome) == (Outcome.DONE, Outcome.REFUSED)
        assert (await status(shard, ANN)).remaining_credits == 150
