"""Traces of requests: one tree from HTTP to the journal, and nothing in it that is anybody's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from actors.edge.app import build_app
from actors.edge.traced import HEADER, Traced
from actors.protocol.calls import Envelope, Reply
from actors.routing.wire import packed, unpacked
from actors.runtime.tracing import DatabaseSteps, travelling
from actors.shard.traced import TracedShard
from tests.fakes.edge import CREDITS, USAGE, LocalBackend, OneShard, edge
from tests.fakes.shards import in_loop
from tests.fakes.spans import Spans, id_of, parent_of, trace_of

TRACE_ID, SPAN_ID = "4b" * 16, "0a" * 8
OURS = HEADER.decode()
SAID = {
    *("http.request.method", "http.route", "http.response.status_code", "error.type"),
    *("allotment.code", "allotment.replayed"),
    *("allotment.shard", "allotment.calls", "allotment.statuses", "db.system.name"),
}
SECRET = ("ada", "3000", "2900", "t-1", "chat", "Bearer", "job-1")


@asynccontextmanager
async def tracing(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[httpx.AsyncClient, LocalBackend]]:
    """Yield a client of an interface that is traced, its shard as far away as a real one."""
    steps = DatabaseSteps()
    traced = TracedShard("shard-000", spans.tracer, steps)

    async def send(self: OneShard, _index: int, envelope: Envelope) -> list[Reply]:
        self.shard.traced_steps = steps
        message = packed(envelope, travelling())
        return await traced.answer(*unpacked(message), self.shard.handle)

    monkeypatch.setattr(OneShard, "send", send)
    async with edge() as (http, backend):
        gate = build_app(backend)
        app = Traced(gate, gate.routes, frozenset(gate.counters), spans.tracer)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://edge",
            headers=http.headers,
        ) as client:
            yield client, backend


def told(span: Any) -> dict[str, Any]:
    return dict(span.attributes or {})


@in_loop
async def test_a_charge_is_one_tree_from_the_request_to_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        (await http.post("/subscription/credits", json=CREDITS)).raise_for_status()
        (await http.post("/subscription/usage", json=USAGE)).raise_for_status()

    (request,) = spans.named("POST /subscription/usage")
    tree = [span for span in spans.all if trace_of(span) == trace_of(request)]
    (shard,) = [span for span in tree if span.name == "shard"]
    (append,) = [span for span in tree if span.name == "append to the journal"]

    assert parent_of(request) is None
    assert parent_of(shard) == id_of(request)
    assert parent_of(append) == id_of(shard)
    assert (request.kind, append.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert told(request)["http.response.status_code"] == 201
    assert told(append)["db.system.name"] == "mongodb"
    assert (told(shard)["allotment.shard"], told(shard)["allotment.calls"]) == ("shard-000", 1)
    assert request.start_time is not None
    assert append.start_time is not None
    assert request.start_time <= append.start_time


@in_loop
async def test_nothing_that_is_anybodys_is_in_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        keyed = {"Idempotency-Key": "job-1"}
        for _ in range(2):
            await http.post("/subscription/usage", json=USAGE, headers=keyed)
        await http.post("/subscription/usage", json=USAGE | {"credit_amount": 99999})
        await http.post("/subscription/usage", json={"user_id": "ada"})
        await http.get("/subscriptions/ada/history?limit=1")
        await http.get("/subscriptions/a%2Fda")
        await http.get("/nowhere/ada?user_id=ada")
        await http.request("ADA", "/subscription/status")
        await http.head("/subscription/status?user_id=ada")
        hold = {"user_id": "ada", "credit_amount": 7}
        placed = (await http.post("/subscription/holds", json=hold)).json()["hold_id"]
        await http.post(f"/subscription/holds/{placed}/settle", json={"credit_amount": 3})

    names = {span.name for span in spans.all}
    text = repr([(span.name, told(span), span.status.description) for span in spans.all])

    assert {name for span in spans.all for name in told(span)} <= SAID
    assert not [
        secret for secret in (*SECRET, placed, http.headers["Authorization"]) if secret in text
    ]
    assert "GET /subscriptions/{user_id}/history" in names
    assert "GET /subscriptions/{id}" in names
    assert "POST /subscription/holds/{hold_id}/settle" in names
    assert {"GET", "HEAD /subscription/status", "_OTHER /subscription/status"} <= names
    assert not any(span.events for span in spans.all)


@in_loop
async def test_a_refusal_says_its_code_and_a_repeat_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        for amount in (1, 1, 99999):
            key = {"Idempotency-Key": f"k-{amount}"}
            await http.post(
                "/subscription/usage", json=USAGE | {"credit_amount": amount}, headers=key
            )

    first, repeat, refused = map(told, spans.named("POST /subscription/usage"))

    assert "allotment.replayed" not in first
    assert repeat["allotment.replayed"] is True
    assert refused["http.response.status_code"] == 402
    assert refused["allotment.code"] == "insufficient_credits"
    assert "error.type" not in refused, "who has nothing left is no error of the service"


@in_loop
async def test_what_the_service_cannot_do_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()

    async def away() -> list[str]:
        raise RuntimeError("boom, of ada")

    async with tracing(spans, monkeypatch) as (http, backend):
        monkeypatch.setattr(backend, "reports", away)
        assert (await http.get("/admin/shards")).status_code == 500

    (span,) = spans.all

    assert span.status.status_code is StatusCode.ERROR
    assert told(span)["error.type"] == "RuntimeError"
    assert "boom" not in repr((span.name, told(span), span.status.description, span.events))


@pytest.mark.parametrize(
    ("key", "path", "count"),
    [
        ("right", "/subscription/status?user_id=ada", 1),
        ("wrong", "/subscription/status?user_id=ada", 0),
        (None, "/subscription/usage", 0),
        ("right", "/readyz", 0),
        ("right", "/healthz", 0),
    ],
)
@in_loop
async def test_only_requests_of_known_callers_are_traced_and_joined_to_their_traces(
    key: str | None, path: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        if key != "right":
            http.headers["Authorization"] = f"Bearer {key}"
        await http.get(path, headers={OURS: f"00-{TRACE_ID}-{SPAN_ID}-01"})

    requests = [span for span in spans.all if span.kind is SpanKind.SERVER]
    assert len(requests) == count
    for span in requests:
        assert f"{trace_of(span):032x}" == TRACE_ID
        assert f"{parent_of(span):016x}" == SPAN_ID


@pytest.mark.parametrize(
    "given", ["", "x", f"00-{TRACE_ID}-{SPAN_ID}", f"00-{'0' * 32}-{SPAN_ID}-01", "\xff" * 55]
)
@in_loop
async def test_a_trace_that_is_none_begins_a_new_one(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        await http.get("/admin/sweeps", headers=[(HEADER, given.encode("latin-1"))])

    (span,) = spans.all

    assert span.parent is None


@in_loop
async def test_a_caller_that_does_not_sample_leaves_no_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = Spans()
    async with tracing(spans, monkeypatch) as (http, _):
        unsampled = {OURS: f"00-{TRACE_ID}-{SPAN_ID}-00"}
        answer = await http.get("/subscription/status?user_id=ada", headers=unsampled)

    assert answer.status_code == 200
    assert spans.all == ()
