"""A shard that starts again, or that gets another share of the users."""

import asyncio
import functools
from datetime import timedelta

import pytest

from actors.protocol.calls import MOVED, Envelope, Outcome
from actors.protocol.directory import Directory, SeenTable, even
from actors.shard import catch_up
from actors.shard.hand_over import hand_over
from domain.values import Policy, UserId
from tests.builders.authors import NOON, Author
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MongoSetup, Setup
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

ANN = UserId("ann")
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""
BOTH = even(1, 2)
USERS = [UserId(f"u-{number}") for number in range(40)]


# --- catching up --------------------------------------------------------------------------


@in_loop
async def test_catching_up_completes_the_views_of_a_crashed_shard(setup: Setup) -> None:
    async with running(setup.store, policy=WHOLE, views=False) as crashed:
        await ask(crashed, *(credit_call(user_id, 100) for user_id in USERS))
        await ask(crashed, *(charge_call(user_id, 7, "k") for user_id in USERS))
    assert setup.documents("subscriptions") == []

    async with running(setup.store, policy=WHOLE) as restarted:
        await restarted.catch_up()
        await restarted.settle()

    assert len(setup.documents("subscriptions")) == len(USERS)
    assert {d["credits_used"] for d in setup.documents("dailycredits")} == {7}
    assert len(setup.documents("usages")) == len(USERS)


@in_loop
async def test_catching_up_reads_many_accounts_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "CATCH_UP_CHUNK", 16)
    store = MemoryStore()
    async with running(store, views=False) as crashed:
        await ask(crashed, *(credit_call(user_id, 100) for user_id in USERS))
    store.calls.clear()

    async with running(store) as restarted:
        await restarted.catch_up()

    assert store.calls["load"] == 3


@in_loop
async def test_a_shard_catches_up_with_its_own_users_only() -> None:
    store = MemoryStore()
    store.append([Author(user_id).add() for user_id in USERS])

    async with running(store, index=1, shards=2) as shard:
        await shard.catch_up()
        await shard.settle()

    found = {d["user_id"] for d in store.collections["subscriptions"].values()}
    assert found == {user_id for user_id in USERS if BOTH.owner(user_id) == 1}


@in_loop
async def test_catching_up_begins_a_little_before_the_clean_mark() -> None:
    store = MemoryStore()
    old, late = Author("old", NOON - timedelta(seconds=60)), Author("late", NOON)
    store.append([old.add(), late.add()])
    store.mark_clean("shard-000", NOON + timedelta(seconds=1))

    async with running(store) as shard:
        await shard.catch_up()
        await shard.settle()

    assert [d["user_id"] for d in store.collections["subscriptions"].values()] == ["late"]


@in_loop
async def test_catching_up_finds_what_a_clock_far_ahead_has_entered() -> None:
    store = MemoryStore()
    store.append([Author("early", NOON + timedelta(hours=1)).add()])
    store.mark_clean("shard-000", NOON)

    async with running(store) as shard:
        await shard.catch_up()
        await shard.settle()

    assert [d["user_id"] for d in store.collections["subscriptions"].values()] == ["early"]


@in_loop
async def test_a_shard_says_nothing_is_clean_before_it_has_caught_up() -> None:
    clock = Clock()
    async with running(MemoryStore(), clock=clock) as shard:
        assert shard.clean_until() is None

        await shard.catch_up()

        assert shard.clean_until() == NOON


@in_loop
async def test_the_clean_mark_stays_before_what_is_being_committed_or_lags() -> None:
    store = MemoryStore()
    clock = Clock()
    async with running(store, clock=clock, views=False) as shard:
        await shard.catch_up()
        gate = store.hold("append")
        credit = asyncio.create_task(ask_one(shard, credit_call(ANN, 100)))
        await at_the_gate(gate)
        clock.advance(seconds=5)
        shard.now()
        assert shard.clean_until() == NOON

        gate.open()
        await credit
        assert shard.clean_until() == NOON
        await shard.views.flush()

        assert shard.clean_until() == NOON + timedelta(seconds=5)


@in_loop
async def test_the_clean_mark_is_noted_behind_the_views() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await shard.catch_up()

        await ask_one(shard, credit_call(ANN, 100))
        await until(lambda: store.calls["mark_clean"])

    assert store.clean_until() == NOON


@in_loop
async def test_a_shard_on_the_embedded_server_comes_back_with_everything(
    embedded: MongoSetup,
) -> None:
    async with running(embedded.store, policy=WHOLE, views=False) as crashed:
        await ask_one(crashed, credit_call(ANN, 100))
        first = await ask_one(crashed, charge_call(ANN, 30, "k"))

    async with running(embedded.store, policy=WHOLE) as restarted:
        assert (await status(restarted, ANN)).remaining_credits == 70
        again = await ask_one(restarted, charge_call(ANN, 30, "k"))
        await restarted.settle()

    assert again == first._replace(replayed=True)
    assert embedded.document("dailycredits")["credits_used"] == 30


# --- settling -----------------------------------------------------------------------------


