"""The HTTP edge on shards in this process: no Ray, the same routes, bodies and codes."""

import asyncio
import json
from typing import Any

import pytest

from actors.auth.caller import Scope
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop


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
async def test_a_record_of_a_batch_is_a_repeat_or_not_on_its_own() -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        own = USAGE | {"idempotency_key": "own"}
        batches = [
            [USAGE, own],
            [USAGE | {"credit_amount": 1}, USAGE | {"credit_amount": 2}],
            [own, own, USAGE | {"credit_amount": 3}],
        ]
        headers = {"Idempotency-Key": "batch"}
        answers = [
            await http.post("/subscription/usage/batch", json={"records": records}, headers=headers)
            for records in batches
        ]

    first, other, longer = (answer.json()["results"] for answer in answers)
    assert other[0]["problem"]["code"] == "idempotency_key_reused"
    assert [one["status"] for one in [*first, other[1], *longer]] == [201] * 6
    assert longer[0] == longer[1] == first[1]
    assert not [a for a in answers if "Idempotent-Replayed" in a.headers]


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
