"""The HTTP edge on one shard of this process, whose clock the requests set."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.edge.app import build_app
from actors.janitor.expiry import Ended, expire_call
from actors.mongo.events import MongoEvents
from domain.pricing import Price, PriceList
from domain.values import CURRENT_STATUSES, Policy, UserId
from tests.builders.authors import NOON
from tests.fakes.asked import AllQueries
from tests.fakes.edge import LocalBackend, OneShard
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.memory_keys import Keys
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MemorySetup, MongoSetup, Setup
from tests.fakes.shards import Clock, running

POLICY = Policy(prices=PriceList((Price("chat", "m-*", Decimal("0.25"), 1000),)))
HEADERS = ("content-type", "idempotent-replayed", "retry-after", "www-authenticate")
"""What clients read of an answer beside its body."""


class ClockedBackend(LocalBackend):
    clock: Clock

    async def now(self) -> datetime:
        return self.clock()


class Served:
    """Answers requests as they stand in the golden file, each at its instant."""

    def __init__(self, http: httpx.AsyncClient, backend: ClockedBackend, setup: Setup) -> None:
        self._http = http
        self._backend = backend
        self._setup = setup
        self._keys: dict[str, str] = {}

    def add_key(self, scope: Scope, keys: Keys) -> None:
        """Make an API key whose id is its scope: the history tells ids."""
        self._keys[scope.name], key = make_key("golden", scope, NOON)
        keys.insert(replace(key, key_id=scope.name))

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return status, headers and body. Before it reads, views are brought up to the journal."""
        self._backend.clock.now = datetime.fromisoformat(request["at"])
        if request["method"] == "GET":
            await self._backend.settle()
        if request["method"] == "EXPIRE":
            return {"status": 200, "headers": {}, "body": await self._expire()}
        headers = {}
        if request["as"] is not None:
            headers["authorization"] = f"Bearer {self._keys[request['as']]}"
        if request["key"] is not None:
            headers["idempotency-key"] = request["key"]
        answer = await self._http.request(
            request["method"], request["path"], json=request["body"], headers=headers
        )
        told = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
        body = json.loads(answer.content) if answer.content else None
        return {"status": answer.status_code, "headers": told, "body": body}

    async def _expire(self) -> list[str]:
        """Write down, as the janitor does, which subscriptions have ended; return their ids."""
        await self._backend.settle()
        ended = [
            Ended(UserId(document["user_id"]), document["_id"], document["end_date"])
            for document in self._setup.documents("subscriptions")
            if document["status"] in CURRENT_STATUSES
            and document["end_date"] <= self._backend.clock()
        ]
        await self._backend.router.calls([expire_call(one) for one in ended])
        return [one.subscription_id for one in ended]

    async def events(self) -> list[dict[str, Any]]:
        """Return what the world is told of all that was asked, user by user in order."""
        await self._backend.settle()
        match self._setup:
            case MongoSetup(database=database):
                found = MongoEvents(database).number(1000)
            case _:
                assert isinstance(self._setup.store, MemoryStore)
                found = MemoryEvents(self._setup.store).number(1000)
        told = sorted((event.record for event in found), key=lambda record: record.user_id)
        return [record.model_dump(mode="json") for record in told]


@asynccontextmanager
async def served(setup: Setup | None = None) -> AsyncIterator[Served]:
    """Serve over a store that holds nothing yet."""
    setup = setup or MemorySetup()
    clock, keys = Clock(NOON), Keys()
    async with running(setup.store, clock=clock, policy=POLICY) as shard:
        one = OneShard(shard, MemoryStore())
        one.queries = AllQueries(shard, setup.reads, POLICY)
        backend = ClockedBackend(one, keys)
        backend.clock, backend.overview = clock, setup.overview
        transport = httpx.ASGITransport(build_app(backend))
        async with httpx.AsyncClient(transport=transport, base_url="http://allotment") as http:
            service = Served(http, backend, setup)
            for scope in (Scope.ADMIN, Scope.READ):
                service.add_key(scope, keys)
            yield service
