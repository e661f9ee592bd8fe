"""What operators read across all users: owners of subscriptions, and pages of all of them."""

from datetime import timedelta

import pytest
from bson import ObjectId

from actors.protocol.queries import RefusalPageQuery, SubscriptionPageQuery
from domain.api.answers import SubscriptionRecord
from domain.charges import UsageRecorded
from domain.values import Status, UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup, Setup

CAT = UserId("65f0a1b2c3d4e5f601234567")
ONE_DAY = timedelta(days=1)


def begin(setup: Setup, count: int, days: int = 30) -> list[str]:
    """Begin a subscription for so many users, and return their ids in order."""
    authors = [Author(f"user-{days}-{index}") for index in range(count)]
    write(setup.store, [author.add(days=days) for author in authors])
    return sorted(author.account.subscriptions[0].subscription_id for author in authors)


def listed(
    setup: Setup, limit: int, status: Status | None = None, *, later: timedelta = timedelta()
) -> list[list[SubscriptionRecord]]:
    """Return all pages."""
    pages: list[list[SubscriptionRecord]] = []
    cursor = None
    while not pages or cursor is not None:
        query = SubscriptionPageQuery(status, limit, cursor)
        page = setup.overview.subscription_page(query, NOON + later)
        pages.append(page.items)
        cursor = page.next_cursor
    return pages


def ids(pages: list[list[SubscriptionRecord]]) -> list[list[str]]:
    return [[record.subscription_id for record in page] for page in pages]


@pytest.mark.parametrize("user_id", ["ann", CAT])
def test_the_owner_of_a_subscription_is_found_however_its_id_is_spelt(
    setup: Setup, user_id: str
) -> None:
    author = Author(user_id)
    write(setup.store, [author.add()])
    subscription_id = author.account.subscriptions[0].subscription_id

    assert setup.overview.owner_of(subscription_id) == (user_id, subscription_id)
    assert setup.overview.owner_of(subscription_id.upper()) == (user_id, subscription_id)
    assert setup.overview.owner_of("none") is None
    assert setup.overview.owner_of("0" * 24) is None


@pytest.mark.parametrize("user_id", ["ann", CAT])
def test_whose_charge_it_was_is_found_however_its_id_is_spelt(setup: Setup, user_id: str) -> None:
    author = Author(user_id)
    added, charged = author.add(), author.use(5)
    write(setup.store, [added, charged])
    assert isinstance(charged.change, UsageRecorded)
    usage_id = charged.change.usage_id

    assert setup.overview.charged(usage_id) == (user_id, "chat")
    assert setup.overview.charged(usage_id.upper()) == (user_id, "chat")
    assert setup.overview.charged("none") is None
    assert setup.overview.charged("0" * 24) is None


def test_a_charge_that_another_program_wrote_is_nobodys_to_reverse(mongo: MongoSetup) -> None:
    usage_id = "a" * 24
    mongo.insert("usages", _id=ObjectId(usage_id), user_id="ann", credit_amount=5, timestamp=NOON)

    assert mongo.overview.charged(usage_id) is None


def test_a_charge_whose_service_another_program_has_spoilt_is_of_none(mongo: MongoSetup) -> None:
    author = Author("ann")
    added, charged = author.add(), author.use(5)
    write(mongo.store, [added, charged])
    mongo.database.usages.update_one({}, {"$set": {"service_type": 5}})
    assert isinstance(charged.change, UsageRecorded)

    assert mongo.overview.charged(charged.change.usage_id) == ("ann", None)


def test_pages_follow_one_another_and_end(setup: Setup) -> None:
    expected = begin(setup, 5)

    assert ids(listed(setup, 2)) == [expected[:2], expected[2:4], expected[4:]]
    assert ids(listed(setup, 5)) == [expected]
    assert ids(listed(setup, 9)) == [expected]


def test_a_page_can_be_of_one_status_as_it_is_shown_now(setup: Setup) -> None:
    short, long = begin(setup, 2, days=1), begin(setup, 3)
    setup.change("subscriptions", {"_id": long[1]}, status="paused")

    assert ids(listed(setup, 1, Status.PAUSED)) == [[long[1]]]
    assert sorted(ids(listed(setup, 9, Status.ACTIVE))[0]) == sorted([*short, long[0], long[2]])
    later = ids(listed(setup, 9, Status.ACTIVE, later=2 * ONE_DAY))
    assert later == [[long[0], long[2]]]


