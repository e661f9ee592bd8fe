"""Which of a user's subscriptions speaks, and what is remembered of the others."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.account import Account
from domain.grants import Grant
from domain.retention import keep_what_matters
from domain.subscription import Subscription
from domain.values import Credits, Status
from tests.builders.ledger import NOON, ONE_DAY, ONE_MILLISECOND, USER


def subscription(name: str, begins: int, ends: int, status: Status = Status.ACTIVE) -> Subscription:
    """Make a subscription from `begins` to `ends`, in days from NOON."""
    start = NOON + begins * ONE_DAY
    paid = Grant("g", Credits(10), Credits(0), start.date(), 1, f"paid {name}")
    end = NOON + ends * ONE_DAY
    return Subscription(name, start, end, status, "UTC", Credits(0), (paid,))


def account(*subscriptions: Subscription) -> Account:
    return Account(USER, subscriptions=subscriptions)


def test_a_subscription_is_current_from_its_start_until_just_before_its_end() -> None:
    only = subscription("only", 0, 1)

    assert not only.is_current(NOON - ONE_MILLISECOND)
    assert only.is_current(NOON)
    assert only.is_current(NOON + ONE_DAY - ONE_MILLISECOND)
    assert not only.is_current(NOON + ONE_DAY)
    assert only.may_spend(NOON + ONE_DAY - ONE_MILLISECOND)
    assert not only.may_spend(NOON + ONE_DAY)


@pytest.mark.parametrize(
    ("status", "is_current", "may_spend"),
    [
        (Status.ACTIVE, True, True),
        (Status.PAST_DUE, True, True),
        (Status.PAUSED, True, False),
        (Status.CANCELLED, False, False),
        (Status.EXPIRED, False, False),
    ],
)
def test_the_status_says_who_is_current_and_who_may_spend(
    status: Status,
    is_current: bool,
    may_spend: bool,
) -> None:
    only = subscription("only", -1, 1, status)

    assert only.is_current(NOON) is is_current
    assert only.may_spend(NOON) is may_spend
    assert (account(only).current(NOON) is not None) is is_current
    assert account(only).shown(NOON) is only


def test_of_two_current_subscriptions_the_one_that_started_last_decides() -> None:
    both = account(subscription("older", -2, 9), subscription("newer", -1, 5))

    current = both.current(NOON)

    assert current is not None
    assert current.subscription_id == "newer"


def test_a_current_subscription_is_shown_before_a_cancelled_one_that_started_later() -> None:
    cancelled = subscription("cancelled", -1, 5, Status.CANCELLED)

    shown = account(subscription("current", -2, 9), cancelled).shown(NOON)

    assert shown is not None
    assert shown.subscription_id == "current"


def test_without_a_current_one_the_most_recent_is_shown_and_one_to_come_is_not() -> None:
    past = subscription("past", -9, -1)
    to_come = subscription("to come", 1, 9)

    assert account(past, to_come).shown(NOON) is past
    assert account(to_come).shown(NOON) is None


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (Status.ACTIVE, Status.EXPIRED),
        (Status.PAST_DUE, Status.EXPIRED),
        (Status.PAUSED, Status.EXPIRED),
        (Status.CANCELLED, Status.CANCELLED),
        (Status.EXPIRED, Status.EXPIRED),
    ],
)
def test_time_ends_a_subscription_whatever_its_document_says(status: Status, shown: Status) -> None:
    only = subscription("only", -2, 0, status)

    assert only.status_at(NOON - ONE_MILLISECOND) is status
    assert only.status_at(NOON) is shown


def test_of_ended_subscriptions_the_last_is_kept_and_all_payments_stay_known() -> None:
    names = [("first", -9, -6), ("second", -6, -3), ("third", -3, 0), ("now", 0, 5)]

    kept = keep_what_matters(account(*(subscription(*name) for name in names)), NOON)

    assert [s.subscription_id for s in kept.subscriptions] == ["third", "now"]
    assert all(kept.has_payment(f"paid {name}") for name, _, _ in names)
    assert not kept.has_payment("paid by nobody")


def test_a_cancelled_subscription_whose_end_is_to_come_is_kept() -> None:
    cancelled = subscription("cancelled", -5, 5, Status.CANCELLED)
    both = account(subscription("past", -9, -6), cancelled)

    assert keep_what_matters(both, NOON) == both


def test_a_changed_subscription_takes_the_place_of_its_older_self() -> None:
    older, newer = subscription("older", -2, 0), subscription("newer", 0, 2)
    changed = replace(older, end=older.end + timedelta(days=1))

    assert account(older, newer).with_subscription(changed) == account(changed, newer)
