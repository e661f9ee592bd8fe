"""Nothing is lost when an amount is divided: not with the system, not over the days."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.grants import Grant, split
from domain.values import CREDITS_MAX, Credits
from tests.domain.ledger import ONE_DAY

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
