"""A user with something in every collection, and what makes them anonymous."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from actors.janitor.anonymization import Anonymizations
from actors.mongo.accounts.store import MongoStore
from actors.mongo.jobs.anonymizations import MongoAnonymizations
from actors.mongo.jobs.rename import MongoRenaming
from actors.protocol.calls import Call
from actors.protocol.directory import Directory, even
from actors.protocol.reports import AnonymizationReport
from actors.protocol.store import StorageUnavailableError
from actors.shard.eviction import let_go
from actors.shard.shard import Shard
from domain.charges import OnInsufficient
from domain.holds import PlaceHold, ReleaseHold, SettleHold, make_hold_id
from domain.messages import RecordUsage
from domain.values import Credits, UserId
from tests.builders.authors import NOON
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, running

BOB = "bob-the-builder"
TEXT, OBJECT_ID, SHORT = "ada-lovelace", "65f0c1a2b3d4e5f601020304", "zoë7"
NUMBER = "10"  # Of a day of NOON's, too.


class OwnShards:
    """The way to shards of this process."""

    def __init__(self, store: MongoStore, *shards: Shard) -> None:
        self.shards = shards
        self.asked = 0
        self.down = 0
        self._store = store

    async def directory(self) -> Directory:
        return even(1, len(self.shards))

    async def let_go(self, index: int, user_id: UserId) -> float:
        self.asked += 1
        if self.down:
            self.down -= 1
            raise StorageUnavailableError("the shard does not answer") from ConnectionError()
        return await let_go(self.shards[index], self._store, user_id)


class NoRelay:
    async def let_go(self, user_id: UserId) -> None:
        pass


def call(command: Any, key: str) -> Call:
    return Call(command, key, keep_refusal=True, by="key:k1")


def _hold_id(shard: Shard, user_id: UserId, key: str) -> str:
    return make_hold_id(shard.now(), user_id, key, "chat")


async def live(shard: Shard, user: str) -> str:
    """Let a user do one of everything; return the id of a hold that stays open."""
    user_id = UserId(user)
    usage = RecordUsage(
        *(user_id, "chat", Credits(7)),
        token_count=9,
        model_used="m-1",
        session_id=f"session of {user}",
        details=json.dumps({"who": user}),
    )
    holds = [PlaceHold(user_id, "chat", Credits(5), 3600, session_id=user) for _ in range(3)]
    first, second = (_hold_id(shard, user_id, f"hold {user} {n}") for n in (0, 1))
    calls = [
        credit_call(user, 3000, 30, f"credit {user}"),
        call(usage, f"usage-{user}-1"),
        *(call(hold, f"hold {user} {n}") for n, hold in enumerate(holds)),
        call(SettleHold(user_id, first, Credits(4)), f"settle {user}"),
        call(ReleaseHold(user_id, second), f"release {user}"),
        charge_call(user, 10_000, f"too much {user}"),
        call(
            RecordUsage(user_id, "draw", Credits(60), on_insufficient=OnInsufficient.RECORD),
            f"low {user}",
        ),
    ]
    for one in calls:
        await ask_one(shard, one)
    await shard.settle()
    return _hold_id(shard, user_id, f"hold {user} 2")


@contextlib.asynccontextmanager
async def world(
    mongo: MongoSetup, *users: str
) -> AsyncIterator[tuple[Shard, Anonymizations, OwnShards]]:
    store = mongo.store
    assert isinstance(store, MongoStore)
    async with running(store, clock=Clock(NOON)) as shard:
        for user in users:
            await live(shard, user)
        shards = OwnShards(store, shard)
        yield shard, jobs_of(mongo, MongoRenaming(mongo.database, "users"), shards), shards


def jobs_of(mongo: MongoSetup, papers: MongoRenaming, shards: OwnShards) -> Anonymizations:
    """Return a janitor's anonymisations, whose clock goes on by what it sleeps."""
    clock = Clock(NOON)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds=seconds)
        await asyncio.sleep(0)

    ledger = MongoAnonymizations(mongo.database)
    return Anonymizations(ledger, papers, shards, NoRelay(), clock, sleep)


async def anonymize(jobs: Anonymizations, user: str, key: str | None = None) -> AnonymizationReport:
    """Make a user anonymous as the janitor does."""
    carrying = asyncio.create_task(jobs.run())
    try:
        done = await jobs.ask(UserId(user), "key:k1", key)
    finally:
        carrying.cancel()
        await asyncio.wait([carrying])
    assert done is not None
    return done.report
