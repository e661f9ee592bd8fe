"""What every store of events promises: places without gaps, and nothing lost between commits."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from actors.events.records import DeadLetter, EventStore, OrderedEvent, Progress
from actors.mongo.connection import connect
from actors.mongo.events import TRIM_BATCH, MongoEvents
from actors.protocol.store import StorageUnavailableError
from domain.messages import Entry
from domain.values import UserId
from tests.builders.authors import NOON, Author, views_of, write
from tests.fakes.memory_events import MemoryEvents
from tests.fakes.setups import MemorySetup, MongoSetup, Setup

ANN, BOB = UserId("ann"), UserId("65f0a1b2c3d4e5f601234567")


@pytest.fixture
def events(setup: Setup) -> EventStore:
    if isinstance(setup, MemorySetup):
        return MemoryEvents(setup.store)
    assert isinstance(setup, MongoSetup)
    return MongoEvents(setup.database)


def eventful(user: str, count: int = 1) -> list[Entry]:
    """Return entries with one event each: credits that are added."""
    author = Author(user)
    return [author.add(3000, 30, f"t-{index}") for index in range(count)]


def numbered(events: EventStore, limit: int = 100) -> list[tuple[str, int]]:
    return [(e.record.user_id, e.order) for e in events.number(limit)]


def test_events_get_consecutive_places_in_the_order_of_their_instants(
    setup: Setup, events: EventStore
) -> None:
    late = Author("aaa", NOON + timedelta(seconds=5))
    early = Author(BOB, NOON - timedelta(seconds=5))
    write(setup.store, [late.add(), *eventful(ANN, 2), early.add()])

    assert numbered(events) == [(BOB, 1), (ANN, 2), (ANN, 3), ("aaa", 4)]
    assert numbered(events) == []
    assert events.head() == 4


def test_a_flush_that_commits_late_gets_later_places(setup: Setup, events: EventStore) -> None:
    early, late = eventful(ANN), eventful(BOB)
    setup.store.append([*early, *late])
    setup.store.write_views(views_of(*late))
    assert numbered(events) == [(BOB, 1)]

    setup.store.write_views(views_of(*early))

    assert numbered(events) == [(ANN, 2)]
    assert [e.record.user_id for e in events.after(0, 10)] == [BOB, ANN]


def test_a_users_events_keep_the_order_of_their_entries_whatever_the_clocks_say(
    setup: Setup, events: EventStore
) -> None:
    author = Author(ANN)
    entries = [author.add(3000, 30, "t-0")]
    author.now -= timedelta(minutes=5)
    entries.append(author.add(3000, 30, "t-1"))
    write(setup.store, entries)

    assert [e.seq for e in events.number(100)] == [1, 2]


def test_places_are_given_in_parts_and_a_users_events_stay_in_order(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, [*eventful(ANN, 3), *eventful(BOB, 3)])

    parts = [events.number(2) for _ in range(4)]

    found = [event for part in parts for event in part]
    assert [event.order for event in found] == [1, 2, 3, 4, 5, 6]
    for user in (ANN, BOB):
        assert [e.seq for e in found if e.record.user_id == user] == [1, 2, 3]


def test_the_last_event_of_a_user_up_to_a_place_is_found(setup: Setup, events: EventStore) -> None:
    write(setup.store, [*eventful(ANN, 3), *eventful(BOB, 2)])
    assert events.last_own(ANN, 10) is None  # They have no places yet.
    own = [(e.order, e.seq) for e in events.number(100) if e.record.user_id == ANN]

    for order in range(7):
        expected = max((seq for place, seq in own if place <= order), default=None)
        assert events.last_own(ANN, order) == (None if expected is None else (expected, 0))
    assert events.last_own(UserId("eve"), 5) is None


def test_an_event_says_what_its_entry_says(setup: Setup, events: EventStore) -> None:
    (entry,) = eventful(BOB)
    write(setup.store, [entry])
    (event,) = events.number(10)

    assert event == events.find(event.record.id)
    assert event.record.created == NOON
    assert event.record.user_id == BOB
    assert event.record.subscription_id == entry.events[0].subscription_id
    assert event.record.data["total_credits"] == 3000
    assert events.find("evt_nobody") is None


def test_what_comes_after_a_place_is_found_of_all_and_of_one_user(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, [*eventful(ANN, 3), *eventful(BOB, 2)])
    events.number(100)

    assert [e.order for e in events.after(2, 2)] == [3, 4]
    assert [e.order for e in events.after(5, 10)] == []
    own = [e.order for e in events.of_user(ANN, 0, 10)]
    assert len(own) == 3
    assert [e.order for e in events.of_user(ANN, own[0], 1)] == [own[1]]


def test_an_event_without_a_place_is_told_to_nobody(setup: Setup, events: EventStore) -> None:
    write(setup.store, eventful(ANN))

    assert events.after(0, 10) == []
    assert events.of_user(ANN, 0, 10) == []


def test_progress_comes_back_as_it_was_kept(events: EventStore) -> None:
    assert events.progress("mail") is None

    events.keep("mail", Progress(7, [(9, 9), (12, 40)]))

    assert events.progress("mail") == Progress(7, [(9, 9), (12, 40)])
    assert events.progress("log") is None


def letter(event: OrderedEvent, consumer: str = "mail", *, again: bool = False) -> DeadLetter:
    return DeadLetter(consumer, event, NOON, 5, "no", again=again)


def test_dead_letters_are_kept_asked_for_again_and_removed(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, eventful(ANN, 2))
    first, second = events.number(10)
    events.bury(letter(first))
    events.bury(letter(first, "webhook crm"))
    events.bury(letter(second))

    events.bury(letter(second, again=True))

    assert events.count_dead() == 2
    assert events.dead(10, again=True) == [letter(second, again=True)]
    assert len(events.dead(10)) == 3
    assert {one.consumer for one in events.dead(10, event_id=first.record.id)} == {
        "mail",
        "webhook crm",
    }
    events.unbury("mail", first.record.id)
    assert [one.consumer for one in events.dead(10, again=False)] == ["webhook crm"]


def test_old_events_go_once_every_consumer_is_done_with_them_and_none_is_dead(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, eventful(ANN, 4))
    first = events.number(10)[0]
    events.keep("log", Progress(4))
    events.keep("mail", Progress(3))
    events.bury(letter(first))

    assert events.trim(NOON) == 0
    assert events.trim(NOON + timedelta(days=1)) == 2

    assert [e.order for e in events.after(0, 10)] == [1, 4]
    assert [e.order for e in events.after(1, 2)] == [4]


def test_old_events_go_behind_a_gap_that_a_kept_one_has_left(embedded: MongoSetup) -> None:
    events, each = MongoEvents(embedded.database), TRIM_BATCH // 2
    write(embedded.store, eventful(ANN))
    (first,) = events.number(1)
    events.bury(letter(first))
    removed = []
    for users in (("ben", "cat", "dan", "eve", "fay"), ("gus",)):
        write(embedded.store, [entry for user in users for entry in eventful(user, each)])
        events.number(5 * each)
        events.keep("log", Progress(events.head()))
        removed.append(events.trim(NOON + timedelta(days=1)))

    assert removed == [5 * each, each]
    assert [e.order for e in events.after(0, 10)] == [1]


def test_a_consumer_that_is_no_longer_set_holds_no_old_events(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, eventful(ANN, 4))
    events.number(10)
    events.keep("log", Progress(4))
    events.keep("webhook crm", Progress(1))
    late = NOON + timedelta(days=1)

    events.serve(["log", "webhook crm"])
    held = events.trim(late)
    events.serve(["log", "mail"])
    let_go = events.trim(late)

    assert (held, let_go) == (1, 3)
    assert events.progress("webhook crm") == Progress(1)


def test_a_consumer_that_is_set_again_holds_old_events_again(
    setup: Setup, events: EventStore
) -> None:
    write(setup.store, eventful(ANN, 4))
    events.number(10)
    events.keep("webhook crm", Progress(1))

    events.serve([])
    events.serve(["webhook crm"])

    assert events.trim(NOON + timedelta(days=1)) == 1


def test_two_who_number_at_once_never_give_a_place_twice(embedded: MongoSetup) -> None:
    write(embedded.store, eventful(ANN, 20))
    one, other = MongoEvents(embedded.database), MongoEvents(embedded.database)

    given = [event.order for _ in range(10) for relay in (one, other) for event in relay.number(1)]

    assert given == list(range(1, 21))


@pytest.mark.parametrize("finish", [lambda p, o: p.finish(o)], ids=["finish"])
@pytest.mark.parametrize(
    "orders", [[1, 2, 3], [3, 2, 1], [5, 2, 4, 1, 3], [2, 2, 1, 1], [1, 3, 5, 2, 4, 7]]
)
def test_progress_holds_what_was_finished_and_nothing_else(
    orders: list[int], finish: Callable[[Progress, int], None]
) -> None:
    progress = Progress()
    for order in orders:
        finish(progress, order)

    assert [o for o in range(1, 10) if o in progress] == sorted(set(orders))
    assert all(a > progress.done_until + 1 for a, _ in progress.done)


def test_a_relay_that_was_killed_amid_numbering_keeps_its_successor_from_nothing(
    embedded: MongoSetup, mongo_uri: str
) -> None:
    write(embedded.store, eventful(ANN, 3))
    databases = [connect(mongo_uri, embedded.database.name) for _ in range(2)]
    killed, successor = map(MongoEvents, databases)
    killed.take_over()
    killed.number(1)  # Its session is noted, and one is open with the same id again:
    session = killed._database.client.start_session()
    killed._store._transactions.note(session)
    session.start_transaction()
    killed._number(10, session)

    with pytest.raises(StorageUnavailableError):
        successor.number(10)
    successor.take_over()

    assert [event.order for event in successor.number(10)] == [2, 3]
    session._transaction.reset()  # It has ended on the server.
    for database in databases:
        database.client.close()
