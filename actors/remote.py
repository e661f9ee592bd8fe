"""Puts Ray on: the actors' shells, their options, and the way to them from other processes."""

import asyncio
import contextlib
import gc
import logging
import os
import pickle
from collections.abc import Coroutine
from datetime import UTC, datetime
from itertools import count
from typing import Any, cast

import ray
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.calls import Envelope, Reply
from actors.directory import Directory, shard_name
from actors.metrics import ShardMetrics
from actors.mongo.connection import connect
from actors.mongo.directory import MongoDirectory
from actors.mongo.reads import MongoReads
from actors.mongo.store import MongoStore
from actors.queries import Queries, Query
from actors.reports import ShardReport
from actors.router import ShardLostError
from actors.settings import Settings
from actors.shard import Shard
from actors.store import StorageUnavailableError

NAMESPACE = "allotment"
PICKLE_PROTOCOL = 5
METRICS_SECONDS = 2.0  # How often counters become metrics.
RETRY_SECONDS = 1.0  # Pause before the database is asked again at start.
GC_THRESHOLD = 100_000  # New objects before the youngest are collected.
GC_GENERATION_THRESHOLD = 100  # Collections of one age before the next age is collected.
PENDING_CALLS_MAX = 2_000  # Messages Ray holds for one shard from one process.
DIRECTORY_READ_SECONDS_MAX = 1.0  # Then the directory known to the shard is the answer.
DIRECTORY_SECONDS_MAX = 3.0
DRAIN_SECONDS_MAX = 15.0

logger = logging.getLogger(__name__)


