"""Puts Ray on the lists: one process beside the shards, and the way to it."""

from functools import partial

import ray
from ray.actor import ActorClass, ActorHandle

from actors.mongo.accounts.reads import MongoReads
from actors.protocol.calls import Reply
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import ReadQuery
from actors.remote.handle import Handle
from actors.remote.names import LISTS
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import Process, stand_back
from actors.settings import Settings
from actors.shard.lists import LISTS_WAITING_MAX, Lists

CALLS_MAX = 2 * LISTS_WAITING_MAX  # The process itself refuses, before Ray does.


class ListsActor(Process):
    """The lists as a Ray actor. It keeps nothing: a restart begins with nothing undone."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        stand_back()
        super().__init__(LISTS, settings)
        self._lists = Lists(MongoReads(self._database), settings.policy)

    async def read(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer to a query. ValueError: its cursor is not one of ours."""
        await self._format.confirm()
        return await self._lists.answer(query, status)


RemoteLists: ActorClass[ListsActor] = ray.remote(ListsActor)


def start_lists(settings: Settings) -> ActorHandle[ListsActor]:
    """Start the process of the lists, or return the one that runs already."""
    return start_actor(RemoteLists, LISTS, (settings,), CALLS_MAX)


class RayLists:
    """The way to the lists from any process."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._actor = Handle[ListsActor](
            LISTS, partial(ShardLostError, LISTS), namespace, refusal=ValueError, is_kept=True
        )

    async def read(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer. ShardLostError: ask again. ValueError: the cursor is not one of ours."""
        return await self._actor.ask(ListsActor.read, query, status)
