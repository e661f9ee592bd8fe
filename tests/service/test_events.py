"""Events that arrive: from a charge to webhooks, mail, profile, streams and clients."""

import json
import os
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice

import httpx
import pytest
import ray

from actors.client import Allotment
from tests.fakes.smtp import SmtpProcess
from tests.patience import PATIENCE_SECONDS
from tests.service.processes import actor_pid
from tests.service.receiver import Receiver
from tests.service.requests import add_credits, charge, iso
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

ARRIVES_SECONDS_MAX = PATIENCE_SECONDS
LOW = "subscription.low_credits"


def add(http: httpx.Client, user: str, transaction: str = "t-1", **changes: object) -> None:
    payment = {"method": "card", "transaction_id": transaction, "amount": 1, "currency": "eur"}
    add_credits(http, user, payment=payment, **changes).raise_for_status()


def until_told(receiver: Receiver, user: str, kind: str, count: int = 1) -> None:
    wait_until(lambda: len(receiver.events_of(user, kind)) >= count, ARRIVES_SECONDS_MAX)


def test_500_concurrent_charges_across_the_line_tell_once_and_after_a_top_up_once_more(
    http: httpx.Client, receiver: Receiver
) -> None:
    add(http, "edge-500", amount=1200, days=2)  # 540 a day.

    def charge_ten(_: int) -> int:
        # One client of all threads may close a connection that another thread reads from.
        with httpx.Client(
            base_url=http.base_url, headers=http.headers, timeout=http.timeout
        ) as own:
            return [charge(own, "edge-500", 1).status_code for _ in range(10)].count(201)

    with ThreadPoolExecutor(50) as pool:
        accepted = sum(pool.map(charge_ten, range(50)))
    until_told(receiver, "edge-500", LOW)
    add(http, "edge-500", "t-2", amount=1200, days=2)
    charge(http, "edge-500", 400).raise_for_status()
    charge(http, "edge-500", 1).raise_for_status()
    until_told(receiver, "edge-500", LOW, 2)
    add(http, "edge-500-after")
    until_told(receiver, "edge-500-after", "subscription.changed")

    told = receiver.events_of("edge-500", LOW)
    assert accepted == 500
    assert len({event["id"] for event in told}) == 2
    assert told[0]["data"]["remaining_credits"] == 108


def test_a_day_of_a_user_is_told_in_order_to_webhook_mail_profile_and_features(
    service: RunningService, http: httpx.Client, receiver: Receiver, smtp: SmtpProcess
) -> None:
    database = service.mongo().allotment
    database.users.insert_one({"_id": "told", "email": "told@example.test"})
    add(http, "told")
    charge(http, "told", 80).raise_for_status()
    added = http.get("/subscriptions/told").json()["subscriptions"][0]["subscription_id"]
    end = iso(datetime.now(UTC) + timedelta(days=90))
    http.patch(f"/subscriptions/{added}", json={"end_date": end}).raise_for_status()
    http.patch(f"/subscriptions/{added}", json={"status": "expired"}).raise_for_status()
    until_told(receiver, "told", "subscription.expired")
    wait_until(
        lambda: (
            (database.users.find_one({"_id": "told"}) or {}).get("features", {}).get("chat")
            is False
        ),
        ARRIVES_SECONDS_MAX,
    )
    wait_until(
        lambda: any(mail["To"] == "told@example.test" for mail in smtp.messages),
        ARRIVES_SECONDS_MAX,
    )

    profile = database.users.find_one({"_id": "told"})
    database.client.close()
    assert [event["type"] for event in receiver.events_of("told")] == [
        "subscription.changed",
        LOW,
        "subscription.changed",
        "subscription.renewed",
        "subscription.changed",
        "subscription.expired",
    ]
    assert profile is not None
    assert profile["subscription"]["status"] == "expired"
    assert profile["subscription"]["total_credits"] == 3000
    assert str(profile["subscription"]["subscription_id"]) == added


