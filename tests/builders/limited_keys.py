"""Keys that are limited, and a service in which two users have one of everything."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from domain.messages import Entry
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.edge import LocalBackend, edge
from tests.fakes.memory_keys import Keys
from tests.fakes.shards import until

PAYMENT = {"method": "card", "amount": 2900, "currency": "eur"}
CHAT, IMAGE = "chat", "image"


def users(*ids: str, prefix: str | None = None) -> KeyLimits:
    """Return limits to these users."""
    return KeyLimits(frozenset(map(UserId, ids)) if ids else None, prefix)


def services(*names: str) -> KeyLimits:
    """Return limits to these services."""
    return KeyLimits(services=frozenset(names))


@dataclass(frozen=True, slots=True)
class Owned:
    """What one user has."""

    user_id: str
    subscription_id: str
    event_id: str
    usages: Mapping[str, str]
    """Ids of charges by service."""
    holds: Mapping[str, str]
    """Ids of open holds by service."""


@dataclass(slots=True)
class LimitedWorld:
    """A service, and who asks it."""

    http: httpx.AsyncClient
    backend: LocalBackend
    keys: Keys
    of: Mapping[str, Owned]

    async def ask(
        self,
        limits: KeyLimits | None,
        method: str,
        path: str,
        body: object = None,
        scope: Scope = Scope.ADMIN,
        idempotency_key: str | None = None,
    ) -> httpx.Response:
        """Ask with a key of its own that is limited so."""
        text, key = make_key("limited", scope, NOON, limits=limits)
        self.keys.insert(key)
        self.backend.keys._take(self.keys.list())
        headers = {"Authorization": f"Bearer {text}"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return await self.http.request(method, path, json=body, headers=headers)

    def entries_of(self, user_id: str) -> list[Entry]:
        """Return what was decided about a user."""
        return [e for e in self.backend.shards.store.journal.values() if e.user_id == user_id]


@contextlib.asynccontextmanager
async def limited_world(*user_ids: str) -> AsyncIterator[LimitedWorld]:
    """Serve, with everything that these users have."""
    async with edge() as (http, backend):
        store = backend.keys._store
        assert isinstance(store, Keys)
        of = {user_id: await owned(http, backend, user_id) for user_id in user_ids}
        yield LimitedWorld(http, backend, store, of)


async def owned(http: httpx.AsyncClient, backend: LocalBackend, user_id: str) -> Owned:
    """Give a user one of everything."""

    async def post(path: str, **body: Any) -> Any:
        answer = await http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    payment = PAYMENT | {"transaction_id": f"t {user_id}"}
    added = await post(
        "/subscription/credits", user_id=user_id, amount=3000, days=30, payment=payment
    )
    work = {
        service: {"user_id": user_id, "service_type": service, "credit_amount": 5}
        for service in (CHAT, IMAGE)
    }
    usages = {s: (await post("/subscription/usage", **w))["usage_id"] for s, w in work.items()}
    holds = {s: (await post("/subscription/holds", **w))["hold_id"] for s, w in work.items()}
    await backend.shards.shard.settle()
    subscription_id = added["subscription"]["subscription_id"]
    return Owned(user_id, subscription_id, await event_of(backend, user_id), usages, holds)


async def event_of(backend: LocalBackend, user_id: str) -> str:
    """Return the id of an event of a user that has its place."""
    documents = backend.shards.store.collections["events"]

    def places() -> list[str]:
        return [i for i, d in documents.items() if d["user_id"] == user_id and d["order"]]

    await until(places)
    return places()[0]
