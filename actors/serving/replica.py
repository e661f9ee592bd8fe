"""One replica of the HTTP edge: its backend on Ray's actors and MongoDB, its loops."""

import asyncio
import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from ray import serve
from ray.serve import Deployment
from starlette.types import ASGIApp

from actors.auth.api_keys import KeyRing
from actors.auth.audit import Audit
from actors.auth.key_desk import KeyDesk
from actors.auth.stream_tokens import StreamTokens
from actors.auth.tokens import Tokens
from actors.edge.app import build_app
from actors.edge.backend import Portal, StripeDesk
from actors.edge.gate import Gate
from actors.edge.limits import RateLimit
from actors.edge.origins import Shared
from actors.edge.turns import Turns
from actors.events.endpoint_desk import EndpointDesk
from actors.events.stream import EventsWay
from actors.janitor.agenda import Agenda
from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.audit import MongoAudit
from actors.mongo.clock import MongoClock
from actors.mongo.connection import is_reachable
from actors.mongo.endpoints import MongoEndpoints
from actors.mongo.jobs.agenda import MongoAgenda
from actors.mongo.keys import MongoKeys
from actors.mongo.prices import MongoPrices
from actors.mongo.secrets import MongoStreamSecret
from actors.mongo.service_settings import MongoServiceSettings
from actors.mongo.stored_format import MongoFormats
from actors.mongo.stripe import MongoStripe
from actors.protocol.errors import ShardLostError
from actors.protocol.limits import REPLICA_REQUESTS_MAX
from actors.protocol.reports import ShardReport, SyncReport
from actors.protocol.store import Overview
from actors.remote.events import RayEvents
from actors.remote.janitor import RayJanitor
from actors.remote.loopback import keep_replica_there
from actors.remote.metrics import CounterMetrics, publish_forever
from actors.remote.options import PLACED_CPUS
from actors.remote.process import open_database
from actors.remote.shards import RayShards
from actors.remote.stripe import set_stripe_clock
from actors.remote.sync import sync_report
from actors.routing.operations import Operations
from actors.routing.router import Router
from actors.runtime.clock import ServiceClock, TestClock, real_time
from actors.runtime.counters import OperationCounters
from actors.runtime.format_watch import FormatWatch
from actors.runtime.loops import Loops
from actors.runtime.price_list import PriceStore
from actors.runtime.service_settings import ServiceSettingsStore, follow_settings
from actors.runtime.tracing import tracer_for
from actors.serving.shortcut import ENVIRONMENT, open_shortcut
from actors.settings import Settings

LOGGING = {"log_level": "WARNING", "enable_access_log": False}  # A line a request costs a tenth.
READY_SECONDS_MAX = 2.0  # How long the shards may take to show that they are there.
# By default every 700 new objects are looked through: that took a seventh of a replica's time.
GC_THRESHOLDS = 50_000, 50, 100


