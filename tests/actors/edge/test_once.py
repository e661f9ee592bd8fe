"""What a request says twice is refused: nobody says which of the two is meant."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

DETAILED = USAGE | {"details": {"a": {"b": 1}, "c": [{"d": 2}]}}
BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/subscription/credits", CREDITS),
    ("POST", "/events/token", {"user_id": "ada"}),
    ("POST", "/subscription/usage", DETAILED),
    ("POST", "/subscription/usage", USAGE | {"user_id": "org:ada"}),
    ("POST", "/subscription/usage/batch", {"records": [USAGE, DETAILED]}),
    ("POST", "/subscription/holds", {"user_id": "ada", "credit_amount": 1, "details": {"a": 1}}),
    ("POST", "/subscription/holds/x/settle", {"credit_amount": 1, "details": {"a": 1}}),
    ("DELETE", "/subscription/holds/x", {"reason": "r"}),
    (
        "POST",
        "/subscription/credits",
        {name: value for name, value in CREDITS.items() if name != "days"} | {"kind": "pack"},
    ),
    ("POST", "/subscription/usage/x/reversals", {"credit_amount": 1, "reason": "r"}),
    ("POST", "/subscription/adjustments", {"user_id": "ada", "credit_amount": 1, "reason": "r"}),
    ("PATCH", "/subscriptions/x", {"status": "paused"}),
    ("POST", "/admin/sync", {"user_id": "ada"}),
    ("POST", "/admin/validate", {"repair": False}),
    ("POST", "/admin/reshard", {"shards": 2}),
    ("DELETE", "/users/x", {"mode": "anonymize"}),
    ("PUT", "/admin/test-clock", {"now": "2026-01-01T00:00:00Z"}),
    ("POST", "/admin/keys", {"name": "shop", "scope": "read", "user_ids": ["ada"]}),
    ("POST", "/admin/keys/x/rotate", {"overlap": 60}),
    ("POST", "/admin/endpoints", {"url": "https://crm.example/hook", "enabled": True}),
    ("PATCH", "/admin/settings", {"cors_origins": ["https://app.example"]}),
    ("PATCH", "/admin/endpoints/x", {"enabled": False}),
    ("POST", "/admin/endpoints/x/rotate", {"overlap": 60}),
]
TEXT = {"content-type": "application/json"}


def with_a_member_twice(body: Any) -> Iterator[str]:
    """Yield the body as JSON, again and again, each time with another member there twice."""
    if isinstance(body, dict):
        whole = json.dumps(body)
        for name, value in body.items():
            escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'  # Another spelling of the same name.
            for spelled in (json.dumps(name), escaped):
                yield f"{whole[:-1]}, {spelled}: {json.dumps(value)}}}"
            for inner in with_a_member_twice(value):
                rest = {n: v for n, v in body.items() if n != name}
                yield f'{json.dumps(rest)[:-1]}{", " * bool(rest)}"{name}": {inner}}}'
    elif isinstance(body, list):
        for place, value in enumerate(body):
            for inner in with_a_member_twice(value):
                parts = [json.dumps(v) if n != place else inner for n, v in enumerate(body)]
                yield f"[{', '.join(parts)}]"


@in_loop
async def test_every_operation_that_takes_a_body_is_among_them() -> None:
    async with edge() as (http, _):
        paths = (await http.get("/openapi.json")).json()["paths"]

    takes_body = {
        (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if "requestBody" in operation
    }
    named = {(method, path.replace("/x", "/{}")) for method, path, _ in BODIES}
    assert {(m, re.sub("{.*}", "{}", p)) for m, p in takes_body} == named


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
@in_loop
async def test_no_member_of_any_object_of_a_body_is_there_twice(
    method: str, path: str, body: Any
) -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        before = (await http.get("/subscriptions/ada/history")).json()
        for text in with_a_member_twice(body):
            answer = await http.request(method, path, content=text, headers=TEXT)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (422, "invalid_request"), text
            assert problem["errors"][0]["field"] == "body"
            assert "more than once" in problem["detail"]
        after = (await http.get("/subscriptions/ada/history")).json()

    assert after == before


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("/subscription/status?user_id=ada&user_id=ada", "user_id"),
        ("/subscription/status?user_id=ada&user%5Fid=bob", "user_id"),
        ("/subscription/usage?user_id=ada&limit=1&limit=2", "limit"),
        ("/subscription/usage?user_id=ada&from=2026-01-01T00:00:00Z&from=", "from"),
        ("/subscription/usage/monthly?user_id=ada&month=2026-01&month=2026-02", "month"),
        ("/subscriptions?status=active&status=expired", "status"),
        ("/subscriptions/ada/history?cursor=1&cursor=2", "cursor"),
        ("/admin/sweeps?job=sweep&job=expire", "job"),
        ("/events?user_id=ada&user_id=bob", "user_id"),
        ("/subscription/status?user_id=ada&x&x", "x"),
    ],
)
@in_loop
async def test_no_parameter_is_given_twice(query: str, name: str) -> None:
    async with edge() as (http, _):
        answer = await http.get(query)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["detail"] == f"{name}: is given more than once"


@pytest.mark.parametrize("name", ["Idempotency-Key", "Content-Type"])
@pytest.mark.parametrize("path", ["/subscription/usage", "/subscription/credits"])
@in_loop
async def test_no_header_that_says_what_is_meant_is_given_twice(path: str, name: str) -> None:
    headers = [(name, "application/json"), (name, "application/json")]
    async with edge() as (http, _):
        answer = await http.post(path, content=json.dumps(USAGE), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == name


PLUS = [
    ("/subscription/usage?user_id=ada&from=2026-11-01T00:00:00+01:00", "from"),
    ("/subscription/usage?user_id=ada&to=2026-11-01T00:00:00+0100", "to"),
    ("/subscription/usage?user_id=ada+work@example.org", "user_id"),
    ("/subscription/status?user_id=ada+work@example.org", "user_id"),
    ("/subscription/holds?user_id=ada+work@example.org", "user_id"),
    ("/subscription/usage/monthly?month=2026-11&user_id=ada+work@example.org", "user_id"),
    ("/subscription/usage?user_id=ada&cursor=a+b", "cursor"),
]


@pytest.mark.parametrize(("target", "field"), PLUS)
@in_loop
async def test_a_plus_that_became_a_space_is_explained(target: str, field: str) -> None:
    async with edge() as (http, _):
        plain = await get_as_written(http, target)
        encoded = await get_as_written(http, target.replace("+", "%2B"))
        spaced = await get_as_written(http, target.replace("+", "%20"))

    assert plain.status_code == 422
    assert plain.json()["errors"][0]["field"] == field
    assert "write %2B for a plus sign" in plain.json()["detail"]
    assert "%2B" not in encoded.text + spaced.text
    assert field == "cursor" or encoded.status_code == 200


async def get_as_written(http: httpx.AsyncClient, target: str) -> httpx.Response:
    """Ask for an address without a client's changes to it."""
    path, _, query = target.partition("?")
    url = http.base_url.copy_with(raw_path=f"{path}?{query}".encode())
    return await http.get(url)
