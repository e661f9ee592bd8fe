"""The expiring job on shards of this process."""

from collections.abc import Sequence

from actors.janitor.expiry import Expiry
from actors.mongo.jobs.ended import MongoEnded
from actors.protocol.calls import Call, Reply
from actors.shard.shard import Shard
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, ask


class ToShard:
    """The way of calls to the one shard there is."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        return await ask(self.shard, *calls)


def expiry(setup: MongoSetup, shard: Shard, clock: Clock) -> Expiry:
    return Expiry(MongoEnded(setup.database, "UTC"), ToShard(shard), clock)
