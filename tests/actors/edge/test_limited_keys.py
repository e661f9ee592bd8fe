"""Keys limited to users or services: every route, asked for what is within the limits and what is not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.routing import Route

import actors.edge.routes
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from tests.builders.limited_keys import (
    CHAT,
    IMAGE,
    PAYMENT,
    LimitedWorld,
    Owned,
    limited_world,
    services,
    users,
)
from tests.fakes.shards import in_loop

OPEN, OF_USER, BALANCE, OF_SERVICE, OF_ALL = (
    "open",
    "of a user",
    "balance",
    "of a service",
    "of all",
)
"""What an operation is about. `balance`: of a user, and tells of no services."""
REASON = {"reason": "asked for"}


class Asked(NamedTuple):
    """A request about one user and one service."""

    path: str
    body: Any = None


class Row(NamedTuple):
    """One form of one operation, and what it is about."""

    method: str
    route: str
    about: str
    ask: Callable[[Owned, str], Asked]
    form: str
    """How it says whom it is about."""
    status: int = 200
    """What those who may do it are answered."""


def row(
    method: str,
    route: str,
    about: str,
    form: str,
    path: str | None = None,
    *,
    body: Callable[[Owned, str], Any] = lambda _, __: None,
    status: int = 200,
) -> Row:
    def ask(owned: Owned, service: str) -> Asked:
        filled = (path or route).format(
            user=owned.user_id,
            subscription=owned.subscription_id,
            usage=owned.usages[service],
            hold=owned.holds[service],
            event=owned.event_id,
        )
        return Asked(filled, body(owned, service))

    return Row(method, route, about, ask, form, status)


def work(owned: Owned, service: str) -> dict[str, Any]:
    return {"user_id": owned.user_id, "service_type": service, "credit_amount": 2}


def paid(owned: Owned, _service: str) -> dict[str, Any]:
    payment = PAYMENT | {"transaction_id": f"more {owned.user_id}"}
    return {"user_id": owned.user_id, "amount": 300, "days": 3, "payment": payment}


HOLDS, USAGE = "/subscription/holds", "/subscription/usage"
ONE_HOLD = "/subscription/holds/{hold_id}"
ENDPOINTS = "/admin/endpoints"
ROWS = [
    *(
        row("GET", path, OPEN, "nobody", shown, status=200)
        for path, shown in [("/healthz", None), ("/readyz", None), ("/openapi.json", None)]
    ),
    row("GET", "/docs", OPEN, "nobody"),
    row("GET", "/portal", OPEN, "nobody"),
    row("GET", "/embed/{name}", OPEN, "nobody", "/embed/allotment.js"),
    row("GET", "/docs/{name}", OPEN, "nobody", "/docs/start.js"),
    row("POST", "/stripe/webhook", OPEN, "nobody", status=400),
    row("GET", "/subscription/status", BALANCE, "query", "/subscription/status?user_id={user}"),
    row("GET", "/subscriptions/{id}", BALANCE, "path", "/subscriptions/{user}"),
    row("GET", USAGE, OF_USER, "query", "/subscription/usage?user_id={user}"),
    row(
        *("GET", "/subscription/usage/monthly", OF_USER, "query"),
        "/subscription/usage/monthly?user_id={user}&month=2026-03",
    ),
    row(
        *("GET", "/subscription/usage/recent", OF_USER, "query"),
        "/subscription/usage/recent?user_id={user}",
    ),
    row("GET", HOLDS, OF_USER, "query", "/subscription/holds?user_id={user}"),
    row("HEAD", "/events", OF_USER, "query", "/events?user_id={user}"),
    row("HEAD", "/events", OF_USER, "query and place", "/events?user_id={user}&after={event}"),
    row("HEAD", "/events", OF_ALL, "nobody"),
    row("HEAD", "/events", OF_ALL, "place", "/events?after={event}"),
    row(
        *("GET", "/subscriptions/{user_id}/history", OF_USER, "path"),
        "/subscriptions/{user}/history",
    ),
    row(
        *("POST", "/events/token", OF_USER, "body"),
        body=lambda owned, _: {"user_id": owned.user_id},
        status=201,
    ),
    row("POST", "/subscription/credits", OF_USER, "body", body=paid, status=201),
    row("POST", USAGE, OF_SERVICE, "body", body=work, status=201),
    row("POST", HOLDS, OF_SERVICE, "body", body=work, status=201),
    row(
        *("POST", f"{USAGE}/{{usage_id}}/reversals", OF_SERVICE, "path"),
        "/subscription/usage/{usage}/reversals",
        body=lambda _, __: REASON,
        status=201,
    ),
    row(
        *("POST", f"{ONE_HOLD}/settle", OF_SERVICE, "path"),
        "/subscription/holds/{hold}/settle",
        body=lambda _, __: {"credit_amount": 1},
        status=201,
    ),
    row("DELETE", ONE_HOLD, OF_SERVICE, "path", "/subscription/holds/{hold}", status=204),
    row(
        *("POST", "/subscription/adjustments", OF_USER, "body"),
        body=lambda o, _: {"user_id": o.user_id, "credit_amount": 5} | REASON,
        status=201,
    ),
    row(
        *("PATCH", "/subscriptions/{id}", OF_USER, "path"),
        "/subscriptions/{subscription}",
        body=lambda _, __: {"status": "paused"},
    ),
    row(
        *("DELETE", "/users/{user_id}", OF_USER, "path"),
        "/users/{user}",
        body=lambda _, __: {"mode": "anonymize"},
    ),
    row(
        *("POST", "/admin/sync", OF_USER, "body"),
        body=lambda owned, _: {"user_id": owned.user_id},
    ),
    row("POST", "/admin/sync", OF_ALL, "nobody", body=lambda _, __: {}),
    row("POST", "/admin/sync", OF_ALL, "null", body=lambda _, __: {"user_id": None}),
    row("POST", "/admin/sync", OF_ALL, "no body"),
    row("GET", "/subscriptions", OF_ALL, "nobody"),
    row("GET", "/admin/events", OF_ALL, "nobody"),
    row(
        *("POST", "/admin/events/{id}/redeliver", OF_ALL, "path"),
        "/admin/events/{event}/redeliver",
    ),
    row("GET", "/admin/anonymizations", OF_ALL, "nobody"),
    row("POST", "/admin/validate", OF_ALL, "nobody", body=lambda _, __: {}),
    row("POST", "/admin/reshard", OF_ALL, "nobody", body=lambda _, __: {"shards": 2}),
    row("GET", "/admin/reshard", OF_ALL, "nobody"),
    row("GET", "/admin/sweeps", OF_ALL, "nobody"),
    row("GET", "/admin/audit", OF_ALL, "nobody"),
    row("GET", "/admin/settings", OF_ALL, "nobody"),
    row("PATCH", "/admin/settings", OF_ALL, "nobody", body=lambda _, __: {"cors_origins": []}),
    row("GET", "/admin/endpoints", OF_ALL, "nobody"),
    row(
        *("POST", "/admin/endpoints", OF_ALL, "nobody"),
        body=lambda _, __: {"url": "https://crm.example/hook"},
        status=201,
    ),
    row(
        *("PATCH", f"{ENDPOINTS}/{{endpoint_id}}", OF_ALL, "path", f"{ENDPOINTS}/none"),
        body=lambda _, __: {"enabled": False},
        status=404,
    ),
    row("DELETE", f"{ENDPOINTS}/{{endpoint_id}}", OF_ALL, "path", f"{ENDPOINTS}/x", status=404),
    *(
        row(
            *("POST", f"{ENDPOINTS}/{{endpoint_id}}/{act}", OF_ALL, "path"),
            f"{ENDPOINTS}/none/{act}",
            status=404,
        )
        for act in ("rotate", "test")
    ),
    row("GET", "/admin/refusals", OF_ALL, "nobody"),
    row("GET", "/admin/users", OF_ALL, "nobody"),
    row("GET", "/admin/prices", OF_ALL, "nobody"),
    row("GET", "/admin/shards", OF_ALL, "nobody"),
    row("GET", "/admin/sync", OF_ALL, "nobody"),
    row("GET", "/admin/stripe/reconcile", OF_ALL, "nobody"),
    row("POST", "/admin/stripe/reconcile", OF_ALL, "nobody", status=404),
    row(
        *("PUT", "/admin/test-clock", OF_ALL, "nobody"),
        body=lambda _, __: {"now": "2027-01-01T00:00:00Z"},
        status=404,
    ),
]
KEYS = [
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys"),
    ("POST", "/admin/keys/{key_id}/rotate"),
    ("DELETE", "/admin/keys/{key_id}"),
]
"""They are about keys: `routes/test_keys.py` has what limited ones may do to others."""
BATCH = "/subscription/usage/batch"
MIXED = ("POST", BATCH)
"""The one operation that is about several users and services: it has a test of its own."""

ADA, BOB = "ada", "bob"
TO_ADA = {"a list": users(ADA), "a prefix": users(prefix="ad"), "both": users("eve", prefix="ada")}
every = pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.method} {r.route} by {r.form}")


async def answered(
    world: LimitedWorld, limits: KeyLimits, row: Row, owned: Owned, service: str = CHAT
) -> int:
    """Return the status of an answer; a refusal is a whole problem body that names nothing."""
    path, body = row.ask(owned, service)
    got = await world.ask(limits, row.method, path, body)
    if got.status_code == 403 and row.method != "HEAD":
        assert got.headers["content-type"] == "application/problem+json"
        problem = got.json()
        assert (problem["code"], problem["status"]) == ("forbidden", 403)
        assert not any(text in got.text for text in (ADA, BOB, IMAGE))
    return got.status_code


def routes() -> Iterator[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    @in_loop
    async def read() -> None:
        async with limited_world() as world:
            gate = world.http._transport.app  # type: ignore[attr-defined]
            for route in gate.routes:
                assert isinstance(route, Route)
                seen.extend((m, route.path_format) for m in (route.methods or set()) - {"HEAD"})

    read()
    yield from seen


def test_every_route_has_a_row() -> None:
    asked = {(r.method.replace("HEAD", "GET"), r.route) for r in ROWS}

    assert set(routes()) == asked | {MIXED, *KEYS}


@every
@pytest.mark.parametrize("limits", TO_ADA.values(), ids=TO_ADA)
@in_loop
async def test_a_key_for_one_user_gets_nothing_of_another_and_does_nothing_to_them(
    row: Row, limits: KeyLimits
) -> None:
    async with limited_world(ADA, BOB) as world:
        before = world.entries_of(BOB)
        got = await answered(world, limits, row, world.of[BOB])
        after = world.entries_of(BOB)

    assert got == (row.status if row.about is OPEN else 403)
    assert after == before


@every
@in_loop
async def test_a_key_for_one_user_does_all_that_its_scope_allows_to_that_user(row: Row) -> None:
    async with limited_world(ADA) as world:
        got = await answered(world, users(ADA), row, world.of[ADA])

    assert got == (403 if row.about is OF_ALL else row.status)


@every
@pytest.mark.parametrize("service", [CHAT, IMAGE])
@in_loop
async def test_a_key_for_some_services_has_to_do_with_no_other(row: Row, service: str) -> None:
    async with limited_world(ADA) as world:
        before = world.entries_of(ADA)
        got = await answered(world, services(CHAT, "mail"), row, world.of[ADA], service)
        after = world.entries_of(ADA)

    may = {OPEN: True, BALANCE: True, OF_SERVICE: service == CHAT}.get(row.about, False)
    assert got == (row.status if may else 403)
    assert may or after == before


@every
@in_loop
async def test_a_key_without_limits_is_for_all(row: Row) -> None:
    async with limited_world(ADA) as world:
        path, body = row.ask(world.of[ADA], IMAGE)
        got = await world.ask(None, row.method, path, body)

    assert got.status_code == row.status


@every
@in_loop
async def test_limits_give_no_scope(row: Row) -> None:
    """A key that reads may do no more for being limited."""
    async with limited_world(ADA) as world:
        path, body = row.ask(world.of[ADA], CHAT)
        limited = await world.ask(users(ADA), row.method, path, body, Scope.READ)
        unlimited = await world.ask(None, row.method, path, body, Scope.READ)

    assert limited.status_code in {403, unlimited.status_code}


@in_loop
async def test_each_record_of_a_batch_is_within_the_limits_or_refused() -> None:
    both = KeyLimits(frozenset({ADA}), None, frozenset({CHAT}))  # type: ignore[arg-type]
    pairs = [(ADA, CHAT), (ADA, IMAGE), (BOB, CHAT), (ADA, CHAT), (BOB, IMAGE)]
    async with limited_world(ADA, BOB) as world:
        before = world.entries_of(BOB)
        records = [work(world.of[user], service) for user, service in pairs]
        got = await world.ask(both, "POST", BATCH, {"records": records})
        after = world.entries_of(BOB)
        status = await world.ask(both, "GET", f"/subscription/status?user_id={ADA}")

    assert [one["status"] for one in got.json()["results"]] == [201, 403, 403, 201, 403]
    problems = [one["problem"] for one in got.json()["results"] if "problem" in one]
    assert {problem["code"] for problem in problems} == {"forbidden"}
    assert after == before
    assert status.json()["credits_used"] == 5 + 5 + 2 + 2


@in_loop
async def test_a_repeat_of_what_was_done_is_within_the_limits_too() -> None:
    """A hold that is settled is not open any more: the repeat of its settlement is answered all the same."""
    async with limited_world(ADA) as world:
        placed = await world.ask(services(CHAT), "POST", HOLDS, work(world.of[ADA], CHAT))
        path = f"{HOLDS}/{placed.json()['hold_id']}/settle"
        body, key = {"credit_amount": 1}, "job-1"
        first = await world.ask(services(CHAT), "POST", path, body, idempotency_key=key)
        again = await world.ask(services(CHAT), "POST", path, body, idempotency_key=key)
        other = await world.ask(services(IMAGE), "POST", path, body, idempotency_key=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 403)
    assert again.headers["idempotent-replayed"] == "true"


@in_loop
async def test_a_stream_of_one_user_begins_after_no_event_of_another() -> None:
    async with limited_world(ADA, BOB) as world:
        path = f"/events?user_id={ADA}&after={world.of[BOB].event_id}"
        got = await world.ask(users(ADA), "HEAD", path)
        of_all = await world.ask(None, "HEAD", path)

    assert (got.status_code, of_all.status_code) == (422, 200)


@pytest.mark.parametrize("spelt", ["65A1B2C3D4E5F60718293A4B", "65a1b2c3d4e5f60718293a4b"])
@in_loop
async def test_an_object_id_is_within_the_limits_however_it_is_spelt(spelt: str) -> None:
    limits = users("65a1b2c3d4e5f60718293a4b")
    async with limited_world(ADA) as world:
        got = await world.ask(limits, "GET", f"/subscription/status?user_id={spelt}")

    assert got.status_code == 200


def test_no_operation_makes_a_call_past_the_limits() -> None:
    """`call_of` is the only way from a request to a call."""
    folder = Path(actors.edge.routes.__path__[0])

    assert [file.name for file in folder.glob("*.py") if "make_call" in file.read_text()] == []
