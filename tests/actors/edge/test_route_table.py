"""Who may call what: every route times every kind of caller, each cell asserted."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from actors.auth.caller import Scope
from actors.auth.tokens import Tokens
from actors.edge.app import build_app
from actors.edge.gate import Gate
from tests.builders.authors import NOON
from tests.builders.tokens import RULES, now, token
from tests.fakes.edge import CREDITS, USAGE, LocalBackend, OneShard
from tests.fakes.memory_keys import Keys, made, stranger_like
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import Clock, in_loop, running

OPEN, OWN, WRITE, ADMIN, FOLLOW = "open", "own", "write", "admin", "follow"
SHARE = "share"  # A user's own, and a key's that may write.


class Row(NamedTuple):
    """One route as it is called for ada, and who may call it."""

    method: str
    path: str
    route: str
    access: str
    body: Mapping[str, Any] | None = None
    answers: int = 200
    """What those who may call it are answered."""


HOLD = {"user_id": "ada", "credit_amount": 4}
GIVEN = {"user_id": "ada", "credit_amount": 4, "reason": "An apology."}
ROWS = [
    Row("GET", "/healthz", "/healthz", OPEN),
    Row("GET", "/readyz", "/readyz", OPEN),
    Row("GET", "/openapi.json", "/openapi.json", OPEN),
    Row("GET", "/docs", "/docs", OPEN),
    Row("GET", "/docs/swagger-ui.css", "/docs/{name}", OPEN),
    Row("GET", "/subscription/status?user_id=ada", "/subscription/status", OWN),
    Row("GET", "/subscription/usage?user_id=ada", "/subscription/usage", OWN),
    Row(
        "GET",
        "/subscription/usage/monthly?user_id=ada&month=2026-03",
        "/subscription/usage/monthly",
        OWN,
    ),
    Row("GET", "/subscriptions/ada", "/subscriptions/{id}", OWN),
    Row("POST", "/subscription/credits", "/subscription/credits", WRITE, CREDITS, 201),
    Row("POST", "/subscription/usage", "/subscription/usage", WRITE, USAGE, 402),
    Row("POST", "/subscription/usage/batch", "/subscription/usage/batch", WRITE, {"records": [1]}),
    Row(
        "POST",
        "/subscription/usage/none/reversals",
        "/subscription/usage/{usage_id}/reversals",
        WRITE,
        {"reason": "it failed"},
        404,
    ),
    Row(
        "POST",
        "/subscription/adjustments",
        "/subscription/adjustments",
        ADMIN,
        {"user_id": "ada", "credit_amount": 5, "reason": "an apology"},
        201,
    ),
    Row("GET", "/subscription/holds?user_id=ada", "/subscription/holds", OWN),
    Row("POST", "/subscription/holds", "/subscription/holds", WRITE, HOLD, 402),
    Row(
        "POST",
        "/subscription/holds/none/settle",
        "/subscription/holds/{hold_id}/settle",
        WRITE,
        {"credit_amount": 1},
        404,
    ),
    Row("DELETE", "/subscription/holds/none", "/subscription/holds/{hold_id}", WRITE, None, 404),
    Row(
        "POST",
        f"/subscription/usage/{'a' * 24}/reversals",
        "/subscription/usage/{usage_id}/reversals",
        WRITE,
        {"reason": "The job has failed."},
        404,
    ),
    Row("POST", "/subscription/adjustments", "/subscription/adjustments", ADMIN, GIVEN, 201),
    Row("GET", "/subscriptions", "/subscriptions", ADMIN),
    Row("GET", "/subscriptions/ada/history", "/subscriptions/{user_id}/history", ADMIN),
    Row(
        "PATCH",
        "/subscriptions/none",
        "/subscriptions/{id}",
        ADMIN,
        {"status": "paused"},
        404,
    ),
    Row("GET", "/events?user_id=ada&after=evt_none", "/events", FOLLOW, None, 422),
    Row("POST", "/events/token", "/events/token", SHARE, {"user_id": "ada"}, 201),
    Row("GET", "/admin/events", "/admin/events", ADMIN),
    Row(
        "POST",
        "/admin/events/evt_none/redeliver",
        "/admin/events/{id}/redeliver",
        ADMIN,
        None,
        404,
    ),
    Row("DELETE", "/users/ada", "/users/{user_id}", ADMIN, {"mode": "anonymize"}),
    Row("GET", "/admin/anonymizations", "/admin/anonymizations", ADMIN),
    Row("POST", "/admin/sync", "/admin/sync", ADMIN, {}),
    Row("POST", "/admin/validate", "/admin/validate", ADMIN, {}),
    Row("POST", "/admin/reshard", "/admin/reshard", ADMIN, {"shards": 2}),
    Row("GET", "/admin/reshard", "/admin/reshard", ADMIN),
    Row("GET", "/admin/sweeps", "/admin/sweeps", ADMIN),
    Row("GET", "/admin/shards", "/admin/shards", ADMIN),
    Row("GET", "/admin/sync", "/admin/sync", ADMIN),
    Row("GET", "/admin/events", "/admin/events", ADMIN),
    Row("GET", "/admin/stripe/reconcile", "/admin/stripe/reconcile", ADMIN),
    Row("POST", "/admin/stripe/reconcile", "/admin/stripe/reconcile", ADMIN, None, 404),
    Row("POST", "/stripe/webhook", "/stripe/webhook", OPEN, None, 400),
    Row(
        "PUT",
        "/admin/test-clock",
        "/admin/test-clock",
        ADMIN,
        {"now": "2027-01-01T00:00:00Z"},
        404,
    ),
]

CALLERS: dict[str, dict[str, int]] = {
    # What each kind of caller is answered where the route is …; 0: what the row says.
    "no key": {OPEN: 0, OWN: 401, WRITE: 401, ADMIN: 401, FOLLOW: 401, SHARE: 401},
    "wrong key": {OPEN: 0, OWN: 401, WRITE: 401, ADMIN: 401, FOLLOW: 401, SHARE: 401},
    "read": {OPEN: 0, OWN: 0, WRITE: 403, ADMIN: 403, FOLLOW: 403, SHARE: 403},
    "write": {OPEN: 0, OWN: 0, WRITE: 0, ADMIN: 403, FOLLOW: 403, SHARE: 0},
    "admin": {OPEN: 0, OWN: 0, WRITE: 0, ADMIN: 0, FOLLOW: 0, SHARE: 0},
    "own token": {OPEN: 0, OWN: 0, WRITE: 403, ADMIN: 403, FOLLOW: 0, SHARE: 0},
    "other user's token": {OPEN: 0, OWN: 403, WRITE: 403, ADMIN: 403, FOLLOW: 403, SHARE: 403},
    "expired token": {OPEN: 0, OWN: 401, WRITE: 401, ADMIN: 401, FOLLOW: 401, SHARE: 401},
    "alg none": {OPEN: 0, OWN: 401, WRITE: 401, ADMIN: 401, FOLLOW: 401, SHARE: 401},
    "wrong audience": {OPEN: 0, OWN: 401, WRITE: 401, ADMIN: 401, FOLLOW: 401, SHARE: 401},
}


def shown_by(keys: Keys) -> dict[str, str | None]:
    """Return what each kind of caller puts behind `Bearer`."""
    kept = {scope.name.lower(): made(keys, scope)[0] for scope in Scope}
    return kept | {
        "no key": None,
        "wrong key": stranger_like(""),
        "own token": token(),
        "other user's token": token({"sub": "bob"}),
        "expired token": token({"exp": now() - 120}),
        "alg none": token(key=None, algorithm="none"),
        "wrong audience": token({"aud": "mail"}),
    }


async def answer(caller: str, row: Row) -> httpx.Response:
    store, keys = MemoryStore(), Keys()
    shown = shown_by(keys)[caller]
    headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
    async with running(store, clock=Clock(NOON)) as shard:
        backend = LocalBackend(OneShard(shard, store), keys)
        backend.tokens = Tokens(RULES)
        transport = httpx.ASGITransport(build_app(backend))
        relaying = asyncio.create_task(backend.relay.run())
        async with httpx.AsyncClient(transport=transport, base_url="http://allotment") as http:
            got = await http.request(row.method, row.path, json=row.body, headers=headers)
        relaying.cancel()
        await asyncio.wait([relaying])
        return got


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.route}")
@in_loop
async def test_who_may_call_what(row: Row, caller: str) -> None:
    expected = CALLERS[caller][row.access] or row.answers

    got = await answer(caller, row)

    assert got.status_code == expected, got.text
    if expected == 401:
        assert got.json()["code"] == "unauthorized"
        assert got.headers["www-authenticate"] == "Bearer"
    if expected == 403:
        assert got.json()["code"] == "forbidden"


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.method == "GET"], ids=lambda row: row.route
)
@in_loop
async def test_who_may_ask_for_a_head_is_who_may_get(row: Row, caller: str) -> None:
    got = await answer(caller, row._replace(method="HEAD"))

    assert got.status_code == (CALLERS[caller][row.access] or row.answers)
    assert got.content == b""


@pytest.mark.parametrize("caller", CALLERS)
@in_loop
async def test_paths_that_are_not_there_tell_strangers_nothing(caller: str) -> None:
    row = Row("GET", "/nothing", "", ADMIN)

    got = await answer(caller, row)

    stranger = CALLERS[caller][ADMIN] == 401
    assert got.status_code == (401 if stranger else 404)


def routes_of(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        assert not isinstance(route, Mount), "a mounted application is past this table"
        assert isinstance(route, Route), route
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path_format


@in_loop
async def test_every_route_has_a_row() -> None:
    store = MemoryStore()
    async with running(store, clock=Clock(NOON)) as shard:
        gate = build_app(LocalBackend(OneShard(shard, store), Keys()))

    assert isinstance(gate, Gate)
    routes = set(routes_of(gate.routes))
    assert routes == {(row.method, row.route) for row in ROWS}
