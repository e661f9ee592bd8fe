"""What hostile clients send: each is told what is wrong, in a problem body, and nothing breaks."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from actors.auth.caller import Scope
from actors.edge import gate
from actors.edge.gate import BODY_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX
from actors.edge.limits import CALLERS_MAX, RateLimit
from actors.edge.routes.subscription import RECORD_ERRORS_MAX
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

JSON = {"Content-Type": "application/json"}
PATHS = ["/subscription/usage", "/subscription/credits", "/subscription/usage/batch"]
TRIES = 3  # The best counts: another program on the same core makes any one of them slow.
TIMES_READING_MAX = 8  # What a refusal may cost, in readings of a megabyte of JSON; 2 are usual.


def with_field(text: str) -> bytes:
    """Return a charge with one more field, written as it stands."""
    return (json.dumps(USAGE)[:-1] + f", {text}}}").encode(errors="surrogatepass")


BODIES = {
    "nothing": b"",
    "half an object": b'{"user_id": "ada"',
    "a list": b"[]",
    "a number too long to read": b"[" + b"9" * 5000 + b"]",
    "not a number": with_field('"token_count": NaN'),
    "infinity": with_field('"token_count": -Infinity'),
    "infinity by overflow": with_field('"token_count": 1e999'),
    "infinity in details": with_field('"details": {"a": 1e999}'),
    "a number of 5000 digits": with_field(f'"details": {{"a": {"9" * 5000}}}'),
    "65 bits in details": with_field(f'"details": {{"a": {2**64}}}'),
    "a fraction": with_field('"token_count": 1.0'),
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep details": with_field('"details": ' + '{"a":' * 60 + "1" + "}" * 60),
    "long details": with_field(f'"details": {{"a": "{"x" * 16_400}"}}'),
    "bytes that are no text": b"\xff\xfe\x00" * 20,
    "a text that is no UTF-8": with_field('"session_id": "§"').replace("§".encode(), b"\xff"),
    "a lone surrogate": with_field('"session_id": "\\ud800"'),
    "a lone surrogate in details": with_field('"details": {"a": "\\udc00"}'),
    "a lone surrogate as a field": with_field('"\\ud800": 1'),
    "a lone surrogate as a field of details": with_field('"details": {"\\ud800": 1}'),
    "NUL": with_field('"session_id": "a\\u0000b"'),
    "NUL in details": with_field('"details": {"a": "\\u0000"}'),
    "NUL as a field": with_field('"a\\u0000b": 1'),
    "a long id": json.dumps(USAGE | {"user_id": "x" * 200}).encode(),
    "a long field": with_field(f'"{"x" * 500_000}": 1'),
    "a date before time": with_field('"timestamp": "1869-01-01T00:00:00Z"'),
    "a date after time": with_field('"timestamp": "9999-12-31T23:59:59.999999-14:00"'),
    "a date without a zone": with_field('"timestamp": "2026-01-01T00:00:00"'),
    "seconds": with_field('"timestamp": 1e308'),
    "a date of digits": with_field('"timestamp": "2026-' + "9" * 10_000 + '"'),
    "two of one field": with_field('"credit_amount": -1'),
}


DEAR_BODIES = {
    "fields": ("{" + ", ".join(f'"a{n}": 1' for n in range(70_000)) + "}").encode(),
    "wide details": with_field('"details": {' + ", ".join(f'"{n}":1' for n in range(80_000)) + "}"),
    "a list in details": with_field('"details": {"a": [' + "0," * 480_000 + "0]}"),
    "lists in details": with_field('"details": {"a": [' + "[[]]," * 180_000 + "0]}"),
    "a text in details": with_field('"details": {"a": "' + "ä" * 480_000 + '"}'),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_what_cannot_be_meant_is_refused(path: str, name: str) -> None:
    body = BODIES[name]
    if path.endswith("batch") and body.startswith(b'{"user_id": "ada", '):
        body = b'{"records": [' + body + b"]}"

    async with edge() as (http, _):
        answer = await http.post(path, content=body, headers=JSON)

    problem = answer.json()
    if answer.status_code == 200:  # A batch, with one record that was refused on its own.
        (result,) = problem["results"]
        problem = result["problem"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (PATHS[0], b'{"user_id": "a b"}', "user_id"),
        (PATHS[1], b'{"user_id": "a b"}', "user_id"),
        (PATHS[0], b"{", "body"),
        (PATHS[1], b"{", "body"),
        (PATHS[0], b"[]", "body"),
        (PATHS[1], b"[]", "body"),
    ],
)
@in_loop
async def test_a_field_has_one_name_whoever_found_it_wrong(
    path: str, body: bytes, field: str
) -> None:
    async with edge() as (http, _):
        problem = (await http.post(path, content=body, headers=JSON)).json()
        query = (await http.get("/subscriptions?limit=0")).json()

    first = problem["errors"][0]
    assert first["field"] == field
    assert problem["detail"] == f"{field}: {first['message']}"
    assert "Value error" not in problem["detail"]
    assert query["errors"][0]["field"] == "limit"


@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_a_body_that_says_it_is_compressed_is_refused(path: str) -> None:
    async with edge() as (http, _):
        body = json.dumps(USAGE)
        zipped = await http.post(path, content=body, headers=JSON | {"Content-Encoding": "gzip"})
        plain = await http.post(path, content=body, headers=JSON | {"Content-Encoding": "identity"})

    assert (zipped.status_code, zipped.json()["code"]) == (415, "unsupported_media_type")
    assert plain.status_code != 415


@in_loop
async def test_of_two_keys_in_one_request_none_counts() -> None:
    async with edge() as (http, _):
        shown = http.headers["Authorization"]
        two = [("Authorization", "Bearer allot_stranger"), ("Authorization", shown)]
        del http.headers["Authorization"]
        answer = await http.get("/subscription/status?user_id=ada", headers=two)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_a_body_past_the_limit_is_refused_before_it_is_read(path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    async with edge() as (http, _):
        declared = await http.post(path, content=b" " * (BODY_BYTES_MAX + 1), headers=JSON)
        lied = await http.post(path, content=b" " * (BODY_BYTES_MAX + 1), headers=JSON)
        async with asyncio.timeout(5):
            chunked = await read_until_answered(http, path, endless())

    assert [a.status_code for a in (declared, lied)] == [413, 413]
    assert declared.json()["code"] == "too_large"
    assert chunked == 413
    assert sent <= BODY_BYTES_MAX + 2 * 65_536


async def read_until_answered(http: httpx.AsyncClient, path: str, parts: Any) -> int:
    """Return the status of a request whose body never ends."""
    transport = http._transport
    assert isinstance(transport, httpx.ASGITransport)
    status: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": await anext(parts), "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    headers = [(b"authorization", http.headers["authorization"].encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    await transport.app(scope, receive, send)
    return status[0]


@in_loop
async def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS_MAX", 0.01)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with edge() as (http, _):
        status = await read_until_answered(http, PATHS[0], stalled())

    assert status == 408


@in_loop
async def test_strangers_bodies_are_not_read() -> None:
    async def untouched() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    async with edge() as (http, _):
        http.headers["authorization"] = "Bearer stranger"
        status = await read_until_answered(http, PATHS[0], untouched())

    assert status == 401


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("application/problem+json", 201),
        (None, 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
@pytest.mark.parametrize("path", PATHS[:2])
@in_loop
async def test_a_body_is_json_or_says_nothing(
    path: str, content_type: str | None, status: int
) -> None:
    body = json.dumps(USAGE | {"on_insufficient": "record"} if "usage" in path else CREDITS)
    headers = {} if content_type is None else {"Content-Type": content_type}

    async with edge() as (http, _):
        if "usage" in path:
            await http.post("/subscription/credits", json=CREDITS)
        answer = await http.post(path, content=body, headers=headers)

    assert answer.status_code == status
    if status == 415:
        assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/subscription/status?user_id=%ff", 422),
        ("/subscription/status?user_id=%00", 422),
        ("/subscription/status?user_id=%ED%A0%80", 422),
        ("/subscription/status?user_id=a%20b", 422),
        ("/subscription/status?user_id=" + "x" * 129, 422),
        ("/subscription/status", 422),
        ("/subscription/status?user_id=%", 200),
        ("/subscription/status?user_id=ada&user_id=bob", 422),
        ("/subscription/status/", 404),
        ("//subscription/status?user_id=ada", 404),
        ("/subscriptions/%ff", 422),
        ("/subscriptions/" + "x" * 129, 422),
        ("/subscriptions/a%2Fb", 200),
        ("/subscription/status?user_id=ada&x=" + "y" * TARGET_BYTES_MAX, 413),
        ("/subscription/usage?user_id=ada&limit=1e9", 422),
        ("/subscription/usage?user_id=ada&limit=99999999999999999999", 422),
        ("/subscription/usage?user_id=ada&from=9999-12-31T23:59:59-14:00", 422),
        ("/subscription/usage?user_id=ada&from=2026-01-01", 422),
        ("/subscription/usage?user_id=ada&cursor=%00", 422),
        ("/subscription/usage/monthly?user_id=ada&month=2026-13", 422),
        (
            "/subscription/usage/monthly?user_id=ada&month=\u0662\u0660\u0662\u0666-\u0660\u0661",
            422,
        ),
        ("/subscriptions/ada/history?cursor=99999999999999999999", 422),
        ("/admin/sweeps?limit=-1", 422),
    ],
)
@in_loop
async def test_addresses_that_cannot_be_meant_are_refused(target: str, status: int) -> None:
    async with edge() as (http, _):
        answer = await http.get(target)

    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "a\tb", "ümlaut".encode().decode("latin-1"), "a\x7f"]
)
@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_a_key_that_is_none_is_refused(path: str, key: str) -> None:
    async with edge() as (http, _):
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        answer = await http.post(path, json=USAGE, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@in_loop
async def test_headers_have_limits() -> None:
    async with edge() as (http, _):
        path = "/subscription/status?user_id=ada"
        many = [(f"x-{n}", "1") for n in range(HEADERS_MAX)]
        answers = [
            await http.get(path, headers=many),
            await http.get(path, headers={"x": "y" * 33_000}),
        ]

    assert [answer.status_code for answer in answers] == [413, 413]
    assert {answer.json()["code"] for answer in answers} == {"too_large"}


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "bearer\tx",
        "Bearer " + "x" * 9000,
        "Bearer ..",
        "\xff",
    ],
)
@in_loop
async def test_whatever_is_shown_in_the_place_of_a_key_is_refused(shown: str) -> None:
    async with edge() as (http, _):
        headers = [(b"authorization", shown.encode("latin-1"))]
        http.headers.clear()
        answer = await http.get("/subscription/status?user_id=ada", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("beside", [0x85, 0xA0, 0x1C, 0x0B, 0x0C])
@pytest.mark.parametrize("shape", [b"Bearer %c%s", b"Bearer %s%c"])
@in_loop
async def test_only_blanks_and_tabs_may_stand_beside_a_key(shape: bytes, beside: int) -> None:
    async with edge() as (http, _):
        key = http.headers["Authorization"].removeprefix("Bearer ").encode()
        parts = (beside, key) if shape.endswith(b"%s") else (key, beside)
        odd = await http.get("/admin/keys", headers={b"Authorization": shape % parts})
        fine = await http.get("/admin/keys", headers={b"Authorization": b"bearer \t" + key + b" "})

    assert (odd.status_code, fine.status_code) == (401, 200)


@pytest.mark.parametrize("path", ["/subscription/status", "/docs", "/nothing"])
@in_loop
async def test_no_websocket_is_accepted(path: str) -> None:
    said: list[str] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message["type"])

    async with edge() as (http, _):
        transport = http._transport
        assert isinstance(transport, httpx.ASGITransport)
        scope = {"type": "websocket", "path": path, "headers": [], "query_string": b""}
        await transport.app(scope, receive, send)

    assert said == ["websocket.close"]


@pytest.mark.parametrize("name", DEAR_BODIES)
@pytest.mark.parametrize("path", PATHS)
@in_loop
async def test_a_megabyte_that_is_refused_keeps_nobody_waiting(path: str, name: str) -> None:
    body = DEAR_BODIES[name]
    if path.endswith("batch") and name != "fields":
        body = b'{"records": [' + body + b"]}"
    assert 800_000 < len(body) < BODY_BYTES_MAX

    took, reading = [], []
    async with edge() as (http, _):
        for _try in range(TRIES):
            started = time.thread_time()
            answer = await http.post(path, content=body, headers=JSON)
            answered = time.thread_time()
            json.loads(DEAR_BODIES["fields"])
            took.append(answered - started)
            reading.append(time.thread_time() - answered)

    assert len(answer.content) < 10_000
    assert b"invalid_request" in answer.content
    assert min(took) < TIMES_READING_MAX * min(reading)


@in_loop
async def test_a_batch_names_some_of_the_errors_of_each_record() -> None:
    record = {f"unknown-{n}": 1 for n in range(40)}

    async with edge() as (http, _):
        body = {"records": [record, USAGE]}
        refused, charged = (await http.post(PATHS[2], json=body)).json()["results"]

    assert len(refused["problem"]["errors"]) == RECORD_ERRORS_MAX
    assert charged["status"] == 402


@in_loop
async def test_no_method_is_answered_but_those_that_are_documented() -> None:
    async with edge() as (http, _):
        answers = [
            await http.request(method, "/admin/sync")
            for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "FOO")
        ]

    assert {answer.status_code for answer in answers} == {405}
    assert {answer.headers["allow"] for answer in answers} == {"GET, HEAD, POST"}


@in_loop
async def test_a_caller_may_send_so_many_requests_and_is_told_how_many_are_left() -> None:
    async with edge(Scope.READ) as (http, backend):
        backend.rate_limit = RateLimit(2, 60)
        path = "/subscription/status?user_id=ada"

        answers = [await http.get(path) for _ in range(3)]
        other = await http.get("/subscription/usage?user_id=ada")
        probe = await http.get("/healthz")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [a.headers["RateLimit"] for a in answers] == [f'"default";r={n};t=60' for n in (1, 0, 0)]
    assert {a.headers["RateLimit-Policy"] for a in answers} == {'"default";q=2;w=60'}
    assert answers[2].json()["code"] == "rate_limited"
    assert answers[2].headers["Retry-After"] == "60"
    assert other.status_code == 429
    assert "RateLimit" not in probe.headers


def test_quotas_are_whole_again_after_their_window_and_strangers_to_each_other() -> None:
    limit = RateLimit(1, 10)

    left = [limit.take("ada", 0).remaining, limit.take("ada", 9.9).remaining]
    left += [limit.take("bob", 5).remaining, limit.take("ada", 10).remaining]

    assert left == [0, -1, 0, 0]


def test_callers_are_counted_in_bounded_memory() -> None:
    limit = RateLimit(5, 10)

    for number in range(CALLERS_MAX + 10):
        limit.take(str(number), 0)

    assert len(limit._windows) == CALLERS_MAX
