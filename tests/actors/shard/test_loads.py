"""Who is in RAM does not wait until somebody else is read; who is read keeps the order of their calls."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from actors.protocol.calls import UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.directory import SeenTable, even
from actors.shard.dormant import AnyRawAccount, RawAccount
from actors.shard.shard import Shard
from domain.documents.recovery import Stored
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.values import Policy, UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.memory_store import Gate, MemoryStore
from tests.fakes.shards import (
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


class Late(MemoryStore):
    """Its answers are late: a read shows what was there before the gate."""

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        with self._lock:
            found = [self._load(user_id, now, recalls) for user_id in user_ids]
        self.enter("load")
        return found


def seen(store: MemoryStore, user_id: UserId) -> list[str]:
    """Return the keys of a user's entries, in order."""
    return [entry.key for entry in store.journal.values() if entry.user_id == user_id]


def paid(*users: UserId) -> MemoryStore:
    """Return a store in which users have a thousand credits a day."""
    store = MemoryStore()
    write(store, [Author(user_id).add(30_000) for user_id in users])
    return store


def send(shard: Shard, call: Call) -> "asyncio.Task[Reply]":
    return asyncio.create_task(ask_one(shard, call))


async def reading(
    shard: Shard, store: MemoryStore, call: Call
) -> "tuple[asyncio.Task[Reply], Gate]":
    """Send a call, and have the read that it needs stand still."""
    gate = store.hold("load")
    sent = send(shard, call)
    await at_the_gate(gate)
    return sent, gate


@in_loop
async def test_a_call_of_a_user_in_ram_is_answered_while_another_one_is_read() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, ANN)
        missing, gate = await reading(shard, store, charge_call(BOB, 1, "b"))

        charged = await ask_one(shard, charge_call(ANN, 1, "a"))
        waited = not missing.done()
        gate.open()

        assert charged.outcome is Outcome.DONE
        assert waited
        assert (await missing).outcome is Outcome.DONE


@in_loop
async def test_calls_of_one_message_are_decided_whoever_of_them_is_missing() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, ANN)
        gate = store.hold("load")
        calls = (charge_call(BOB, 1, "b"), charge_call(ANN, 1, "a"))
        both = asyncio.create_task(shard.handle(Envelope(1, calls)))
        await at_the_gate(gate)
        await until(lambda: seen(store, ANN)[-1] == "a")
        gate.open()

        assert [reply.outcome for reply in await both] == [Outcome.DONE] * 2


@in_loop
async def test_a_users_calls_keep_their_order_whenever_they_come() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        first, gate = await reading(shard, store, charge_call(BOB, 1, "0"))
        later = [send(shard, charge_call(BOB, 1, f"{number}")) for number in range(1, 100)]
        await until(lambda: shard.counters.writes == 100)
        gate.open()
        await asyncio.gather(first, *later)

    assert seen(store, BOB)[1:] == [f"{number}" for number in range(100)]


@in_loop
async def test_who_is_missing_amid_a_read_is_read_with_the_next_one() -> None:
    store = paid(ANN, BOB, CAT)
    async with running(store, policy=WHOLE) as shard:
        first, gate = await reading(shard, store, charge_call(ANN, 1, "a"))
        others = [send(shard, charge_call(user, 1, "k")) for user in (BOB, CAT)]
        await until(lambda: shard.counters.writes == 3)
        gate.open()
        replies = await asyncio.gather(first, *others)

    assert [reply.outcome for reply in replies] == [Outcome.DONE] * 3
    assert store.calls["load"] == 2


@in_loop
async def test_a_read_that_a_change_overtook_serves_those_who_waited_and_nobody_else() -> None:
    store = paid(ANN)
    async with running(store, policy=WHOLE) as shard:
        first, gate = await reading(shard, store, charge_call(ANN, 1, "first"))
        shard.accounts.doubt_loading({ANN})
        later = send(shard, charge_call(ANN, 1, "later"))
        await until(lambda: shard.counters.writes == 2)
        gate.open()
        await asyncio.gather(first, later)

    assert store.calls["load"] == 2
    assert seen(store, ANN)[1:] == ["first", "later"]


@in_loop
async def test_a_batch_that_ends_amid_a_read_leaves_it_in_doubt() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, BOB)
        first, gate = await reading(shard, store, charge_call(ANN, 1, "first"))
        shard.accounts.doubt_loading({ANN})
        await ask_one(shard, charge_call(BOB, 1, "b"))
        gate.open()
        await first
        await ask_one(shard, charge_call(ANN, 1, "later"))

    assert store.calls["load"] == 3  # Bob's, and Ann's twice.


@in_loop
async def test_a_read_that_fails_refuses_its_users_and_those_behind_them_and_nobody_else() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        store.fail_next("load")
        first, gate = await reading(shard, store, charge_call(ANN, 1, "first"))
        behind = [send(shard, charge_call(user, 1, "behind")) for user in (ANN, BOB)]
        await until(lambda: shard.counters.writes == 3)
        gate.open()
        *refused, done = await asyncio.gather(first, *behind)

    assert refused == [UNAVAILABLE] * 2
    assert done.outcome is Outcome.DONE


@in_loop
async def test_what_is_broken_of_one_user_is_not_the_others_matter() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        for number in (1, 2):
            await ask_one(shard, charge_call(ANN, 1, f"{number}"))
        await shard.settle()
        lost = next(name for name, entry in store.journal.items() if entry.key == "2")
        later = store.journal.pop(lost)
        shard.accounts.forget(ANN)
        store.journal[f"{ANN} {later.seq + 1}"] = later

        replies = await shard.handle(
            Envelope(1, (charge_call(ANN, 1, "a"), charge_call(BOB, 1, "b")))
        )

    assert [reply.outcome for reply in replies] == [Outcome.UNAVAILABLE, Outcome.DONE]


