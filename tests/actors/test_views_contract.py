"""What every store promises of the views, beside other programs that write the same documents."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.store import ViewsTakenError
from domain.messages import UsageRecorded
from domain.values import UserId
from tests.actors.authors import NOON, Author, use, views_of, write
from tests.actors.setups import Setup

ANN = UserId("ann")
BOB = UserId("bob")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
FOREIGN = "65f0a1b2c3d4e5f601234500"
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


# --- beside other programs ----------------------------------------------------------------


def test_another_programs_edit_of_credits_used_survives(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(30)])
    setup.change("dailycredits", {"user_id": ANN}, credits_used=50, note="corrected by hand")

    write(setup.store, [author.use(4)])

    day = setup.document("dailycredits")
    assert (day["credits_used"], day["note"]) == (54, "corrected by hand")


def test_another_programs_edit_of_the_totals_survives(setup: Setup) -> None:
    author = Author(CAT)
    write(setup.store, [author.add()])
    setup.change(
        "subscriptions", {"user_id": CAT}, spendable_credits=3700, total_credits=4000, plan="gold"
    )

    write(setup.store, [author.add(1000, 10, "t-2")])

    document = setup.document("subscriptions")
    assert (document["spendable_credits"], document["total_credits"]) == (4600, 5000)
    assert (document["system_portion"], document["plan"]) == (400, "gold")


def test_another_programs_later_end_survives(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    later = NOON + timedelta(days=400)
    setup.change("subscriptions", {"user_id": ANN}, end_date=later, status="past_due")

    write(setup.store, [author.add(10, 60, "t-2")])

    document = setup.document("subscriptions")
    assert (document["end_date"], document["status"]) == (later, "past_due")


def test_a_day_that_another_program_made_is_taken_up(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    subscription_id = setup.document("subscriptions")["_id"]
    setup.remove("dailycredits", user_id=ANN)
    setup.insert(
        "dailycredits",
        _id="65f0a1b2c3d4e5f601234501",
        subscription_id=subscription_id,
        user_id=ANN,
        date=NOON.replace(hour=0),
        credits_used=7,
    )

    write(setup.store, [author.use(4)])

    assert setup.document("dailycredits")["credits_used"] == 11


def test_views_of_a_subscription_that_another_program_removed_are_written(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    setup.remove("subscriptions", user_id=ANN)

    write(setup.store, [author.use(4), author.add(10, 10, "t-2")])

    assert mark(setup, ANN) == 3
    assert setup.documents("subscriptions") == []


def test_every_write_of_ours_changes_the_revision(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    revisions = [(_revision(setup, "subscriptions"), _revision(setup, "dailycredits"))]

    for entry in (author.use(4), author.add(10, 10, "t-2"), author.use(1)):
        write(setup.store, [entry])
        revisions.append((_revision(setup, "subscriptions"), _revision(setup, "dailycredits")))

    assert [subscription for subscription, _ in revisions] == [1, 1, 2, 2]
    assert len({day for _, day in revisions}) == 4


def _revision(setup: Setup, collection: str) -> int:
    revision: int = setup.document(collection)["revision"]
    return revision


@pytest.mark.parametrize(
    "amounts",
    [
        {"total_credits": 1000.0, "spendable_credits": 900.0},
        {"total_credits": 1000, "system_portion": 100},
        {"system_portion": 100.0, "spendable_credits": 900, "total_credits": None},
    ],
    ids=["without system_portion", "without spendable_credits", "without total_credits"],
)
@USERS
def test_credits_added_to_a_foreign_subscription_write_its_implied_grant_out(
    setup: Setup, user_id: UserId, amounts: dict[str, object]
) -> None:
    setup.insert(
        "subscriptions",
        _id=FOREIGN,
        user_id=user_id,
        start_date=NOON.replace(hour=0),
        end_date=NOON.replace(hour=0) + timedelta(days=10),
        status="active",
        **amounts,
    )
    author = Author.of(setup.store.load([user_id], NOON)[0])

    write(setup.store, [author.use(50), author.add(3000, 30)])

    document = setup.document("subscriptions")
    implied, ours = document["grants"]
    assert (document["total_credits"], document["spendable_credits"]) == (4000, 3600)
    assert document["system_portion"] == 400
    assert (implied["amount"], implied["from_day"], implied["days"]) == (900, "2026-03-10", 10)
    assert ours["amount"] == 3000
    assert document["revision"] >= 1
    assert Author.of(setup.store.load([user_id], NOON)[0]).account == author.account


def test_a_command_refused_for_a_foreign_user_moves_no_document(setup: Setup) -> None:
    setup.insert("subscriptions", _id=FOREIGN, user_id=ANN, status="active", total_credits="lots")
    author = Author.of(setup.store.load([ANN], NOON)[0])

    write(setup.store, [author.do(use(ANN, 5))])

    assert not isinstance(author.account, UsageRecorded)
    assert setup.documents("subscriptions") == [
        {"_id": FOREIGN, "user_id": ANN, "status": "active", "total_credits": "lots"}
    ]
