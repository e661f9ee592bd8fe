"""The shard's one loop: what travels together, what needs the store, what is remembered."""

import asyncio

import pytest

from actors.protocol.calls import OVERLOADED, Envelope, Outcome
from domain.api.answers import UsageRecordResponse
from domain.messages import OpenDay
from domain.values import Credits, Policy, UserId
from tests.builders.authors import add_credit
from tests.fakes.memory_store import MemoryStore
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


# --- one batch at a time ------------------------------------------------------------------


@in_loop
async def test_all_that_arrives_during_an_append_is_appended_together() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 1000))
        gate = store.hold("append")
        first = asyncio.create_task(ask_one(shard, charge_call(ANN, 1, "first")))
        await at_the_gate(gate)

        others = [
            asyncio.create_task(ask_one(shard, charge_call(f"u-{n % 7}", 1, f"key-{n}")))
            for n in range(50)
        ]
        await until(lambda: shard.counters.queued == 50)
        gate.open()
        await asyncio.gather(first, *others)

    assert [len(batch) for batch in store.batches] == [1, 1, 50]


@in_loop
async def test_nothing_is_answered_and_nothing_published_before_it_is_durable() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 1000))
        gate = store.hold("append")
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 400, "k")))
        await at_the_gate(gate)

        before = await status(shard, ANN)
        assert not charge.done()
        gate.open()
        await charge

        assert before.remaining_credits == 1000
        assert (await status(shard, ANN)).remaining_credits == 600


@in_loop
async def test_a_batch_is_no_longer_than_its_limit() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await ask(shard, *(charge_call(f"u-{n % 250}", 0, f"k-{n}") for n in range(2_500)))

    assert [len(batch) for batch in store.batches] == [1000, 1000, 500]


@in_loop
async def test_replies_come_in_the_order_of_the_calls_then_of_the_reads() -> None:
    async with running(MemoryStore(), policy=WHOLE) as shard:
        calls = (credit_call("a", 10), credit_call("b", 20), charge_call("a", 3, "k"))

        replies = await shard.handle(Envelope(1, calls, (UserId("b"), UserId("none"), UserId("a"))))

    assert [b'"grant_id"' in (r.body or b"") for r in replies] == [True, True] + [False] * 4
    assert b'"usage_id"' in (replies[2].body or b"")
    assert [b'"status":"active"' in (r.body or b"") for r in replies[3:]] == [True, False, True]


@in_loop
async def test_a_caller_that_goes_away_disturbs_nobody_and_its_charge_stands() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 1000))
        gate = store.hold("append")
        leaving = asyncio.create_task(ask_one(shard, charge_call(ANN, 5, "leaving")))
        staying = asyncio.create_task(ask_one(shard, charge_call(ANN, 7, "staying")))
        await at_the_gate(gate)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.open()

        assert (await staying).outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 988


# --- RAM ----------------------------------------------------------------------------------


@in_loop
async def test_a_status_from_ram_asks_nothing_of_the_store() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await shard.settle()
        before = store.calls.copy()

        for _ in range(100):
            assert (await status(shard, ANN)).daily_credit_limit == 90

        assert store.calls - before == {}
        assert (shard.counters.hits, shard.counters.misses) == (100, 0)


@in_loop
async def test_an_absent_user_is_looked_up_once() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        for _ in range(3):
            answer = await status(shard, "nobody")
            assert (answer.status, answer.total_credits) == ("none", 0)

    assert store.calls["load"] == 1


@in_loop
async def test_missing_users_of_a_batch_are_loaded_in_one_call() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        users = tuple(UserId(f"u-{n}") for n in range(300))
        await shard.handle(Envelope(1, (), users))

    assert store.calls["load"] == 1


@in_loop
async def test_the_account_used_least_recently_is_dropped() -> None:
    store = MemoryStore()
    async with running(store, accounts_max=2) as shard:
        for user_id in ("a", "b", "a", "c"):
            await status(shard, user_id)
        loads = store.calls["load"]

        await status(shard, "a")
        await status(shard, "c")
        assert store.calls["load"] == loads
        await status(shard, "b")
        assert store.calls["load"] == loads + 1

        assert shard.counters.users == 2
        assert shard.counters.evictions == 2