@in_loop
async def test_what_is_set_aside_counts_as_waiting_and_has_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.inbox.INBOX_LENGTH_MAX", 3)
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        sent, gate = await reading(shard, store, charge_call(ANN, 1, "0"))
        behind = [send(shard, charge_call(BOB, 1, f"{number}")) for number in range(2)]
        await until(lambda: shard.counters.writes == 3)
        refused = await ask_one(shard, charge_call(CAT, 1, "one too many"))
        gate.open()
        replies = await asyncio.gather(sent, *behind)

    assert refused.outcome is Outcome.OVERLOADED
    assert [reply.outcome for reply in replies] == [Outcome.DONE] * 3


@in_loop
async def test_behind_a_read_that_takes_too_long_nobody_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, BOB)
        sent, gate = await reading(shard, store, charge_call(ANN, 1, "0"))
        monkeypatch.setattr("actors.shard.loads.WAITING_SECONDS_MAX", 0.0)
        refused = await ask_one(shard, charge_call(CAT, 1, "c"))
        charged = await ask_one(shard, charge_call(BOB, 1, "b"))
        gate.open()

        assert refused == UNAVAILABLE
        assert charged.outcome is Outcome.DONE
        assert (await sent).outcome is Outcome.DONE


@in_loop
async def test_it_is_settled_only_when_what_was_set_aside_is_answered() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, BOB)
        sent, gate = await reading(shard, store, charge_call(ANN, 1, "a"))
        settled = asyncio.create_task(shard.inbox.settle())
        await ask_one(shard, charge_call(BOB, 1, "b"))
        before = settled.done()
        gate.open()
        await settled

        assert not before
        assert seen(store, ANN)[-1] == "a"
        assert (await sent).outcome is Outcome.DONE


@in_loop
async def test_who_is_read_anew_is_so_behind_the_calls_that_wait_for_another_ones_read() -> None:
    store = paid(ANN, BOB)
    async with running(store, policy=WHOLE) as shard:
        sent, gate = await reading(shard, store, charge_call(ANN, 1, "a"))
        before = send(shard, charge_call(BOB, 1, "before"))
        await until(lambda: shard.counters.writes == 2)
        anew = shard.inbox.put(BOB, None, anew=True)
        gate.open()
        assert anew is not None
        await asyncio.gather(sent, anew)

        assert before.done()
        assert seen(store, BOB)[-1] == "before"


@in_loop
async def test_a_read_of_another_shards_user_is_not_trusted_once_the_user_comes_here() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE, index=0, shards=2) as shard:
        others = next(u for n in range(99) if not shard.ownership.owns(u := UserId(f"user-{n}")))
        gate = store.hold("load")
        reload = shard.inbox.put(others, None)
        await at_the_gate(gate)
        shard.follow_table(SeenTable(even(2, 1), None))
        gate.open()
        assert reload is not None
        await reload
        write(store, [Author(others).add(30_000)])

        assert (await status(shard, others)).remaining_credits == 900


@in_loop
async def test_another_shards_user_who_is_read_anew_is_not_trusted_once_the_user_comes_here() -> (
    None
):
    store = Late()
    async with running(store, policy=WHOLE, index=0, shards=2) as shard:
        others = next(u for n in range(99) if not shard.ownership.owns(u := UserId(f"user-{n}")))
        gate = store.hold("load")
        anew = shard.inbox.put(others, None, anew=True)
        await at_the_gate(gate)
        write(store, [Author(others).add(30_000)])
        shard.follow_table(SeenTable(even(2, 1), None))
        gate.open()
        assert anew is not None
        await anew

        assert (await status(shard, others)).remaining_credits == 900


class Warmth:
    """Where a dormant account comes from: whatever its bytes are, it is this one."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def read(self, _user_id: UserId, _account: AnyRawAccount) -> Stored:
        return self._stored

    def of(self, _users: Sequence[UserId], _now: datetime) -> dict[UserId, AnyRawAccount]:
        return {}


@in_loop
async def test_what_is_decided_again_is_so_on_what_is_read_anew() -> None:
    store = Late()
    write(store, [Author(ANN).add(30_000)])
    warmed = store.load([ANN], NOON)[0]
    async with running(store, policy=WHOLE, views=False) as shard:
        shard.accounts.dormant.open(Warmth(warmed))
        sent, gate = await reading(shard, store, charge_call(ANN, 100, "a"))
        shard.accounts.put_dormant(ANN, RawAccount(warmed.applied_seq, b"", b""), [])
        store.fail_append("in doubt, landed")
        gate.open()

        assert (await sent).outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 800
        assert ANN in shard.views


@in_loop
async def test_credits_of_somebody_new_are_added_while_others_are_charged() -> None:
    store = paid(ANN)
    async with running(store, policy=WHOLE) as shard:
        await status(shard, ANN)
        added, gate = await reading(shard, store, credit_call(BOB, 1000))
        charged = [await ask_one(shard, charge_call(ANN, 1, f"{number}")) for number in range(5)]
        gate.open()

        assert {reply.outcome for reply in (*charged, await added)} == {Outcome.DONE}
        assert (await status(shard, BOB)).remaining_credits == 1000
