"""The TypeScript client in Bun, Deno, workerd and Next, against the service."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.node_programs import Server
from tests.clients.runtimes import (
    Next,
    Workerd,
    build_next,
    bun,
    deno,
    install_beside,
    needs_runtimes,
)
from tests.patience import PATIENCE_SECONDS
from tests.service.requests import add_credits, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

RUNTIMES: dict[str, Callable[[Path, str, str], Server]] = {
    "bun": bun,
    "deno": deno,
    "workerd": Workerd,
}
TRIED = {
    "begins": 90,
    "charged": 60,
    "again": 60,
    "refused": True,
    "held": 40,
    "settled": 55,
    "worked": 54,
    "failed": "RangeError: no",
    "released": 54,
    "many": [True, False],
    "amounts": [1, 1, 5, 30],
    "pages": [2, 2],
    "events": ["subscription.changed", True],
    "aborted": "aborted",
    "abortedUnderWay": "aborted",
    "late": "service_away",
    "away": {"queued": True, "waiting": 2, "sent": [["charge", 2], ["charge", 3]], "closed": 0},
    "nobody": ["service_away"],
    "ends": 48,
}
"""What `clients/typescript/runtimes/tried.mjs` finds, whatever the runtime."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> None:
    needs_runtimes()
    install_beside(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module", params=list(RUNTIMES))
def runtime(
    request: pytest.FixtureRequest,
    package: None,
    service: RunningService,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp(request.param)
    with RUNTIMES[request.param](directory, service.address, service.key) as server:
        yield server


@pytest.fixture(scope="module")
def shop(
    package: None, service: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    build_next()
    with Next(tmp_path_factory.mktemp("next"), service.address, service.key) as server:
        yield server


@pytest.fixture
def user(http: httpx.Client, request: pytest.FixtureRequest) -> str:
    """Return a user with 90 credits, whom no other test knows."""
    name = re.sub(r"\W+", "-", f"runtime-{request.node.name}")
    assert add_credits(http, name).status_code == 201
    return name


def asked(server: Server, path: str, user: str, **more: str) -> httpx.Response:
    return httpx.post(
        f"{server.address}/{path}", params={"user": user, **more}, timeout=PATIENCE_SECONDS
    )


def left(http: httpx.Client, user: str) -> tuple[int, int]:
    """Return what a user has left, and what is held."""
    found = status(http, user)
    return found["remaining_credits"], found["credits_held"]


def leave(server: Server, path: str, user: str, **more: str) -> None:
    """Ask, and go away when the answer has begun."""
    params = {"user": user, **more}
    with httpx.stream("POST", f"{server.address}/{path}", params=params, timeout=60) as answer:
        next(answer.iter_bytes())


def leave_early(http: httpx.Client, server: Server, path: str, user: str, **more: str) -> None:
    """Ask, and go away when the hold is made and the answer has not begun."""
    url = httpx.URL(f"{server.address}/{path}", params={"user": user, **more})
    with socket.create_connection((url.host, url.port or 80)) as client:
        head = f"POST {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 0\r\n\r\n"
        client.sendall(head.encode())
        wait_until(lambda: status(http, user)["credits_held"] == 20, PATIENCE_SECONDS)


def test_the_client_does_all_of_it(runtime: Server, http: httpx.Client, user: str) -> None:
    url = f"{runtime.address}/tried"

    answer = httpx.get(url, params={"user": user}, timeout=PATIENCE_SECONDS)

    assert answer.json() == TRIED
    assert left(http, user) == (48, 0)


def test_an_answer_is_settled_when_it_has_been_read(
    runtime: Server, http: httpx.Client, user: str
) -> None:
    answer = asked(runtime, "chat", user)
    assert answer.headers["RateLimit-Policy"] == '"credits";q=90;w=86400'
    assert answer.headers["RateLimit"].startswith('"credits";r=70;t=')
    assert left(http, user) == (78, 0)

    assert asked(runtime, "words", user).text == "word word word "
    assert left(http, user) == (71, 0)
    assert asked(runtime, "bare", user).json() == {"text": "Hello"}
    assert left(http, user) == (67, 0)
    assert asked(runtime, "broken", user).status_code == 500
    assert left(http, user) == (67, 0)


def test_who_has_no_credits_is_refused_with_a_problem(runtime: Server) -> None:
    for path in ("chat", "bare"):
        refused = asked(runtime, path, "nobody")

        assert refused.status_code == 402
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.json()["code"] == "no_active_subscription"


def test_a_charge_is_made_that_its_answer_did_not_wait_for(
    runtime: Server, http: httpx.Client, user: str
) -> None:
    assert asked(runtime, "late", user).status_code == 200

    wait_until(lambda: left(http, user) == (87, 0), PATIENCE_SECONDS)


def test_a_client_that_disconnects_releases_its_hold(
    runtime: Server, http: httpx.Client, user: str
) -> None:
    leave(runtime, "endless", user)
    wait_until(lambda: left(http, user) == (90, 0), PATIENCE_SECONDS)

    if not isinstance(runtime, Workerd):  # It does not tell of it before the answer.
        leave_early(http, runtime, "slow", user)
        wait_until(lambda: left(http, user) == (90, 0), PATIENCE_SECONDS)


def test_next_settles_releases_and_refuses(shop: Server, http: httpx.Client, user: str) -> None:
    answer = asked(shop, "chat", user)
    assert answer.json() == {"text": "Hello"}
    assert answer.headers["RateLimit"].startswith('"credits";r=70;t=')
    ends = {"in words": (200, 71), "with an error": (500, 71), "elsewhere": (307, 70)}
    for how, (code, remaining) in (ends | {"nowhere": (404, 70)}).items():
        assert asked(shop, "chat", user, ends=how).status_code == code
        assert left(http, user) == (remaining, 0)

    leave(shop, "chat", user, ends="never")
    wait_until(lambda: left(http, user) == (70, 0), PATIENCE_SECONDS)
    leave_early(http, shop, "chat", user, ends="slowly")
    wait_until(lambda: left(http, user) == (70, 0), PATIENCE_SECONDS)

    refused = asked(shop, "chat", "nobody")
    assert refused.status_code == 402
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "no_active_subscription"
