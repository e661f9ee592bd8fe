"""What an application's users see, of a real service behind its HAProxy: the files, the page, and who may read what."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from actors.edge.backend import Portal
from actors.edge.routes.embedded import ANYWHERE, ELEMENT, content_of, page_headers
from tests.builders.tokens import token
from tests.fakes.chromium import chromium
from tests.patience import SERVICE_SECONDS
from tests.service.requests import add_credits, charge, share_with
from tests.service.running import RunningService

pytestmark = pytest.mark.service

USER, VIEWER = "embed-user", "embed-viewer"
APPLICATION, FOREIGN = "https://app.example", "https://evil.example"
ALLOWED = "access-control-allow-origin"
SHADOW = "document.querySelector('allotment-usage').shadowRoot"
LEFT = f"{SHADOW}.querySelector('[role=meter]')?.ariaValueNow"
LOADED_AT = "performance.timeOrigin"


@pytest.fixture
def stranger(service: RunningService) -> Iterator[httpx.Client]:
    """Yield a client without a key, of which no page of another origin is told by settings."""
    with httpx.Client(base_url=service.address, timeout=SERVICE_SECONDS) as client:
        yield client


@pytest.fixture
def shared(http: httpx.Client) -> Iterator[None]:
    """Let pages of the application's origin read, as long as the test."""
    with share_with(http, APPLICATION):
        yield


def bearer(user: str, origin: str = APPLICATION) -> dict[str, str]:
    """Return what a page of an origin sends with a user's token."""
    return {"Authorization": f"Bearer {token({'sub': user})}", "Origin": origin}


@pytest.mark.parametrize("origin", [None, FOREIGN])
def test_any_page_may_have_the_element_and_keeps_it_for_an_hour(
    stranger: httpx.Client, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    got = stranger.get(f"/embed/{ELEMENT}", headers=headers)
    known = {"If-None-Match": got.headers["etag"]}
    again = stranger.get(f"/embed/{ELEMENT}", headers=headers | known)

    assert (got.status_code, got.content) == (200, content_of(ELEMENT))
    assert got.headers["content-type"].startswith("text/javascript")
    for name, value in ANYWHERE.items():
        assert got.headers[name] == again.headers[name] == value
    assert (again.status_code, again.content) == (304, b"")
    assert "set-cookie" not in got.headers


def test_the_words_of_another_language_are_there_and_no_other_file(stranger: httpx.Client) -> None:
    words = stranger.get("/embed/de.json")
    others = [stranger.get(f"/embed/{name}") for name in ("portal.html", "..%2fapp.py", "x.js")]

    assert words.headers["content-type"] == "application/json"
    assert words.json()["packs"] == "Pakete"
    assert [one.status_code for one in others] == [404] * len(others)


def test_the_page_for_users_may_be_framed_by_nobody_and_runs_nothing_of_others(
    stranger: httpx.Client,
) -> None:
    page = stranger.get(
        "/portal", params={"token": "secret-in-a-query"}, headers={"Origin": FOREIGN}
    )

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for name, value in page_headers(Portal()).items():
        assert page.headers[name] == value
    assert page.headers["x-frame-options"] == "DENY"
    assert ALLOWED not in page.headers, "a page of another origin does not read it"
    assert "secret-in-a-query" not in page.text


@pytest.mark.usefixtures("shared")
def test_pages_of_the_applications_origin_alone_read_with_a_users_token(
    stranger: httpx.Client, http: httpx.Client
) -> None:
    add_credits(http, USER)
    asks = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    path = f"/subscription/status?user_id={USER}"

    for origin, shown, allowed in ((APPLICATION, APPLICATION, 204), (FOREIGN, None, 403)):
        asked = stranger.options(path, headers=asks | {"Origin": origin})
        answer = stranger.get(path, headers=bearer(USER, origin))
        assert asked.status_code == allowed
        assert asked.headers.get(ALLOWED) == answer.headers.get(ALLOWED) == shown
        assert answer.json()["remaining_credits"] == 90
        assert "access-control-allow-credentials" not in answer.headers

    refused = stranger.get(path, headers=bearer("embed-other"))
    assert (refused.status_code, refused.headers[ALLOWED]) == (403, APPLICATION)


@pytest.mark.usefixtures("shared")
def test_a_page_follows_its_users_events_through_the_proxy_while_they_happen(
    stranger: httpx.Client, http: httpx.Client
) -> None:
    add_credits(http, USER)
    made = stranger.post("/events/token", headers=bearer(USER)).json()
    query = {name: made[name] for name in ("token", "after")}

    with stranger.stream("GET", "/events", params=query, headers={"Origin": APPLICATION}) as stream:
        events = (
            json.loads(line.removeprefix("data:"))
            for line in stream.iter_lines()
            if line.startswith("data:")
        )
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers[ALLOWED] == APPLICATION
        assert "no-store" in stream.headers["cache-control"]
        begun = time.monotonic()
        charge(http, USER, 85)  # It leaves few.
        # What the credits have changed may be told first: it had no place when the token was made.
        told = next(event for event in events if event["type"] != "subscription.changed")
        took = time.monotonic() - begun

    assert (told["type"], told["user_id"]) == ("subscription.low_credits", USER)
    assert took < SERVICE_SECONDS, "the proxy holds nothing back"


def test_the_page_for_users_moves_in_a_browser_when_credits_are_given_back(
    service: RunningService, http: httpx.Client, tmp_path: Path
) -> None:
    """It is served by the service itself, so no origin has to be named; it is not loaded again."""
    add_credits(http, VIEWER)
    usage_id = charge(http, VIEWER, 30).json()["usage_id"]
    with chromium(tmp_path) as user:
        user.open(f"{service.address}/portal#token={token({'sub': VIEWER})}")
        user.wait_until(LEFT, "60")
        user.wait_for_answers("/events?", 1)
        loaded_at = user.evaluate(LOADED_AT)
        reversal = f"/subscription/usage/{usage_id}/reversals"
        http.post(reversal, json={"reason": "it failed"}).raise_for_status()

        user.wait_until(LEFT, "90")
        assert user.evaluate(LOADED_AT) == loaded_at
        assert user.evaluate("location.href") == f"{service.address}/portal"
