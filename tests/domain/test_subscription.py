"""What a day inherits, what it leaves, and when the schedule covers an amount."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.availability import available_at
from domain.grants import Grant
from domain.schedule import carry
from domain.subscription import Day, Subscription
from domain.values import Credits
from tests.builders.grants import CAPS, FIRST, credits_or_none, giving
from tests.builders.ledger import NOON, ONE_DAY, ONE_MILLISECOND, utc


def touched(subscription: Subscription, day: date, rolled_over: int, used: int) -> Subscription:
    return replace(subscription, day=Day(day, Credits(rolled_over), Credits(used)))


def next_day_by_hand(subscription: Subscription, day: Day, cap: Credits | None) -> Day:
    left = carry(subscription.remaining(day), cap)
    return Day(day.date + ONE_DAY, left, Credits(0))


@given(
    grants=st.lists(
        st.tuples(st.integers(-2000, 3000), st.integers(0, 30), st.integers(1, 40)), max_size=5
    ),
    cap=CAPS,
    last=st.none() | st.tuples(st.integers(0, 20), st.integers(-500, 500), st.integers(0, 500)),
    idle=st.integers(0, 60),
)
def test_a_day_opens_as_if_every_day_before_it_had_been_opened(
    grants: list[tuple[int, int, int]],
    cap: int | None,
    last: tuple[int, int, int] | None,
    idle: int,
) -> None:
    subscription = replace(
        giving(0, 60),
        grants=tuple(
            Grant("a", Credits(amount), Credits(0), FIRST + begins * ONE_DAY, days)
            for amount, begins, days in grants
        ),
    )
    if last is not None:
        index, rolled_over, used = last
        subscription = touched(subscription, FIRST + index * ONE_DAY, rolled_over, used)
    day = subscription.day or Day(FIRST, Credits(0), Credits(0))
    today = day.date + idle * ONE_DAY

    while day.date < today:
        day = next_day_by_hand(subscription, day, credits_or_none(cap))

    assert subscription.day_at(today, credits_or_none(cap)) == day


def test_what_a_cap_took_does_not_repay_what_a_correction_takes_later() -> None:
    correction = Grant(None, Credits(-30), Credits(0), FIRST + 3 * ONE_DAY, 3)
    given = giving(30, 3)
    corrected = replace(given, grants=(*given.grants, correction))

    days = [corrected.day_at(FIRST + index * ONE_DAY, Credits(5)) for index in range(7)]

    assert [day.rolled_over for day in days] == [0, 5, 5, 5, -5, -15, -25]


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 300))), CAPS, st.randoms())
def test_days_of_use_in_any_order_come_to_the_same(
    used: list[tuple[int, int]],
    cap: int | None,
    random: object,
) -> None:
    days = [(FIRST + index * ONE_DAY, Credits(amount)) for index, amount in used]
    shuffled = sorted(days, key=lambda _: random.random())  # type: ignore[attr-defined]
    last = FIRST + 29 * ONE_DAY

    forward = giving(1000, 30).with_usage_days(days, last, credits_or_none(cap))
    anyhow = giving(1000, 30).with_usage_days(shuffled, last, credits_or_none(cap))

    assert forward == anyhow


def test_two_sums_of_one_day_are_one_day_of_use() -> None:
    used = [(FIRST, Credits(3)), (FIRST, Credits(4))]

    subscription = giving(300, 30).with_usage_days(used, FIRST, None)

    assert subscription.day == Day(FIRST, Credits(0), Credits(7))


def test_use_before_the_first_day_or_after_today_does_not_count() -> None:
    used = [(FIRST - ONE_DAY, Credits(3)), (FIRST, Credits(4)), (FIRST + ONE_DAY, Credits(5))]

    subscription = giving(300, 30).with_usage_days(used, FIRST, None)

    assert subscription.day == Day(FIRST, Credits(0), Credits(4))


def test_without_a_day_of_use_no_day_was_touched() -> None:
    assert giving(300, 30).with_usage_days([], FIRST, None).day is None


@pytest.mark.parametrize(
    ("cap", "required", "opens"),
    [
        pytest.param(None, 20, "2026-03-03", id="the next day"),
        pytest.param(None, 21, "2026-03-04", id="one credit more, one day later"),
        pytest.param(None, 50, "2026-03-06", id="all of it, on the last day"),
        pytest.param(None, 51, None, id="more than there is"),
        pytest.param(5, 15, "2026-03-03", id="the cap and a day"),
        pytest.param(5, 16, None, id="more than the cap and a day"),
        pytest.param(0, 11, None, id="more than a day"),
    ],
)
def test_a_charge_is_available_from_the_first_midnight_that_covers_it(
    cap: int | None,
    required: int,
    opens: str | None,
) -> None:
    today = Day(FIRST, Credits(0), Credits(0))

    found = available_at(giving(50, 5), Credits(required), today, credits_or_none(cap))

    assert found == (opens and utc(opens))


def test_a_debt_is_repaid_before_anything_is_available() -> None:
    in_debt = Day(FIRST, Credits(0), Credits(25))

    assert available_at(giving(50, 5), Credits(1), in_debt, Credits(0)) == utc("2026-03-04")
    assert available_at(giving(50, 5), Credits(0), in_debt, Credits(0)) == utc("2026-03-04")


def test_nothing_is_available_at_or_after_the_end() -> None:
    today = Day(FIRST, Credits(0), Credits(0))
    subscription = giving(50, 5)

    cut_short = replace(subscription, end=utc("2026-03-04"))

    assert available_at(cut_short, Credits(20), today, None) == utc("2026-03-03")
    assert available_at(cut_short, Credits(21), today, None) is None


def test_a_subscription_that_nearly_never_ends_answers_at_once() -> None:
    years = (date(9999, 12, 31) - FIRST).days
    endless = replace(giving(years, years), end=datetime.fromisoformat("9999-12-31T23:59:59Z"))
    today = Day(FIRST, Credits(0), Credits(0))

    assert available_at(endless, Credits(years + 1), today, None) is None
    assert available_at(endless, Credits(2), today, Credits(0)) is None


@pytest.mark.parametrize(
    ("now", "days"),
    [
        pytest.param(NOON, 5, id="on the first day"),
        pytest.param(utc("2026-03-07") - ONE_MILLISECOND, 1, id="in the last millisecond"),
        pytest.param(utc("2026-03-07"), 0, id="at the end"),
        pytest.param(utc("2026-04-07"), 0, id="long after"),
    ],
)
def test_days_remaining_count_today(now: datetime, days: int) -> None:
    subscription = giving(50, 5)

    assert subscription.days_remaining(subscription.today(now)) == days


def test_an_end_within_a_day_leaves_that_day_remaining() -> None:
    subscription = replace(giving(50, 5), end=utc("2026-03-04T12:00"))

    assert subscription.days_remaining(date(2026, 3, 4)) == 1


def test_today_never_goes_back_behind_a_touched_day() -> None:
    tomorrow = FIRST + ONE_DAY

    assert touched(giving(50, 5), tomorrow, 0, 0).today(NOON) == tomorrow
    assert touched(giving(50, 5), FIRST - timedelta(days=1), 0, 0).today(NOON) == FIRST


@given(
    st.lists(
        st.tuples(st.integers(-2000, 2000), st.integers(0, 20), st.integers(1, 40)), max_size=5
    ),
    CAPS,
    st.integers(-50, 5000),
    st.integers(-500, 500),
)
def test_available_at_is_the_day_found_by_opening_one_after_the_other(
    grants: list[tuple[int, int, int]],
    cap: int | None,
    required: int,
    used: int,
) -> None:
    subscription = replace(
        giving(0, 70),
        grants=tuple(
            Grant("a", Credits(amount), Credits(0), FIRST + begins * ONE_DAY, days)
            for amount, begins, days in grants
        ),
    )
    today = Day(FIRST, Credits(0), Credits(used))
    day, covered = today, None

    while covered is None and day.date < FIRST + 69 * ONE_DAY:
        day = next_day_by_hand(subscription, day, credits_or_none(cap))
        covered = day.date if subscription.remaining(day) >= required else None

    found = available_at(subscription, Credits(required), today, credits_or_none(cap))
    assert (found and found.date()) == covered
