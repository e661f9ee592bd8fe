"""RAM fills by itself, and what it is filled with is what a load would have brought."""

import asyncio
import threading
from collections.abc import Collection, Generator
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId

from actors.mongo.accounts import all_subscriptions
from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.calls import Call, Outcome
from actors.protocol.changes import Changes
from actors.protocol.directory import slot_of
from actors.shard.shard import Shard
from actors.shard.warm_start import RawPage
from domain.documents.recovery import recover
from tests.builders.authors import NOON, POLICY, Author, write
from tests.builders.changes import subscription
from tests.fakes.held_reader import Held
from tests.fakes.setups import ALL_SLOTS, MongoSetup
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
from tests.fakes.warmth import ANN, BOB, CAT, Loads, life, warmed
from tests.simulation.database_reads import SimulatedWarmth
from tests.simulation.majority import ReplicatedStore


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
@pytest.mark.parametrize("page", [1, 2, 5, 1000])
def test_what_is_read_is_what_a_load_would_have_brought(
    embedded: MongoSetup, page: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_subscriptions, "SUBSCRIPTIONS_PER_PAGE", page)
    monkeypatch.setattr(all_subscriptions, "SUBSCRIPTIONS_PER_BATCH", batch)
    life(embedded)
    reader = WarmReader(embedded.database)

    found = {
        user_id: reader.read(user_id, account)
        for part in reader.pages(ALL_SLOTS, NOON)
        for user_id, account in part.accounts.items()
    }

    assert sorted(found) == sorted([ANN, CAT, "dan", "eve", "gus", "ida"])
    loaded = embedded.store.load(list(found), NOON)
    for stored in loaded:
        assert recover(found[stored.user_id], NOON, POLICY) == recover(stored, NOON, POLICY)


def test_only_users_of_the_shard_are_read(embedded: MongoSetup) -> None:
    life(embedded)

    pages = list(WarmReader(embedded.database).pages({slot_of(ANN)}, NOON))

    assert [user for page in pages for user in page.accounts] == [ANN]


# --- what becomes of it -------------------------------------------------------------------


@in_loop
async def test_a_first_touch_of_a_warm_account_asks_the_database_for_nothing(
    embedded: MongoSetup,
) -> None:
    life(embedded)
    embedded_load = Loads(embedded)
    async with running(embedded.store) as shard:
        task = await warmed(shard, WarmReader(embedded.database))
        assert shard.counters.warmed == 6

        shown = await status(shard, ANN)
        charged = await ask_one(shard, charge_call(CAT, 1, "k"))

        assert (shown.status, shown.credits_used) == ("active", 30)
        assert charged.outcome is Outcome.DONE
        assert embedded_load.users == []
        task.cancel()


@in_loop
async def test_a_change_that_is_told_takes_a_warm_account_out(embedded: MongoSetup) -> None:
    document = subscription("ann")
    embedded.database.subscriptions.insert_one(document)
    async with running(embedded.store) as shard:
        task = await warmed(shard, WarmReader(embedded.database))
        embedded.database.subscriptions.delete_one({"_id": document["_id"]})
        shard.following.follow(Changes(1, documents=(str(document["_id"]),)))

        assert (await status(shard, ANN)).status == "none"
        task.cancel()


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_documents_that_name_several_are_nobodys_where_ram_is_filled(
    embedded: MongoSetup, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_subscriptions, "SUBSCRIPTIONS_PER_PAGE", page)
    own = subscription("ann")
    embedded.database.subscriptions.insert_many([own, subscription(["ann", "bob"])])
    embedded.database.packs.insert_one({"user_id": ["ann"], "amount": 5})
    embedded.database.dailycredits.insert_one(
        {"subscription_id": [own["_id"]], "date": NOON.replace(hour=0), "credits_used": 70}
    )

    pages = WarmReader(embedded.database).pages(ALL_SLOTS, NOON)
    found = {user: account for page in pages for user, account in page.accounts.items()}

    assert [*found] == [ANN]
    assert found[ANN].days == found[ANN].packs == b""


def test_a_day_is_the_strangers_whose_subscription_has_just_this_id(embedded: MongoSetup) -> None:
    own = ObjectId()
    embedded.database.subscriptions.insert_many(
        [subscription("ann", _id=own), subscription("bob", _id=str(own))]
    )
    embedded.database.dailycredits.insert_one(
        {"subscription_id": str(own), "date": NOON.replace(hour=0), "credits_used": 70}
    )
    reader = WarmReader(embedded.database)

    (ann,) = [page for page in reader.pages({slot_of(ANN)}, NOON) if page.accounts]
    both = reader.of([ANN, BOB], NOON)

    assert ann.accounts[ANN].days == both[ANN].days == b""
    assert both[BOB].days


@pytest.mark.parametrize("told", ["users", "documents", "forget_all"])
@in_loop
async def test_a_change_told_while_a_page_is_read_is_not_lost_behind_it(
    embedded: MongoSetup, told: str
) -> None:
    document = subscription("ann")
    embedded.database.subscriptions.insert_one(document)
    source = Held(WarmReader(embedded.database))
    changes: dict[str, Any] = {
        "users": {"users": (ANN,)},
        "documents": {"documents": (str(document["_id"]),)},
        "forget_all": {"forget_all": True},
    }
    async with running(embedded.store) as shard:
        task = asyncio.create_task(shard.warm_start.run(source))
        await asyncio.to_thread(source.read_page.wait, 10)
        embedded.database.subscriptions.delete_one({"_id": document["_id"]})
        shard.following.follow(Changes(1, **changes[told]))
        source.go_on.set()
        await until(lambda: not shard.counters.warming)

        assert (await status(shard, ANN)).status == "none"
        task.cancel()


