"""A shard gives back what is over by itself, and no race over a hold has two winners."""

import asyncio
import copy
from random import Random

import pytest

from actors.protocol.calls import Call, Outcome, Reply
from actors.protocol.expiry import expire_call
from actors.shard import open_holds
from actors.shard.shard import Shard
from domain.api.answers import UsageRecordResponse
from domain.holds import ReleaseHold
from domain.messages import Rejection
from tests.builders.hold_calls import ANN, hold_call, placed, settle_call
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MemorySetup, MongoSetup, Setup
from tests.fakes.shards import (
    Clock,
    Seconds,
    ask,
    ask_one,
    charge_call,
    credit_call,
    in_loop,
    running,
    status,
    until,
)


def release_call(hold_id: str, key: str) -> Call:
    return Call(ReleaseHold(ANN, hold_id), key, keep_refusal=True)


def day(store: MemoryStore) -> dict[str, object]:
    (document,) = store.collections["dailycredits"].values()
    return document


async def expired(shard: Shard, count: int) -> None:
    shard.expiry.look()
    await until(lambda: shard.counters.holds_expired == count)
    await shard.settle()


@in_loop
async def test_a_hold_expires_without_any_request() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        before = (await status(shard, ANN)).credits_held
        counted = (shard.counters.holds_open, shard.counters.credits_held)
        await shard.settle()
        clock.advance(seconds=60)
        at_once = await status(shard, ANN)
        await expired(shard, 1)

        assert (before, counted) == (40, (1, 40))
        assert (at_once.credits_held, at_once.remaining_credits) == (0, 90)
        assert (shard.counters.holds_open, shard.counters.credits_held) == (0, 0)
        assert (day(store)["holds"], day(store)["credits_held"]) == ([], 0)


@in_loop
async def test_what_a_status_says_of_a_hold_changes_at_its_expiry() -> None:
    clock = Clock()
    async with running(MemoryStore(), clock=clock) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        first = await status(shard, ANN)
        clock.advance(seconds=59.999)
        last = await status(shard, ANN)
        clock.advance(seconds=0.001)
        over = await status(shard, ANN)

        assert [s.remaining_credits for s in (first, last, over)] == [50, 50, 90]


@in_loop
async def test_a_hold_of_an_account_that_was_forgotten_expires_all_the_same() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        await shard.settle()
        shard.accounts.forget(ANN)
        gone = shard.counters.holds_open
        clock.advance(seconds=60)
        await expired(shard, 1)

        assert gone == 0
        assert day(store)["credits_held"] == 0


@in_loop
async def test_a_shard_that_starts_knows_the_holds_of_the_accounts_it_loads() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
    async with running(store, clock=clock) as shard:
        loaded = await status(shard, ANN)
        clock.advance(seconds=60)
        await expired(shard, 1)

        assert loaded.credits_held == 40


@in_loop
async def test_an_expiry_that_could_not_be_written_is_tried_again() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        store.fail_next("append")
        clock.advance(seconds=60)

        def is_expired() -> bool:
            clock.advance(seconds=0.1)
            shard.expiry.look()
            return shard.counters.holds_expired == 1

        await until(is_expired)

        assert store.calls["append"] >= 3
        assert (await status(shard, ANN)).credits_held == 0


@in_loop
async def test_a_hold_is_made_once_and_settled_once_however_often_it_is_asked() -> None:
    async with running(MemoryStore()) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        first, again = await ask(shard, hold_call(40, "h"), hold_call(40, "h"))
        hold_id = placed(first).hold_id
        settled = await ask(shard, *[settle_call(hold_id, 15, "s")] * 2)
        other = await ask_one(shard, settle_call(hold_id, 15, "t"))
        late = await ask_one(shard, release_call(hold_id, "r"))

        assert (again.body, again.replayed) == (first.body, True)
        assert settled[0].body == settled[1].body
        assert [reply.replayed for reply in settled] == [False, True]
        for refused in (other, late):
            assert refused.refusal is not None
            assert refused.refusal.reason is Rejection.HOLD_CLOSED
        assert (await status(shard, ANN)).credits_used == 15


