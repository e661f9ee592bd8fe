"""An election of the database costs callers a wait, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from actors.protocol.calls import UNAVAILABLE, Envelope, Outcome, Reply
from actors.protocol.directory import Directory
from actors.protocol.queries import Query
from actors.routing import router as router_module
from actors.routing.router import Router
from actors.shard.shard import Shard
from domain.values import UserId
from tests.fakes.noting_shards import AwayShards
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import charge_call, credit_call, in_loop, running, until
from tests.wire.replica_set import ReplicaSet

USERS = [UserId(f"user-{number}") for number in range(6)]
NO_PRIMARY_SECONDS = 1.0


class OneShard:
    """The way to one shard in the test's own loop."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        return await self._shard.handle(envelope)

    async def query(self, index: int, version: int, query: Query) -> Reply:
        raise NotImplementedError

    async def directory(self) -> Directory:
        return self._shard.table


@pytest.fixture
def database(replica_set: ReplicaSet, embedded: MongoSetup) -> Iterator[Documents]:
    database = connect(replica_set.uri, embedded.database.name)
    yield database
    database.client.close()


@asynccontextmanager
async def charging(router: Router) -> AsyncIterator[list[Reply]]:
    """Charge all users, one after the other, until the block ends."""
    replies: list[Reply] = []
    going_on = True

    async def charge(user_id: UserId) -> None:
        number = 0
        while going_on:
            number += 1
            replies.append(await router.call(charge_call(user_id, 1, f"{number}", record=True)))

    tasks = [asyncio.create_task(charge(user_id)) for user_id in USERS]
    yield replies
    going_on = False
    await asyncio.gather(*tasks)


async def one_more_of_each(replies: list[Reply]) -> None:
    before = len(replies)
    await until(lambda: len(replies) > before + len(USERS))


@in_loop
async def test_a_change_of_the_primary_costs_callers_a_wait(
    replica_set: ReplicaSet, database: Documents, embedded: MongoSetup
) -> None:
    store = MongoStore(database)
    store.take_over("shard-000")
    async with running(store) as shard:
        router = Router(OneShard(shard), 10.0)
        await asyncio.gather(*(router.call(credit_call(u, 3000, 30)) for u in USERS))
        async with charging(router) as replies:
            for member in (1, 0):
                await one_more_of_each(replies)
                election = replica_set.elect_later(member, NO_PRIMARY_SECONDS)
                await asyncio.to_thread(election.join)
                await one_more_of_each(replies)
        await shard.settle()

    assert {reply.outcome for reply in replies} == {Outcome.DONE}
    assert shard.counters.appends_in_doubt == 0
    assert shard.counters.views_refused == 0
    charged = [day["credits_used"] for day in embedded.documents("dailycredits")]
    assert sum(charged) == len(replies)
    assert len(embedded.documents("allotment_journal")) == len(replies) + len(USERS)


@in_loop
async def test_a_database_that_is_back_within_an_election_is_not_noticed() -> None:
    shards = AwayShards()
    router = Router(shards, 10.0)
    call = asyncio.create_task(router.call(charge_call(USERS[0], 1, "a", keep_refusal=False)))
    await until(lambda: len(shards.sent) > 2)

    shards.is_away = False

    assert (await call).outcome is Outcome.DONE
    assert shards.sent[-1][1].calls[0].keep_refusal  # It may have been done: it is a repeat.


@in_loop
async def test_a_database_that_is_away_for_longer_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(router_module, "ELECTION_SECONDS", 0.2)
    shards = AwayShards()
    router = Router(shards, 10.0)
    assert await router.status(USERS[0]) == UNAVAILABLE
    assert len(shards.sent) > 1
    shards.sent.clear()

    assert await router.status(USERS[0]) == UNAVAILABLE

    assert len(shards.sent) == 1