@in_loop
async def test_a_charge_while_a_page_is_read_is_not_lost_behind_it(embedded: MongoSetup) -> None:
    write(embedded.store, [Author(ANN).add()])
    source = Held(WarmReader(embedded.database))
    async with running(embedded.store) as shard:
        task = asyncio.create_task(shard.warm_start.run(source))
        await asyncio.to_thread(source.read_page.wait, 10)
        await ask_one(shard, charge_call(ANN, 30, "k"))
        await shard.settle()
        shard.accounts.forget(ANN)
        source.go_on.set()
        await until(lambda: not shard.counters.warming)

        assert (await status(shard, ANN)).credits_used == 30
        task.cancel()


@in_loop
async def test_an_account_whose_views_lag_is_left_to_the_ordinary_load(
    embedded: MongoSetup,
) -> None:
    async with running(embedded.store, views=False) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await shard.views.flush()
        await ask_one(shard, charge_call(ANN, 30, "k"))
        shard.accounts.forget(ANN)
        source = Held(WarmReader(embedded.database))
        task = asyncio.create_task(shard.warm_start.run(source))
        await asyncio.to_thread(source.read_page.wait, 10)
        await shard.views.flush()
        source.go_on.set()
        await until(lambda: not shard.counters.warming)

        assert ANN not in shard.accounts.dormant
        assert (await status(shard, ANN)).credits_used == 30
        task.cancel()


async def used_after_filling_meanwhile(shard: Shard, store: ReplicatedStore, *calls: Call) -> int:
    """Fill RAM while it is looked up what has landed of calls; return what Ann's status says she used."""
    gate = store.hold("find_entries")
    charging = asyncio.create_task(ask(shard, *calls))
    await at_the_gate(gate)
    task = asyncio.create_task(shard.warm_start.run(SimulatedWarmth(store)))
    await until(lambda: store.calls["page"] and not shard.counters.warming)
    gate.open()
    await charging
    shown = await status(shard, ANN)
    task.cancel()
    return shown.credits_used


@in_loop
async def test_an_account_whose_append_is_in_doubt_is_left_to_the_ordinary_load() -> None:
    store = ReplicatedStore()
    async with running(store) as shard:
        await ask_one(shard, credit_call(ANN, 300))
        await shard.settle()
        store.fail_append("in doubt, landed")

        assert await used_after_filling_meanwhile(shard, store, charge_call(ANN, 60, "k")) == 60


@in_loop
async def test_an_account_whose_entry_landed_before_a_refused_one_is_left_to_the_load() -> None:
    store = ReplicatedStore()
    async with running(store) as shard:
        await ask_one(shard, credit_call(ANN, 300))
        await ask_one(shard, credit_call(BOB, 300))
        await ask_one(shard, charge_call(BOB, 10, "old"))
        await shard.settle()
        shard.accounts.answers.clear()  # As after a restart: the repeat is found out by the journal.

        calls = charge_call(ANN, 60, "k"), charge_call(BOB, 10, "old")
        assert await used_after_filling_meanwhile(shard, store, *calls) == 60


@in_loop
async def test_warming_up_stops_where_ram_is_full_and_makes_room_for_who_comes(
    embedded: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_subscriptions, "SUBSCRIPTIONS_PER_BATCH", 10)
    documents = [subscription(f"user-{n}") for n in range(200)]
    embedded.database.subscriptions.insert_many(documents)
    source = Left(WarmReader(embedded.database))
    async with running(embedded.store, accounts_max=20) as shard:
        task = await warmed(shard, source)
        # Closing asks the database: the loop, which would close them as well, must not wait for it.
        assert source.left_in not in (None, threading.current_thread())
        filled = len(shard.accounts.dormant)
        assert 20 <= filled < 60

        for n in range(30):
            await ask_one(shard, charge_call(f"user-{n}", 1, "k"))
            await shard.settle()

        assert len(shard.accounts.dormant) < filled
        assert shard.accounts.room >= 0
        task.cancel()


@in_loop
async def test_ram_fills_again_after_everything_was_forgotten(embedded: MongoSetup) -> None:
    life(embedded)
    async with running(embedded.store) as shard:
        task = await warmed(shard, WarmReader(embedded.database))
        shard.following.follow(Changes(1, forget_all=True))
        assert len(shard.accounts.dormant) == 0

        await until(lambda: len(shard.accounts.dormant) == 6)

        task.cancel()


class Left:
    """Notes in which thread its pages were closed before their end."""

    def __init__(self, source: WarmReader) -> None:
        self.left_in: threading.Thread | None = None
        self.read, self.of = source.read, source.of
        self._source = source

    def pages(self, slots: Collection[int], now: datetime) -> Generator[RawPage]:
        try:
            yield from self._source.pages(slots, now)
        except GeneratorExit:
            self.left_in = threading.current_thread()
            raise
