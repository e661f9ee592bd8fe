"""What the whole service lets whom do: keys, tokens, ports, the test clock, who wrote what."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from tests.builders.tokens import SECRET
from tests.patience import PATIENCE_SECONDS
from tests.service.openness import listeners
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

EXPIRY_SECONDS_MAX = PATIENCE_SECONDS
USED_SECONDS_MAX = PATIENCE_SECONDS
REPLICA_PORTS = range(30_000, 31_000)  # Where Serve has replicas listen.
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}


@pytest.fixture(scope="module")
def http(rehearsal: RunningService) -> Iterator[httpx.Client]:
    with rehearsal.client() as client:
        yield client


def token(user: str, **changes: Any) -> dict[str, str]:
    claims = {"sub": user, "iss": "https://id.example", "aud": "credits"}
    soon = datetime.now(UTC) + timedelta(minutes=5)
    text = jwt.encode({**claims, "exp": soon, **changes}, SECRET, "HS256")
    return {"Authorization": f"Bearer {text}"}


def add_credits(http: httpx.Client, user: str, **changes: Any) -> httpx.Response:
    body = {"user_id": user, "amount": 3000, "days": 30, "payment": PAYMENT} | changes
    return http.post("/subscription/credits", json=body)


def charge(http: httpx.Client, user: str, amount: int) -> httpx.Response:
    body = {"user_id": user, "service_type": "chat", "credit_amount": amount}
    return http.post("/subscription/usage", json=body)


def status(http: httpx.Client, user: str) -> dict[str, Any]:
    return dict(http.get("/subscription/status", params={"user_id": user}).json())


def test_a_user_reads_with_a_token_what_is_the_users_own(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "reader")
    path = "/subscription/status?user_id=reader"
    with httpx.Client(base_url=rehearsal.address) as stranger:
        own = stranger.get(path, headers=token("reader"))
        others = stranger.get(path, headers=token("writer"))
        late = stranger.get(path, headers=token("reader", exp=datetime.now(UTC) - timedelta(2)))
        writes = stranger.post("/subscription/usage", json={}, headers=token("reader"))

    assert (own.status_code, own.json()["remaining_credits"]) == (200, 90)
    assert (others.status_code, late.status_code, writes.status_code) == (403, 401, 403)
    assert own.headers["RateLimit-Policy"] == '"default";q=100000;w=60'


def test_every_port_that_answers_http_wants_a_key(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    direct = {place.port for place in listeners(rehearsal) if place.port in REPLICA_PORTS}
    for port in (rehearsal.port, *direct):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as stranger:
            refused = stranger.get("/subscription/status?user_id=ada")
            unknown = stranger.get("/nothing")
            headers = {"Authorization": f"Bearer {rehearsal.key}"}
            answered = stranger.get("/subscription/status?user_id=ada", headers=headers)
        assert (refused.status_code, unknown.status_code) == (401, 401)
        assert refused.json()["code"] == "unauthorized"
        if port == rehearsal.port:
            assert answered.status_code == 200
    assert direct, "the replica listens on a port of its own"


@pytest.mark.parametrize(
    "path", ["/subscription/status?user_id=eve", "/subscription/usage?user_id=eve"]
)
def test_a_page_of_a_named_origin_asks_without_a_key_and_reads_what_it_may(
    rehearsal: RunningService, path: str
) -> None:
    asks = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    answers = {}
    with rehearsal.client() as http:
        for origin in ("https://app.example", "https://evil.example"):
            page = {"Origin": origin}
            before = httpx.options(f"{rehearsal.address}{path}", headers=page | asks)
            answer = http.get(path, headers=page)
            answers[origin] = [
                (one.status_code, one.headers.get("access-control-allow-origin"))
                for one in (before, answer)
            ]

    assert answers == {
        "https://app.example": [(204, "https://app.example"), (200, "https://app.example")],
        "https://evil.example": [(403, None), (200, None)],
    }


def test_serves_own_paths_say_nothing(rehearsal: RunningService) -> None:
    with httpx.Client(base_url=rehearsal.address) as stranger:
        paths = ("/-/healthz", "/-/routes", "/-/x", "/%2d/routes", "/-%2froutes")
        answers = [stranger.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [401] * 5
    assert {answer.json()["code"] for answer in answers} == {"unauthorized"}


def test_rays_dashboard_is_on_loopback_and_wants_the_clusters_token(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    program = f"from actors.remote.loopback import join; print(join({rehearsal.ray_address!r}).dashboard_url)"
    environment = rehearsal.environment() | {"RAY_AUTH_MODE": "token"}
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    url = told.stdout.split()[-1]
    refused = httpx.get(f"http://{url}/api/jobs/")

    assert url.startswith("127.0.0.1:")
    assert refused.status_code == 401


def test_headers_that_serve_takes_for_its_own_harm_nobody(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    names = ("X-Request-Id", "X-Request-Timeout-Seconds", "X-Session-Id")
    more = ("serve_multiplexed_model_id", "Serve-Multiplexed-Model-Id", "traceparent")
    for name in (*names, *more):
        for value in (b"\xff\xfe", b"0.000001", b"x" * 2000):
            answer = http.get("/subscription/status?user_id=ada", headers=[(name.encode(), value)])
            assert answer.status_code in (200, 400, 413), (name, value)


@pytest.mark.parametrize("user", ["org/ada", "ada/history", "a%2Fb", "ü/🙂?#+&;"])
def test_an_id_with_slashes_is_read_at_its_path(http: httpx.Client, user: str) -> None:
    add_credits(http, user, payment=PAYMENT | {"transaction_id": user})

    whole = quote(user, safe="")
    listed = http.get(f"/subscriptions/{whole}").json()
    history = http.get(f"/subscriptions/{whole}/history").json()

    assert (listed["user_id"], len(listed["subscriptions"])) == (user, 1)
    assert (history["user_id"], len(history["items"])) == (user, 1)
    assert http.head(f"/subscription/status?user_id={whole}").status_code == 200


@pytest.mark.parametrize("trailer", ["Idempotency-Key: x", "X-Request-Timeout-Seconds: 0.001"])
@pytest.mark.parametrize("path", ["/subscription/usage", "/subscription/credits"])
def test_what_comes_behind_a_body_is_no_header(
    rehearsal: RunningService, path: str, trailer: str
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {rehearsal.key}\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", rehearsal.port), timeout=30) as connection:
        connection.sendall(head.encode())
        received = connection.recv(65_536)

    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in received


@pytest.mark.parametrize(
    "sent", [b"\x00\x01\x02\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"]
)
def test_what_is_no_http_is_refused_and_the_connection_closed(
    rehearsal: RunningService, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", rehearsal.port), timeout=15) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part

    assert received.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"BREW /subscription/status HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 413),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n" + b" " * 40_000, 413),
    ],
    ids=["no method", "no path", "long headers", "long body"],
)
def test_http_that_nobody_means_is_refused_in_a_problem_body(
    rehearsal: RunningService, sent: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", rehearsal.port), timeout=15) as connection:
        connection.sendall(sent)
        received = connection.recv(65_536)

    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in received


def test_a_client_that_stalls_in_its_body_is_told_so_in_a_problem_body(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    head = (
        f"POST /subscription/usage HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {rehearsal.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", rehearsal.port), timeout=30) as connection:
        connection.sendall(head.encode())
        while_it_stalls = status(http, "nobody")["status"]
        received = connection.recv(65_536)

    assert while_it_stalls == "none"
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in received


def test_the_journal_says_who_wrote_and_the_list_when_a_key_was_used(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "audited")
    charge(http, "audited", 5)

    items = http.get("/subscriptions/audited/history").json()["items"]
    listed = rehearsal.command("keys", "list", "--json").stdout
    key_id = items[0]["by"].removeprefix("key:")

    assert [item["kind"] for item in items] == ["usage_recorded", "credits_added"]
    assert {item["by"] for item in items} == {f"key:{key_id}"}
    assert f'"{key_id}"' in listed
    wait_until(
        lambda: '"last_used_at": "2' in rehearsal.command("keys", "list", "--json").stdout,
        USED_SECONDS_MAX,
    )


def clock_set(http: httpx.Client, moment: datetime) -> str:
    """Set the test clock, and return what it shows; while parts start again it is asked again.

    For a later time: a clock that was set in part has ticked on, and never goes back.
    """
    answers: list[httpx.Response] = []
    began = time.monotonic()

    def answered() -> bool:
        later = moment + timedelta(seconds=10 * len(answers) + time.monotonic() - began)
        answers.append(http.put("/admin/test-clock", json={"now": later.isoformat()}))
        return answers[-1].status_code != 503

    wait_until(answered, PATIENCE_SECONDS)
    assert answers[-1].status_code == 200, answers[-1].text
    return str(answers[-1].json()["now"])


def test_a_month_is_rehearsed_in_a_minute_and_survives_a_killed_shard(
    rehearsal: RunningService, http: httpx.Client
) -> None:
    add_credits(http, "rehearser")
    charge(http, "rehearser", 30)
    now = datetime.fromisoformat(status(http, "rehearser")["as_of"])

    days = []
    for day in (1, 2, 10):
        clock_set(http, now + timedelta(days=day))
        days.append(status(http, "rehearser")["remaining_credits"])
    for shard in http.get("/admin/shards").json():
        os.kill(shard["pid"], signal.SIGKILL)
    after = status(http, "rehearser")
    back = http.put("/admin/test-clock", json={"now": now.isoformat()})
    ended = clock_set(http, now + timedelta(days=31))
    wait_until(
        lambda: (
            http.get("/subscriptions/rehearser").json()["subscriptions"][0]["status"] == "expired"
            and "subscription_expired" in http.get("/subscriptions/rehearser/history").text
        ),
        EXPIRY_SECONDS_MAX,
    )

    assert days == [150, 240, 960]
    assert datetime.fromisoformat(after["as_of"]) >= now + timedelta(days=10)
    assert back.status_code == 422
    assert datetime.fromisoformat(ended) >= now + timedelta(days=31)


def test_pages_of_an_origin_that_is_set_at_run_time_may_call_until_it_is_taken_away(
    http: httpx.Client,
) -> None:
    page = "https://added.example"

    def is_allowed(origin: str) -> bool:
        answer = http.get("/subscription/status?user_id=ada", headers={"Origin": origin})
        return bool(answer.headers.get("access-control-allow-origin") == origin)

    assert not is_allowed(page)
    http.patch("/admin/settings", json={"cors_origins": [page]}).raise_for_status()
    wait_until(lambda: is_allowed(page), PATIENCE_SECONDS)
    http.patch("/admin/settings", json={"cors_origins": []}).raise_for_status()
    wait_until(lambda: not is_allowed(page), PATIENCE_SECONDS)

    assert is_allowed("https://app.example")