@pytest.mark.parametrize("seed", range(20))
def test_five_hundred_holds_and_settlements_at_once_are_exact(seed: int) -> None:
    in_loop(five_hundred_pairs)(seed, MemorySetup())


def test_five_hundred_pairs_are_exact_on_the_embedded_database(embedded: MongoSetup) -> None:
    in_loop(five_hundred_pairs)(0, embedded)


async def five_hundred_pairs(seed: int, setup: Setup) -> None:
    """Place and settle beside each other; the shard is lost amid it, and once more after it."""
    random, store, clock = Random(seed), setup.store, Clock()
    sizes = [(random.randint(0, 60), random.randint(0, 80)) for _ in range(500)]
    async with running(store, clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 20_000, 1))
        if seed % 2:
            assert isinstance(store, MemoryStore)
            store.fail_append("in doubt, landed" if seed % 4 == 1 else "in doubt, lost")
        first = await asyncio.gather(*(pair(shard, i, *sizes[i]) for i in range(250)))
    async with running(store, clock=clock) as shard:
        second = await asyncio.gather(*(pair(shard, i, *sizes[i]) for i in range(250, 500)))
        lost = await ask_one(shard, hold_call(7, "lost"))
        clock.advance(seconds=61)
        assert lost.outcome <= Outcome.REFUSED
        shard.expiry.look()
        await until(lambda: shard.counters.holds_open == 0)
        await shard.settle()
        answer = await status(shard, ANN)

    charged = sum([*first, *second])
    usages = [document["credit_amount"] for document in setup.documents("usages")]
    today = setup.document("dailycredits")
    assert charged == sum(usages) == answer.credits_used == today["credits_used"]
    assert answer.credits_held == today["credits_held"] == 0
    assert answer.remaining_credits == answer.daily_credit_limit - charged >= 0


async def pair(shard: Shard, number: int, held: int, cost: int) -> int:
    """Hold and settle, asking again as a client does; return what was charged."""
    placing = hold_call(held, f"hold {number}")
    reply = await insist(shard, placing)
    if reply.outcome is Outcome.REFUSED:
        return 0
    hold_id = placed(reply).hold_id
    settled = await insist(shard, settle_call(hold_id, cost, f"settle {number}"))
    if settled.outcome is Outcome.DONE:
        answer = UsageRecordResponse.model_validate_json(settled.body or b"")
        assert answer.credit_amount + answer.uncovered_credits == cost
        assert answer.credit_amount >= min(held, cost)
        return answer.credit_amount
    await insist(shard, release_call(hold_id, f"release {number}"))
    return 0


async def insist(shard: Shard, call: Call) -> Reply:
    while (reply := await ask_one(shard, call)).outcome > Outcome.REFUSED:
        await asyncio.sleep(0)
    return reply


@pytest.mark.parametrize("seed", range(40))
def test_of_settle_release_and_expiry_in_one_batch_one_wins(seed: int) -> None:
    in_loop(settle_against_expiry)(seed)


async def settle_against_expiry(seed: int) -> None:
    random, store, clock = Random(seed), MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        replies = await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        hold_id = placed(replies[1]).hold_id
        clock.advance(seconds=60 - random.choice([0, 0.001, -0.001]))
        calls = [
            settle_call(hold_id, 15, "s"),
            release_call(hold_id, "r"),
            charge_call(ANN, 1, "c"),
        ]
        random.shuffle(calls)
        told = await ask(shard, *calls)
        clock.advance(seconds=1)
        shard.expiry.look()
        await until(lambda: shard.counters.holds_open == 0)
        await shard.settle()
        answer = await status(shard, ANN)

    resolving = {"s", "r"}
    won = [c.key for c, r in zip(calls, told, strict=True) if r.outcome is Outcome.DONE]
    won = [key for key in won if key in resolving]
    kinds = [e.change for e in store.journal.values() if "Hold" in type(e.change).__name__]
    assert len(won) + shard.counters.holds_expired == 1
    assert len(kinds) == 2  # It was placed, and one thing became of it.
    assert answer.credits_used == 1 + (15 if won == ["s"] else 0)
    assert answer.credits_held == day(store)["credits_held"] == 0


