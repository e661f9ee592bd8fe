"""Endpoints of webhooks: how they do, and what an operator does about them, shown before it is done."""

from typing import Any

import httpx
import pytest

from tests.fakes.browser import Browser, Time, browsing
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, HttpService

ENDPOINT = EXAMPLES["EndpointRecord"]
ENDPOINT_ID = ENDPOINT["endpoint_id"]
ONE = f"/admin/endpoints/{ENDPOINT_ID}"
NEW = EXAMPLES["MadeEndpoint"]
HEALTH = EXAMPLES["EventsReport"]["endpoints"][0] | {"endpoint": ENDPOINT["endpoint"]}
LOW, RENEWED = "event.subscription.low_credits", "event.subscription.renewed"
CHANGES: dict[str, tuple[str, dict[str, str], str, str, dict[str, Any] | None, str]] = {
    "make": (
        "make",
        {"url": "https://crm.example/hook?t=1", LOW: "1", RENEWED: "1", "sends": "events"},
        "POST",
        "/admin/endpoints",
        {
            "url": "https://crm.example/hook?t=1",
            "events": ["subscription.renewed", "subscription.low_credits"],
            "enabled": True,
        },
        "subscription.renewed, subscription.low_credits",
    ),
    "make one that is off, for every event": (
        "make",
        {"url": "https://crm.example/", "sends": "nothing"},
        "POST",
        "/admin/endpoints",
        {"url": "https://crm.example/", "events": [], "enabled": False},
        "every event",
    ),
    "another address": (
        "change",
        {"url": "https://new.example/", LOW: "1", "sends": "events"},
        "PATCH",
        ONE,
        {"url": "https://new.example/"},
        ENDPOINT["address"],
    ),
    "every event": ("change", {"sends": "events"}, "PATCH", ONE, {"events": []}, "every event"),
    "off": (
        "change",
        {LOW: "1", "sends": "nothing"},
        "PATCH",
        ONE,
        {"enabled": False},
        "It keeps its place",
    ),
    "rotate": (
        "rotate",
        {"overlap": "2"},
        "POST",
        f"{ONE}/rotate",
        {"overlap": 7200},
        "until 2026-03-10 14:00 UTC",
    ),
    "remove": ("remove", {}, "DELETE", ONE, None, "Dead letters of it"),
}


@pytest.fixture(autouse=True)
def one_endpoint(service: HttpService) -> None:
    service.answers["GET", "/admin/events"] = EXAMPLES["EventsReport"] | {"endpoints": [HEALTH]}


def made(operator: Browser) -> httpx.Response:
    """Make an endpoint; return the answer to the confirmed form."""
    form = operator.get("/endpoints/make")
    plan = operator.submit(form, "/endpoints/make", url="https://crm.example/hook")
    return operator.submit(plan, "/endpoints/make")


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_shown_before_it_is_done(
    operator: Browser, service: HttpService, name: str
) -> None:
    action, fields, method, path, body, shown = CHANGES[name]
    service.answers[method, path] = NEW if method == "POST" else ENDPOINT

    form = operator.get(f"/endpoints/{action}?endpoint={ENDPOINT_ID}")
    plan = operator.submit(form, f"/endpoints/{action}", **fields)

    assert shown in plan.text
    assert service.writes == []

    done = operator.submit(plan, f"/endpoints/{action}")

    assert done.headers["location"] == "/endpoints"
    (write,) = service.writes
    assert (write.method, write.path, write.body, write.key) == (method, path, body, ADMIN_KEY)


def test_a_form_that_is_sent_twice_makes_one_endpoint(
    operator: Browser, service: HttpService
) -> None:
    service.answers["POST", "/admin/endpoints"] = NEW
    form = operator.get("/endpoints/make")
    plan = operator.submit(form, "/endpoints/make", url="https://crm.example/hook")

    for _ in range(2):
        operator.submit(plan, "/endpoints/make")

    first, second = service.writes
    assert first == second
    assert first.idempotency_key


def test_a_new_secret_is_shown_once_and_in_its_own_session_only(
    operator: Browser, service: HttpService, time: Time
) -> None:
    service.answers["POST", "/admin/endpoints"] = NEW
    done = made(operator)
    with browsing(service, time=time) as another:
        another.sign_in()
        others = another.get("/endpoints").text
    pages = [operator.get("/endpoints").text for _ in range(2)]

    assert NEW["secret"] not in done.text + str(done.headers) + others
    assert NEW["secret"] in pages[0]
    assert NEW["secret"] not in pages[1]


