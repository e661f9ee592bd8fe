"""Promise 3: nobody overspends by racing, though two shards believe they own the same user."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest

from actors.protocol.calls import Call, Outcome, Reply
from actors.shard.shard import Shard
from domain.charges import UsageRecorded
from domain.values import Policy, UserId
from tests.builders.authors import NOON
from tests.fakes.memory_store import AppendFault, MemoryStore
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import (
    Clock,
    ask,
    ask_one,
    charge_call,
    credit_call,
    in_loop,
    running,
    status,
)

ANN = UserId("ann")
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""

FAULTS: tuple[AppendFault, ...] = ("in doubt, landed", "in doubt, lost", "in doubt, lands later")


async def concurrently(shards: Sequence[Shard], calls: Sequence[Call], seed: int) -> list[Reply]:
    """Send every call in a message of its own, to a shard that chance picks."""
    random = Random(seed)

    async def send(call: Call, turns: int) -> Reply:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await ask_one(random.choice(shards), call)

    return await asyncio.gather(*(send(call, random.randrange(60)) for call in calls))


def accepted(calls: Sequence[Call], replies: Sequence[Reply]) -> int:
    """Return the sum of the charges that were acknowledged."""
    pairs = zip(calls, replies, strict=True)
    return sum(
        getattr(call.command, "credit_amount", 0)
        for call, reply in pairs
        if reply.outcome is Outcome.DONE and not reply.replayed
    )


def sums(store: MemoryStore) -> tuple[int, int, int]:
    """Return what the journal, the days and the usage records say was charged."""
    journal = sum(
        e.change.credit_amount
        for e in store.journal.values()
        if isinstance(e.change, UsageRecorded)
    )
    days = sum(d["credits_used"] for d in store.collections["dailycredits"].values())
    usages = sum(u["credit_amount"] for u in store.collections["usages"].values())
    return journal, days, usages


# --- worked cases (facts/cases.md) --------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "charges", "each", "left"),
    [(5, 5, 10, 5), (500, 5, 200, 100), (21, 500, 1, 0)],
    ids=["case 5: all refused", "case 5: two accepted", "case 11: 21 accepted"],
)
@pytest.mark.parametrize("rivals", [1, 2])
@in_loop
async def test_concurrent_charges_stop_at_the_limit(
    rivals: int, amount: int, charges: int, each: int, left: int
) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as one, running(store, policy=WHOLE) as two:
        await ask_one(one, credit_call(ANN, amount))
        calls = [charge_call(ANN, each, f"k-{n}", keep_refusal=False) for n in range(charges)]

        replies = await concurrently((one, two)[:rivals], calls, seed=charges)

        assert accepted(calls, replies) == amount - left
        assert (await status(one, ANN)).remaining_credits == left


@pytest.mark.parametrize("rivals", [1, 2])
@in_loop
async def test_case_6_a_charge_sent_twice_concurrently_with_one_key_is_one(rivals: int) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as one, running(store, policy=WHOLE) as two:
        await ask_one(one, credit_call(ANN, 200))

        first, second = await asyncio.gather(
            ask_one(one, charge_call(ANN, 50, "k")),
            ask_one((one, two)[rivals - 1], charge_call(ANN, 50, "k")),
        )

        assert first.body == second.body
        assert sorted((first.replayed, second.replayed)) == [False, True]
    async with running(store, policy=WHOLE) as three:
        assert (await status(three, ANN)).remaining_credits == 150


@pytest.mark.parametrize("seed", range(10))
@in_loop
async def test_500_charges_of_random_size_by_two_shards_never_overspend(seed: int) -> None:
    random = Random(seed)
    store = MemoryStore()
    allowed = 10_000
    async with running(store, policy=WHOLE) as one, running(store, policy=WHOLE) as two:
        await ask_one(one, credit_call(ANN, allowed))
        calls = [charge_call(ANN, random.randint(0, 60), f"k-{n}") for n in range(500)]

        replies = await concurrently((one, two), calls, seed)
        await one.settle()
        await two.settle()

        spent = accepted(calls, replies)
        assert {r.outcome for r in replies} <= {Outcome.DONE, Outcome.REFUSED}
        assert allowed - 60 < spent <= allowed
        assert sums(store) == (spent, spent, spent)
        used = [(await status(shard, ANN)).credits_used for shard in (one, two)]
        assert spent in used  # The other one may not have looked since.
        assert one.counters.append_conflicts + two.counters.append_conflicts > 0


async def with_faults(
    shards: Sequence[Shard], store: MemoryStore, calls: Sequence[Call], random: Random
) -> dict[Call, Reply]:
    """Send calls through faults, and send again what stayed without an answer."""
    answered: dict[Call, Reply] = {}
    while waiting := [call for call in calls if call not in answered][:50]:
        for _ in range(2):
            store.fail_append(random.choice(FAULTS))
        store.fail_next("find_entries", random.randrange(2))
        replies = await concurrently(shards, waiting, random.randrange(2**32))
        store.land_late_appends()
        pairs = zip(waiting, replies, strict=True)
        answered |= {c: r for c, r in pairs if r.outcome in (Outcome.DONE, Outcome.REFUSED)}
    return answered


@pytest.mark.parametrize("seed", range(10))
@in_loop
async def test_charges_repeated_through_faults_by_two_shards_are_charged_once(seed: int) -> None:
    random = Random(seed)
    store = MemoryStore()
    users = [UserId(f"u-{n}") for n in range(5)]
    async with running(store, policy=WHOLE) as one, running(store, policy=WHOLE) as two:
        await ask(one, *(credit_call(user_id, 500) for user_id in users))
        calls = [
            charge_call(random.choice(users), random.randint(0, 30), f"k-{n}") for n in range(200)
        ]

        answered = await with_faults((one, two), store, calls, random)
        await one.settle()
        await two.settle()

    spent = dict.fromkeys(users, 0)
    for call, reply in answered.items():
        if reply.outcome is Outcome.DONE:
            spent[call.command.user_id] += getattr(call.command, "credit_amount", 0)
    assert max(spent.values()) <= 500
    async with running(store, policy=WHOLE) as fresh:
        assert {u: (await status(fresh, u)).credits_used for u in users} == spent
    total = sum(spent.values())
    assert sums(store) == (total, total, total)


@in_loop
async def test_two_shards_on_the_embedded_server_never_overspend(embedded: MongoSetup) -> None:
    random = Random(7)
    allowed = 3_000
    async with (
        running(embedded.store, policy=WHOLE) as one,
        running(embedded.store, policy=WHOLE) as two,
    ):
        await ask_one(one, credit_call(ANN, allowed))
        calls = [charge_call(ANN, random.randint(0, 60), f"k-{n}") for n in range(200)]

        replies = await concurrently((one, two), calls, seed=7)
        await one.settle()
        await two.settle()

    spent = accepted(calls, replies)
    assert {r.outcome for r in replies} <= {Outcome.DONE, Outcome.REFUSED}
    assert allowed - 60 < spent <= allowed
    assert sum(d["credits_used"] for d in embedded.documents("dailycredits")) == spent
    assert sum(u["credit_amount"] for u in embedded.documents("usages")) == spent


# --- clocks that differ -------------------------------------------------------------------


@pytest.mark.parametrize(
    "views",
    [
        pytest.param(True, id="views written"),
        pytest.param(False, id="views behind"),
    ],
)
@in_loop
async def test_a_shard_whose_clock_is_behind_sees_what_was_charged_tomorrow(views: bool) -> None:
    store = MemoryStore()
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    ahead, behind = Clock(NOON), Clock(midnight - timedelta(seconds=1))
    async with running(store, clock=ahead, policy=WHOLE, views=views) as one:
        await ask_one(one, credit_call(ANN, 200, days=2))
        ahead.now = midnight + timedelta(seconds=1)
        await ask_one(one, charge_call(ANN, 200, "all of both days"))
        if views:
            await one.settle()

    async with running(store, clock=behind, policy=WHOLE) as two:
        await status(two, ANN)
        behind.advance(seconds=3)
        reply = await ask_one(two, charge_call(ANN, 100, "after midnight"))

    assert reply.outcome is Outcome.REFUSED