@in_loop
async def test_a_hold_that_another_program_took_out_of_its_day_is_closed() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        replies = await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        await shard.settle()
        day(store)["holds"] = []
        shard.accounts.forget(ANN)
        shown = await status(shard, ANN)
        settled = await ask_one(shard, settle_call(placed(replies[1]).hold_id, 15, "s"))

        assert (shown.credits_held, shown.remaining_credits) == (0, 90)
        assert settled.refusal is not None
        assert settled.refusal.reason is Rejection.HOLD_CLOSED


@in_loop
async def test_holds_that_are_closed_are_not_remembered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_holds, "CLOSED_MAX", 10)
    clock = Clock()
    async with running(MemoryStore(), clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        open_one = placed(await ask_one(shard, hold_call(40, "open")))
        for number in range(50):
            hold = placed(await ask_one(shard, hold_call(1, f"h{number}", seconds=86_400)))
            await ask_one(shard, release_call(hold.hold_id, f"r{number}"))
        remembered = len(shard.accounts.open_holds.due)
        clock.advance(seconds=60)
        await expired(shard, 1)

        assert remembered <= 14
        assert (await ask_one(shard, release_call(open_one.hold_id, "late"))).refusal is not None


@in_loop
async def test_an_expiry_that_came_too_early_does_not_keep_the_hold_from_expiring() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        replies = await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        await shard.settle()
        # From a janitor whose clock is ahead, lost on the way and sent again.
        early = expire_call(ANN, placed(replies[1]).hold_id)._replace(keep_refusal=True)
        refused = await ask_one(shard, early)
        clock.advance(seconds=60)
        await expired(shard, 1)

        assert refused.refusal is not None
        assert refused.refusal.reason is Rejection.NOT_ENDED
        assert day(store)["credits_held"] == 0


@in_loop
async def test_a_hold_that_another_program_brings_back_is_asked_about_once_a_second() -> None:
    store, clock, seconds = MemoryStore(), Clock(), Seconds()
    async with running(store, clock=clock, max_staleness=10, monotonic=seconds) as shard:
        await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h"))
        await shard.settle()
        saved = copy.deepcopy(day(store)["holds"])
        clock.advance(seconds=60)
        await expired(shard, 1)
        day(store)["holds"] = saved  # As a program does that saves a document it read before.
        seconds.now += 11  # From now on every call reads through.
        clock.advance(seconds=1)

        asked = []
        for _ in range(3):
            shard.expiry.look()
            for _ in range(20):
                await status(shard, ANN)
            asked.append(shard.counters.repeats)
            clock.advance(seconds=1)

        assert shard.following.is_stale
        assert asked == [1, 2, 3]


@in_loop
async def test_a_hold_is_settled_late_by_a_shard_that_reads_through_and_that_another_expired() -> (
    None
):
    store, clock, seconds = MemoryStore(), Clock(), Seconds()
    async with running(store, clock=clock, max_staleness=10, monotonic=seconds) as shard:
        reply = (await ask(shard, credit_call(ANN, 3000, 30), hold_call(40, "h")))[-1]
        hold_id = placed(reply).hold_id
        await shard.settle()
        async with running(store, clock=clock) as other:
            clock.advance(seconds=60)
            expired_by_other = await ask_one(other, expire_call(ANN, hold_id))
            await other.settle()
        seconds.now += 11

        settled = await ask_one(shard, settle_call(hold_id, 30, "s"))

        assert shard.following.is_stale
        assert (expired_by_other.outcome, settled.outcome) == (Outcome.DONE, Outcome.DONE)
        assert UsageRecordResponse.model_validate_json(settled.body or b"").late