def test_ids_of_other_programs_are_listed_once_and_unreadable_documents_passed_over(
    mongo: MongoSetup,
) -> None:
    ours = begin(mongo, 3)
    fields = {
        "start_date": NOON,
        "end_date": NOON + ONE_DAY,
        "total_credits": 10.0,
        "spendable_credits": 9.0,
        "status": "active",
    }
    for name in ("b", "a"):
        mongo.insert("subscriptions", _id=name, user_id=CAT, **fields)
    mongo.insert("subscriptions", _id="broken", user_id="u", **(fields | {"status": "odd"}))
    mongo.insert("subscriptions", _id="nobody", **fields)
    mongo.insert("subscriptions", _id="spaced", user_id="a b", **fields)

    for limit in (1, 2, 4, 10):
        assert [i for page in ids(listed(mongo, limit)) for i in page] == ["a", "b", *ours]
    assert mongo.overview.owner_of("a") == (CAT, "a")
    assert mongo.overview.owner_of("nobody") is None


@pytest.mark.parametrize("cursor", ["", "x", "o123", "7"])
def test_a_cursor_that_no_page_gave_is_refused(mongo: MongoSetup, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        mongo.overview.subscription_page(SubscriptionPageQuery(None, 10, cursor), NOON)


def refused(setup: Setup, limit: int) -> list[list[tuple[str, int]]]:
    """Return whose refusals there are, and their numbers, page by page."""
    pages: list[list[tuple[str, int]]] = []
    cursor = None
    while not pages or cursor is not None:
        page = setup.overview.refusal_page(RefusalPageQuery(limit, cursor), NOON)
        pages.append([(one.user_id, one.seq) for one in page.items])
        cursor = page.next_cursor
    return pages


@pytest.mark.parametrize("user_id", ["ann", CAT])
def test_refusals_are_listed_newest_first_each_once(setup: Setup, user_id: str) -> None:
    ann, bob = Author(user_id), Author("bob", NOON - timedelta(days=40))
    entries = [ann.add(), ann.use(500), ann.use(1), ann.use(501), bob.use(7), bob.add()]
    bob.now = NOON  # Of one instant there are several.
    entries += [bob.use(99_999), bob.use(99_998)]
    write(setup.store, entries)

    whole = [(user_id, 2), (user_id, 4), ("bob", 3), ("bob", 4)]
    pages = refused(setup, 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(pages[0] + pages[1]) == sorted(whole)
    assert pages[2] == [("bob", 1)]
    for limit in (1, 3, 100):
        found = [one for page in refused(setup, limit) for one in page]
        assert found == [one for page in pages for one in page]


def test_a_refusal_says_how_far_the_charge_was_from_being_covered(setup: Setup) -> None:
    author = Author("ann")
    write(setup.store, [author.add(), author.use(91)])

    (one,) = setup.overview.refusal_page(RefusalPageQuery(10, None), NOON).items

    assert (one.reason, one.required_credits, one.remaining_credits) == (
        *("insufficient_credits", 91, 90),
    )
    assert one.available_at == NOON.replace(hour=0) + ONE_DAY


def test_a_refusal_that_cannot_be_read_is_passed_over_and_no_other_is_lost(
    mongo: MongoSetup,
) -> None:
    author = Author("ann")
    write(mongo.store, [author.use(amount) for amount in range(1, 6)])
    mongo.change("allotment_journal", {"_id": "ann 3"}, body="{")

    assert [seq for page in refused(mongo, 2) for _, seq in page] == [5, 4, 2, 1]


@pytest.mark.parametrize("cursor", ["", "x", ".", "12", "99999999999999999.ann 1"])
def test_a_cursor_of_refusals_that_no_page_gave_is_refused(mongo: MongoSetup, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        mongo.overview.refusal_page(RefusalPageQuery(10, cursor), NOON)
