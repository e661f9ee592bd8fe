"""What every store of endpoints promises: a place from the start, one answer a key, nothing left behind."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from actors.events.endpoints import (
    SECRETS_MAX,
    Endpoint,
    EndpointStore,
    FirstAnswer,
    make_endpoint,
    rotated,
)
from actors.events.records import DeadLetter, EventStore, OrderedEvent, Progress
from actors.events.webhooks import target_of_made
from actors.mongo.endpoints import MongoEndpoints
from actors.mongo.events import MongoEvents
from tests.builders.authors import NOON, Author, write
from tests.fakes.memory_endpoints import MemoryEndpoints
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.setups import MemorySetup, MongoSetup, Setup

LATER = NOON + timedelta(days=1)


@pytest.fixture
def events(setup: Setup) -> EventStore:
    if isinstance(setup, MemorySetup):
        return MemoryEvents(setup.store)
    assert isinstance(setup, MongoSetup)
    return MongoEvents(setup.database)


@pytest.fixture
def endpoints(setup: Setup, events: EventStore) -> EndpointStore:
    if isinstance(setup, MongoSetup):
        return MongoEndpoints(setup.database)
    assert isinstance(events, MemoryEvents)
    return MemoryEndpoints(events)


def made(*, enabled: bool = True) -> Endpoint:
    return make_endpoint("https://crm.example/", ["usage.spike"], NOON, enabled=enabled)


def happen(setup: Setup, events: EventStore, user: str = "ann") -> OrderedEvent:
    write(setup.store, [Author(user).add(3000, 30, f"t-{user}")])
    (event,) = events.number(10)
    return event


def test_an_endpoint_is_read_as_it_was_kept(endpoints: EndpointStore) -> None:
    first, second = made(), replace(made(enabled=False), events=(), created_at=LATER)
    for endpoint in (second, first):
        assert endpoints.insert(endpoint, None)

    assert endpoints.list() == [first, second]
    assert endpoints.find(second.endpoint_id) == second
    assert endpoints.find("ep_none") is None


def test_an_endpoint_begins_with_what_is_told_after_it_was_made(
    setup: Setup, events: EventStore, endpoints: EndpointStore
) -> None:
    happen(setup, events)
    endpoint = made()
    endpoints.insert(endpoint, None)
    happen(setup, events, "bob")

    assert events.progress(endpoint.consumer) == Progress(1)
    events.keep(endpoint.consumer, Progress(1, [(3, 4)]))
    assert events.progress(endpoint.consumer) == Progress(1, [(3, 4)])


def test_one_endpoint_is_made_with_a_key(endpoints: EndpointStore) -> None:
    first, other = made(), made()
    answer = FirstAnswer("k-1", "f", "text")
    assert endpoints.insert(first, answer)
    assert not endpoints.insert(other, replace(answer, text="another"))
    assert endpoints.insert(other, None)

    assert endpoints.first_answer("k-1") == answer
    assert endpoints.first_answer("k-2") is None
    endpoints.remove(first.endpoint_id)
    assert endpoints.first_answer("k-1") is None


def test_a_change_of_what_was_changed_meanwhile_is_refused(endpoints: EndpointStore) -> None:
    old = made()
    endpoints.insert(old, None)
    secrets = rotated(old.secrets, NOON, LATER)
    new = replace(old, enabled=False, secrets=secrets, changed_at=LATER, version=2)

    assert endpoints.replace(old, new)
    assert not endpoints.replace(old, replace(old, url="https://other.example/", version=2))
    assert endpoints.find(old.endpoint_id) == new
    endpoints.remove(old.endpoint_id)
    assert not endpoints.replace(new, replace(new, version=3))
    assert endpoints.list() == []


def test_an_endpoint_that_is_removed_leaves_nothing_behind(
    setup: Setup, events: EventStore, endpoints: EndpointStore
) -> None:
    event, endpoint = happen(setup, events), made()
    endpoints.insert(endpoint, None)
    events.bury(DeadLetter(endpoint.consumer, event, NOON, 5, "410"))
    events.bury(DeadLetter("webhook crm", event, NOON, 5, "410"))

    assert endpoints.remove(endpoint.endpoint_id)
    assert not endpoints.remove(endpoint.endpoint_id)
    events.keep(endpoint.consumer, Progress(1))  # What was on its way.
    assert events.progress(endpoint.consumer) is None
    assert [letter.consumer for letter in events.dead(10)] == ["webhook crm"]
    assert events.trim(NOON + timedelta(days=40)) == 0  # The other's letter holds it.


def test_an_endpoint_that_is_off_holds_no_event_and_one_that_is_on_does(
    setup: Setup, events: EventStore, endpoints: EndpointStore
) -> None:
    endpoint, late = made(), NOON + timedelta(days=40)
    endpoints.insert(endpoint, None)
    event = happen(setup, events)
    events.keep("log", Progress(event.order))

    assert events.trim(late) == 0
    endpoints.replace(endpoint, replace(endpoint, enabled=False, version=2))
    assert events.trim(late) == 1


def test_a_letter_of_an_endpoint_that_is_gone_goes_with_old_events(
    setup: Setup, events: EventStore, endpoints: EndpointStore
) -> None:
    """It may be written while the endpoint is removed."""
    if isinstance(setup, MemorySetup):
        pytest.skip("nothing is written at the same moment there")
    event, endpoint = happen(setup, events), made()
    endpoints.insert(endpoint, None)
    endpoints.remove(endpoint.endpoint_id)
    events.bury(DeadLetter(endpoint.consumer, event, NOON, 5, "410"))

    assert events.trim(NOON + timedelta(days=40)) == 1
    assert list(events.dead(10)) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        {"url": None, "secrets": None},
        {"secrets": []},
        {"secrets": [{"secret": "short", "until": None}]},
        {"secrets": [{"secret": 7, "until": None}]},
        {"secrets": "whsec_"},
        {"events": 7},
        {"created_at": "yesterday"},
        {"version": "x"},
    ],
    ids=str,
)
def test_an_endpoint_that_cannot_be_read_is_left_out_and_no_other(
    setup: Setup, endpoints: EndpointStore, spoilt: dict[str, Any]
) -> None:
    if not isinstance(setup, MongoSetup):
        pytest.skip("other programs write to databases alone")
    bad, good = made(), made()
    for endpoint in (bad, good):
        endpoints.insert(endpoint, None)
    setup.database.allotment_endpoints.update_one({"_id": bad.endpoint_id}, {"$set": spoilt})

    assert endpoints.list() == [good]
    assert endpoints.find(bad.endpoint_id) is None


def test_an_endpoint_says_nothing_secret_of_itself() -> None:
    endpoint = made()
    (secret,) = endpoint.secrets
    said = f"{endpoint!r} {secret!r} {FirstAnswer('k', 'f', secret.text)!r}"
    said += repr(target_of_made(endpoint))

    assert secret.text not in said
    assert "crm.example" not in said


def test_so_many_secrets_sign_at_once() -> None:
    secrets = made().secrets
    for _ in range(SECRETS_MAX + 3):
        secrets = rotated(secrets, NOON, LATER)

    assert len(secrets) == SECRETS_MAX
    assert [secret.until for secret in secrets] == [LATER] * (SECRETS_MAX - 1) + [None]
    assert len(rotated(secrets, LATER, LATER)) == 1
