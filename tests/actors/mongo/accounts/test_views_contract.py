"""What every store promises of the views, beside other programs that write the same documents."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.protocol.store import ViewsTakenError
from domain.messages import CreditsAdded
from domain.values import UserId
from tests.builders.authors import NOON, Author, views_of, write
from tests.fakes.setups import Setup

ANN = UserId("ann")
BOB = UserId("bob")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
USERS = pytest.mark.parametrize("user_id", [ANN, CAT])


def mark(setup: Setup, user_id: UserId) -> int:
    return setup.store.load([user_id], NOON)[0].applied_seq


# --- our own documents --------------------------------------------------------------------


@USERS
def test_a_new_subscription_becomes_a_document(setup: Setup, user_id: UserId) -> None:
    entry = Author(user_id).add(3000, 30, "t-9")

    write(setup.store, [entry])

    document = setup.document("subscriptions", user_id=user_id)
    grant = document["grants"][0]
    assert isinstance(entry.change, CreditsAdded)
    assert document["_id"] == entry.change.opening.subscription_id
    assert document["start_date"] == NOON
    assert document["end_date"] == datetime(2026, 4, 9, tzinfo=UTC)
    assert (document["total_credits"], document["system_portion"]) == (3000, 300)
    assert document["spendable_credits"] == 2700
    assert (document["status"], document["timezone"]) == ("active", "UTC")
    assert (grant["amount"], grant["from_day"], grant["days"]) == (3000, "2026-03-10", 30)
    assert grant["payment"]["transaction_id"] == "t-9"


@USERS
def test_charges_become_a_day_and_usage_records(setup: Setup, user_id: UserId) -> None:
    author = Author(user_id)
    entries = [author.add(), author.use(30), author.use(12, at=NOON - timedelta(days=3))]

    write(setup.store, entries)

    day = setup.document("dailycredits", user_id=user_id)
    first, second = setup.documents("usages")
    assert day["date"] == NOON.replace(hour=0)
    assert (day["daily_credit_limit"], day["credits_used"]) == (90, 42)
    assert day["credits_rolled_over"] == 0
    assert {first["credit_amount"], second["credit_amount"]} == {30, 12}
    assert {first["timestamp"], second["timestamp"]} == {NOON, NOON - timedelta(days=3)}
    assert first["details"] == {"answer": {"deep": [1, 2.5, None]}}
    assert first["user_id"] == user_id
    assert first["subscription_id"] == day["subscription_id"]


def test_credits_on_top_raise_the_same_document(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(3000, 30, "t-1")])

    write(setup.store, [author.add(1000, 60, "t-2")])

    document = setup.document("subscriptions")
    assert (document["total_credits"], document["spendable_credits"]) == (4000, 3600)
    assert document["end_date"] == datetime(2026, 5, 9, tzinfo=UTC)
    assert [g["payment"]["transaction_id"] for g in document["grants"]] == ["t-1", "t-2"]
    assert Author.of(setup.store.load([ANN], NOON)[0]).account == author.account


def test_a_new_subscription_and_credits_on_top_of_it_in_one_write(setup: Setup) -> None:
    author = Author(ANN)

    write(setup.store, [author.add(3000, 30, "t-1"), author.add(1000, 10, "t-2"), author.use(5)])

    document = setup.document("subscriptions")
    assert document["total_credits"] == 4000
    assert Author.of(setup.store.load([ANN], NOON)[0]).account == author.account


def test_a_thousand_grants_are_written_at_once(setup: Setup) -> None:
    author = Author(ANN)
    long = "t" * 36

    write(setup.store, [author.add(3000, 30, f"{long}{number:04}") for number in range(1000)])

    document = setup.document("subscriptions", user_id=ANN)
    assert (document["total_credits"], document["spendable_credits"]) == (3_000_000, 2_700_000)
    named = [grant["payment"]["transaction_id"] for grant in document["grants"]]
    assert named == [f"{long}{number:04}" for number in range(1000)]


def test_a_kept_refusal_moves_the_mark_only(setup: Setup) -> None:
    author = Author(CAT)

    write(setup.store, [author.use(5), author.use(6)])

    assert mark(setup, CAT) == 2
    assert setup.documents("dailycredits") == setup.documents("usages") == []


def test_days_are_unique_per_subscription_and_date(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(1)])
    write(setup.store, [author.use(2)])
    author.now += timedelta(days=1)
    write(setup.store, [author.open_day(), author.use(3)])
    write(setup.store, [author.use(4)])

    days = sorted(setup.documents("dailycredits"), key=lambda d: d["date"])

    assert [(d["date"].day, d["credits_used"]) for d in days] == [(10, 3), (11, 7)]
    assert [d["credits_rolled_over"] for d in days] == [0, 87]


# --- all or nothing, once only ------------------------------------------------------------


def test_the_same_views_twice_are_refused_with_the_marks(setup: Setup) -> None:
    ann, cat = Author(ANN), Author(CAT)
    views = views_of(ann.add(), ann.use(30), cat.add())
    setup.store.write_views(views)

    with pytest.raises(ViewsTakenError) as taken:
        setup.store.write_views(views)

    assert taken.value.applied_seq == {ANN: 2, CAT: 1}
    assert len(setup.documents("usages")) == 1
    assert setup.document("dailycredits", user_id=ANN)["credits_used"] == 30


def test_the_same_later_views_twice_are_refused_with_the_marks(setup: Setup) -> None:
    author = Author(CAT)
    write(setup.store, [author.add()])
    views = views_of(author.use(30))
    setup.store.write_views(views)

    with pytest.raises(ViewsTakenError) as taken:
        setup.store.write_views(views)

    assert taken.value.applied_seq == {CAT: 2}
    assert setup.document("dailycredits")["credits_used"] == 30


def test_views_that_leave_a_gap_are_refused(setup: Setup) -> None:
    author = Author(ANN)
    setup.store.write_views(views_of(author.add()))
    author.use(1)

    with pytest.raises(ViewsTakenError) as taken:
        setup.store.write_views(views_of(author.use(2)))

    assert taken.value.applied_seq == {ANN: 1}
    assert setup.documents("usages") == []


def test_views_of_an_account_without_a_mark_begin_at_its_first_entry(setup: Setup) -> None:
    author = Author(ANN)
    author.add()

    with pytest.raises(ViewsTakenError) as taken:
        setup.store.write_views(views_of(author.use(2)))

    assert taken.value.applied_seq == {ANN: 0}


@pytest.mark.parametrize("stale", [ANN, BOB, CAT])
def test_one_account_that_was_moved_by_another_writer_refuses_all(
    setup: Setup, stale: UserId
) -> None:
    authors = {user_id: Author(user_id) for user_id in (ANN, BOB, CAT)}
    write(setup.store, [author.add() for author in authors.values()])
    ours = views_of(*(author.use(5) for author in authors.values()))
    setup.store.write_views([view for view in ours if view.user_id == stale])

    with pytest.raises(ViewsTakenError) as taken:
        setup.store.write_views(ours)

    assert taken.value.applied_seq == {u: 1 + (u == stale) for u in authors}
    assert [u["user_id"] for u in setup.documents("usages")] == [stale]
    used = {d["user_id"]: d["credits_used"] for d in setup.documents("dailycredits")}
    assert used == {u: 5 * (u == stale) for u in authors}
