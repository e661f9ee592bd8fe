"""Puts Ray on the shards: what starts one, watches its loops, and answers for it."""

import asyncio
import contextlib
import logging
import pickle
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import ray

from actors.mongo.accounts.leases import MongoLeases
from actors.mongo.accounts.reads import MongoReads
from actors.mongo.accounts.store import MongoStore
from actors.mongo.accounts.warm_reader import WarmReader
from actors.mongo.directory import MongoDirectory
from actors.mongo.prices import MongoPrices
from actors.mongo.service_settings import MongoServiceSettings
from actors.mongo.stored_format import check_format
from actors.protocol.calls import MOVED, UNAVAILABLE, Envelope, Reply
from actors.protocol.changes import Changes, Stamp
from actors.protocol.directory import Directory, shard_name
from actors.protocol.queries import ReadQuery, ShardQuery
from actors.protocol.ranking import Order, Ranked
from actors.protocol.reports import Findings, Reread, ShardReport
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from actors.remote.lists import RayLists, RaySubscriptions
from actors.remote.options import RETRY_SECONDS
from actors.remote.process import TimedProcess
from actors.routing.wire import PICKLE_PROTOCOL, Endpoint, serve, unpacked
from actors.runtime.counters import Counters
from actors.runtime.price_list import decide_by, follow_prices
from actors.runtime.service_settings import ServiceSettings, follow_settings
from actors.runtime.tracing import DatabaseSteps, tracer_for
from actors.settings import Settings
from actors.shard.comparison import Comparison
from actors.shard.eviction import let_go
from actors.shard.hand_over import finish, hand_over
from actors.shard.interpreter import tune_interpreter
from actors.shard.lease import Lease, is_gone, this_process
from actors.shard.lists import ask_for_list
from actors.shard.queries import Queries
from actors.shard.ranking import Ranking
from actors.shard.report import measured, report_of
from actors.shard.shard import Shard
from domain.values import UserId

if TYPE_CHECKING:  # It imports OpenTelemetry, where that is wanted.
    from actors.shard.traced import TracedShard

DIRECTORY_READ_SECONDS_MAX = 1.0  # Then the directory known to the shard is the answer.
DRAIN_SECONDS_MAX = 15.0
HAND_OVER_SECONDS_MAX = 15.0
AtFirst = tuple[Directory, str, ServiceSettings]  # Who owns what, the price list, the settings.

logger = logging.getLogger(__name__)


