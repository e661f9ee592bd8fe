"""The HTTP edge on one shard of this process."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import httpx

from actors.auth.api_keys import KeyRing
from actors.auth.audit import Audit
from actors.auth.caller import Scope
from actors.auth.key_desk import KeyDesk
from actors.auth.stream_tokens import StreamTokens
from actors.auth.tokens import Tokens
from actors.cluster.resharding import Resharding
from actors.edge.backend import Portal, StripeDesk
from actors.edge.limits import RateLimit
from actors.edge.turns import Turns
from actors.events.endpoint_desk import EndpointDesk
from actors.events.relay import Relay
from actors.events.roster import Roster, Ways
from actors.events.settings import WebhookEndpoint
from actors.events.stream import EventsWay
from actors.janitor.agenda import Agenda
from actors.janitor.anonymization import Anonymizations
from actors.janitor.expiry import Ended, Page
from actors.janitor.hold_expiry import OverdueHold
from actors.janitor.jobs import JanitorJobs
from actors.janitor.pack_expiry import EndedPack
from actors.protocol.calls import Envelope, Reply
from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from actors.protocol.ranking import Order, Ranked
from actors.protocol.reports import Anonymized, Findings, Reread, ShardReport, SyncReport
from actors.protocol.store import Overview
from actors.routing.operations import Operations
from actors.routing.router import Router
from actors.runtime.clock import TestClock
from actors.runtime.price_list import PriceStore
from actors.runtime.service_settings import ServiceSettingsStore
from actors.settings import Settings
from actors.shard.comparison import Comparison
from actors.shard.eviction import let_go
from actors.shard.ranking import Ranking
from actors.shard.shard import Shard
from domain.values import Policy, UserId
from tests.builders.authors import NOON
from tests.fakes.asked import AllQueries
from tests.fakes.fleet import Fleet, MemoryTables
from tests.fakes.janitor import yielding
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.memory_anonymizations import MemoryAnonymizations, MemoryPapers
from tests.fakes.memory_audit import MemoryAudit
from tests.fakes.memory_endpoints import MemoryEndpoints
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.memory_keys import Keys, made
from tests.fakes.memory_prices import MemoryPrices
from tests.fakes.memory_reads import MemoryOverview, MemoryReads
from tests.fakes.memory_settings import MemorySettings
from tests.fakes.memory_store import MemoryStore
from tests.fakes.memory_stripe import MemoryStripe
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.noting_post import NotingPost
from tests.fakes.shards import Clock, running
from tests.fakes.stage import served
from tests.fakes.stream_secret import StreamSecret
from tests.simulation.majority import ReplicatedStore

POLL_SECONDS = 0.005
SCHEDULE = Settings(_env_file=None).schedule
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
USAGE = {"user_id": "ada", "service_type": "chat", "credit_amount": 30}
SYNC = SyncReport(
    lag_seconds=0.5, last_event_at=NOON, events_applied=3, resumes=2, resyncs=1, quarantined=0
)


ENVIRONMENT = {
    "name": "crm",
    "url": "https://user:password@crm.example/hook?token=t",
    "secrets": ["whsec_" + "ZW52aXJvbm1lbnQncyBzZWNyZXQsIG5vdCBzaG93bg=="],
}
"""An endpoint of the environment."""
CREDITS = {"user_id": "ada", "amount": 3000, "days": 30, "payment": PAYMENT}


class Forgetful:
    """A store that remembers no user, and of whose appends none is in doubt."""

    def doubt(self) -> None:
        pass

    def let_go(self, _user_id: UserId) -> float:
        return math.inf


class OneShard:
    """The way to one shard of this process."""

    def __init__(self, shard: Shard, store: MemoryStore) -> None:
        self.shard = shard
        self.store = store
        self.comparison = Comparison(shard, store, yielding)
        self.ranking = Ranking(shard, yielding)
        self.lost = False
        self.queries = AllQueries(shard, MemoryReads(store), Policy())

    async def send(self, _index: int, envelope: Envelope) -> list[Reply]:
        return await self.shard.handle(envelope)

    async def query(self, _index: int, version: int, query: Query) -> Reply:
        return await self.queries.answer(version, query)

    async def directory(self) -> Directory:
        return self.shard.table

    async def compare(self, _index: int, *, repair: bool, whole: bool) -> Findings:
        return await self.comparison.compare(repair=repair, whole=whole)

    async def reread(self, _index: int, user_id: UserId | None) -> Reread:
        if self.lost:
            raise ShardLostError
        return await self.comparison.reread(user_id)

    async def ranked(self, _index: int, order: Order, limit: int) -> Ranked:
        if self.lost:
            raise ShardLostError
        return await self.ranking.first(order, limit)

    async def let_go(self, _index: int, user_id: UserId) -> float:
        if self.lost:
            raise ShardLostError
        return await let_go(self.shard, Forgetful(), user_id)


class NoJobStore:
    """Nothing has ended, all rules hold, nothing is old."""

    def ended(self, now: datetime, limit: int, cursor: object | None) -> Page[Ended]:
        return Page([], 0, None)

    def ended_packs(self, now: datetime, limit: int, cursor: object | None) -> Page[EndedPack]:
        return Page([], 0, None)

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> Page[OverdueHold]:
        return Page([], 0, None)

    def check(self, limit: int | None) -> Findings:
        return Findings()

    def look_after(self, *, repair: bool) -> Findings:
        return Findings()

    def trim(self, before: datetime) -> int:
        return 0

    def trim_audit(self, before: datetime) -> int:
        return 0


class OneJanitor:
    """What operators ask of the janitor."""

    def __init__(
        self,
        janitor_jobs: JanitorJobs,
        resharding: Resharding,
        anonymizations: Anonymizations,
    ) -> None:
        self.validate = janitor_jobs.validate
        self.expire = janitor_jobs.expire
        self.reconcile = janitor_jobs.reconcile
        self.reshard = resharding.begin
        self.resharding = resharding.report
        self.anonymizations = anonymizations.newest
        self._anonymizations = anonymizations

    async def anonymize(
        self, user_id: UserId, by: str | None, key: str | None
    ) -> Anonymized | None:
        carrying = asyncio.create_task(self._anonymizations.run())
        try:
            return await self._anonymizations.ask(user_id, by, key)
        finally:
            carrying.cancel()
            await asyncio.wait([carrying])


async def briefly(_seconds: float) -> None:
    """Pause as long as it takes others here to go on: tests wait for what the relay does."""
    await asyncio.sleep(POLL_SECONDS)


class LocalBackend:
    def __init__(self, shards: OneShard, keys: Keys) -> None:  # noqa: PLR0915 - a part each
        self.router = Router(shards, 5.0)
        self.turns = Turns()
        self.keys = KeyRing(keys)
        self.key_desk = KeyDesk(keys)
        self.memory_audit = MemoryAudit()
        self.audit: Audit = self.memory_audit
        self.tokens: Tokens | None = None
        self.streams = StreamTokens(StreamSecret())
        self.rate_limit: RateLimit | None = None
        self.test_clock: TestClock | None = None
        self.overview: Overview = MemoryOverview(shards.store)
        self.memory_prices = MemoryPrices()
        self.prices: PriceStore = self.memory_prices
        self.shards = shards
        self.memory_agenda = MemoryAgenda()
        self.agenda: Agenda = self.memory_agenda
        clock = Clock(NOON)
        self.janitor_jobs = JanitorJobs(
            "edge",
            SCHEDULE,
            self.agenda,
            NoJobStore(),
            shards,
            self.router,
            clock=clock,
        )
        self.tables = MemoryTables(shards.shard.table)
        crew = Fleet(ReplicatedStore(), self.tables)  # Nobody carries its plans out.
        self.handler = NotingHandler()
        stored_events = MemoryEvents(shards.store)
        self.memory_endpoints = MemoryEndpoints(stored_events)
        environment = [WebhookEndpoint.model_validate(ENVIRONMENT)]
        self.outside = NotingPost()
        ways = Ways(lambda: self.outside, lambda: self.outside)
        roster = Roster(self.memory_endpoints, environment, ways, clock)
        self.relay = Relay(stored_events, [self.handler], clock=clock, sleep=briefly, roster=roster)
        self.endpoints = EndpointDesk(self.memory_endpoints, environment, {"inside"}, clock)
        ledger = MemoryAnonymizations()
        self.papers = MemoryPapers(ledger)
        self.anonymizations = Anonymizations(ledger, self.papers, shards, self.relay, clock)
        resharding = Resharding(self.tables, crew, clock)
        self.operations = Operations(
            shards, OneJanitor(self.janitor_jobs, resharding, self.anonymizations)
        )
        self.stripe = StripeDesk(MemoryStripe(), ("whsec_old", "whsec_new"), clock)
        self.events: EventsWay = self.relay
        self.memory_settings = MemorySettings()
        self.service_settings: ServiceSettingsStore = self.memory_settings
        self.origins: tuple[str, ...] = ("https://www.app.example",)
        self.low_credits_percent = 20
        self.portal = Portal()
        self.lost = False

    async def now(self) -> datetime:
        return await self.test_clock.now() if self.test_clock else NOON

    async def reports(self) -> list[ShardReport]:
        if self.lost:
            raise ShardLostError
        return []

    async def settle(self) -> None:
        await self.shards.shard.settle()

    async def sync_report(self) -> SyncReport:
        if self.lost:
            raise ShardLostError
        return SYNC

    async def missing(self) -> list[str]:
        return ["shards"] if self.lost else []


@asynccontextmanager
async def edge(
    scope: Scope = Scope.ADMIN, stripe: StripeDesk | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, LocalBackend]]:
    store, keys = MemoryStore(), Keys()
    text, _ = made(keys, scope)
    async with running(store, clock=Clock(NOON)) as shard:
        backend = LocalBackend(OneShard(shard, store), keys)
        backend.stripe = stripe or backend.stripe
        relaying = asyncio.create_task(backend.relay.run())
        with served(backend) as gate:
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(gate),
                base_url="http://allotment",
                headers={"Authorization": f"Bearer {text}"},
            )
            async with client:
                yield client, backend
        relaying.cancel()
        await asyncio.wait([relaying])
