"""The worked cases of the field that speak of the accounting, in their own figures."""

import pytest

from domain.charges import UsageRecorded
from domain.messages import DayOpened, Rejection
from tests.builders.ledger import (
    NOON,
    ONE_DAY,
    ONE_MILLISECOND,
    Ledger,
    ledger_with,
    opening_of,
    refusal_of,
    utc,
)


def test_case_1_a_debt_of_twenty_leaves_the_next_day_eighty() -> None:
    ledger = ledger_with(100, 10)

    ledger.record(120, NOON)

    assert ledger.status(NOON).remaining_credits == -20
    assert ledger.status(NOON + ONE_DAY).remaining_credits == 80


@pytest.mark.parametrize(
    ("cap", "charged", "rolled_over"),
    [(50, 10, 50), (50, 70, 30), (50, 110, -10), (0, 10, 0), (0, 110, -10), (None, 10, 90)],
)
def test_case_2_a_left_over_is_cut_to_the_cap_and_a_debt_is_not(
    cap: int | None,
    charged: int,
    rolled_over: int,
) -> None:
    ledger = ledger_with(100, 10, rollover_cap=cap)

    ledger.record(charged, NOON)

    assert ledger.status(NOON + ONE_DAY).credits_rolled_over == rolled_over
    assert ledger.status(NOON + ONE_DAY).remaining_credits == 100 + rolled_over


def test_case_3_a_read_exactly_at_midnight_belongs_to_the_new_day() -> None:
    ledger = ledger_with(10, 10)
    midnight = utc("2026-03-03")

    before, after = ledger.status(midnight - ONE_MILLISECOND), ledger.status(midnight)

    assert (before.date, before.resets_at) == (utc("2026-03-02"), midnight)
    assert (after.date, after.resets_at) == (midnight, utc("2026-03-04"))
    assert (before.remaining_credits, after.remaining_credits) == (10, 20)
    assert ledger.status(midnight) == after


def test_case_3_five_first_touches_of_a_new_day_open_it_once() -> None:
    ledger = ledger_with(10, 10)

    decisions = [ledger.open_day(NOON + ONE_DAY) for _ in range(5)]

    openings = [decision.opening for decision in decisions if isinstance(decision, DayOpened)]
    assert [opening.first_touch for opening in openings] == [True, *[False] * 4]
    assert ledger.status(NOON + ONE_DAY).remaining_credits == 20


def test_case_4_three_idle_days_of_ten_leave_thirty_more() -> None:
    ledger = ledger_with(10, 10)

    status = ledger.status(NOON + 3 * ONE_DAY)

    assert (status.credits_rolled_over, status.remaining_credits) == (30, 40)


def test_case_5_five_left_refuse_five_charges_of_ten() -> None:
    ledger = ledger_with(5, 1)

    refusals = [refusal_of(ledger.charge(10, NOON)) for _ in range(5)]

    assert {refusal.reason for refusal in refusals} == {Rejection.INSUFFICIENT_CREDITS}
    assert ledger.status(NOON).remaining_credits == 5


def test_case_5_five_hundred_left_accept_exactly_two_of_five_charges_of_two_hundred() -> None:
    ledger = ledger_with(500, 1)

    decisions = [ledger.charge(200, NOON) for _ in range(5)]

    assert [isinstance(d, UsageRecorded) for d in decisions] == [True, True, False, False, False]
    assert ledger.status(NOON).remaining_credits == 100


def test_case_17_a_month_paid_on_the_31st_ends_where_its_days_do() -> None:
    ledger = Ledger()
    ledger.add(30, 30, utc("2026-05-31T12:00"))

    ledger.add(31, 31, utc("2026-06-30T00:00"))
    june = ledger.status(utc("2026-06-30T00:00"))
    ledger.add(31, 31, utc("2026-07-31T00:00"))
    july = ledger.status(utc("2026-07-31T00:00"))

    assert (june.start_date, june.end_date) == (utc("2026-06-30"), utc("2026-07-31"))
    assert (july.start_date, july.end_date) == (utc("2026-07-31"), utc("2026-08-31"))


@pytest.mark.parametrize(
    ("opens", "resets"),
    [
        pytest.param("2026-03-03T11:00", "2026-03-04T11:00", id="a day of 24 hours"),
        pytest.param("2026-04-04T11:00", "2026-04-05T12:00", id="a day of 25 hours"),
        pytest.param("2026-09-26T12:00", "2026-09-27T11:00", id="a day of 23 hours"),
    ],
)
def test_case_18_in_auckland_the_day_turns_at_the_users_midnight(opens: str, resets: str) -> None:
    ledger = ledger_with(10, 300, timezone="Pacific/Auckland")

    first, last = ledger.status(utc(opens)), ledger.status(utc(resets) - ONE_MILLISECOND)
    following = ledger.status(utc(resets))

    assert (first.date, first.resets_at) == (last.date, last.resets_at) == (utc(opens), utc(resets))
    assert following.date == utc(resets)
    assert (
        following.remaining_credits == last.remaining_credits + 10 == first.remaining_credits + 10
    )


def test_case_18_a_charge_before_and_one_after_midnight_belong_to_two_days() -> None:
    ledger = ledger_with(10, 300, timezone="Pacific/Auckland")
    midnight = utc("2026-04-05T12:00")

    before = opening_of(ledger.charge(1, midnight - ONE_MILLISECOND))
    after = opening_of(ledger.charge(1, midnight))

    assert before.starts_at == utc("2026-04-04T11:00")
    assert after.starts_at == midnight
    assert after.rolled_over == before.rolled_over + 10 - 1
