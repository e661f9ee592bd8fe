"""Puts Ray on the synchronisation: the actor's shell and its options."""

import asyncio
import time
from datetime import UTC, datetime

import ray
from ray.actor import ActorClass, ActorHandle

from actors.mongo.changes import MongoChanges
from actors.mongo.connection import connect
from actors.mongo.directory import MongoDirectory
from actors.mongo.stored_format import MongoFormats
from actors.protocol.reports import SyncReport
from actors.remote.metrics import METRICS_SECONDS, CounterMetrics
from actors.remote.names import SYNC_NAME
from actors.remote.options import NAMESPACE, start_actor
from actors.remote.shards import RayShards
from actors.runtime.counters import SyncCounters
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
from actors.settings import Settings
from actors.sync.sync import Sync

CALLS_MAX = 100  # Reports and signs of life, answered at once.


class SyncActor:
    """The synchronisation as a Ray actor. All rules are in `Sync`; a restart begins here again."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts actors knows the database"
        uri = settings.mongo_uri.get_secret_value()
        database = connect(uri, settings.mongo_db)
        streams = connect(uri, settings.mongo_db, socket_seconds=None)
        self._sync = Sync(
            MongoChanges(database, streams),
            RayShards(),
            MongoDirectory(database).read,
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        )
        self._loops = Loops(SYNC_NAME, FormatWatch(SYNC_NAME, MongoFormats(database)))
        self._loops.start(self._sync.run())
        self._loops.start(self._publish_metrics())

    def __repr__(self) -> str:
        return "SyncActor()"

    async def ping(self) -> str | None:
        """Return what stands still; None: the loop turns, and all goes on."""
        return self._sync.steps.standstill()

    async def close(self) -> None:
        """End the loops: the stream goes on at the next start where its token was stored last."""
        await self._loops.stop()

    async def report(self) -> SyncReport:
        """Return what operators read."""
        return self._sync.report()

    async def _publish_metrics(self) -> None:
        metrics = CounterMetrics("sync", SYNC_NAME, SyncCounters())
        while True:
            self._sync.counters.lag_seconds = self._sync.lag_seconds
            metrics.publish(self._sync.counters)
            await asyncio.sleep(METRICS_SECONDS)


RemoteSync: ActorClass[SyncActor] = ray.remote(SyncActor)


def start_sync(settings: Settings) -> ActorHandle[SyncActor]:
    """Start the synchronisation, or return the one that runs already."""
    return start_actor(RemoteSync, SYNC_NAME, (settings,), CALLS_MAX)


async def sync_report(namespace: str = NAMESPACE) -> SyncReport:
    """Return what the synchronisation says of itself. ValueError, RayError: it does not answer."""
    handle: ActorHandle[SyncActor] = ray.get_actor(SYNC_NAME, namespace=namespace)
    report: SyncReport = await handle.report.remote()
    return report
