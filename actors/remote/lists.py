"""Puts Ray on the lists: one process beside the shards, and the way to it."""

import os

import ray
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.mongo.accounts.reads import MongoReads
from actors.mongo.connection import connect
from actors.mongo.stored_format import MongoFormats
from actors.protocol.calls import Reply
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import ReadQuery
from actors.remote.names import LISTS
from actors.remote.options import NAMESPACE, start_actor
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
from actors.settings import Settings
from actors.shard.lists import LISTS_WAITING_MAX, Lists

CALLS_MAX = 2 * LISTS_WAITING_MAX  # The process itself refuses, before Ray does.
NICENESS = 10  # Where cores are short, who decides comes first.


class ListsActor:
    """The lists as a Ray actor. It keeps nothing: a restart begins with nothing undone."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts it knows the database"
        os.nice(NICENESS)
        database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        self._lists = Lists(MongoReads(database), settings.policy)
        self._format = FormatWatch(LISTS, MongoFormats(database))
        self._loops = Loops(LISTS, self._format)

    def __repr__(self) -> str:
        return "ListsActor()"

    async def read(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer to a query. ValueError: its cursor is not one of ours."""
        await self._format.confirm()
        return await self._lists.answer(query, status)

    async def ping(self) -> None:
        """Return: the loop turns."""

    async def close(self) -> None:
        """End the loop: there is nothing to finish."""
        await self._loops.stop()


RemoteLists: ActorClass[ListsActor] = ray.remote(ListsActor)


def start_lists(settings: Settings) -> ActorHandle[ListsActor]:
    """Start the process of the lists, or return the one that runs already."""
    return start_actor(RemoteLists, LISTS, (settings,), CALLS_MAX)


class RayLists:
    """The way to the lists from any process."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._handle: ActorHandle[ListsActor] | None = None

    async def read(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer. ShardLostError: ask again. ValueError: the cursor is not one of ours."""
        try:
            if self._handle is None:
                self._handle = ray.get_actor(LISTS, namespace=self._namespace)
        except ValueError as error:  # No actor has this name now.
            raise ShardLostError(LISTS) from error
        try:
            reply: Reply = await self._handle.read.remote(query, status)
        except RayActorError as error:
            self._handle = None  # A new incarnation may need a new handle.
            raise ShardLostError(LISTS) from error
        except RayTaskError as error:
            if isinstance(error.cause, ValueError):  # The caller's cursor is not one of ours.
                raise error.cause from None
            raise ShardLostError(LISTS) from error
        except RayError as error:
            raise ShardLostError(LISTS) from error
        return reply
