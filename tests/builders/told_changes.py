"""Changes as a shard is told of them."""

from typing import Any

from actors.protocol.changes import Changes, Stamp
from actors.shard.shard import Shard
from domain.values import UserId


def tell(shard: Shard, *users: str, documents: tuple[str, ...] = (), **more: Any) -> Stamp:
    named = tuple(UserId(user) for user in users)
    return shard.following.follow(Changes(shard.table.version, named, documents, **more))
