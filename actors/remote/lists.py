"""Puts Ray on the process beside the shards that reads what decides nothing, and the way to it.

It reads lists, and what all shards need of the database when they fill their RAM.
"""

import contextlib
from collections.abc import Collection, Generator, Sequence
from functools import partial

import ray
from ray.actor import ActorClass, ActorHandle

from actors.mongo.accounts.all_subscriptions import AllSubscriptions
from actors.mongo.accounts.reads import MongoReads
from actors.mongo.causality import Causality
from actors.protocol.calls import Reply
from actors.protocol.directory import SHARDS_MAX
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import ReadQuery
from actors.protocol.store import Moment, StorageUnavailableError
from actors.remote.handle import Handle
from actors.remote.names import LISTS
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import Process, open_database, stand_back
from actors.settings import Settings
from actors.shard.lists import LISTS_WAITING_MAX, Lists
from actors.shard.shared_reading import SharedReading
from actors.shard.warm_start import Owned

# The process itself refuses, before Ray does. Each shard may wait for a part, and its predecessor still.
CALLS_MAX = 2 * LISTS_WAITING_MAX + 2 * SHARDS_MAX
# How long one answer may take to the one who reads for all shards: given up, it would go on at the server.
READ_SECONDS_MAX = 60.0
JOIN_SECONDS_MAX = 10.0
PART_SECONDS_MAX = 600.0  # It may be for another pass to end that a shard waits.
LEAVE_SECONDS_MAX = 1.0  # Then the pass notices by itself.


class ListsActor(Process):
    """The lists as a Ray actor. It keeps nothing: a restart begins with nothing undone."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        stand_back()
        super().__init__(LISTS, settings)
        self._lists = Lists(MongoReads(self._database), settings.policy)
        patient = open_database(settings, socket_seconds=READ_SECONDS_MAX)
        subscriptions = AllSubscriptions(patient, Causality(patient))
        self._shared = SharedReading(subscriptions.batches)

    async def read(self, query: ReadQuery, status: bytes) -> Reply:
        """Return the answer to a query. ValueError: its cursor is not one of ours."""
        await self._format.confirm()
        return await self._lists.answer(query, status)

    async def join(self, shard: str, slots: Collection[int], moment: Moment | None) -> str:
        """Return a shard's seat in the next pass over all subscriptions."""
        await self._format.confirm()
        return self._shared.join(shard, slots, moment)

    async def part(self, seat: str) -> Sequence[Owned] | None:
        """Return what comes next for a seat. StorageUnavailableError: join anew."""
        return await self._shared.part(seat)

    async def leave(self, seat: str) -> None:
        """Want nothing more for a seat."""
        self._shared.leave(seat)


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


class RaySubscriptions:
    """The subscriptions as that process reads them, for all shards that want theirs at once."""

    def __init__(self, shard: str, namespace: str = NAMESPACE) -> None:
        def lost() -> StorageUnavailableError:
            return StorageUnavailableError("the process that reads for all shards does not answer")

        self._shard = shard
        refusal = StorageUnavailableError
        self._actor = Handle[ListsActor](LISTS, lost, namespace, refusal=refusal, is_kept=True)

    def of_slots(self, slots: Collection[int], moment: Moment | None) -> Generator[Sequence[Owned]]:
        """Yield those of the users in these slots. See `Subscriptions`."""
        ask = self._actor.wait_for
        seat = ask(JOIN_SECONDS_MAX, ListsActor.join, self._shard, slots, moment)
        try:
            while (part := ask(PART_SECONDS_MAX, ListsActor.part, seat)) is not None:
                yield part
        finally:
            with contextlib.suppress(StorageUnavailableError):
                ask(LEAVE_SECONDS_MAX, ListsActor.leave, seat)
