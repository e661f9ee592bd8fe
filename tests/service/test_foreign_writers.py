"""What a user sees after another program wrote: the table of docs/foreign-writers.md."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from tests.service.mongoose import Mongoose, mongoose_of, subscription_document, today
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService

pytestmark = pytest.mark.service

MANY = 2000


@pytest.fixture
def other(service: RunningService, http: httpx.Client) -> Iterator[Mongoose]:
    """Return another program that writes to the service's database."""
    with mongoose_of(service, http) as mongoose:
        yield mongoose


def test_an_inserted_subscription_may_be_spent(other: Mongoose, http: httpx.Client) -> None:
    user = other.user()
    subscription_id = other.subscription(user)

    other.shows(user, status="active", remaining_credits=90, total_credits=3000)
    charged = charge(http, user, 30)

    assert charged.status_code == 201
    assert charged.json()["subscription_id"] == str(subscription_id)
    assert charged.json()["remaining_credits"] == 60


@pytest.mark.parametrize("missing", ["total_credits", "system_portion", "spendable_credits"])
def test_of_three_amounts_any_one_may_be_missing(other: Mongoose, missing: str) -> None:
    user = other.user()
    other.subscription(user, **{missing: None})

    other.shows(user, total_credits=3000, system_portion=300, spendable_credits=2700)


@pytest.mark.parametrize(
    ("word", "shown", "remaining", "code"),
    [
        ("active", "active", 90, 201),
        ("past_due", "past_due", 90, 201),
        ("paused", "paused", 90, 402),
        ("cancelled", "cancelled", 0, 402),
        ("expired", "expired", 0, 402),
        ("none", "none", 0, 402),
        ("Active", "none", 0, 402),
        ("trialing", "none", 0, 402),
    ],
)
def test_a_changed_status(
    other: Mongoose, http: httpx.Client, word: str, shown: str, remaining: int, code: int
) -> None:
    user = other.user()
    subscription_id = other.subscription(user, status="paused" if word == "active" else "active")
    other.shows(user, total_credits=3000)

    other.set(subscription_id, status=word)

    other.shows(user, status=shown, remaining_credits=remaining)
    assert charge(http, user, 1).status_code == code


def test_a_later_end_date_gives_the_same_credits_over_more_days(other: Mongoose) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, daily_credit_limit=90)

    other.set(subscription_id, end_date=today() + timedelta(days=60))

    other.shows(user, daily_credit_limit=45, days_remaining=60)


def test_an_end_date_in_the_past_ends_the_subscription(other: Mongoose, http: httpx.Client) -> None:
    user = other.user()
    subscription_id = other.subscription(user, start_date=today() - timedelta(days=3))
    other.shows(user, status="active")

    other.set(subscription_id, end_date=today() - timedelta(days=1))

    other.shows(user, status="expired", remaining_credits=0)
    assert charge(http, user, 1).json()["code"] == "no_active_subscription"


@pytest.mark.parametrize(("spendable", "limit"), [(5400.0, 180), (1350.0, 45), (0.0, 0)])
def test_changed_spendable_credits_change_the_days_limit(
    other: Mongoose, spendable: float, limit: int
) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, daily_credit_limit=90)

    other.set(subscription_id, spendable_credits=spendable)

    other.shows(user, daily_credit_limit=limit, spendable_credits=int(spendable))


def test_changed_spendable_credits_of_a_subscription_of_ours_are_one_more_grant(
    other: Mongoose, http: httpx.Client
) -> None:
    user = other.user()
    added = add_credits(http, user)
    subscription_id = ObjectId(added.json()["subscription"]["subscription_id"])
    other.flushed_day(user)

    other.set(subscription_id, spendable_credits=5400.0)

    other.shows(user, daily_credit_limit=180, spendable_credits=5400)


def test_edited_credits_used_of_a_day_of_ours(other: Mongoose, http: httpx.Client) -> None:
    user = other.user()
    add_credits(http, user)
    charge(http, user, 30)
    day = other.flushed_day(user)

    other.database.dailycredits.update_one({"_id": day["_id"]}, {"$set": {"credits_used": 10.0}})

    other.shows(user, credits_used=10, remaining_credits=80)
    assert charge(http, user, 5).json()["remaining_credits"] == 75


def test_an_inserted_day_counts_as_used(other: Mongoose, http: httpx.Client) -> None:
    user = other.user()
    subscription_id = other.subscription(user, start_date=today() - timedelta(days=1))
    other.shows(user, status="active", daily_credit_limit=87, credits_rolled_over=87)

    other.day(subscription_id, 50.0)
    other.day(subscription_id, 80.0, days_ago=1)

    other.shows(user, credits_used=50, credits_rolled_over=7, remaining_credits=44)
    assert charge(http, user, 45).status_code == 402


@pytest.mark.parametrize("ours", [True, False])
def test_a_deleted_day_counts_as_unused(other: Mongoose, http: httpx.Client, *, ours: bool) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, status="active")
    if ours:
        charge(http, user, 50)
        day_id = other.flushed_day(user)["_id"]
    else:
        day_id = other.day(subscription_id, 50.0)
    other.shows(user, credits_used=50)

    other.database.dailycredits.delete_one({"_id": day_id})

    other.shows(user, credits_used=0, remaining_credits=90)