def stream(service: RunningService, **params: str) -> Iterator[dict[str, str]]:
    """Yield server-sent events as a browser would."""
    headers = {"Authorization": f"Bearer {service.key}"}
    url = f"{service.address}/events"
    with httpx.stream("GET", url, headers=headers, params=params, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(":")
                event[name] = value.strip()
            elif event.get("id"):
                yield event
                event = {}


def test_a_stream_resumes_after_the_event_it_saw_last(
    service: RunningService, http: httpx.Client, receiver: Receiver
) -> None:
    add(http, "streamed")
    charge(http, "streamed", 80).raise_for_status()
    until_told(receiver, "streamed", LOW)

    seen = list(islice(stream(service, user_id="streamed", after="beginning"), 2))
    rest = stream(service, user_id="streamed", after=seen[0]["id"])
    resumed = next(rest)
    http.post(
        "/subscription/credits",
        json={
            "user_id": "streamed",
            "amount": 100,
            "days": 1,
            "payment": {"method": "card", "transaction_id": "t-2", "amount": 1, "currency": "eur"},
        },
    ).raise_for_status()
    live = next(rest)

    assert [one["event"] for one in seen] == ["subscription.changed", LOW]
    assert resumed["id"] == seen[1]["id"]
    assert live["event"] == "subscription.changed"
    assert json.loads(live["data"])["data"]["total_credits"] == 3100
    assert isinstance(rest, Generator)
    rest.close()


def test_both_clients_follow_events_and_resume(
    client: Allotment, http: httpx.Client, receiver: Receiver
) -> None:
    add(http, "followed")
    charge(http, "followed", 80).raise_for_status()
    until_told(receiver, "followed", LOW)

    every = list(islice(client.events(user_id="followed", after="beginning"), 2))
    low = next(client.events(types=[LOW], user_id="followed", after=every[0].id))

    async def resumed() -> str:
        async for event in client.client.events(user_id="followed", after=every[0].id):
            return event.id
        return ""

    assert [event.type for event in every] == ["subscription.changed", LOW]
    assert low == every[1]
    assert client.wait(resumed()) == low.id


@pytest.mark.parametrize("manner", ["hang", "500", "close"])
def test_an_endpoint_in_trouble_delays_no_other_and_gets_all_later(
    http: httpx.Client, receiver: Receiver, other_receiver: Receiver, manner: str
) -> None:
    users = [f"trouble-{manner}-{number}" for number in range(5)]
    other_receiver.manner = manner

    for user in users:
        add(http, user)
    for user in users:
        until_told(receiver, user, "subscription.changed")
    reported = http.get("/admin/events").json()
    other_receiver.manner = "ok"

    wait_until(lambda: all(other_receiver.events_of(user) for user in users), 60)
    assert reported["undelivered_count"] > 0
    health = {one["endpoint"]: one for one in reported["endpoints"]}
    assert health["webhook other"]["undelivered"] >= 5
    assert health["webhook crm"]["healthy"]


def test_what_an_endpoint_refuses_is_dead_until_an_operator_sends_it_again(
    service: RunningService, http: httpx.Client, other_receiver: Receiver
) -> None:
    other_receiver.manner = "400"
    add(http, "refused-event")

    def dead() -> list[dict[str, object]]:
        report = http.get("/admin/events").json()
        return [one for one in report["dead"] if one["user_id"] == "refused-event"]

    wait_until(lambda: bool(dead()), 60)
    other_receiver.manner = "ok"
    shown = service.command("status").stdout
    (letter,) = dead()
    again = http.post(f"/admin/events/{letter['id']}/redeliver")

    wait_until(lambda: bool(other_receiver.events_of("refused-event")), ARRIVES_SECONDS_MAX)
    wait_until(lambda: not dead(), ARRIVES_SECONDS_MAX)
    assert again.json() == {"id": letter["id"], "endpoints": ["webhook other"]}
    assert "undelivered events: " in shown
    assert "dead: 1" in shown


def test_an_endpoint_that_is_made_over_http_gets_signed_events_until_it_is_removed(
    service: RunningService, http: httpx.Client, receiver: Receiver
) -> None:
    changed = "subscription.changed"
    with Receiver() as own:
        made = http.post("/admin/endpoints", json={"url": own.url, "events": [changed]}).json()
        own.secret, one = made["secret"], f"/admin/endpoints/{made['endpoint_id']}"
        tried = http.post(f"{one}/test").json()
        add(http, "endpoint-1")
        charge(http, "endpoint-1", 80).raise_for_status()
        until_told(own, "endpoint-1", changed)
        os.kill(actor_pid(service, "EventActor"), signal.SIGKILL)
        add(http, "endpoint-2")
        until_told(own, "endpoint-2", changed)
        removed = http.delete(one)
        wait_until(lambda: not is_reported(http, made["endpoint"]), ARRIVES_SECONDS_MAX)
        add(http, "endpoint-3")
        until_told(receiver, "endpoint-3", changed)

    assert (tried["delivered"], tried["status"], removed.status_code) == (True, 204, 200)
    assert {event["type"] for event in own.events_of("endpoint-1")} == {changed}
    assert own.events_of("endpoint-3") == []
    assert http.post(f"{one}/test").status_code == 404
    assert made["secret"] not in http.get("/admin/endpoints").text + http.get("/admin/audit").text


def is_reported(http: httpx.Client, endpoint: str) -> bool:
    """Say whether the report of events names an endpoint, or is not there."""
    answer = http.get("/admin/events")
    known = answer.json()["endpoints"] if answer.status_code == 200 else [{"endpoint": endpoint}]
    return endpoint in {one["endpoint"] for one in known}


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Allotment]:
    client = Allotment.connect(service.ray_address, timeout_seconds=60)
    yield client
    client.close()
    ray.shutdown()
