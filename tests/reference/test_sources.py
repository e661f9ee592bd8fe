"""Trust in the reference of sources: the worked figures in literal numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.reference.sources import SourcesUser

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def user_with(daily: int, days: int, *, rollover: str | int = "full") -> SourcesUser:
    """Start a subscription at NOON that gives `daily` on each of its days."""
    user = SourcesUser(system_portion_bps=0, rollover=rollover)
    user.add_credit(now=NOON, amount=daily * days, days=days, transaction_id="first")
    return user


def add_pack(user: SourcesUser, amount: int, expires_at: datetime | None = None) -> None:
    user.add_pack(now=NOON, amount=amount, expires_at=expires_at, priority=50, category="paid")
    user.packs[-1].name = str(len(user.packs))


def test_a_charge_of_120_takes_90_of_the_day_and_30_of_the_pack() -> None:
    user = user_with(90, 5)
    add_pack(user, 1000)

    outcome = user.charge(now=NOON, amount=120, rule="reject")

    facts = {"day": 90, "packs": [(0, 30)], "uncovered": 0, "late": False}
    assert (outcome.said, outcome.facts) == ("charged", facts)
    status = user.status(now=NOON)
    assert (status["day_remaining_credits"], status["pack_credits"]) == (0, 970)
    assert user.status(now=NOON + 9 * ONE_DAY)["remaining_credits"] == 970


def test_a_hold_of_50_settled_at_200_charges_100() -> None:
    user = user_with(40, 1)
    add_pack(user, 60)

    held = user.hold(now=NOON, amount=50, seconds=300)
    settled = user.settle(0, now=NOON, amount=200, rule="cap")

    assert held.facts == {"amount": 50, "day": 40, "packs": [(0, 10)]}
    assert settled.facts == {"day": 40, "packs": [(0, 60)], "uncovered": 100, "late": False}


def test_an_expired_hold_is_settled_late_within_a_day() -> None:
    user = user_with(40, 5)
    for _ in range(2):
        user.hold(now=NOON, amount=5, seconds=300)
    over = NOON + timedelta(seconds=300)

    late = user.settle(0, now=over, amount=30, rule="cap")
    too_late = user.settle(1, now=over + ONE_DAY, amount=30, rule="cap")

    assert (late.said, late.facts["late"]) == ("charged", True)
    assert too_late.said == "hold_closed"


@pytest.mark.parametrize(("rollover", "returned"), [("full", 60), ("none", 0), (50, 10)])
def test_a_charge_of_yesterday_goes_back_by_the_rule(rollover: str | int, returned: int) -> None:
    user = user_with(100, 5, rollover=rollover)
    user.charge(now=NOON, amount=60, rule="reject")

    outcome = user.reverse(0, now=NOON + ONE_DAY, amount=None)

    assert outcome.facts == {"amount": 60, "returned": returned, "reversed": 60}
    assert user.reverse(0, now=NOON + ONE_DAY, amount=None).said == "already_reversed"


def test_a_reversal_gives_back_first_what_was_taken_last() -> None:
    user = user_with(90, 5)
    add_pack(user, 100)
    user.charge(now=NOON, amount=100, rule="reject")

    user.reverse(0, now=NOON, amount=30)

    status = user.status(now=NOON)
    assert (status["day_remaining_credits"], status["pack_credits"]) == (20, 100)
    assert user.reverse(0, now=NOON, amount=71).said == "more_than_charged"


def test_what_is_left_is_set_to_a_number() -> None:
    user = user_with(90, 5)
    add_pack(user, 100)

    taken = user.adjust(now=NOON, by=None, to=60, allow_debt=False)
    given = user.adjust(now=NOON, by=None, to=500, allow_debt=False)

    assert taken.facts == {"amount": -130, "day": 90, "packs": [(0, 40)]}
    assert given.facts == {"amount": 440, "day": 0, "packs": []}
    assert user.status(now=NOON)["remaining_credits"] == 500


def test_what_is_left_of_a_pack_lapses_and_a_hold_keeps_its_share() -> None:
    user = user_with(40, 1)
    add_pack(user, 60, NOON + timedelta(seconds=60))
    user.hold(now=NOON, amount=50, seconds=300)
    at = NOON + timedelta(seconds=60)

    lapsed = user.expire_pack(0, now=at)

    assert lapsed.facts == {"lapsed": 50}
    settled = user.settle(0, now=at, amount=50, rule="cap")
    assert settled.facts == {"day": 40, "packs": [(0, 10)], "uncovered": 0, "late": False}
