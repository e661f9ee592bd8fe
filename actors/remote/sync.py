"""Puts Ray on the synchronisation: the actor's shell and its options."""

import time
from datetime import UTC, datetime
from functools import partial

import ray
from ray.actor import ActorClass, ActorHandle

from actors.mongo.changes import MongoChanges
from actors.mongo.directory import MongoDirectory
from actors.protocol.errors import ShardLostError
from actors.protocol.reports import SyncReport
from actors.remote.handle import Handle
from actors.remote.names import SYNC_NAME
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.process import Process, open_database
from actors.remote.shards import RayShards
from actors.runtime.counters import SyncCounters
from actors.settings import Settings
from actors.sync.sync import Sync

CALLS_MAX = 100  # Reports and signs of life, answered at once.


class SyncActor(Process):
    """The synchronisation as a Ray actor. All rules are in `Sync`; a restart begins here again."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        super().__init__(SYNC_NAME, settings)
        streams = open_database(settings, socket_seconds=None)
        self._sync = Sync(
            MongoChanges(self._database, streams),
            RayShards(),
            MongoDirectory(self._database).read,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )
        self._steps = [self._sync.steps]
        self._loops.start(self._sync.run())
        self._publish("sync", SYNC_NAME, SyncCounters(), self._count)

    async def report(self) -> SyncReport:
        """Return what operators read."""
        return self._sync.report()

    def _count(self) -> SyncCounters:
        self._sync.counters.lag_seconds = self._sync.lag_seconds
        return self._sync.counters


RemoteSync: ActorClass[SyncActor] = ray.remote(SyncActor)


def start_sync(settings: Settings) -> ActorHandle[SyncActor]:
    """Start the synchronisation, or return the one that runs already."""
    return start_actor(RemoteSync, SYNC_NAME, (settings,), CALLS_MAX)


async def sync_report(namespace: str = NAMESPACE) -> SyncReport:
    """Return what the synchronisation says of itself. ShardLostError: it does not answer."""
    handle = Handle[SyncActor](SYNC_NAME, partial(ShardLostError, SYNC_NAME), namespace)
    return await handle.ask(SyncActor.report)
