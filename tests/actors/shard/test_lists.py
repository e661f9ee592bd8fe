"""Lists are read beside the shards: one by one, a few of each caller, and never for ever."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actors.edge import turns
from actors.edge.turns import Turns
from actors.protocol.calls import OVERLOADED, Outcome
from actors.protocol.errors import OverloadedError
from actors.protocol.queries import HistoryQuery, SettleQuery, UsageQuery
from actors.shard import lists
from actors.shard.lists import Lists
from domain.values import UserId
from tests.builders.authors import NOON, POLICY
from tests.fakes.asked import AllQueries
from tests.fakes.memory_reads import MemoryReads
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import ask_one, charge_call, credit_call, in_loop, running, status, until
from tests.patience import PATIENCE_SECONDS

ANN = UserId("ann")
SEEN_SECONDS = 0.1  # How long a list is seen to wait.
STATUS = b'{"as_of": "2026-03-10T12:00:00Z", "timezone": "UTC"}'
PAGE = UsageQuery(ANN, NOON, NOON, 10, None)


class SlowReads(MemoryReads):
    """Each page waits until the test lets it go on."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.at_work: list[str] = []
        self.go_on = threading.Event()

    def usage_page(self, query: UsageQuery, now: Any = None) -> Any:
        self.at_work.append(threading.current_thread().name)
        assert self.go_on.wait(PATIENCE_SECONDS)
        return super().usage_page(query, now)


@in_loop
async def test_lists_are_read_one_by_one_and_who_is_one_too_many_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "LISTS_WAITING_MAX", 5)
    reads = SlowReads(MemoryStore())
    one = Lists(reads, POLICY)
    asked = [asyncio.create_task(one.answer(PAGE, STATUS)) for _ in range(6)]
    await until(lambda: len(reads.at_work) == lists.LISTS_AT_ONCE)
    await until(lambda: any(task.done() for task in asked))

    reads.go_on.set()
    replies = await asyncio.gather(*asked)

    assert [reply.outcome for reply in replies].count(Outcome.DONE) == 5
    assert OVERLOADED in replies
    assert {name.split("_")[0] for name in reads.at_work} == {"lists"}


@pytest.mark.parametrize(("long_seconds", "read"), [(-1.0, 1), (3600.0, 2)])
@in_loop
async def test_after_a_list_that_took_long_the_next_one_waits(
    monkeypatch: pytest.MonkeyPatch, long_seconds: float, read: int
) -> None:
    monkeypatch.setattr(lists, "LONG_READ_SECONDS", long_seconds)
    monkeypatch.setattr(lists, "RESTS", 1e9)
    monkeypatch.setattr(lists, "REST_SECONDS_MAX", 3600.0)
    reads = SlowReads(MemoryStore())
    reads.go_on.set()
    one = Lists(reads, POLICY)

    assert (await one.answer(PAGE, STATUS)).outcome is Outcome.DONE
    second = asyncio.create_task(one.answer(PAGE, STATUS))
    await asyncio.wait([second], timeout=SEEN_SECONDS if read == 1 else PATIENCE_SECONDS)

    assert len(reads.at_work) == read
    second.cancel()


@in_loop
async def test_lists_that_are_read_hold_up_neither_charges_nor_views() -> None:
    store = MemoryStore()
    reads = SlowReads(store)
    async with running(store) as shard:
        queries = AllQueries(shard, reads, POLICY)
        await ask_one(shard, credit_call(ANN, 3000, 30))
        asked = [asyncio.create_task(queries.answer(1, PAGE)) for _ in range(64)]
        await until(lambda: len(reads.at_work) == lists.LISTS_AT_ONCE)

        await ask_one(shard, charge_call(ANN, 5, "k"))
        await shard.settle(ANN)

        assert (await status(shard, ANN)).credits_used == 5
        assert not any(task.done() for task in asked)
        reads.go_on.set()
        await asyncio.gather(*asked)


@in_loop
async def test_a_shard_reads_no_list_itself() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        queries = AllQueries(shard, MemoryReads(store), POLICY)

        settled = await queries.settle(1, SettleQuery(ANN, though_broken=False))

        assert b'"timezone":"UTC"' in (settled.body or b"")
        assert store.calls["usage_page"] == 0
        assert (await queries.answer(1, HistoryQuery(ANN, 5, None))).outcome is Outcome.DONE


# --- turns --------------------------------------------------------------------------------


class Asking:
    """Callers that hold their turns until they are told to let go."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.has_turn: list[str] = []
        self.let_go = asyncio.Event()

    async def ask(self, caller: str) -> None:
        async with self.turns.turn(caller):
            self.has_turn.append(caller)
            await self.let_go.wait()

    def begin(self, caller: str, times: int) -> list["asyncio.Task[None]"]:
        return [asyncio.create_task(self.ask(caller)) for _ in range(times)]


def counted(asking: Asking, caller: str, times: int) -> Callable[[], bool]:
    return lambda: asking.has_turn.count(caller) == times


@in_loop
async def test_a_caller_has_two_turns_at_once_and_others_do_not_wait_for_it() -> None:
    asking = Asking()
    many = asking.begin("user:ann", 64)
    await until(counted(asking, "user:ann", 2))

    other = asking.begin("user:bob", 1)
    await until(counted(asking, "user:bob", 1))

    assert asking.has_turn.count("user:ann") == 2
    asking.let_go.set()
    await asyncio.gather(*many, *other)
    assert asking.has_turn.count("user:ann") == 64
    assert not asking.turns._asked
    assert not asking.turns._at_work


@in_loop
async def test_who_asks_for_too_many_or_waits_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "LISTS_WAITING_MAX", 3)
    monkeypatch.setattr(turns, "WAIT_SECONDS_MAX", 0.01)
    asking = Asking()
    asked = asking.begin("user:ann", 6)
    await until(lambda: sum(task.done() for task in asked) == 4)

    asking.let_go.set()
    ended = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(isinstance(error, OverloadedError) for error in ended) == 4
    assert not asking.turns._asked