@in_loop
async def test_settling_waits_for_what_was_answered_and_for_no_more() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        gate = store.hold("write_views")
        await ask_one(shard, credit_call(ANN, 100))
        settled = asyncio.create_task(shard.settle(ANN))
        await at_the_gate(gate)
        await ask_one(shard, charge_call(ANN, 1, "after"))
        later = store.hold("write_views")
        assert not settled.done()

        gate.open()
        await settled

        assert len(store.collections["subscriptions"]) == 1
        later.open()
        await shard.settle()
        assert len(store.collections["usages"]) == 1


@in_loop
async def test_settling_a_user_without_lag_waits_for_nothing() -> None:
    store = MemoryStore()
    async with running(store, views=False) as shard:
        await ask_one(shard, credit_call("other", 100))

        await shard.settle(ANN)

        assert shard.counters.lagging_entries == 1
        assert store.collections["subscriptions"] == {}


def has_more_than(count: int, answered: list[str]) -> bool:
    return len(answered) > count


@in_loop
async def test_settling_ends_while_new_charges_keep_coming() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 100))
        answered: list[str] = []

        async def charge_for_ever() -> None:
            while True:
                key = f"k-{len(answered)}"
                await ask_one(shard, charge_call(ANN, 0, key))
                answered.append(key)

        charges = asyncio.create_task(charge_for_ever())
        for done in range(5):
            await until(functools.partial(has_more_than, done, answered))
            before = len(answered)
            await shard.settle(ANN)
            assert len(store.collections["usages"]) >= before
        assert not charges.done()
        charges.cancel()
        await asyncio.gather(charges, return_exceptions=True)


# --- another directory --------------------------------------------------------------------


@in_loop
async def test_a_shard_forgets_the_users_it_no_longer_owns() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, *(credit_call(user_id, 100) for user_id in USERS))
        await shard.catch_up()
        table = even(2, 2)

        shard.ownership.follow(table)
        assert await hand_over(shard) == 2

        assert set(shard.accounts) == {u for u in USERS if table.owner(u) == 0}
        assert len(store.collections["subscriptions"]) == len(USERS)
        assert shard.counters.lagging_entries == 0


@in_loop
async def test_who_is_still_here_is_answered_whatever_directory_the_caller_knows() -> None:
    async with running(MemoryStore()) as shard:
        shard.ownership.follow(even(2, 2))

        stays = next(u for u in USERS if shard.ownership.owns(u))
        moves = next(u for u in USERS if not shard.ownership.owns(u))
        for version in (1, 3):  # Of the sender's table.
            sent = Envelope(version, (credit_call(moves, 1), credit_call(stays, 1)), (moves, stays))
            replies = await shard.handle(sent)
            assert [reply is MOVED for reply in replies] == [True, False, True, False]
            assert {reply.outcome for reply in replies} == {Outcome.MOVED, Outcome.DONE}


@in_loop
async def test_calls_accepted_before_the_new_directory_are_finished() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await shard.catch_up()
        gate = store.hold("append")
        credit = asyncio.create_task(ask_one(shard, credit_call(ANN, 100)))
        await at_the_gate(gate)

        shard.ownership.follow(Directory(2, (1,) * 4096))
        handing_over = asyncio.create_task(hand_over(shard))
        assert await shard.handle(Envelope(1, (), (ANN,))) == [MOVED]
        assert not handing_over.done()
        gate.open()
        await handing_over

        assert (await credit).outcome is Outcome.DONE
        assert dict(shard.accounts) == {}
        assert len(store.collections["subscriptions"]) == 1


@in_loop
async def test_users_are_handed_over_though_calls_keep_coming() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, *(credit_call(user_id, 100) for user_id in USERS))
        await shard.catch_up()
        table = even(2, 2)
        mine = next(user_id for user_id in USERS if table.owner(user_id) == 0)

        async def charge_for_ever(name: str) -> None:
            while True:
                key = f"{name}-{shard.counters.writes}"
                await ask_one(shard, charge_call(mine, 0, key))

        gate = store.hold("append")
        charges = [asyncio.create_task(charge_for_ever("one"))]
        await at_the_gate(gate)
        charges.append(asyncio.create_task(charge_for_ever("two")))
        await until(lambda: shard.counters.queued == 1)  # From now on one always waits.
        gate.open()

        shard.ownership.follow(table)
        await hand_over(shard)

        assert set(shard.accounts) == {u for u in USERS if table.owner(u) == 0}
        for charge in charges:
            charge.cancel()
        await asyncio.gather(*charges, return_exceptions=True)


@in_loop
async def test_what_is_read_after_a_directory_is_not_older_than_it() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        shard.follow_table(SeenTable(even(2, 2), (1_700_000_000, 3)))
        shard.follow_table(SeenTable(even(3, 2)))  # Of a database that does not say.

        assert shard.table == even(3, 2)
    assert store.heard == [(1_700_000_000, 3)]


@in_loop
async def test_an_older_directory_is_not_followed() -> None:
    async with running(MemoryStore()) as shard:
        shard.ownership.follow(even(3, 2))
        shard.ownership.follow(even(2, 4))

        assert shard.table == even(3, 2)