@pytest.mark.parametrize(
    ("more", "notice", "tone"),
    [
        ({}, "The test event has arrived: 204 after 31 ms.", "good"),
        (
            {"delivered": False, "status": 503},
            "not arrived, after 31 ms: the endpoint answers 503",
            "bad",
        ),
        (
            {"delivered": False, "status": None, "error": "no answer within 5 seconds"},
            "no answer within 5 seconds",
            "bad",
        ),
    ],
)
def test_what_came_of_a_test_is_told(
    operator: Browser, service: HttpService, more: dict[str, Any], notice: str, tone: str
) -> None:
    service.answers["POST", f"{ONE}/test"] = EXAMPLES["EndpointTrial"] | more

    done = operator.submit(operator.get("/endpoints"), "/endpoints/test")
    page = operator.get("/endpoints").text

    assert done.headers["location"] == "/endpoints"
    assert notice in page
    assert f'class="notice {tone}"' in page


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("make", {"url": ""}),
        ("change", {LOW: "1", "sends": "events"}),
        ("rotate", {"overlap": "-1"}),
        ("rotate", {"overlap": ""}),
    ],
)
def test_a_form_that_cannot_be_read_comes_back_with_a_sentence(
    operator: Browser, service: HttpService, action: str, fields: dict[str, str]
) -> None:
    form = operator.get(f"/endpoints/{action}?endpoint={ENDPOINT_ID}")
    answer = operator.submit(form, f"/endpoints/{action}", **fields)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert service.writes == []


def test_what_the_service_refuses_is_told_beside_the_form(
    operator: Browser, service: HttpService
) -> None:
    errors = [{"field": "url", "message": "is a public address"}]
    refusal = {"status": 422, "code": "invalid_request", "title": "Wrong", "errors": errors}
    service.answers["POST", "/admin/endpoints"] = httpx.Response(422, json=refusal)
    fields = {"url": "https://10.0.0.1/", LOW: "1", "sends": "nothing"}
    plan = operator.submit(operator.get("/endpoints/make"), "/endpoints/make", **fields)

    answer = operator.submit(plan, "/endpoints/make").text

    assert "url: is a public address" in answer
    assert 'value="https://10.0.0.1/"' in answer
    assert answer.count(" checked") == 2, "the type and the way of sending are as they were sent"


@pytest.mark.parametrize(
    "path", ["/endpoints/burn", "/endpoints/test", "/endpoints/change?endpoint=none"]
)
def test_what_is_not_there_is_said(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404


def test_an_endpoint_of_the_environment_can_be_tested_alone(
    operator: Browser, service: HttpService
) -> None:
    service.answers["GET", "/admin/endpoints"] = [ENDPOINT | {"source": "environment"}]

    page = operator.get("/endpoints").text

    assert "of the environment" in page
    assert ">Test</button>" in page
    assert ">Remove</a>" not in page
    assert operator.get(f"/endpoints/remove?endpoint={ENDPOINT_ID}").status_code == 404


@pytest.mark.parametrize(
    ("record", "health", "shown"),
    [
        ({}, {}, "answers"),
        ({}, {"healthy": False, "failures_in_a_row": 3, "last_error": "it is away"}, "it is away"),
        ({"enabled": False}, {}, "off"),
        ({}, {"endpoint": "another"}, "begins"),
        ({"old_secret_until": "2026-03-10T14:00:00Z"}, {}, "it ends in 2 h"),
    ],
)
def test_the_list_tells_how_an_endpoint_does(
    operator: Browser,
    service: HttpService,
    record: dict[str, Any],
    health: dict[str, Any],
    shown: str,
) -> None:
    service.answers["GET", "/admin/endpoints"] = [ENDPOINT | record]
    report = EXAMPLES["EventsReport"] | {"endpoints": [HEALTH | health]}
    service.answers["GET", "/admin/events"] = report

    assert shown in operator.get("/endpoints").text


def test_endpoints_are_listed_while_their_health_is_not_known(
    operator: Browser, service: HttpService
) -> None:
    service.answers["GET", "/admin/events"] = httpx.Response(503, json={"title": "not now"})

    page = operator.get("/endpoints")

    assert page.status_code == 200
    assert ENDPOINT["address"] in page.text
