"""Idempotency: the first answer of a key is its only answer, in RAM and after a restart."""

import asyncio

import pytest

from actors.protocol.calls import Call, Outcome
from actors.shard import idempotency
from actors.shard.draft import KEY_REUSED
from domain.messages import CommandRefused, OpenDay, Rejection
from domain.values import Policy, UserId
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


@in_loop
async def test_a_repeat_gets_the_first_answer() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        first = await ask_one(shard, charge_call(ANN, 50, "k"))
        await ask_one(shard, charge_call(ANN, 100, "other"))

        again = await ask_one(shard, charge_call(ANN, 50, "k"))

        assert again == first._replace(replayed=True)
        assert (await status(shard, ANN)).remaining_credits == 50
    assert len(store.journal) == 3


@in_loop
async def test_repeats_in_one_batch_get_the_first_answer() -> None:
    async with running(MemoryStore(), policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))

        first, *others = await ask(shard, *[charge_call(ANN, 50, "k")] * 5)

        assert not first.replayed
        assert others == [first._replace(replayed=True)] * 4
        assert (await status(shard, ANN)).remaining_credits == 150


@in_loop
async def test_a_repeat_while_the_first_is_being_appended_gets_its_answer() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        gate = store.hold("append")
        first = asyncio.create_task(ask_one(shard, charge_call(ANN, 50, "k")))
        await at_the_gate(gate)
        again = asyncio.create_task(ask_one(shard, charge_call(ANN, 50, "k")))
        await until(lambda: shard.counters.queued == 1)
        gate.open()

        assert await again == (await first)._replace(replayed=True)
        assert (await status(shard, ANN)).remaining_credits == 150


@pytest.mark.parametrize("answers_max", [20_000, 0], ids=["remembered", "found in the journal"])
@in_loop
async def test_a_repeat_after_a_restart_gets_the_first_answer(
    monkeypatch: pytest.MonkeyPatch, answers_max: int
) -> None:
    monkeypatch.setattr(idempotency, "ANSWERS_MAX", max(answers_max, 1))
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        first = await ask_one(shard, charge_call(ANN, 150, "k"))
        refused = await ask_one(shard, charge_call(ANN, 150, "too much"))
    entries = len(store.journal)

    async with running(store, policy=WHOLE) as restarted:
        again = await ask_one(restarted, charge_call(ANN, 150, "k"))
        refused_again = await ask_one(restarted, charge_call(ANN, 150, "too much"))

        assert again == first._replace(replayed=True)
        assert refused_again == refused._replace(replayed=True)
        assert (await status(restarted, ANN)).remaining_credits == 50
    assert len(store.journal) == entries


@pytest.mark.parametrize("restart", [False, True], ids=["in RAM", "after a restart"])
@in_loop
async def test_the_same_key_with_another_body_is_refused(restart: bool) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        await ask_one(shard, charge_call(ANN, 50, "k"))
        if not restart:
            assert await ask_one(shard, charge_call(ANN, 51, "k")) == KEY_REUSED
    async with running(store, policy=WHOLE) as other:
        assert await ask_one(other, charge_call(ANN, 51, "k")) == KEY_REUSED
        assert await ask_one(other, credit_call(ANN, 51, key="k")) == KEY_REUSED

        assert (await status(other, ANN)).remaining_credits == 150
    assert len(store.journal) == 2


@in_loop
async def test_a_repeat_is_answered_though_it_would_be_refused_now() -> None:
    store = MemoryStore()
    clock = Clock()
    async with running(store, clock=clock, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        first = await ask_one(shard, charge_call(ANN, 150, "k"))
    clock.advance(days=5)

    async with running(store, clock=clock, policy=WHOLE) as shard:
        again = await ask_one(shard, charge_call(ANN, 150, "k"))

    assert again == first._replace(replayed=True)


@in_loop
async def test_a_refusal_of_the_callers_key_is_kept() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        refused = await ask_one(shard, charge_call(ANN, 50, "k"))
        await ask_one(shard, credit_call(ANN, 200))

        again = await ask_one(shard, charge_call(ANN, 50, "k"))

    assert refused.refusal is not None
    assert refused.refusal.reason is Rejection.NO_ACTIVE_SUBSCRIPTION
    assert again == refused._replace(replayed=True)
    assert isinstance(store.journal["ann 1"].change, CommandRefused)


@in_loop
async def test_a_refusal_without_a_key_of_the_callers_is_not_written() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        refused = await ask_one(shard, charge_call(ANN, 50, "k", keep_refusal=False))
        await ask_one(shard, credit_call(ANN, 200))

        again = await ask_one(shard, charge_call(ANN, 50, "k", keep_refusal=False))

    assert refused.outcome is Outcome.REFUSED
    assert (again.outcome, again.replayed) == (Outcome.DONE, False)
    assert len(store.journal) == 2


@in_loop
async def test_a_payment_counts_once_whatever_its_key() -> None:
    async with running(MemoryStore(), policy=WHOLE) as shard:
        call = credit_call(ANN, 200)
        await ask_one(shard, call)

        refused = await ask_one(shard, call._replace(key="another"))

        assert refused.refusal is not None
        assert refused.refusal.reason is Rejection.DUPLICATE_PAYMENT
        assert (await status(shard, ANN)).total_credits == 200


@in_loop
async def test_a_day_that_is_open_already_is_answered_as_the_key_was_answered_first() -> None:
    store, clock = MemoryStore(), Clock()
    opening = Call(OpenDay(ANN), "k", keep_refusal=True)
    async with running(store, clock=clock, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))
        first = await ask_one(shard, opening)
        await ask_one(shard, charge_call(ANN, 50, "other"))

    async with running(store, clock=clock, policy=WHOLE) as successor:
        again = await ask_one(successor, opening)
        reused = await ask_one(successor, Call(OpenDay(ANN), "other", keep_refusal=True))

    assert again == first._replace(replayed=True)
    assert reused == KEY_REUSED


@in_loop
async def test_a_day_that_is_open_already_leaves_no_entry_where_no_key_wants_its_answer() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 200))

        reply = await ask_one(shard, Call(OpenDay(ANN), "k", keep_refusal=False))

    assert reply.outcome is Outcome.DONE
    assert len(store.journal) == 1
