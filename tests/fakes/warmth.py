"""A shard whose RAM is filled from a database in which users of all kinds have a past."""

import asyncio
from datetime import timedelta
from typing import Any

from bson import ObjectId

from actors.shard.shard import Shard
from actors.shard.warm_start import WarmSource
from domain.recalls import NOTHING_BESIDE
from domain.values import UserId
from tests.builders.authors import NOON, Author, add_pack, write
from tests.builders.changes import subscription
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import until

ANN, BOB = UserId("ann"), UserId("bob")
CAT = UserId("65f0a1b2c3d4e5f601234567")


async def warmed(shard: Shard, source: WarmSource) -> "asyncio.Task[None]":
    """Begin to warm a shard up, and return once it is."""
    task = asyncio.create_task(shard.warm_start.run(source))
    await until(lambda: shard.counters.warming)
    await until(lambda: not shard.counters.warming)
    return task


def life(setup: MongoSetup) -> None:
    """Give users of all kinds a past: ours and others', current and ended, several each."""
    for user_id in (ANN, CAT, UserId("dan")):
        author = Author(user_id)
        entries = [author.add(), author.use(30), author.add(100, 5, "t-2")]
        if user_id != ANN:
            entries += [author.do(add_pack(user_id, 500)), author.use(200)]
        write(setup.store, entries)
    documents = [subscription("eve", spendable_credits=300.0 * (n + 1)) for n in range(3)]
    documents += [
        subscription("fay", end_date=NOON - timedelta(days=1), start_date=NOON - timedelta(days=9)),
        subscription("gus", status="strange"),
        subscription("gus", start_date=NOON - timedelta(days=5)),
        subscription("hal", end_date="never"),
        subscription("ida", grants=[{"end_date": NOON, "user_id": "x"}]),
        subscription(7),
        subscription(None),
        subscription("a b"),
        subscription(str(CAT)),
        subscription(ObjectId(CAT), _id="a text"),
    ]
    setup.database.subscriptions.insert_many(documents)
    packs: list[dict[str, Any]] = [
        {"_id": "a pack", "user_id": "eve", "amount": 100, "spendable_credits": 90},
        {"_id": 7, "user_id": "fay", "amount": 100, "spendable_credits": 90},
        {"_id": 8, "user_id": CAT, "amount": 100.0, "system_portion": 10, "payment": "cash"},
        {"_id": 9, "user_id": "gus", "amount": "many"},
    ]
    setup.database.packs.insert_many(packs)
    for document in documents:
        day = {"subscription_id": document["_id"], "date": NOON.replace(hour=0)}
        setup.database.dailycredits.insert_one({**day, "credits_used": 7.0, "__v": 0})


class Loads:
    """Notes which users the store is asked for."""

    def __init__(self, setup: MongoSetup) -> None:
        self.users: list[UserId] = []
        inner = setup.store.load

        def load(user_ids: Any, now: Any, recalls: Any = NOTHING_BESIDE) -> Any:
            self.users += user_ids
            return inner(user_ids, now, recalls)

        setup.store.load = load  # type: ignore[method-assign]
