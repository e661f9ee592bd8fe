"""Sweeps look at accounts that nobody has touched since RAM was filled, and find what they must."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.mongo.accounts.store import MongoStore
from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.changes import Changes
from actors.shard.shard import Shard
from domain.recalls import NOTHING_BESIDE
from tests.builders.authors import NOON, Author, write
from tests.builders.changes import subscription
from tests.fakes.comparison import compare
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import in_loop, running, status, until
from tests.fakes.warmth import ANN, CAT, Loads, life, warmed


@contextlib.asynccontextmanager
async def filled(setup: MongoSetup, *, swept: bool = False) -> AsyncIterator[Shard]:
    """Run a shard whose RAM is filled; `swept`: a sweep has found all equal since."""
    async with running(setup.store) as shard:
        task = await warmed(shard, WarmReader(setup.database))
        if swept:
            found = await compare(shard, setup.store)
            assert (found.checked, found.drift) == (len(shard.accounts.dormant), 0.0)
        yield shard
        task.cancel()


@pytest.fixture(params=[False, True], ids=["never swept", "swept before"])
def swept(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@in_loop
async def test_a_sweep_compares_accounts_that_nobody_has_touched(
    embedded: MongoSetup, *, swept: bool
) -> None:
    life(embedded)
    async with filled(embedded, swept=swept) as shard:
        embedded.change("dailycredits", {"user_id": ANN}, credits_used=11)  # And nobody is told.

        found = await compare(shard, embedded.store)
        again = await compare(shard, embedded.store)

        assert (found.checked, found.stale, found.users) == (6, 1, [ANN])
        assert (again.checked, again.drift) == (6, 0.0)
        assert (await status(shard, ANN)).credits_used == 11


@in_loop
async def test_a_sweep_loads_them_once_and_then_those_that_are_stored_otherwise(
    embedded: MongoSetup,
) -> None:
    life(embedded)
    loads = Loads(embedded)
    async with filled(embedded) as shard:
        first = await compare(shard, embedded.store)
        loaded_first = sorted(loads.users)
        loads.users.clear()
        second = await compare(shard, embedded.store)
        dormant = len(shard.accounts.dormant)

    assert first == second
    assert (first.checked, first.quarantined, first.drift, dormant) == (6, 3, 0.0, 6)
    assert loaded_first == sorted([ANN, CAT, "dan", "eve", "gus", "ida"])
    assert sorted(loads.users) == ["gus", "ida"]  # What cannot be read of them is named each time.


@in_loop
async def test_a_sweep_finds_what_a_paused_predecessor_has_entered(
    embedded: MongoSetup, *, swept: bool
) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add()])
    async with filled(embedded, swept=swept) as shard:
        MongoStore(embedded.database).append([author.use(30)])

        found = await compare(shard, embedded.store)

        assert (found.stale, (await status(shard, ANN)).credits_used) == (1, 30)


@in_loop
async def test_a_sweep_names_whose_journal_has_a_gap(embedded: MongoSetup, *, swept: bool) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add()])
    async with filled(embedded, swept=swept) as shard:
        author.use(30)  # It is missing.
        MongoStore(embedded.database).append([author.use(30)])

        found = await compare(shard, embedded.store)

    assert (found.quarantined, found.users) == (1, [ANN])


@in_loop
async def test_an_account_that_came_while_another_was_compared_is_loaded_by_the_next_sweep(
    embedded: MongoSetup,
) -> None:
    write(embedded.store, [Author(ANN).add()])
    async with filled(embedded) as shard:
        load, loop = embedded.store.load, asyncio.get_running_loop()
        dormant = shard.accounts.dormant

        async def come_anew() -> None:
            (account,) = dormant.raw([ANN]).values()
            shard.accounts.forget(ANN)
            shard.accounts.put_dormant(ANN, account._replace(), [])

        def load_slowly(user_ids: Any, now: Any, recalls: Any = NOTHING_BESIDE) -> Any:
            found = load(user_ids, now, recalls)
            asyncio.run_coroutine_threadsafe(come_anew(), loop).result()
            return found

        embedded.store.load = load_slowly  # type: ignore[method-assign]
        await compare(shard, embedded.store)
        embedded.store.load = load  # type: ignore[method-assign]
        loads = Loads(embedded)
        await compare(shard, embedded.store)

    assert loads.users == [ANN]


@in_loop
async def test_a_document_that_names_several_users_is_nobodys_and_ends_no_sweep(
    embedded: MongoSetup, *, swept: bool
) -> None:
    own = subscription("ann")
    embedded.database.subscriptions.insert_one(own)
    async with filled(embedded, swept=swept) as shard:
        embedded.database.subscriptions.insert_one(subscription(["ann", "bob"]))
        embedded.database.packs.insert_one({"user_id": ["ann"], "amount": 5})
        embedded.database.dailycredits.insert_one(
            {"subscription_id": [own["_id"]], "date": NOON.replace(hour=0), "credits_used": 70}
        )

        found = await compare(shard, embedded.store)

    assert (found.checked, found.stale) == (1, 0)


@in_loop
async def test_a_sweep_loads_an_account_that_came_anew(embedded: MongoSetup) -> None:
    document = subscription("ann")
    embedded.database.subscriptions.insert_one(document)
    async with filled(embedded, swept=True) as shard:
        embedded.change("subscriptions", {"_id": document["_id"]}, status="strange")
        shard.following.follow(Changes(1, forget_all=True))
        await until(lambda: len(shard.accounts.dormant))

        found = await compare(shard, embedded.store)

    assert (found.checked, found.quarantined) == (1, 1)
