"""The packed use of the last days holds what was put in, and nothing that is too old."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.recent_use import (
    DAYS_MAX,
    NO_USE,
    forget_old,
    oldest_day,
    pack,
    sum_before,
    unpack,
    with_use,
)
from tests.builders.ledger import NOON, ONE_DAY

AMOUNTS = st.integers(0, 300) | st.integers(0, 2**20) | st.integers(0, 2**54)
DAYS = st.dictionaries(st.integers(739_000, 739_080), AMOUNTS, max_size=40)
TODAY = NOON.date()


def used(days: dict[int, int]) -> dict[int, int]:
    return {day: amount for day, amount in days.items() if amount > 0}


@given(DAYS)
def test_the_newest_days_come_back_as_they_were(days: dict[int, int]) -> None:
    last = max(used(days), default=0)
    kept = {day: amount for day, amount in used(days).items() if day > last - DAYS_MAX}

    assert used(unpack(pack(days))) == kept


@given(DAYS)
def test_days_added_one_by_one_in_their_order_are_the_same_bytes(days: dict[int, int]) -> None:
    recent = NO_USE
    for day in sorted(days):
        recent = with_use(recent, [(TODAY.fromordinal(day), days[day])])

    assert recent == pack(days)


@given(DAYS, st.integers(738_990, 739_100))
def test_a_sum_is_that_of_the_days_before(days: dict[int, int], today: int) -> None:
    recent = pack(days)
    past = [amount for day, amount in used(unpack(recent)).items() if today - 30 <= day < today]

    assert sum_before(recent, today, 30) == (sum(past), len(past))


def test_use_of_one_day_adds_up() -> None:
    recent = with_use(NO_USE, [(TODAY, 200), (TODAY, 100)])

    assert unpack(with_use(recent, [(TODAY, 1)])) == {TODAY.toordinal(): 301}


def test_what_no_today_looks_back_to_is_forgotten() -> None:
    recent = with_use(NO_USE, [(TODAY - index * ONE_DAY, 5) for index in range(DAYS_MAX)])
    later = NOON + timedelta(days=10)

    assert forget_old(recent, NOON) is recent
    kept = unpack(forget_old(recent, later))
    assert min(kept) == oldest_day(later).toordinal()
    assert forget_old(recent, NOON + 99 * ONE_DAY) == NO_USE


def test_a_month_of_use_takes_few_bytes() -> None:
    recent = with_use(NO_USE, [(TODAY - index * ONE_DAY, 60_000) for index in range(DAYS_MAX)])

    assert len(recent) == 5 + 2 * DAYS_MAX
