"""Events over HTTP: who may follow them, what operators read, and what they may ask for."""

import json
from collections.abc import AsyncGenerator

import httpx
import pytest

from actors.auth.caller import Scope
from actors.edge.routes.events import STILL_HERE, sent, text_of
from actors.events.delivery import RefusedDeliveryError
from actors.events.records import BEGINNING, EventPage, EventQuery
from tests.builders.tokens import token
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.interface import listening
from tests.fakes.shards import in_loop, until


@in_loop
async def test_the_report_tells_undelivered_dead_and_each_endpoint() -> None:
    async with edge() as (client, backend):
        backend.handler.failure = lambda _: RefusedDeliveryError("410")
        await client.post("/subscription/credits", json=CREDITS)
        await until(lambda: backend.handler.attempts)
        report = (await client.get("/admin/events")).json()

    assert report["head"] == 1
    assert {"undelivered", "undelivered_count", "dead", "dead_count"} <= report.keys()
    assert [one["endpoint"] for one in report["endpoints"]] == ["noting"]


@in_loop
async def test_an_event_is_delivered_again_on_request() -> None:
    async with edge() as (client, backend):
        await client.post("/subscription/credits", json=CREDITS)
        await until(lambda: backend.handler.taken)
        event_id = backend.handler.taken[0].record.id
        again = await client.post(f"/admin/events/{event_id}/redeliver")
        await until(lambda: len(backend.handler.taken) == 2)
        unknown = await client.post("/admin/events/evt_none/redeliver")

    assert again.json() == {"id": event_id, "endpoints": ["noting"]}
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@in_loop
async def test_what_packs_and_corrections_do_is_told_in_its_order() -> None:
    pack = {name: value for name, value in CREDITS.items() if name != "days"} | {"kind": "pack"}
    async with edge() as (client, backend):
        await client.post("/subscription/credits", json=pack)  # 2,700 to spend, and no day.
        charge = USAGE | {"credit_amount": 2700}
        usage_id = (await client.post("/subscription/usage", json=charge)).json()["usage_id"]
        path, part = f"/subscription/usage/{usage_id}/reversals", {"credit_amount": 700}
        await client.post(path, json=part | {"reason": "it failed"})
        adjustment = {"user_id": "ada", "remaining_credits": 800, "reason": "a wish"}
        await client.post("/subscription/adjustments", json=adjustment)
        await until(lambda: len(backend.handler.taken) == 4)
        stream = sent(backend.events, EventQuery(BEGINNING), 0, BEGINNING)
        first = [await anext(stream) for _ in range(2)][1]
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()

    told = [event.record for event in backend.handler.taken]
    assert [record.type for record in told] == [
        *("subscription.low_credits", "credits.depleted", "usage.reversed", "credits.adjusted"),
    ]
    assert [record.subscription_id for record in told] == [None] * 4
    assert b'"subscription_id":null' in first
    reversed_, adjusted = told[2].data, told[3].data
    assert (reversed_["usage_id"], reversed_["credit_amount"]) == (usage_id, 700)
    assert (reversed_["returned_credits"], reversed_["reason"]) == (700, "it failed")
    assert (adjusted["credit_amount"], adjusted["reason"]) == (100, "a wish")


@in_loop
async def test_only_admin_keys_follow_events_and_read_of_them() -> None:
    async with edge(Scope.WRITE) as (client, _):
        answers = [
            await client.get("/events"),
            await client.get("/admin/events"),
            await client.post("/admin/events/evt_1/redeliver"),
        ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "forbidden")] * 3


@in_loop
async def test_a_place_or_a_type_that_is_none_is_refused_before_the_stream_begins() -> None:
    async with edge() as (client, _):
        answers = [
            await client.get("/events", headers={"Last-Event-ID": "evt_none"}),
            await client.get("/events", params={"after": "evt_none"}),
            await client.get("/events", params={"types": "subscription.changed,unknown"}),
        ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [(422, "invalid_request")] * 3


@in_loop
async def test_a_stream_says_each_event_with_its_id_and_that_it_is_still_there() -> None:
    async with edge() as (client, backend):
        await client.post("/subscription/credits", json=CREDITS)
        stream = sent(backend.events, EventQuery(BEGINNING), 0, BEGINNING)
        first, second = await anext(stream), await anext(stream)
        resumed = sent(backend.events, EventQuery(BEGINNING), 0, None)
        assert await anext(resumed) == b"retry: 1000\n\n"
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()

    record = backend.handler.taken[0].record
    assert first == b"retry: 1000\nid: beginning\n\n"
    assert second.decode().splitlines() == [
        f"id: {record.id}",
        "event: subscription.changed",
        f"data: {record.model_dump_json()}",
        "",
    ]
    assert text_of(EventPage([], 7)) == STILL_HERE


def streamed(address: str, shown: str, count: int, **params: str) -> list[str]:
    """Return the ids of the first events of a stream, over a real socket and through the gate."""
    headers = {"Authorization": f"Bearer {shown}"}
    ids: list[str] = []
    with httpx.stream(
        "GET", f"{address}/events", headers=headers, params=params, timeout=20
    ) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                ids.append(json.loads(line.removeprefix("data: "))["id"])
                if len(ids) == count:
                    break
    return ids


def began(address: str, shown: str, **params: str) -> str:
    """Return the id that a stream says before any event; it breaks then."""
    headers = {"Authorization": f"Bearer {shown}"}
    with httpx.stream("GET", f"{address}/events", headers=headers, params=params) as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                return line.removeprefix("id: ")
    raise AssertionError("the stream has ended")


@pytest.mark.parametrize("follower", ["admin", "admin of one user", "user"])
def test_a_stream_that_breaks_before_its_first_event_misses_nothing(follower: str) -> None:
    of = {"user_id": "ada"} if follower == "admin of one user" else {}
    with listening() as interface:
        shown = token() if follower == "user" else interface.keys[Scope.ADMIN]
        with httpx.Client(base_url=interface.address, headers=interface.headers()) as http:
            for user_id in ("bob", "ada"):
                http.post("/subscription/credits", json=CREDITS | {"user_id": user_id})
            streamed(interface.address, interface.keys[Scope.ADMIN], 2, after="beginning")
            mark = began(interface.address, shown, **of)
            charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 90}
            http.post("/subscription/usage", json=charge).raise_for_status()
            (missed,) = streamed(interface.address, shown, 1, after=mark, **of)

    assert missed.startswith("evt_")


def test_an_admin_and_the_user_follow_and_resume_over_a_real_socket() -> None:
    with listening() as interface:
        admin = interface.keys[Scope.ADMIN]
        with httpx.Client(base_url=interface.address, headers=interface.headers()) as http:
            http.post("/subscription/credits", json=CREDITS).raise_for_status()
            http.post("/subscription/credits", json=CREDITS | {"user_id": "bob"})
            charge = {"user_id": "ada", "service_type": "chat", "credit_amount": 80}
            http.post("/subscription/usage", json=charge).raise_for_status()
        every = streamed(interface.address, admin, 3, after="beginning")
        own = streamed(interface.address, token(), 2, after="beginning")
        resumed = streamed(interface.address, token(), 1, after=own[0])
        (others,) = set(every) - set(own)
        refused = [
            httpx.get(
                f"{interface.address}/events",
                params={"after": unknown},
                headers={"Authorization": f"Bearer {token()}"},
            )
            for unknown in (others, "evt_none")
        ]

    assert [answer.status_code for answer in refused] == [422, 422]
    assert refused[0].json() == refused[1].json()
    assert len(set(every)) == 3
    assert set(own) < set(every)
    assert resumed == own[1:]
