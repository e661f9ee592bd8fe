"""Who may call what: every route times every kind of caller, each cell asserted."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from actors.auth.caller import Scope
from actors.auth.tokens import Tokens
from actors.edge.app import build_app
from actors.edge.gate import Gate
from tests.builders.authors import NOON
from tests.builders.route_rows import ADMIN, FOLLOW, OPEN, OWN, ROWS, SHARE, WRITE, Row
from tests.builders.tokens import RULES, now, token
from tests.fakes.edge import LocalBackend, OneShard
from tests.fakes.memory_keys import Keys, made, stranger_like
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import Clock, in_loop, running
from tests.fakes.stage import served

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
        relaying = asyncio.create_task(backend.relay.run())
        with served(backend) as gate:
            transport = httpx.ASGITransport(gate)
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
