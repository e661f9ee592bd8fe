"""Pages of all users' subscriptions: complete and in order, and no read takes much more than a page.

The embedded server reads all that a filter matches, whatever the limit.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pymongo
import pymongo.monitoring
import pytest
from bson import Binary, Int64, ObjectId

from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.pages import GROWTH, number_of, object_id
from actors.protocol.queries import SubscriptionPageQuery
from domain.values import Status
from tests.builders.authors import NOON
from tests.builders.changes import subscription
from tests.fakes.setups import Filters, MongoSetup, in_utc

MANY = 2_000
SECOND = 2**64
"""ObjectIds of a second apart."""
BEGIN = number_of(ObjectId("69aff0a0" + "0" * 16))


def bulk(_: Random) -> Iterator[int]:
    """Yield ids as one process makes them in three seconds, with counters that go on."""
    for number in range(MANY):
        yield BEGIN + (number // 700) * SECOND + number


def seldom(random: Random) -> Iterator[int]:
    """Yield ids of single moments, over years."""
    for _ in range(200):
        yield BEGIN + random.randrange(10**8) * SECOND + random.randrange(SECOND)


def restored(random: Random) -> Iterator[int]:
    """Yield newer ids before older ones."""
    yield from (BEGIN + 10**6 * SECOND + number for number in range(100))
    yield from (BEGIN + number for number in range(100))
    yield random.randrange(2**96)


KINDS: dict[str, Callable[[Random], Iterator[int]]] = {
    "bulk": bulk,
    "seldom": seldom,
    "restored": restored,
}


def stored(setup: MongoSetup, kind: str) -> list[str]:
    """Store subscriptions with ids of a kind, every third of them paused; return the ids."""
    numbers = list(KINDS[kind](Random(kind)))
    setup.database.subscriptions.insert_many(
        [
            subscription(f"user-{n}", _id=object_id(number), status="active" if n % 3 else "paused")
            for n, number in enumerate(numbers)
        ]
    )
    return [str(object_id(number)) for number in numbers]


def pages(
    overview: MongoOverview, limit: int, status: Status | None = None, pages_max: int = 1000
) -> list[list[str]]:
    """Return the ids of all pages, or of the first ones."""
    found, cursor = [], None
    for _ in range(pages_max):
        page = overview.subscription_page(SubscriptionPageQuery(status, limit, cursor), NOON)
        found.append([one.subscription_id for one in page.items])
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [7, 300])
def test_pages_have_all_subscriptions_in_the_order_of_their_ids(
    embedded: MongoSetup, kind: str, limit: int
) -> None:
    ids = stored(embedded, kind)

    found = pages(MongoOverview(embedded.database, "UTC"), limit)

    assert [one for page in found for one in page] == sorted(ids)
    assert {len(page) for page in found[:-1]} <= {limit}


@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_a_status_have_all_of_it(embedded: MongoSetup, kind: str) -> None:
    ids = stored(embedded, kind)

    found = pages(MongoOverview(embedded.database, "UTC"), 40, Status.PAUSED)

    assert [one for page in found for one in page] == sorted(ids[::3])


def test_ids_of_all_types_are_there_beside_each_other(embedded: MongoSetup) -> None:
    ids: list[Any] = [Int64(5), 2.5, "a text", "\U0010ffff", Binary(b"\xff" * 30), True]
    ids += [object_id(BEGIN)]
    documents = [subscription(f"user-{n}", _id=one) for n, one in enumerate(ids)]
    embedded.database.subscriptions.insert_many(documents)

    for limit in (1, 3, 50):
        found = pages(MongoOverview(embedded.database, "UTC"), limit)
        assert len({one for page in found for one in page}) == len(ids)


def test_what_is_stored_before_the_first_known_id_is_found_by_the_next_look(
    embedded: MongoSetup,
) -> None:
    stored(embedded, "bulk")
    overview = MongoOverview(embedded.database, "UTC")
    pages(overview, 5, pages_max=1)
    older = [object_id(BEGIN - 3 * SECOND), object_id(7)]
    for one in older:
        embedded.database.subscriptions.insert_one(subscription(str(one), _id=one))

        assert pages(overview, 5, pages_max=1)[0][0] == str(one)


@pytest.mark.parametrize("status", [None, Status.ACTIVE])
def test_no_read_of_a_page_matches_much_more_than_the_page(
    embedded: MongoSetup, mongo_uri: str, status: Status | None
) -> None:
    stored(embedded, "bulk")
    reads = Filters("subscriptions")
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        mongo_uri, event_listeners=[reads], retryWrites=False
    )
    with client:
        overview = MongoOverview(in_utc(client, embedded.database.name), "UTC")
        assert len(pages(overview, 50, status, pages_max=4)) == 4

    open_ended = [one["_id"] for one in reads.found if len(one["_id"]) < 2]
    assert open_ended == [{"$gte": {}}], "objects have no end, and stand before a page alone"
    matched = [embedded.database.subscriptions.count_documents(one) for one in reads.found]
    assert max(matched) <= GROWTH * 51
    assert len(reads.found) < 60
