"""The day on which an amount is covered, found without looking at each day and grant."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import attrgetter
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.availability import available_at
from domain.grants import Grant, share_from
from domain.holds import Hold
from domain.local_days import ONE_DAY, midnight
from domain.schedule import carry, limits
from domain.subscription import Day, Subscription
from domain.values import Credits, Status
from tests.builders.grants import CAPS, FIRST, credits_or_none, giving

DAYS = 70
OPENED = datetime.fromisoformat("2026-03-02T12:00:00Z")
VOIDS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=2, unique_by=lambda v: v[0]
)
GRANTS = st.lists(
    st.tuples(st.integers(-2000, 4000), st.integers(-10, 30), st.integers(1, 60), VOIDS), max_size=5
)
HOLDS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 96)), max_size=4)
ZONES = st.sampled_from(["UTC", "Pacific/Auckland", "America/Santiago"])


def day_by_day(
    subscription: Subscription, required: int, today: Day, cap: Credits | None
) -> datetime | None:
    """Return the first midnight that covers an amount, asked of each day, hold and grant."""
    left = subscription.remaining(today)
    day = today.date + ONE_DAY
    while day <= subscription.last_day:
        begins = midnight(day, subscription.timezone)
        if subscription.holds:
            then = subscription.as_of(begins, cap)
            left = then.remaining(then.day_at(day, cap))
        else:
            left = Credits(carry(left, cap) + subscription.limit(day))
        if left >= required:
            return begins
        day += ONE_DAY
    return None


def grant_of(amount: int, begins: int, days: int, voids: list[tuple[int, int]]) -> Grant:
    grant = Grant("a", Credits(amount), Credits(0), FIRST + begins * ONE_DAY, days)
    for index, kept in sorted(voids):
        grant = grant.with_share(share_from(FIRST + index * ONE_DAY, kept, 10), 0)
    return grant


def hold_of(number: int, amount: int, hours: int) -> Hold:
    expires_at = OPENED + timedelta(hours=hours)
    name = f"{number:024x}"
    return Hold(name, FIRST, Credits(amount), expires_at, "chat", OPENED)


def ten_years(grants: int, *, amount: int = 36_600) -> Subscription:
    """Return a subscription of so many grants of ten years each."""
    lasting = giving(amount, 3660)
    return replace(lasting, grants=tuple(replace(lasting.grants[0]) for _ in range(grants)))


@given(GRANTS, HOLDS, ZONES, CAPS, st.integers(-50, 6000), st.integers(-500, 500))
def test_it_is_the_day_that_is_found_day_by_day(
    grants: list[tuple[int, int, int, list[tuple[int, int]]]],
    holds: list[tuple[int, int]],
    zone: str,
    cap: int | None,
    required: int,
    used: int,
) -> None:
    today = Day(FIRST, Credits(0), Credits(used))
    of_all = [hold_of(number, *hold) for number, hold in enumerate(holds)]
    subscription = replace(
        giving(0, DAYS),
        timezone=zone,
        start=OPENED - 2 * ONE_DAY,
        grants=tuple(grant_of(*grant) for grant in grants),
        day=today,
        holds=tuple(sorted(of_all, key=attrgetter("expires_at", "hold_id"))),
    )
    rest = credits_or_none(cap)

    found = available_at(subscription, Credits(required), today, rest)

    assert found == day_by_day(subscription, required, today, rest)


@given(GRANTS, st.integers(-20, 90), st.integers(0, 90))
def test_limits_are_those_of_each_day(
    grants: list[tuple[int, int, int, list[tuple[int, int]]]], begins: int, days: int
) -> None:
    subscription = replace(giving(0, DAYS), grants=tuple(grant_of(*grant) for grant in grants))
    first = FIRST.toordinal() + begins

    found = limits(subscription.grants, first, first + days)

    assert list(found) == [
        subscription.limit(date.fromordinal(day)) for day in range(first, first + days + 1)
    ]


@given(GRANTS, CAPS, st.integers(-300, 300), st.integers(1, 60))
def test_idle_days_hand_on_what_each_of_them_would(
    grants: list[tuple[int, int, int, list[tuple[int, int]]]],
    cap: int | None,
    used: int,
    idle: int,
) -> None:
    subscription = replace(
        giving(0, DAYS),
        grants=tuple(grant_of(*grant) for grant in grants),
        day=Day(FIRST, Credits(0), Credits(used)),
    )
    rest = credits_or_none(cap)
    by_hand = subscription
    for day in range(1, idle + 1):
        by_hand = by_hand.opened(by_hand.day_at(FIRST + day * ONE_DAY, rest))

    assert subscription.day_at(FIRST + idle * ONE_DAY, rest) == by_hand.day


# --- what it costs ------------------------------------------------------------------------


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions of ours some work calls: its cost on any machine."""
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and "/domain/" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("cap", [None, 0, 40_000])
@pytest.mark.parametrize("required", [11, 2**53 - 1])
@pytest.mark.parametrize("amount", [36_600, -36_600])
def test_a_refusal_does_not_cost_days_times_grants(
    cap: int | None, required: int, amount: int
) -> None:
    subscription = ten_years(12, amount=amount)
    subscription = replace(subscription, grants=(*subscription.grants, giving(5, 5).grants[0]))
    today = Day(FIRST, Credits(0), Credits(2_000_000))
    rest = credits_or_none(cap)
    assert subscription.status is Status.ACTIVE
    available_at(
        subscription, Credits(required), today, rest
    )  # The first one may prepare the next.

    assert calls_of(lambda: available_at(subscription, Credits(required), today, rest)) < 9 * 3660


def test_a_refusal_of_most_subscriptions_costs_little_the_first_time_too() -> None:
    subscription = ten_years(12)
    today = Day(FIRST, Credits(0), Credits(2_000_000))

    assert calls_of(lambda: available_at(subscription, Credits(11), today, None)) < 1_500
