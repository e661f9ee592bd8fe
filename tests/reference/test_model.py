"""Trust in the reference: the worked cases in literal numbers, and nothing lost in random histories."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from tests.reference.dates import local_midnight
from tests.reference.model import Grant, ReferenceUser

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
ONE_MILLISECOND = timedelta(milliseconds=1)
ROLLOVERS: list[str | int] = ["full", "none", 0, 25]
ZONES = ["UTC", "Pacific/Auckland", "Africa/Cairo", "America/Santiago", "America/Havana"]


def user_with(
    daily: int, days: int, *, rollover: str | int = "full", timezone: str = "UTC"
) -> ReferenceUser:
    """Start a subscription at NOON that gives `daily` on each of its days."""
    user = ReferenceUser(system_portion_bps=0, rollover=rollover)
    user.add_credit(
        now=NOON, amount=daily * days, days=days, transaction_id="first", timezone=timezone
    )
    return user


def test_case_1_debt_of_one_day_is_repaid_by_the_next() -> None:
    user = user_with(100, 10)

    outcome = user.record_usage(now=NOON, credit_amount=120, on_insufficient="record")

    assert outcome == "recorded"
    assert user.status(now=NOON)["remaining_credits"] == -20
    assert user.status(now=NOON + ONE_DAY)["remaining_credits"] == 80


@pytest.mark.parametrize(
    ("rollover", "charged", "rolled_over"),
    [(50, 10, 50), (50, 70, 30), (50, 110, -10), ("none", 10, 0), ("none", 110, -10)],
)
def test_case_2_a_left_over_is_cut_to_the_cap_and_a_debt_is_not(
    rollover: str | int, charged: int, rolled_over: int
) -> None:
    user = user_with(100, 10, rollover=rollover)

    user.record_usage(now=NOON, credit_amount=charged, on_insufficient="record")

    assert user.status(now=NOON + ONE_DAY)["credits_rolled_over"] == rolled_over
    assert user.status(now=NOON + ONE_DAY)["remaining_credits"] == 100 + rolled_over


def test_case_3_a_read_exactly_at_midnight_belongs_to_the_new_day() -> None:
    user = user_with(10, 10)
    midnight = datetime(2026, 3, 3, tzinfo=UTC)

    before, at = user.status(now=midnight - ONE_MILLISECOND), user.status(now=midnight)

    assert (before["date"], before["resets_at"]) == (midnight - ONE_DAY, midnight)
    assert (at["date"], at["resets_at"]) == (midnight, midnight + ONE_DAY)
    assert (before["remaining_credits"], at["remaining_credits"]) == (10, 20)
    assert user.status(now=midnight) == at


def test_case_4_three_idle_days_of_ten_leave_thirty_more() -> None:
    user = user_with(10, 10)

    status = user.status(now=NOON + 3 * ONE_DAY)

    assert status["credits_rolled_over"] == 30
    assert status["remaining_credits"] == 40


@pytest.mark.parametrize(("opening", "charge", "accepted"), [(5, 10, 0), (500, 200, 2)])
def test_case_5_of_five_charges_only_those_that_fit_are_accepted(
    opening: int, charge: int, accepted: int
) -> None:
    user = user_with(opening, 1)

    outcomes = [user.record_usage(now=NOON, credit_amount=charge) for _ in range(5)]

    assert outcomes == ["recorded"] * accepted + ["insufficient_credits"] * (5 - accepted)
    assert user.status(now=NOON)["remaining_credits"] == opening - accepted * charge


@pytest.mark.parametrize(
    ("opens", "resets"),
    [  # An ordinary day, the end of summer time (25 hours), its begin (23 hours).
        ("2026-03-03T11:00", "2026-03-04T11:00"),
        ("2026-04-04T11:00", "2026-04-05T12:00"),
        ("2026-09-26T12:00", "2026-09-27T11:00"),
    ],
)
def test_case_18_in_auckland_the_day_turns_at_the_users_midnight(opens: str, resets: str) -> None:
    user = user_with(10, 300, timezone="Pacific/Auckland")
    opens_at = datetime.fromisoformat(opens).replace(tzinfo=UTC)
    resets_at = datetime.fromisoformat(resets).replace(tzinfo=UTC)

    first, last = user.status(now=opens_at), user.status(now=resets_at - ONE_MILLISECOND)
    following = user.status(now=resets_at)

    assert first == last
    assert (first["date"], first["resets_at"]) == (opens_at, resets_at)
    assert following["date"] == resets_at
    assert following["remaining_credits"] == first["remaining_credits"] + 10
    assert following["days_remaining"] == first["days_remaining"] - 1


@pytest.mark.parametrize(
    ("zone", "day", "midnight"),
    [
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00"),  # 00:00 does not exist.
        ("America/Santiago", date(2026, 9, 6), "2026-09-06T04:00"),  # 00:00 does not exist.
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-28T22:00"),  # 00:00 does not exist.
        ("Asia/Beirut", date(2026, 10, 25), "2026-10-24T22:00"),  # 23:00 comes twice before it.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00"),  # 00:00 comes twice.
        ("Pacific/Kiritimati", date(2026, 1, 1), "2025-12-31T10:00"),
    ],
)
def test_a_local_day_begins_at_its_first_instant(zone: str, day: date, midnight: str) -> None:
    assert local_midnight(day, ZoneInfo(zone)).isoformat() == f"{midnight}:00+00:00"


def test_a_payment_is_split_sliced_and_accepted_once() -> None:
    user = ReferenceUser()

    added = user.add_credit(now=NOON, amount=1009, days=2, transaction_id="first")
    again = user.add_credit(now=NOON, amount=1, days=1, transaction_id="first")
    status = user.status(now=NOON.replace(microsecond=1999))

    assert (added, again) == ("created", "duplicate_payment")
    assert status == {
        "status": "active",
        "timezone": "UTC",
        "start_date": NOON,
        "end_date": datetime(2026, 3, 4, tzinfo=UTC),
        "days_remaining": 2,
        "total_credits": 1009,
        "system_portion": 100,
        "spendable_credits": 909,
        "date": datetime(2026, 3, 2, tzinfo=UTC),
        "daily_credit_limit": 454,
        "credits_rolled_over": 0,
        "credits_used": 0,
        "credits_held": 0,
        "remaining_credits": 454,
        "low_credits": False,
        "resets_at": datetime(2026, 3, 3, tzinfo=UTC),
    }


def test_added_credit_lifts_today_and_moves_the_end_only_later() -> None:
    user = user_with(10, 5)

    outcome = user.add_credit(now=NOON + ONE_DAY, amount=14, days=2, transaction_id="short")
    shorter = user.status(now=NOON + ONE_DAY)
    user.add_credit(now=NOON + ONE_DAY, amount=5, days=5, transaction_id="long")
    longer = user.status(now=NOON + ONE_DAY)

    assert outcome == "added"
    assert (shorter["daily_credit_limit"], longer["daily_credit_limit"]) == (17, 18)
    assert shorter["end_date"] == datetime(2026, 3, 7, tzinfo=UTC)
    assert longer["end_date"] == datetime(2026, 3, 8, tzinfo=UTC)


def test_at_its_end_a_subscription_forfeits_what_is_left_and_the_next_starts_empty() -> None:
    user = user_with(10, 2)
    end = datetime(2026, 3, 4, tzinfo=UTC)
    user.record_usage(now=NOON, credit_amount=4)

    expired, life = user.status(now=end), user.life(now=end)
    charge = user.record_usage(now=end, credit_amount=0)
    renewal = user.add_credit(now=end, amount=7, days=1, transaction_id="second")

    assert (expired["status"], expired["remaining_credits"]) == ("expired", 0)
    assert life == {"used": 4, "left": 0, "forfeited": 16}
    assert (charge, renewal) == ("no_active_subscription", "created")
    assert user.status(now=end)["remaining_credits"] == 7


@pytest.mark.parametrize(
    ("rollover", "required", "limit", "opens_on"),
    [
        ("full", 29, "daily", 4),
        ("full", 30, "daily", 5),
        ("full", 49, "daily", 6),
        ("full", 50, "subscription", None),
        (5, 15, "daily", 3),
        (5, 16, "subscription", None),
        ("none", 11, "subscription", None),
    ],
)
def test_a_refusal_names_the_first_midnight_that_covers_the_request(
    rollover: str | int, required: int, limit: str, opens_on: int | None
) -> None:
    user = user_with(10, 5, rollover=rollover)
    user.record_usage(now=NOON, credit_amount=1)

    refusal = user.refusal(now=NOON, credit_amount=required)

    assert refusal["limit"] == limit
    assert (refusal["remaining_credits"], refusal["required_credits"]) == (9, required)
    assert refusal["available_at"] == (opens_on and datetime(2026, 3, opens_on, tzinfo=UTC))


@pytest.mark.parametrize("used", [79, 80, 100])
def test_credits_are_low_from_twenty_percent_down(used: int) -> None:
    user = user_with(100, 1)

    user.record_usage(now=NOON, credit_amount=used)

    assert user.status(now=NOON)["low_credits"] == (used >= 80)


@pytest.mark.parametrize("seed", range(20))
def test_the_slices_of_a_grant_add_up_and_differ_by_one_at_most(seed: int) -> None:
    random = Random(seed)
    spendable, days = random.randint(0, 2**53 - 1) >> random.randint(0, 52), random.randint(1, 400)
    grant = Grant(NOON.date(), days, spendable, 0, spendable)

    slices = [grant.slice_on(NOON.date() + index * ONE_DAY) for index in range(-3, days + 3)]

    assert sum(slices) == spendable
    assert set(slices[3:-3]) <= {spendable // days, spendable // days + 1}
    assert slices[:3] == slices[-3:] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_no_credit_is_lost_or_minted_in_a_random_history(seed: int) -> None:
    random = Random(seed)
    user = ReferenceUser(rollover=random.choice(ROLLOVERS), default_timezone=random.choice(ZONES))
    now, used = NOON, 0

    for step in range(50):
        now += timedelta(minutes=random.choice([0, 1, 60, 600, 1440, 5000]))
        if random.random() < 0.15:
            amount, days = random.randint(0, 2000), random.randint(1, 30)
            outcome = user.add_credit(now=now, amount=amount, days=days, transaction_id=f"{step}")
            used = 0 if outcome == "created" else used
        charge, manner = random.randint(0, 150), random.choice(["reject", "reject", "record"])
        if user.record_usage(now=now, credit_amount=charge, on_insufficient=manner) == "recorded":
            used += charge

        for instant in (now, now + timedelta(days=random.randint(1, 40))):
            status, life = user.status(now=instant), user.life(now=instant)
            assert sum(life.values()) == status["spendable_credits"]
            assert life["used"] == used
            assert status["total_credits"] == status["system_portion"] + status["spendable_credits"]