class ShardActor(TimedProcess):
    """One shard as a Ray actor. All rules are in `Shard`; this starts it and watches its loops.

    It looks at the documents' format itself, with all else that it asks the database at first.
    """

    async def __init__(self, settings: Settings, index: int) -> None:  # type: ignore[misc]
        tune_interpreter()
        super().__init__(shard_name(index), settings, waits_for_format=False)
        self._index = index
        self._started = time.monotonic()
        self._directory = MongoDirectory(self._database)
        self._lease = Lease(
            MongoLeases(self._database),
            self.name,
            this_process(),
            monotonic=time.monotonic,
            is_gone=is_gone,
        )
        self._lists = RayLists()
        self._store = MongoStore(self._database, lambda: self._lease.is_held)
        self._is_leaving = False
        self._ranking: Ranking | None = None
        self._traced_steps = DatabaseSteps()
        self._traced = self._traced_shard()
        self._shard: asyncio.Future[Shard] = asyncio.get_running_loop().create_future()
        address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._server = asyncio.ensure_future(serve(self.handle, address))
        self._steps = [self._lease.steps]
        self._loops.start(self._begin())

    def __repr__(self) -> str:
        return f"ShardActor({self.name})"

    async def endpoint(self) -> Endpoint:
        """Return where this process answers envelopes without Ray."""
        return (await self._server)[1]

    async def handle(self, envelope: bytes) -> bytes:
        """Return the replies to an envelope. Both are pickled here: bytes cost Ray the least."""
        if self._traced is None:
            replies = await self._answer(pickle.loads(envelope))  # noqa: S301
        else:
            replies = await self._traced.answer(*unpacked(envelope), self._answer)
        return pickle.dumps(replies, PICKLE_PROTOCOL)

    def _traced_shard(self) -> "TracedShard | None":
        tracer = tracer_for(self.name)
        if tracer is None:
            return None
        from actors.shard.traced import TracedShard  # noqa: PLC0415 - it imports OpenTelemetry

        return TracedShard(self.name, tracer, self._traced_steps)

    async def _answer(self, envelope: Envelope) -> list[Reply]:
        shard = await self._shard
        refusal = await self._refusal()
        if refusal is not None:
            return [refusal] * (len(envelope.calls) + len(envelope.status_of))
        return await shard.handle(envelope)

    async def _refusal(self) -> Reply | None:
        """Return why nothing may be answered now. SupersededError: the successor is to be asked."""
        try:
            if not self._is_leaving:
                await self._lease.confirm()
        except StorageUnavailableError:
            return UNAVAILABLE
        return MOVED if self._is_leaving else None

    async def query(self, version: int, query: ShardQuery | ReadQuery) -> Reply:
        """Return the reply to a query. ValueError: its cursor is not one of ours."""
        shard = await self._shard
        refusal = await self._refusal()
        if refusal is not None:
            return refusal
        queries = Queries(shard, MongoReads(self._database))
        if isinstance(query, ShardQuery):
            return await queries.answer(version, query)
        return await ask_for_list(query, partial(queries.answer, version), self._lists.read)

    async def directory(self) -> Directory:
        """Return the newest directory, and follow it; while the database is away, the known one."""
        shard = await self._shard
        with contextlib.suppress(StorageUnavailableError, TimeoutError):
            async with asyncio.timeout(DIRECTORY_READ_SECONDS_MAX):
                await self._follow_directory(shard)
        return shard.table

    async def _follow_directory(self, shard: Shard) -> None:
        seen = await asyncio.to_thread(self._directory.see)
        if seen is not None:
            shard.follow_table(seen)

    async def hand_over(self, version: int) -> int:
        """Follow the table of this version, or a newer one; return it once all is handed over.

        Raises StorageUnavailableError, SupersededError, TimeoutError.
        """
        shard = await self._shard
        await self._lease.confirm()
        async with asyncio.timeout(HAND_OVER_SECONDS_MAX):
            if shard.table.version < version:
                await self._follow_directory(shard)
            await self._read_clock()  # It may have been set before the table named this shard.
            return await hand_over(shard)

    async def let_go(self, user_id: UserId) -> float:
        """Forget a user who is made anonymous: see `actors/shard/eviction.py`."""
        return await let_go(await self._shard, self._store, user_id)

    async def take_up(self) -> None:
        """Take up what former owners could not write, and fill RAM. StorageUnavailableError."""
        shard = await self._shard
        await shard.catch_up()
        shard.accounts.filling.begin()

    async def report(self) -> ShardReport:
        """Return what operators read about this shard."""
        return report_of(
            await self._shard,
            node_id=ray.get_runtime_context().get_node_id(),
            uptime_seconds=time.monotonic() - self._started,
        )

    async def follow(self, changes: Changes) -> Stamp | None:
        """Forget what others changed. None: the directories differ; this one is read again."""
        shard = await self._shard
        if changes.version > shard.table.version:
            await self.directory()
        return shard.following.follow(changes) if changes.version == shard.table.version else None

    async def compare(self, *, repair: bool, whole: bool) -> Findings:
        """Compare all that is in RAM with MongoDB, or whose turn it is."""
        return await (await self._comparison()).compare(repair=repair, whole=whole)

    async def reread(self, user_id: UserId | None) -> Reread:
        """Read a user, or all that is in RAM, anew."""
        return await (await self._comparison()).reread(user_id)

    async def ranked(self, order: Order, limit: int) -> Ranked:
        """Return the first of the users in RAM by what they have left."""
        if self._ranking is None:
            self._ranking = Ranking(await self._shard)
        return await self._ranking.first(order, limit)

    async def _comparison(self) -> Comparison:
        return Comparison(await self._shard, self._store)

    async def drain(self) -> None:
        """Return once every answered write is in the views."""
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await (await self._shard).settle()

    async def leave(self) -> None:
        """Return once a successor may begin at once: all is in the views, and the lease is free.

        Callers are told to ask again as soon as there is little left to write. Where the views do
        not follow in time (TimeoutError) the shard goes on. Else its process ends by itself soon,
        so that Ray starts another one, though whoever asked for it has died meanwhile.
        """
        shard = await self._shard
        try:
            async with asyncio.timeout(DRAIN_SECONDS_MAX):
                await finish(shard, self._refuse_calls)
        except BaseException:
            self._is_leaving = False
            raise
        try:
            await self._lease.release()
        except StorageUnavailableError as error:
            logger.warning("%s: the lease is not released: %r", self.name, error.__cause__)

    def _refuse_calls(self) -> None:
        self._is_leaving = True

    async def settings(self) -> Settings:
        """Return what the service was started with, for whoever starts its actors elsewhere."""
        return self._settings

    async def _begin(self) -> None:
        """Start the loops, as soon as the database has told what there is."""
        kept, kept_settings = MongoPrices(self._database), MongoServiceSettings(self._database)
        table, prices, settings = await self._ask_database(kept, kept_settings)
        shard = Shard(
            self._index,
            self._store,
            self._settings.policy,
            accounts_max=self._settings.accounts_per_shard,
            clock=self._clock,
            table=table,
            max_staleness=self._settings.max_staleness_seconds,
        )
        shard.traced_steps = self._traced_steps if self._traced else None
        decide_by(prices, shard.take_prices)
        shard.take(settings)
        self._loops.start(self._format.keep())
        self._loops.start(self._lease.keep())
        for part in (shard, shard.loads, shard.reloader, shard.expiry):
            self._loops.start(part.run())
        self._loops.start(shard.views.run(shard.clean_until))
        self._loops.start(follow_prices(kept, prices, shard.take_prices))
        self._loops.start(follow_settings(kept_settings, shard.take))
        self._publish("shard", self.name, Counters(), partial(measured, shard))
        self._loops.start(self._catch_up_and_warm(shard))
        self._steps.append(shard.steps)
        self._shard.set_result(shard)

    async def _ask_database(self, kept: MongoPrices, settings: MongoServiceSettings) -> AtFirst:
        """Return these as soon as the database tells, the table not as it was before a hand-over."""
        for attempt in count():
            await asyncio.sleep(RETRY_SECONDS if attempt else 0)
            try:
                await asyncio.to_thread(check_format, self._database)
                await self._read_clock()
                await self._lease.take()
                await asyncio.to_thread(self._store.take_over, self.name)
                prices = await asyncio.to_thread(kept.read)
                options = await asyncio.to_thread(settings.read)
                seen = await asyncio.to_thread(self._directory.see, self._store.causality)
            except StorageUnavailableError as error:
                logger.warning("%s: waits for the database: %r", self.name, error.__cause__)
                continue
            except UnsuitableDatabaseError as error:  # The code on disk is no longer the service's.
                logger.error("%s: %s", self.name, error)  # noqa: TRY400 - the sentence says it all
                continue
            if seen is not None:
                return seen.table, prices, options
        raise AssertionError("the loop ends with a table only")

    async def _catch_up_and_warm(self, shard: Shard) -> None:
        while not shard.caught_up:
            try:
                await shard.catch_up()
            except StorageUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
        # A shard that was started to get users has none yet.
        subscriptions = RaySubscriptions(self.name)
        warm = WarmReader(self._database, self._store.causality, subscriptions)
        await shard.warm_start.run(warm, at_once=bool(shard.ownership.slots))
