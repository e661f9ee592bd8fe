"""Hot operations are answered before Serve; all else goes on to it, and nothing is lost between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Server

from actors.edge.app import build_app
from actors.edge.gate import Gate
from actors.runtime.counters import OperationCounters
from actors.serving import shortcut
from tests.fakes.edge import CREDITS, PAYMENT, USAGE, edge
from tests.fakes.shards import in_loop

STATUS, CHARGE = ("GET", "/subscription/status"), ("POST", "/subscription/usage")


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for Serve's layers: whatever comes here was not answered at once."""
    await PlainTextResponse("Serve")(scope, receive, send)


@asynccontextmanager
async def behind_the_shortcut(
    monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> AsyncIterator[tuple[httpx.AsyncClient, Gate]]:
    monkeypatch.setattr(shortcut, "_gates", [])
    monkeypatch.setattr(Server, "startup", Server.startup)
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        gate = build_app(backend)
        if is_open:
            shortcut.open_shortcut(gate, gate)
        (middleware,) = shortcut.middlewares()
        transport = httpx.ASGITransport(
            middleware.cls(serve, *middleware.args, **middleware.kwargs)
        )
        async with httpx.AsyncClient(
            transport=transport, base_url="http://edge", headers=http.headers
        ) as client:
            yield client, gate


@in_loop
async def test_hot_operations_never_come_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind_the_shortcut(monkeypatch, is_open=True) as (http, _):
        charged = await http.post("/subscription/usage", json=USAGE)
        status = await http.get("/subscription/status", params={"user_id": "ada"})

    assert (charged.status_code, charged.json()["remaining_credits"]) == (201, 60)
    assert (status.status_code, status.json()["remaining_credits"]) == (200, 60)


@in_loop
async def test_holds_settlements_and_credits_never_come_to_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold, cost = {"user_id": "ada", "credit_amount": 7}, {"credit_amount": 3}
    async with behind_the_shortcut(monkeypatch, is_open=True) as (http, gate):
        held = await http.post("/subscription/holds", json=hold)
        name = held.json()["hold_id"]
        settled = await http.post(f"/subscription/holds/{name}/settle", json=cost)
        unknown = await http.post("/subscription/holds/none/settle", json=cost)
        more = CREDITS | {"payment": PAYMENT | {"transaction_id": "t-2"}}
        added = await http.post("/subscription/credits", json=more)

    assert (held.status_code, held.json()["remaining_credits"]) == (201, 83)
    assert (settled.status_code, settled.json()["remaining_credits"]) == (201, 87)
    assert unknown.status_code == 404
    assert added.status_code == 201
    counted = gate.counters["POST", "/subscription/holds/{hold_id}/settle"]
    assert (counted.requests, counted.refused) == (2, 1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/subscription/usage"),
        ("POST", "/subscription/usage/"),
        ("POST", "/subscription/usage/batch"),
        ("POST", "/subscription/holds/"),
        ("POST", "/subscription/holds/settle"),
        ("POST", "/subscription/holds//settle"),
        ("POST", "/subscription/holds/a/b/settle"),
        ("POST", "/subscription/holds/a%2Fb/settle"),
        ("GET", "/subscription/holds"),
        ("DELETE", "/subscription/holds/a"),
    ],
)
@in_loop
async def test_all_else_goes_on_to_serve(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    async with behind_the_shortcut(monkeypatch, is_open=True) as (http, gate):
        answer = await http.request(method, path)

    assert answer.text == "Serve"
    assert all(counted == OperationCounters() for counted in gate.counters.values())


@in_loop
async def test_a_process_without_a_gate_leaves_all_to_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with behind_the_shortcut(monkeypatch, is_open=False) as (http, _):
        answer = await http.post("/subscription/usage", json=USAGE)

    assert answer.text == "Serve"


@in_loop
async def test_what_serve_does_not_see_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with behind_the_shortcut(monkeypatch, is_open=True) as (http, gate):
        await http.post("/subscription/usage", json=USAGE)
        await http.post("/subscription/usage", json=USAGE | {"credit_amount": 9000})
        await http.post("/subscription/usage", json=USAGE, headers={"Authorization": "Bearer no"})
        await http.get("/subscription/status", params={"user_id": "ada"})

    charges, statuses = gate.counters[CHARGE], gate.counters[STATUS]
    assert (charges.requests, charges.refused, charges.failed) == (3, 2, 0)
    assert (statuses.requests, statuses.refused, statuses.failed) == (1, 0, 0)
    assert charges.seconds > 0


def test_server_errors_are_counted_apart() -> None:
    counters = OperationCounters()

    for status in (201, 402, 500, 503):
        counters.note(status, 0.5)

    assert counters == OperationCounters(requests=4, refused=1, failed=2, seconds=2.0)