class RayBackend:
    """The backend of a Serve replica: shards through Ray, keys from MongoDB."""

    def __init__(self, settings: Settings) -> None:
        self.database = open_database(settings)
        self._shards = RayShards()
        self.router = Router(
            self._shards, settings.request_timeout_seconds, settings.user_calls_per_second
        )
        self.turns = Turns()
        self.keys = KeyRing(MongoKeys(self.database))
        self.key_desk = KeyDesk(MongoKeys(self.database))
        self.audit: Audit = MongoAudit(self.database)
        self.tokens = Tokens(settings.token_rules) if settings.token_rules else None
        self.streams = StreamTokens(MongoStreamSecret(self.database))
        self.rate_limit = rate_limit(settings)
        self._janitor = RayJanitor()
        self.operations = Operations(self._shards, self._janitor)
        self.test_clock = self._test_clock() if settings.test_clock else None
        self.agenda: Agenda = MongoAgenda(self.database)
        self.events: EventsWay = RayEvents()
        self.endpoints = EndpointDesk(
            MongoEndpoints(self.database), settings.webhooks, settings.endpoint_hosts
        )
        self.service_settings: ServiceSettingsStore = MongoServiceSettings(self.database)
        self.origins = settings.origins
        self.low_credits_percent = settings.low_credits_percent
        self.portal = Portal(settings.portal_more_url, settings.portal_framers)
        self.overview: Overview = MongoOverview(self.database, settings.timezone)
        self.prices: PriceStore = MongoPrices(self.database)
        self._has_stripe = settings.stripe_api_key is not None
        self.stripe = StripeDesk(
            MongoStripe(self.database), settings.webhook_secrets, lambda: datetime.now(UTC)
        )

    def _test_clock(self) -> TestClock:
        return TestClock(ServiceClock(), MongoClock(self.database), self._set_clocks)

    async def now(self) -> datetime:
        """Return what the service takes to be the time. StoreError: the clock cannot be read."""
        return await self.test_clock.now() if self.test_clock else real_time()

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                table = await self._shards.directory()
                return await asyncio.gather(*map(self._shards.report, range(table.shards)))
        except TimeoutError as error:
            raise ShardLostError from error

    async def settle(self) -> None:
        """Wait until the views contain every answered write. ShardLostError: one did not answer."""
        table = await self._shards.directory()
        await asyncio.gather(*map(self._shards.drain, range(table.shards)))

    async def _set_clocks(self, ahead: timedelta) -> None:
        """Set the clocks of all who decide by them. ShardLostError, UnavailableError."""
        table = await self._shards.directory()
        await asyncio.gather(*(self._shards.set_clock(i, ahead) for i in range(table.shards)))
        await self._janitor.set_clock(ahead)
        if self._has_stripe:
            await set_stripe_clock(ahead)

    async def sync_report(self) -> SyncReport:
        """Return how RAM follows MongoDB. ShardLostError: the synchronisation does not answer."""
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                return await sync_report()
        except TimeoutError as error:
            raise ShardLostError from error

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer, or are too far behind."""
        database, reports, sync = await asyncio.gather(
            asyncio.to_thread(is_reachable, self.database),
            self.reports(),
            self.sync_report(),
            return_exceptions=True,
        )
        missing = [] if database is True else ["database"]
        if isinstance(reports, BaseException):
            missing.append("shards")
        if isinstance(sync, BaseException) or is_behind(reports):
            missing.append("sync")
        return missing


def rate_limit(settings: Settings) -> RateLimit | None:
    """Return how many requests a caller may make of one replica; None: as many as there are."""
    quota = settings.requests_per_replica
    return RateLimit(quota, settings.rate_limit_seconds) if quota else None


def is_behind(reports: list[ShardReport] | BaseException) -> bool:
    """Say whether a shard has not heard of other programs' changes for too long."""
    return not isinstance(reports, BaseException) and any(report.stale for report in reports)


class Edge:
    """One replica of the HTTP edge."""

    def __init__(self, settings: Settings) -> None:
        keep_replica_there()
        self._backend = RayBackend(settings)
        self._watch = FormatWatch("http", MongoFormats(self._backend.database))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        gate = build_app(self._backend)
        sharing = Shared(gate, self._backend.origins)
        app = traced(sharing, gate)
        self._loops = Loops("http")
        self._loops.start(self._watch.follow(partial(setattr, gate, "closed")))
        self._loops.start(publish_forever(publisher(gate)))
        self._loops.start(follow_settings(self._backend.service_settings, sharing.take))
        open_shortcut(gate, app)
        gc.freeze()  # Full collections would pass over all that was imported.
        gc.set_threshold(*GC_THRESHOLDS)
        return app


def traced(app: ASGIApp, gate: Gate) -> ASGIApp:
    """Return an application that traces its requests, where traces are wanted."""
    tracer = tracer_for("http")
    if tracer is None:
        return app
    from actors.edge.traced import Traced  # noqa: PLC0415 - it imports OpenTelemetry

    return Traced(app, gate.routes, frozenset(gate.counters), tracer)


def publisher(gate: Gate) -> Callable[[], None]:
    """Return what brings Ray's metrics up to what the gate has counted."""
    metrics = {
        place: CounterMetrics("operation", " ".join(place), OperationCounters())
        for place in gate.counters
    }

    def publish() -> None:
        for place, published in metrics.items():
            published.publish(gate.counters[place])

    return publish


edge: Deployment = serve.deployment(
    name="http",
    logging_config=LOGGING,
    max_ongoing_requests=REPLICA_REQUESTS_MAX,
    ray_actor_options={
        "num_cpus": PLACED_CPUS,  # By default a whole one each.
        "runtime_env": {"env_vars": ENVIRONMENT},
    },
)(serve.ingress()(Edge))
