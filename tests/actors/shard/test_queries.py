"""Lists and sums see every acknowledged write, also where the views lag behind it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.protocol.calls import MOVED, OVERLOADED, UNAVAILABLE, Outcome
from actors.protocol.directory import even
from actors.protocol.queries import MonthQuery, Query, SubscriptionsQuery, UsageQuery, parse_month
from actors.shard.shard import Shard
from domain.messages import AddCredit
from domain.values import Credits, Policy, UserId
from tests.builders.authors import NOON, add_credit
from tests.fakes.asked import AllQueries
from tests.fakes.memory_reads import MemoryReads
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import Setup
from tests.fakes.shards import (
    Clock,
    ask_one,
    at_the_gate,
    charge_call,
    credit_call,
    in_loop,
    running,
)

ANN = UserId("ann")
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""
PAGE = UsageQuery(ANN, NOON - timedelta(days=9), NOON + timedelta(days=9), 10, None)


async def answer(shard: Shard, store: MemoryStore, query: Query) -> Any:
    reply = await AllQueries(shard, MemoryReads(store), WHOLE).answer(1, query)
    assert reply.outcome is Outcome.DONE
    return json.loads(reply.body or b"")


@in_loop
async def test_a_page_sees_every_acknowledged_write(summing: Setup) -> None:
    async with running(summing.store, policy=WHOLE) as shard:
        queries = AllQueries(shard, summing.reads, WHOLE)
        await ask_one(shard, credit_call(ANN, 1000))
        for number in range(1, 6):
            await ask_one(shard, charge_call(ANN, number, f"k-{number}"))

            page = await queries.answer(1, PAGE)
            month = await queries.answer(1, MonthQuery(ANN, "2026-03"))

            assert len(json.loads(page.body or b"")["items"]) == number
            assert json.loads(month.body or b"")["credit_amount"] == sum(range(number + 1))


@in_loop
async def test_a_page_sees_what_a_crashed_shard_had_acknowledged() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE, views=False) as crashed:
        await ask_one(crashed, credit_call(ANN, 1000))
        await ask_one(crashed, charge_call(ANN, 7, "k"))

    async with running(store, policy=WHOLE) as shard:
        page = await answer(shard, store, PAGE)

    assert [item["credit_amount"] for item in page["items"]] == [7]


@in_loop
async def test_a_query_waits_for_the_views_of_its_user() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        gate = store.hold("write_views")
        await ask_one(shard, credit_call(ANN, 1000))
        page = asyncio.create_task(answer(shard, store, SubscriptionsQuery(ANN)))
        await at_the_gate(gate)
        assert store.calls["subscriptions_of"] == 0

        gate.open()

        assert len((await page)["subscriptions"]) == 1


@in_loop
async def test_a_month_is_the_users_own() -> None:
    store = MemoryStore()
    command: AddCredit = add_credit(ANN, 1000, 400, timezone="Pacific/Auckland")
    moments = [datetime(2026, 2, 28, 10, 59, tzinfo=UTC), datetime(2026, 2, 28, 11, tzinfo=UTC)]
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call(ANN, 0)._replace(command=command))
        for moment in moments:
            charge = charge_call(ANN, 1, moment.isoformat())
            await ask_one(shard, charge._replace(command=_at(charge.command, moment)))

        march = await answer(shard, store, MonthQuery(ANN, "2026-03"))
        february = await answer(shard, store, MonthQuery(ANN, "2026-02"))

    assert (march["records"], list(march["by_day"])) == (1, ["2026-03-01"])
    assert (february["records"], list(february["by_day"])) == (1, ["2026-02-28"])


def _at(command: Any, moment: datetime) -> Any:
    return type(command)(command.user_id, "chat", Credits(1), timestamp=moment)


@in_loop
async def test_the_current_subscription_comes_first() -> None:
    store = MemoryStore()
    clock = Clock()
    async with running(store, policy=WHOLE, clock=clock) as shard:
        for number in range(3):
            await ask_one(shard, credit_call(ANN, 10 + number, days=1, key=f"k-{number}"))
            clock.advance(days=5)
        store.insert(
            "subscriptions", {"_id": "unreadable", "user_id": ANN, "total_credits": "many"}
        )
        await ask_one(shard, credit_call(ANN, 99, days=3, key="now"))
        clock.advance(seconds=1)

        found = (await answer(shard, store, SubscriptionsQuery(ANN)))["subscriptions"]

    assert [s["total_credits"] for s in found] == [99, 12, 11, 10]
    assert [s["status"] for s in found] == ["active", "expired", "expired", "expired"]
    assert found[0]["grants"][0]["transaction_id"] == "transaction of now"


@in_loop
async def test_an_absent_user_has_nothing() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        assert await answer(shard, store, SubscriptionsQuery(ANN)) == {
            "user_id": ANN,
            "subscriptions": [],
            "packs": [],
        }
        assert await answer(shard, store, PAGE) == {"items": [], "next_cursor": None}
        assert (await answer(shard, store, MonthQuery(ANN, "2026-03")))["records"] == 0


@in_loop
async def test_a_query_about_a_user_of_another_shard_has_moved() -> None:
    store = MemoryStore()
    other = 1 - even(1, 2).owner(PAGE.user_id)
    async with running(store, index=other, shards=2) as shard:
        queries = AllQueries(shard, MemoryReads(store), WHOLE)

        assert await queries.answer(2, PAGE) == MOVED


@in_loop
async def test_a_query_without_a_database_is_unavailable() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        queries = AllQueries(shard, MemoryReads(store), WHOLE)
        store.unavailable = True
        assert await queries.answer(1, PAGE) == UNAVAILABLE
        store.unavailable = False
        store.fail_next("usage_page")
        assert await queries.answer(1, PAGE) == UNAVAILABLE

        assert (await queries.answer(1, PAGE)).outcome is Outcome.DONE


@in_loop
async def test_a_query_that_waits_too_long_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.protocol.queries.QUERY_SECONDS_MAX", 0.02)
    store = MemoryStore()
    async with running(store, views=False) as shard:
        await ask_one(shard, credit_call(ANN, 10))

        assert await AllQueries(shard, MemoryReads(store), WHOLE).answer(1, PAGE) == UNAVAILABLE


@in_loop
async def test_a_query_at_a_full_shard_is_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.shard.inbox.INBOX_LENGTH_MAX", 0)
    store = MemoryStore()
    async with running(store) as shard:
        assert await AllQueries(shard, MemoryReads(store), WHOLE).answer(1, PAGE) == OVERLOADED


@in_loop
async def test_a_cursor_that_no_page_gave_is_refused() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        query = UsageQuery(ANN, PAGE.since, PAGE.until, 10, "nonsense")
        with pytest.raises(ValueError, match="cursor"):
            await AllQueries(shard, MemoryReads(store), WHOLE).answer(1, query)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-3", "2026-13", "2026-00", "1969-12", "2200-01", "2026-03-01"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="month"):
        parse_month(text)
