"""Nothing is lost when an amount is divided: not with the system, not over the days."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.grants import Grant, Void, share_from, split
from domain.values import CREDITS_MAX, Credits
from tests.builders.ledger import ONE_DAY

FIRST = date(2026, 3, 2)
AMOUNTS = st.integers(min_value=0, max_value=CREDITS_MAX)


def spread(spendable: int, days: int) -> Grant:
    return Grant("a", Credits(spendable), Credits(0), FIRST, days)


def slices(grant: Grant) -> list[int]:
    return [grant.slice_on(FIRST + index * ONE_DAY) for index in range(grant.days)]


@pytest.mark.parametrize(
    ("amount", "bps", "system_portion"),
    [
        (1009, 1000, 100),
        (9, 1000, 0),
        (0, 1000, 0),
        (10, 10_000, 10),
        (10, 0, 0),
        (CREDITS_MAX, 1, 900_719_925_474),
        (CREDITS_MAX, 9999, 9_006_298_534_815_516),
    ],
)
def test_the_system_portion_is_rounded_down(amount: int, bps: int, system_portion: int) -> None:
    assert split(Credits(amount), bps) == system_portion


@pytest.mark.parametrize(
    ("spendable", "expected"),
    [(10, [3, 3, 4]), (11, [3, 4, 4]), (2, [0, 1, 1]), (0, [0, 0, 0]), (-10, [-4, -3, -3])],
)
def test_a_day_gets_its_slice(spendable: int, expected: list[int]) -> None:
    assert slices(spread(spendable, 3)) == expected


def test_days_outside_the_span_get_nothing() -> None:
    grant = spread(10, 3)

    assert grant.ends_on == date(2026, 3, 5)
    assert grant.slice_on(date(2026, 3, 1)) == grant.slice_on(date(2026, 3, 5)) == 0


@given(AMOUNTS, st.integers(min_value=0, max_value=10_000))
def test_system_portion_and_spendable_are_the_amount(amount: int, bps: int) -> None:
    system_portion = split(Credits(amount), bps)
    grant = Grant("a", Credits(amount), system_portion, FIRST, 1)

    assert 0 <= system_portion <= amount
    assert system_portion + grant.spendable == amount


@given(
    st.integers(min_value=-CREDITS_MAX, max_value=CREDITS_MAX),
    st.integers(min_value=1, max_value=800),
)
def test_the_slices_add_up_exactly_and_differ_by_one_at_most(spendable: int, days: int) -> None:
    given = slices(spread(spendable, days))

    assert sum(given) == spendable
    assert set(given) <= {spendable // days, spendable // days + 1}


@given(
    st.integers(min_value=-CREDITS_MAX, max_value=CREDITS_MAX),
    st.integers(min_value=1, max_value=50),
    st.integers(min_value=-5, max_value=60),
)
def test_allocated_before_a_day_is_the_sum_of_all_earlier_slices(
    spendable: int,
    days: int,
    index: int,
) -> None:
    grant = spread(spendable, days)

    earlier = [grant.slice_on(FIRST + timedelta(days=i)) for i in range(-5, index)]

    assert grant.allocated_before(FIRST + timedelta(days=index)) == sum(earlier)


SHARES = st.lists(
    st.tuples(st.integers(-2, 40), st.integers(0, 30), st.integers(1, 30)), max_size=5
).map(lambda told: [(day, min(kept, parts), parts) for day, kept, parts in sorted(told)])


def told(grant: Grant, day: int, kept: int, parts: int, version: int = 0) -> Grant:
    return grant.with_share(share_from(FIRST + day * ONE_DAY, kept, parts), version)


@given(AMOUNTS, st.integers(1, 35), SHARES, st.none() | st.integers(-2, 40))
def test_slices_add_up_whatever_is_voided_and_comes_back(
    spendable: int, days: int, shares: list[tuple[int, int, int]], ends: int | None
) -> None:
    grant = spread(spendable, days)

    for share in shares:
        grant = told(grant, *share)
    if ends is not None:
        grant = grant.ended(FIRST + ends * ONE_DAY)

    assert sum(slices(grant)) == grant.spendable
    assert all(one >= 0 for one in slices(grant))
    assert grant.voided >= 0
    for index in range(days + 2):
        before = grant.allocated_before(FIRST + index * ONE_DAY)
        assert before == sum(slices(grant)[:index])


@given(AMOUNTS, st.integers(1, 35), SHARES)
def test_a_share_changes_no_day_before_its_own_and_decides_all_from_there(
    spendable: int, days: int, shares: list[tuple[int, int, int]]
) -> None:
    whole = grant = spread(spendable, days)

    for day, kept, parts in shares:
        before, begin = slices(grant), max(day, 0)
        grant = told(grant, day, kept, parts)

        assert slices(grant)[:begin] == before[:begin]
        assert slices(grant)[begin:] == slices(told(whole, day, kept, parts))[begin:]


def test_a_grant_that_is_ended_gives_nothing_from_that_day_on() -> None:
    grant = spread(100, 10).ended(FIRST + 4 * ONE_DAY)

    assert slices(grant) == [10] * 4 + [0] * 6
    assert (grant.spendable, grant.voided) == (40, 60)
    assert grant.gives_until == FIRST + 4 * ONE_DAY


@pytest.mark.parametrize("parts", [1, 2900])
def test_what_was_taken_whole_comes_back_but_not_after_the_end(parts: int) -> None:
    taken = told(spread(100, 10), 2, 0, parts, version=1)
    ended = taken.ended(FIRST + 4 * ONE_DAY)

    assert slices(told(taken, 5, parts, parts, version=2)) == [10] * 2 + [0] * 3 + [10] * 5
    assert told(ended, 5, parts, parts, version=2) is ended


def test_of_two_shares_the_one_that_was_told_later_counts_whichever_comes_first() -> None:
    less, more = (2, 1, 3, 1), (2, 1, 2, 2)

    in_order = told(told(spread(90, 9), *less), *more)
    too_late = told(told(spread(90, 9), *more), *less)

    assert in_order == too_late
    assert in_order.voids == (Void(FIRST + 2 * ONE_DAY, 1, 2),)


def test_what_comes_back_on_the_same_day_leaves_no_trace_but_its_version() -> None:
    grant = spread(90, 9)

    back = told(told(grant, 2, 0, 9, version=1), 2, 9, 9, version=2)

    assert back == replace(grant, share_version=2)
    assert told(back, 2, 0, 9, version=1) is back


def test_what_keeps_all_is_no_void() -> None:
    assert told(spread(90, 9), 0, 3, 3).voids == ()