@in_loop
async def test_eviction_passes_over_accounts_whose_views_lag() -> None:
    store = MemoryStore()
    async with running(store, accounts_max=2, views=False) as shard:
        await ask_one(shard, credit_call("lags", 100))
        for user_id in ("a", "b", "c"):
            await status(shard, user_id)
        loads = store.calls["load"]

        assert (await status(shard, "lags")).total_credits == 100
        assert (await status(shard, "c")).status == "none"
        assert store.calls["load"] == loads

        await shard.views.flush()
        for user_id in ("d", "e"):
            await status(shard, user_id)
        assert UserId("lags") not in shard.accounts


@in_loop
async def test_the_shards_time_never_goes_back() -> None:
    clock = Clock()
    async with running(MemoryStore(), clock=clock) as shard:
        noon = shard.now()
        clock.advance(seconds=-100)

        assert shard.now() == noon
        assert (await status(shard, ANN)).as_of == noon


# --- limits -------------------------------------------------------------------------------


@in_loop
async def test_a_full_inbox_is_overloaded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.shard.inbox.INBOX_LENGTH_MAX", 3)
    store = MemoryStore()
    async with running(store) as shard:
        gate = store.hold("append")
        first = asyncio.create_task(ask_one(shard, charge_call(ANN, 1, "first")))
        await at_the_gate(gate)
        waiting = asyncio.create_task(ask(shard, *(charge_call(ANN, 1, f"{n}") for n in range(3))))
        await until(lambda: shard.counters.queued == 3)

        assert await ask_one(shard, charge_call(ANN, 1, "too many")) == OVERLOADED
        assert await shard.handle(Envelope(1, (), (UserId("missing"),))) == [OVERLOADED]
        gate.open()

        assert [r.outcome for r in await waiting] == [Outcome.REFUSED] * 3
        assert (await first).outcome is Outcome.REFUSED
        assert (await ask_one(shard, charge_call(ANN, 1, "later"))).outcome is Outcome.REFUSED
        assert shard.counters.overloaded == 2


@in_loop
async def test_writes_are_overloaded_while_too_much_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.shard.view_writer.LAGGING_ENTRIES_MAX", 2)
    async with running(MemoryStore(), views=False, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 100), charge_call(ANN, 1, "a"))

        assert await ask_one(shard, charge_call(ANN, 1, "b")) == OVERLOADED
        assert (await status(shard, ANN)).remaining_credits == 99
        await shard.views.flush()

        assert (await ask_one(shard, charge_call(ANN, 1, "b"))).outcome is Outcome.DONE


# --- days ---------------------------------------------------------------------------------


@in_loop
async def test_five_first_touches_of_a_day_make_one_day_document() -> None:
    store = MemoryStore()
    clock = Clock()
    async with running(store, clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        clock.advance(hours=12)

        touches = [charge_call(ANN, 0, f"k-{n}")._replace(command=OpenDay(ANN)) for n in range(5)]
        replies = await asyncio.gather(*(ask_one(shard, touch) for touch in touches))
        await shard.settle()

        assert {r.outcome for r in replies} == {Outcome.DONE}
        assert {r.body for r in replies} == {replies[0].body}
        assert (await status(shard, ANN)).credits_rolled_over == 90
    assert len(store.collections["dailycredits"]) == 2


@in_loop
async def test_a_charge_answers_with_the_day_as_it_stands_after_it() -> None:
    async with running(MemoryStore()) as shard:
        command = add_credit(ANN, 3000, 30)
        await ask_one(shard, credit_call(ANN, 0)._replace(command=command))

        reply = await ask_one(shard, charge_call(ANN, 30, "k"))

    answer = UsageRecordResponse.model_validate_json(reply.body or b"")
    assert (answer.daily_credit_limit, answer.credits_used) == (90, 30)
    assert answer.remaining_credits == Credits(60)


@in_loop
async def test_charges_are_counted_once_and_only_those_that_were_written() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 3000))
        for amount, key in ((30, "a"), (30, "a"), (12, "b"), (9999, "c")):
            await ask_one(shard, charge_call(ANN, amount, key))

        assert (shard.counters.charges, shard.counters.credits_charged) == (2, 42)
        assert (shard.counters.writes, shard.counters.refusals) == (5, 1)
