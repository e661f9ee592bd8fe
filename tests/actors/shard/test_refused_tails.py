"""Where a call is refused because storage is away, all that waits behind it of its user is refused, too.

Callers repeat these in order. What was decided meanwhile would have come before them.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from actors.protocol.calls import UNAVAILABLE, Envelope, Outcome, Reply
from actors.protocol.directory import Directory
from actors.protocol.queries import Query
from actors.protocol.store import JournalBrokenError
from actors.routing.router import Router
from actors.shard.inbox import BATCH_OF_ONE_USER_MAX
from actors.shard.shard import Shard
from domain.values import Policy, UserId
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import (
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

ANN, BOB, CAT = UserId("ann"), UserId("bob"), UserId("cat")
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""
MANY = [charge_call(ANN, 1, f"{n:03}") for n in range(2 * BATCH_OF_ONE_USER_MAX + 1)]
ENOUGH = len(MANY) - 10


def keys(store: MemoryStore, user_id: UserId) -> list[str]:
    """Return the keys of a user's charges, in order."""
    entries = [entry for entry in store.journal.values() if entry.user_id == user_id]
    return [entry.key for entry in sorted(entries, key=lambda e: e.seq) if entry.key != "credit"]


def no_append(store: MemoryStore, _: Shard) -> None:
    store.fail_next("append")


def no_load(store: MemoryStore, shard: Shard) -> None:
    shard.accounts.forget(ANN)
    store.fail_next("load")


def no_append_after_a_load(store: MemoryStore, shard: Shard) -> None:
    shard.accounts.forget(ANN)
    store.fail_next("append")


def no_load_in_the_loop(store: MemoryStore, shard: Shard) -> None:
    shard.inbox.put(ANN, None, anew=True)
    store.fail_next("load")


def no_journal_in_the_loop(store: MemoryStore, shard: Shard) -> None:
    load = store.load

    def broken(*_: object) -> list[object]:
        store.load = load  # type: ignore[method-assign]
        raise JournalBrokenError({ANN: "an entry is missing"})

    shard.inbox.put(ANN, None, anew=True)
    store.load = broken  # type: ignore[assignment,method-assign]


FAULTS = [no_append, no_load, no_append_after_a_load, no_load_in_the_loop, no_journal_in_the_loop]


class Way:
    """The way to one shard. The first message that goes it meets a fault."""

    def __init__(self, shard: Shard, fault: Callable[[], None]) -> None:
        self._shard = shard
        self._faults = [fault]

    async def send(self, _index: int, envelope: Envelope) -> list[Reply]:
        while self._faults:
            self._faults.pop()()
        return await self._shard.handle(envelope)

    async def query(self, _index: int, _version: int, _query: Query) -> Reply:
        raise NotImplementedError

    async def directory(self) -> Directory:
        return self._shard.table


@pytest.mark.parametrize("fault", FAULTS)
@in_loop
async def test_the_calls_of_one_user_keep_their_order_though_the_first_ones_were_refused(
    fault: Callable[[MemoryStore, Shard], None],
) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, ENOUGH), credit_call(BOB, 9))
        await shard.settle()
        way = Way(shard, partial(fault, store, shard))

        replies = await Router(way, 10).calls(MANY)
        assert (await ask_one(shard, charge_call(BOB, 1, "b"))).outcome is Outcome.DONE

    done = [reply.outcome is Outcome.DONE for reply in replies]
    assert done == [True] * ENOUGH + [False] * (len(MANY) - ENOUGH)
    assert keys(store, ANN) == [call.key for call in MANY]


@in_loop
async def test_others_who_wait_are_not_refused() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 99), credit_call(BOB, 9))
        await shard.settle()
        gate = store.hold("append")
        store.fail_next("append")
        anns = asyncio.create_task(ask(shard, *MANY))
        await at_the_gate(gate)
        bobs = asyncio.create_task(ask_one(shard, charge_call(BOB, 1, "b")))
        await until(lambda: shard.counters.writes == len(MANY) + 3)
        gate.open()

        assert await anns == [UNAVAILABLE] * len(MANY)
        assert (await bobs).outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 99
        await shard.inbox.settle()


@in_loop
async def test_behind_a_read_that_takes_too_long_the_whole_tail_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(BOB, 9))
        reads, appends = store.hold("load"), store.hold("append")
        slow = asyncio.create_task(status(shard, CAT))
        await at_the_gate(reads)
        monkeypatch.setattr("actors.shard.loads.WAITING_SECONDS_MAX", 0.0)
        tail = asyncio.create_task(ask(shard, charge_call(BOB, 1, "b"), *MANY))
        await at_the_gate(appends)
        monkeypatch.undo()
        reads.open()
        await until(lambda: not shard.inbox._aside)  # What was read is there before the next turn.
        appends.open()
        await slow

        bobs, *anns = await tail
        assert bobs.outcome is Outcome.DONE
        assert anns == [UNAVAILABLE] * len(MANY)
