"""The HTTP edge on shards in this process: no Ray, the same routes, bodies and codes."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest

from actors.auth.api_keys import KeyRing
from actors.auth.caller import Scope
from actors.auth.tokens import Tokens
from actors.cluster.resharding import Resharding
from actors.edge.app import build_app
from actors.edge.limits import RateLimit
from actors.edge.routes.stripe_webhook import StripeDesk
from actors.edge.turns import Turns
from actors.events.relay import Relay
from actors.events.stream import EventsWay
from actors.janitor.agenda import Agenda
from actors.janitor.anonymization import Anonymizations
from actors.janitor.expiry import Ended, Page
from actors.janitor.hold_expiry import OverdueHold
from actors.janitor.jobs import Housekeeping
from actors.janitor.pack_expiry import EndedPack
from actors.protocol.calls import Envelope, Reply
from actors.protocol.directory import Directory
from actors.protocol.reports import Anonymized, Findings, Reread, ShardReport, SyncReport
from actors.protocol.store import Overview
from actors.routing.lane import ShardLostError
from actors.routing.operations import Operations
from actors.routing.router import Router
from actors.runtime.clock import TestClock
from actors.settings import Settings
from actors.shard.comparison import Comparison
from actors.shard.eviction import let_go
from actors.shard.queries import Query
from actors.shard.shard import Shard
from domain.values import Policy, UserId
from tests.actors.auth.test_api_keys import Keys, made
from tests.actors.janitor.test_scheduler import yielding
from tests.builders.authors import NOON
from tests.fakes.asked import AllQueries
from tests.fakes.fleet import Fleet, MemoryTables
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.memory_anonymizations import MemoryAnonymizations, MemoryPapers
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.memory_reads import MemoryOverview, MemoryReads
from tests.fakes.memory_store import MemoryStore
from tests.fakes.memory_stripe import MemoryStripe
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.shards import Clock, in_loop, running
from tests.simulation.majority import ReplicatedStore

PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
CREDITS = {"user_id": "ada", "amount": 3000, "days": 30, "payment": PAYMENT}
USAGE = {"user_id": "ada", "service_type": "chat", "credit_amount": 30}


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
        self.comparison = Comparison(shard, store, Policy(), yielding)
        self.lost = False
        self.queries = AllQueries(shard, MemoryReads(store), Policy())

    async def send(self, _index: int, envelope: Envelope) -> list[Reply]:
        return await self.shard.handle(envelope)

    async def query(self, _index: int, version: int, query: Query) -> Reply:
        return await self.queries.answer(version, query)

    async def directory(self) -> Directory:
        return self.shard.table

    async def compare(self, _index: int, *, repair: bool) -> Findings:
        return await self.comparison.compare(repair=repair)

    async def reread(self, _index: int, user_id: UserId | None) -> Reread:
        if self.lost:
            raise ShardLostError
        return await self.comparison.reread(user_id)

    async def let_go(self, _index: int, user_id: UserId) -> float:
        if self.lost:
            raise ShardLostError
        return await let_go(self.shard, Forgetful(), user_id)


class NoUpkeep:
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


SYNC = SyncReport(
    lag_seconds=0.5, last_event_at=NOON, events_applied=3, resumes=2, resyncs=1, quarantined=0
)


class OneJanitor:
    """What operators ask of the janitor."""

    def __init__(
        self,
        housekeeping: Housekeeping,
        resharding: Resharding,
        anonymizations: Anonymizations,
    ) -> None:
        self.validate = housekeeping.validate
        self.expire = housekeeping.expire
        self.reconcile = housekeeping.reconcile
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


class LocalBackend:
    def __init__(self, shards: OneShard, keys: Keys) -> None:
        self.router = Router(shards, 5.0)
        self.turns = Turns()
        self.keys = KeyRing(keys)
        self.tokens: Tokens | None = None
        self.rate_limit: RateLimit | None = None
        self.test_clock: TestClock | None = None
        self.overview: Overview = MemoryOverview(shards.store)
        self.shards = shards
        self.memory_agenda = MemoryAgenda()
        self.agenda: Agenda = self.memory_agenda
        clock = Clock(NOON)
        self.housekeeping = Housekeeping(
            "edge",
            Settings(_env_file=None),
            self.agenda,
            NoUpkeep(),
            shards,
            self.router,
            clock=clock,
        )
        self.tables = MemoryTables(shards.shard.table)
        crew = Fleet(ReplicatedStore(), self.tables)  # Nobody carries its plans out.
        self.handler = NotingHandler()
        self.relay = Relay(MemoryEvents(shards.store), [self.handler], clock=clock)
        ledger = MemoryAnonymizations()
        self.papers = MemoryPapers(ledger)
        self.anonymizations = Anonymizations(ledger, self.papers, shards, self.relay, clock)
        resharding = Resharding(self.tables, crew, clock)
        self.operations = Operations(
            shards, OneJanitor(self.housekeeping, resharding, self.anonymizations)
        )
        self.stripe = StripeDesk(MemoryStripe(), ("whsec_old", "whsec_new"), clock)
        self.events: EventsWay = self.relay
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
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(build_app(backend)),
            base_url="http://allotment",
            headers={"Authorization": f"Bearer {text}"},
        )
        relaying = asyncio.create_task(backend.relay.run())
        async with client:
            yield client, backend
        relaying.cancel()
        await asyncio.wait([relaying])


@in_loop
async def test_credits_usage_and_status_fit_together() -> None:
    async with edge() as (http, _):
        added = await http.post("/subscription/credits", json=CREDITS)
        charged = await http.post("/subscription/usage", json=USAGE)
        shown = await http.get("/subscription/status", params={"user_id": "ada"})

    assert (added.status_code, charged.status_code, shown.status_code) == (201, 201, 200)
    assert charged.json()["remaining_credits"] == shown.json()["remaining_credits"] == 60


INVALID = [
    ("/subscription/usage", USAGE | {"credit_amount": 1.5}),
    ("/subscription/usage", USAGE | {"credit_amount": True}),
    ("/subscription/usage", USAGE | {"credit_amount": 2**53}),
    ("/subscription/usage", USAGE | {"color": "red"}),
    ("/subscription/usage", USAGE | {"user_id": "a b"}),
    ("/subscription/credits", CREDITS | {"days": 0}),
    ("/subscription/credits", CREDITS | {"timezone": "Mars/Olympus"}),
    ("/subscription/usage/batch", {"records": []}),
    ("/subscription/usage/batch", {"records": [USAGE] * 1001}),
]


@pytest.mark.parametrize(("path", "body"), INVALID)
@in_loop
async def test_what_is_not_valid_is_named(path: str, body: dict[str, Any]) -> None:
    async with edge() as (http, _):
        answer = await http.post(path, json=body)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["errors"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"user_id": "\\ud800"}']
)
@pytest.mark.parametrize("path", ["/subscription/usage", "/subscription/credits"])
@in_loop
async def test_a_body_that_is_no_json_object_is_refused(path: str, content: bytes) -> None:
    async with edge() as (http, _):
        headers = {"Content-Type": "application/json"}
        answer = await http.post(path, content=content, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_paths_and_methods_that_are_not_there_are_problems_too() -> None:
    async with edge() as (http, _):
        unknown = await http.get("/nothing")
        wrong = await http.delete("/subscription/status")

    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [(Scope.READ, [200, 403, 403]), (Scope.WRITE, [200, 402, 403]), (Scope.ADMIN, [200, 402, 200])],
)
@in_loop
async def test_each_scope_includes_the_ones_before(scope: Scope, allowed: list[int]) -> None:
    async with edge(scope) as (http, _):
        answers = [
            await http.get("/subscription/status", params={"user_id": "ada"}),
            await http.post("/subscription/usage", json=USAGE),
            await http.get("/admin/shards"),
        ]

    assert [answer.status_code for answer in answers] == allowed


@in_loop
async def test_a_key_of_a_batch_stands_for_each_of_its_records() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        body = {"records": [USAGE, USAGE | {"idempotency_key": "own"}]}
        headers = {"Idempotency-Key": "batch"}

        first = await http.post("/subscription/usage/batch", json=body, headers=headers)
        again = await http.post("/subscription/usage/batch", json=body, headers=headers)
        shown = await http.get("/subscription/status", params={"user_id": "ada"})

    assert first.json() == again.json()
    assert shown.json()["remaining_credits"] == 30


@in_loop
async def test_a_cursor_that_no_page_gave_is_refused() -> None:
    async with edge() as (http, _):
        query = {"user_id": "ada", "cursor": "nonsense"}
        answer = await http.get("/subscription/usage", params=query)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_probes_name_what_is_missing() -> None:
    async with edge() as (http, backend):
        ready = await http.get("/readyz")
        backend.lost = True
        unready = await http.get("/readyz")
        shards = await http.get("/admin/shards")

    assert ready.status_code == 200
    assert (unready.status_code, unready.json()["missing"]) == (503, ["shards"])
    assert (shards.status_code, shards.headers["Retry-After"]) == (503, "1")


@in_loop
async def test_the_schema_resolves_every_reference() -> None:
    async with edge() as (http, _):
        document = (await http.get("/openapi.json")).json()

    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])
    assert {"/subscription/status", "/subscription/usage", "/subscription/credits"} <= set(
        document["paths"]
    )
    assert "$defs" not in text


@in_loop
async def test_concurrent_repeats_of_one_key_get_one_answer() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        headers = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(
            *(http.post("/subscription/usage", json=USAGE, headers=headers) for _ in range(20))
        )

    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 19


@in_loop
async def test_operators_read_how_far_ram_is_behind() -> None:
    async with edge() as (http, backend):
        shown = await http.get("/admin/sync")
        backend.lost = True
        lost = await http.get("/admin/sync")

    assert shown.json() == {
        "lag_seconds": 0.5,
        "last_event_at": "2026-03-10T12:00:00Z",
        "events_applied": 3,
        "resumes": 2,
        "resyncs": 1,
        "quarantined": 0,
    }
    assert (lost.status_code, lost.json()["code"]) == (503, "storage_unavailable")


@in_loop
async def test_only_operators_read_how_far_ram_is_behind() -> None:
    async with edge(Scope.WRITE) as (http, _):
        refused = await http.get("/admin/sync")

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
