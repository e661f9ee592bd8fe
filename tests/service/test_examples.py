"""The examples work against a real service, as they are in the repository."""

import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.node_programs import NodeServer
from tests.patience import PATIENCE_SECONDS
from tests.service.requests import PAYMENT, add_credits, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES_MAX = 100
FREED_SECONDS_MAX = 1.0
WORDS = 150  # Take 1.5 seconds.


@pytest.fixture
def user(request: pytest.FixtureRequest, http: httpx.Client) -> str:
    """Return a user with 90 credits a day."""
    name = f"example-{request.node.name}"
    assert add_credits(http, name).status_code == 201
    return name


@pytest.fixture(scope="module")
def app(packages: Path, service: RunningService) -> Iterator[httpx.Client]:
    """Yield a client of the Express application."""
    file = packages / "express.mjs"
    shutil.copy(EXAMPLES / "express" / "app.js", file)
    settings = {
        "ALLOTMENT_URL": service.address,
        "ALLOTMENT_KEY": service.key,
        "PORT": "0",
    }
    with (
        NodeServer(file, **settings) as server,
        httpx.Client(base_url=server.address, timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


def holds_of(http: httpx.Client, user: str) -> list[dict[str, Any]]:
    answer = http.get("/subscription/holds", params={"user_id": user})
    return list(answer.json()["holds"])


def charges_of(http: httpx.Client, user: str) -> list[dict[str, Any]]:
    return list(http.get("/subscription/usage", params={"user_id": user}).json()["items"])


def seconds_until_freed(http: httpx.Client, user: str, since: datetime) -> float:
    """Wait until the user has no hold; return when that was decided."""
    wait_until(lambda: not holds_of(http, user), PATIENCE_SECONDS)
    (entry,) = http.get(f"/subscriptions/{user}/history", params={"limit": 1}).json()["items"]
    return (datetime.fromisoformat(entry["at"]) - since).total_seconds()


def test_an_example_is_short() -> None:
    for file in EXAMPLES.glob("*/app.*"):
        assert len(file.read_text().splitlines()) < LINES_MAX, file


def test_a_chat_costs_a_credit_a_word(app: httpx.Client, http: httpx.Client, user: str) -> None:
    answer = app.post("/api/chat", headers={"X-User": user}, json={"prompt": "say 7 words"})

    assert answer.status_code == 200
    assert answer.text.split() == [f"word-{number}" for number in range(1, 8)]
    assert answer.headers["ratelimit-policy"] == '"credits";q=90;w=86400'
    assert answer.headers["ratelimit"].startswith('"credits";r=83;t=')
    (charge,) = charges_of(http, user)
    assert (charge["credit_amount"], charge["token_count"]) == (7, 7)
    assert (charge["service_type"], charge["model_used"]) == ("chat", "words-1")
    assert app.get("/api/credits", headers={"X-User": user}).json()["remainingCredits"] == 83


def test_a_chat_that_costs_more_than_is_there_is_refused_as_the_service_refuses(
    app: httpx.Client, http: httpx.Client, user: str
) -> None:
    answer = app.post("/api/chat", headers={"X-User": user}, json={"prompt": "say 100 words"})

    body = {"user_id": user, "credit_amount": 100, "service_type": "chat"}
    refused = http.post("/subscription/holds", json=body)
    assert answer.status_code == refused.status_code == 402
    assert answer.headers["content-type"] == refused.headers["content-type"]
    assert answer.json() == refused.json()
    assert answer.headers["ratelimit"].startswith('"credits";r=90;t=')
    assert status(http, user)["remaining_credits"] == 90


def test_nobody_in_particular_is_refused(app: httpx.Client) -> None:
    answer = app.post("/api/chat", json={"prompt": "say 7 words"})

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


def test_a_fixed_price_needs_no_report(app: httpx.Client, http: httpx.Client, user: str) -> None:
    answer = app.post("/api/picture", headers={"X-User": user})

    assert answer.json() == {"picture": "(^_^)"}
    assert status(http, user)["remaining_credits"] == 85


def test_a_client_that_disconnects_releases_its_hold_within_a_second(
    app: httpx.Client, http: httpx.Client, user: str
) -> None:
    address = (app.base_url.host, app.base_url.port or 0)
    head = f"POST /api/picture?ms=60000 HTTP/1.1\r\nHost: here\r\nX-User: {user}\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode())
        wait_until(lambda: len(holds_of(http, user)) == 1, PATIENCE_SECONDS)
        assert status(http, user)["remaining_credits"] == 85
        left_at = datetime.now(UTC)

    assert seconds_until_freed(http, user, left_at) < FREED_SECONDS_MAX
    assert status(http, user)["remaining_credits"] == 90
    assert charges_of(http, user) == []


def test_a_reader_who_leaves_a_stream_pays_for_what_was_made_until_then(
    app: httpx.Client, http: httpx.Client, user: str
) -> None:
    add_credits(http, user, amount=6000, payment=PAYMENT | {"transaction_id": "t-2"})
    asked = {"prompt": f"say {WORDS} words"}
    with app.stream("POST", "/api/chat", headers={"X-User": user}, json=asked) as answer:
        text = answer.iter_text()
        read = next(text)
        left_at = datetime.now(UTC)

    assert seconds_until_freed(http, user, left_at) < FREED_SECONDS_MAX
    (charge,) = charges_of(http, user)
    assert len(read.split()) <= charge["credit_amount"] < WORDS
    assert status(http, user)["remaining_credits"] == 270 - charge["credit_amount"]