@pytest.mark.parametrize("ours", [True, False])
def test_a_deleted_subscription_is_no_subscription(
    other: Mongoose, http: httpx.Client, *, ours: bool
) -> None:
    user = other.user()
    if ours:
        add_credits(http, user)
        other.flushed_day(user)
    else:
        other.subscription(user)
    other.shows(user, status="active")

    other.database.subscriptions.delete_one({"user_id": ObjectId(user)})

    other.shows(user, status="none", total_credits=0)
    assert charge(http, user, 1).json()["code"] == "no_active_subscription"


def test_of_two_active_subscriptions_the_one_that_started_last_decides(other: Mongoose) -> None:
    user = other.user()
    first = other.subscription(user, start_date=today() - timedelta(days=1))
    other.shows(user, subscription_id=str(first))

    second = other.subscription(user, spendable_credits=300.0, total_credits=600.0)
    other.shows(user, subscription_id=str(second), daily_credit_limit=10)

    other.database.subscriptions.delete_one({"_id": second})
    other.shows(user, subscription_id=str(first))


def test_a_replaced_subscription_is_as_its_new_document_says(other: Mongoose) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, daily_credit_limit=90)

    replacement = subscription_document(ObjectId(user), spendable_credits=300.0)
    other.database.subscriptions.replace_one(
        {"_id": subscription_id}, replacement | {"_id": subscription_id}
    )

    other.shows(user, daily_credit_limit=10)


def test_a_subscription_given_to_another_user_is_taken_from_the_first(other: Mongoose) -> None:
    first, second = other.user(), other.user()
    subscription_id = other.subscription(first)
    other.shows(first, status="active")

    other.set(subscription_id, user_id=ObjectId(second))

    other.shows(second, status="active", remaining_credits=90)
    other.shows(first, status="none")


@pytest.mark.parametrize(
    "fields",
    [
        {"spendable_credits": "many"},
        {"spendable_credits": -1.0},
        {"spendable_credits": 0.5},
        {"end_date": "tomorrow"},
        {"status": 1.0},
        {"grants": "none"},
    ],
    ids=str,
)
def test_what_cannot_be_read_counts_as_absent_until_it_is_mended(
    other: Mongoose, fields: dict[str, Any]
) -> None:
    user = other.user()
    subscription_id = other.subscription(user)
    other.shows(user, status="active")
    before = other.database.subscriptions.find_one({"_id": subscription_id})
    assert before is not None

    other.set(subscription_id, **fields)
    other.shows(user, status="none", remaining_credits=0)

    other.database.subscriptions.replace_one({"_id": subscription_id}, before)
    other.shows(user, status="active", remaining_credits=90)


def test_a_document_of_nobody_is_counted_and_holds_nobody_up(
    other: Mongoose, http: httpx.Client
) -> None:
    user = other.user()
    before = http.get("/admin/sync").json()

    for nobody in (7.0, [1.0], {"a": 1.0}):
        other.database.subscriptions.insert_one(subscription_document(nobody))
    other.subscription(user)

    other.shows(user, status="active")
    after = http.get("/admin/sync").json()
    assert after["quarantined"] >= before["quarantined"] + 3
    assert after["resyncs"] == before["resyncs"]


def test_an_update_of_thousands_reaches_each_of_them(other: Mongoose) -> None:
    users = [str(ObjectId()) for _ in range(MANY)]
    documents = [subscription_document(ObjectId(user), batch="many") for user in users]
    other.database.subscriptions.insert_many(documents)
    for user in users:
        assert status(other.http, user)["daily_credit_limit"] == 90

    other.database.subscriptions.update_many(
        {"batch": "many"}, {"$set": {"spendable_credits": 5400.0}}
    )

    for user in users:
        other.shows(user, daily_credit_limit=180)


def test_what_we_write_later_leaves_another_programs_edit_as_it_is(
    other: Mongoose, http: httpx.Client
) -> None:
    user = other.user()
    added = add_credits(http, user)
    subscription_id = ObjectId(added.json()["subscription"]["subscription_id"])
    charge(http, user, 10)
    day = other.flushed_day(user)
    changed = {"note": "mine", "status": "past_due", "stripe": {"customer": "cus_2"}}
    other.set(subscription_id, **changed)
    other.database.dailycredits.update_one(
        {"_id": day["_id"]}, {"$inc": {"credits_used": 20.0}, "$set": {"note": "mine"}}
    )
    other.shows(user, status="past_due", credits_used=30)

    charge(http, user, 5)
    payment = {"method": "card", "transaction_id": "t-2", "amount": 1, "currency": "eur"}
    add_credits(http, user, amount=300, payment=payment)
    http.get("/subscription/usage", params={"user_id": user}).raise_for_status()

    subscription = other.database.subscriptions.find_one({"_id": subscription_id})
    (day,) = other.database.dailycredits.find({"subscription_id": subscription_id})
    assert subscription is not None
    assert changed.items() <= subscription.items()
    assert subscription["spendable_credits"] == 2700 + 270
    assert (day["credits_used"], day["note"]) == (35, "mine")
    other.shows(user, status="past_due", credits_used=35, spendable_credits=2970)