class ShardActor:
    """One shard as a Ray actor. All rules are in `Shard`; this starts it and watches its loops.

    A restart runs `__init__` again with the same arguments and nothing else, so all begins here.
    It must not fail: Ray restarts a process that ended, but not one whose constructor raised.
    """

    async def __init__(self, settings: Settings, index: int) -> None:  # type: ignore[misc]
        assert settings.mongo_uri is not None, "whoever starts shards knows the database"
        # An account is millions of objects' neighbour and part of no cycle: rare collections
        # are enough, and each of them would stop the shard for as long as it looks at them all.
        gc.set_threshold(GC_THRESHOLD, GC_GENERATION_THRESHOLD, GC_GENERATION_THRESHOLD)
        self.name = shard_name(index)
        self._index = index
        self._settings = settings
        self._started = datetime.now(UTC)
        self._database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        self._directory = MongoDirectory(self._database)
        self._shard: asyncio.Future[Shard] = asyncio.get_running_loop().create_future()
        self._loops = {self._watch(self._begin())}

    def __repr__(self) -> str:
        return f"ShardActor({self.name})"

    async def handle(self, envelope: bytes) -> bytes:
        """Return the replies to an envelope. Both are pickled here: bytes cost Ray the least."""
        replies = await (await self._shard).handle(pickle.loads(envelope))  # noqa: S301
        return pickle.dumps(replies, PICKLE_PROTOCOL)

    async def query(self, version: int, query: Query) -> Reply:
        """Return the reply to a query. ValueError: its cursor is not one of ours."""
        queries = Queries(await self._shard, MongoReads(self._database), self._settings.policy)
        return await queries.answer(version, query)

    async def directory(self) -> Directory:
        """Return the newest directory, and follow it; while the database is away, the known one."""
        shard = await self._shard
        with contextlib.suppress(StorageUnavailableError, TimeoutError):
            async with asyncio.timeout(DIRECTORY_READ_SECONDS_MAX):
                table = await asyncio.to_thread(self._directory.read)
            if table is not None:
                await shard.adopt(table)
        return shard.table

    async def report(self) -> ShardReport:
        """Return what operators read about this shard."""
        shard = await self._shard
        counters, oldest = shard.counters, shard.views.oldest
        return ShardReport(
            shard=self.name,
            node_id=ray.get_runtime_context().get_node_id(),
            pid=os.getpid(),
            users=counters.users,
            queued=counters.queued,
            hits=counters.hits,
            misses=counters.misses,
            reads=counters.reads,
            writes=counters.writes,
            journal_seconds_behind=(shard.now() - oldest).total_seconds() if oldest else 0.0,
            uptime_seconds=(datetime.now(UTC) - self._started).total_seconds(),
        )

    async def drain(self) -> None:
        """Return once every answered write is in the views."""
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await (await self._shard).settle()

    async def _begin(self) -> None:
        """Start the loops, as soon as the database tells who owns what."""
        store = MongoStore(self._database)
        table = None
        for attempt in count():
            await asyncio.sleep(RETRY_SECONDS if attempt else 0)
            try:
                await asyncio.to_thread(store.take_over, self.name)
                table = await asyncio.to_thread(self._directory.read)
            except StorageUnavailableError as error:
                logger.warning("%s: waits for the database: %r", self.name, error.__cause__)
            if table is not None:
                break
        assert table is not None, "the loop ends with a table only"
        shard = Shard(
            self._index,
            store,
            self._settings.policy,
            accounts_max=self._settings.accounts_per_shard,
            clock=lambda: datetime.now(UTC),
            table=table,
        )
        self._loops |= {
            self._watch(shard.run()),
            self._watch(shard.views.run(shard.clean_until)),
            self._watch(self._publish_metrics(shard)),
            self._watch(self._catch_up(shard)),
        }
        self._shard.set_result(shard)

    def _watch(self, loop: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(loop)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """End the process with a loop that failed: Ray starts a new one, which loads anew."""
        if task.cancelled() or task.exception() is None:
            return
        logger.critical("%s: a loop failed", self.name, exc_info=task.exception())
        os._exit(1)

    async def _publish_metrics(self, shard: Shard) -> None:
        metrics = ShardMetrics(self.name)
        while True:
            metrics.publish(shard.counters)
            await asyncio.sleep(METRICS_SECONDS)

    async def _catch_up(self, shard: Shard) -> None:
        while True:
            with contextlib.suppress(StorageUnavailableError):
                await shard.catch_up()
                return
            await asyncio.sleep(RETRY_SECONDS)


RemoteShard: ActorClass[ShardActor] = ray.remote(ShardActor)


def start_shard(settings: Settings, index: int) -> ActorHandle[ShardActor]:
    """Start a shard, or return the one that runs already under its name."""
    handle = RemoteShard.options(
        name=shard_name(index),
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=0,  # Repeating is the caller's, with the same key.
        max_concurrency=PENDING_CALLS_MAX,
        max_pending_calls=PENDING_CALLS_MAX,
        enable_task_events=False,
    ).remote(settings, index)
    return cast("ActorHandle[ShardActor]", handle)


class RayShards:
    """The way to the shards through Ray's actor handles."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._handles: dict[int, ActorHandle[ShardActor]] = {}

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        """Return the replies of one shard to an envelope."""
        packed = pickle.dumps(envelope, PICKLE_PROTOCOL)
        replies: list[Reply] = pickle.loads(await self._ask(index, "handle", packed))  # noqa: S301
        return replies

    async def query(self, index: int, version: int, query: Query) -> Reply:
        """Return one shard's reply to a query."""
        reply: Reply = await self._ask(index, "query", version, query)
        return reply

    async def directory(self) -> Directory:
        """Return the newest directory, as the first shard read it."""
        async with asyncio.timeout(DIRECTORY_SECONDS_MAX):
            table: Directory = await self._ask(0, "directory")
            return table

    async def report(self, index: int) -> ShardReport:
        """Return what operators read about one shard."""
        report: ShardReport = await self._ask(index, "report")
        return report

    async def _ask(self, index: int, method: str, *arguments: object) -> Any:
        try:
            handle = self._handle(index)
        except ValueError as error:  # No actor has this name now.
            raise ShardLostError(shard_name(index)) from error
        try:
            return await getattr(handle, method).remote(*arguments)
        except RayActorError as error:
            self._handles.pop(index, None)  # A new incarnation may need a new handle.
            raise ShardLostError(shard_name(index)) from error
        except RayTaskError as error:
            if isinstance(error.cause, ValueError):  # The caller's cursor is not one of ours.
                raise error.cause from None
            raise ShardLostError(shard_name(index)) from error
        except RayError as error:
            raise ShardLostError(shard_name(index)) from error

    def _handle(self, index: int) -> ActorHandle[ShardActor]:
        handle = self._handles.get(index)
        if handle is None:
            handle = ray.get_actor(shard_name(index), namespace=self._namespace)
            self._handles[index] = handle
        return handle
