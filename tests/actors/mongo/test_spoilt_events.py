"""Events whose documents another program has spoilt: they are passed over, and all others go on."""

from datetime import timedelta
from typing import Any

import pytest

from actors.events.records import DeadLetter, OrderedEvent, Progress
from actors.mongo.events import MongoEvents
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup

ANN, BOB, EVE = UserId("ann"), UserId("bob"), UserId("eve")
SPOILT: dict[str, dict[str, Any]] = {
    "a type that only a later version knows": {"$set": {"type": "subscription.renamed"}},
    "a text for its data": {"$set": {"data": "text"}},
    "a text for its instant": {"$set": {"created": "2026-03-10"}},
    "no number": {"$unset": {"seq": ""}},
    "no user": {"$unset": {"user_id": ""}},
}


@pytest.fixture(params=SPOILT)
def spoiling(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SPOILT[request.param]


def happen(mongo: MongoSetup, *users: UserId) -> None:
    for user in users:
        write(mongo.store, [Author(user).add()])


def told(events: list[OrderedEvent]) -> list[tuple[int, str]]:
    return [(event.order, event.record.user_id) for event in events]


def test_one_that_has_no_place_yet_gets_one_and_is_told_to_nobody(
    embedded: MongoSetup, spoiling: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    events = MongoEvents(embedded.database)
    happen(embedded, ANN, BOB, EVE)
    embedded.database.allotment_events.update_one({"user_id": BOB}, spoiling)

    numbered = list(events.number(10))
    again = [list(events.after(0, limit)) for limit in (10, 1)]

    assert told(numbered) == [(2, ANN), (3, EVE)]
    assert again == [numbered, numbered[:1]]
    assert events.number(10) == []
    assert events.head() == 3
    (line,) = caplog.messages
    assert "cannot be read" in line


def test_one_that_was_told_before_is_passed_over_wherever_events_are_read(
    embedded: MongoSetup, spoiling: dict[str, Any]
) -> None:
    events = MongoEvents(embedded.database)
    author = Author(ANN)
    write(embedded.store, [author.add(transaction=f"t-{n}") for n in range(4)])
    first, second, *rest = events.number(10)
    for event in (first, second):
        events.bury(DeadLetter("crm", event, NOON, 1, "refused"))
    embedded.database.allotment_events.update_one({"_id": second.record.id}, spoiling)

    assert list(events.after(0, 10)) == [first, *rest]
    assert list(events.after(1, 1)) == rest[:1]
    assert list(events.of_user(ANN, 0, 2)) == [first, rest[0]]
    assert events.find(second.record.id) is None
    assert [letter.event for letter in events.dead(10)] == [first]


def test_one_is_removed_with_all_others_of_its_age(
    embedded: MongoSetup, spoiling: dict[str, Any]
) -> None:
    events = MongoEvents(embedded.database)
    happen(embedded, ANN, BOB, EVE)
    events.number(10)
    embedded.database.allotment_events.update_one({"user_id": BOB}, spoiling)

    assert events.trim(NOON + timedelta(days=1)) == 3


def test_where_nothing_else_is_left_there_is_nothing(
    embedded: MongoSetup, spoiling: dict[str, Any]
) -> None:
    events = MongoEvents(embedded.database)
    happen(embedded, ANN)
    embedded.database.allotment_events.update_one({}, spoiling)

    assert events.number(10) == []
    assert events.head() == 1
    assert events.after(0, 10) == []


@pytest.mark.parametrize("name", ["consumer", "event_id", "at", "attempts"])
def test_a_dead_letter_that_cannot_be_read_keeps_no_other_from_being_read(
    embedded: MongoSetup, name: str
) -> None:
    events = MongoEvents(embedded.database)
    happen(embedded, ANN, BOB)
    letters = [DeadLetter("crm", event, NOON, 1, "refused") for event in events.number(10)]
    for letter in letters:
        events.bury(letter)
    embedded.database.allotment_dead_letters.update_one({"user_id": BOB}, {"$unset": {name: ""}})

    assert events.dead(10) == letters[:1]
    assert events.trim(NOON) == 0


@pytest.mark.parametrize("done_until", [3, "x", None])
@pytest.mark.parametrize("done", [[[5, 6]], "x", None, [7]])
def test_a_place_that_cannot_be_read_ends_no_consumer(
    embedded: MongoSetup, done_until: Any, done: Any
) -> None:
    events = MongoEvents(embedded.database)
    events.keep("crm", Progress(1))
    place = {"_id": "consumer crm"}
    spoilt = {"$set": {"done_until": done_until, "done": done}}
    embedded.database.allotment_relay.update_one(place, spoilt)

    found = events.progress("crm")

    assert events.trim(NOON) == 0
    read = [(5, 6)] if done == [[5, 6]] else []
    assert found == (Progress(3, read) if done_until == 3 else None)
    events.keep("crm", Progress(9))
    assert events.progress("crm") == Progress(9)
