"""A document is the truth whoever wrote it, as far as it can be read."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from domain.documents.days import read_usage_day
from domain.documents.recovery import Stored, recover
from domain.documents.subscriptions import (
    Quarantined,
    UnreadableError,
    read_subscription,
    read_subscriptions,
    whole,
)
from domain.grants import Grant, Void
from domain.messages import Rejection
from domain.values import CREDITS_MAX, Credits, Status
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, refusal_of, utc

OBJECT_ID = ObjectId("65a1b2c3d4e5f60718293a4b")
ABSENT = object()


def document(**changes: object) -> dict[str, Any]:
    """Describe 100 credits over ten days, as another program would; ABSENT leaves a field out."""
    fields = {
        "_id": str(OBJECT_ID),
        "user_id": "ada",
        "start_date": utc("2026-03-02T12:00"),
        "end_date": utc("2026-03-12"),
        "total_credits": 110,
        "system_portion": 10,
        "spendable_credits": 100,
        "status": "active",
    }
    return {name: value for name, value in (fields | changes).items() if value is not ABSENT}


def explicit(spendable: int, **changes: object) -> dict[str, Any]:
    return {
        "grant_id": ObjectId("65a1b2c3d4e5f60718293a4c"),
        "amount": spendable + 1,
        "system_portion": 1,
        "from_day": "2026-03-03",
        "days": 5,
        "payment": {"transaction_id": "t"},
    } | changes


def implied(spendable: int, from_day: date, days: int) -> Grant:
    return Grant(None, Credits(spendable), Credits(0), from_day, days)


def read_grants(**changes: object) -> tuple[Grant, ...]:
    return read_subscription(document(**changes), "UTC").grants


def test_a_document_without_grants_implies_one_from_its_start_day_to_its_end_day() -> None:
    subscription = read_subscription(document(), "UTC")

    assert subscription.grants == (implied(100, date(2026, 3, 2), 10),)
    assert (subscription.subscription_id, subscription.status) == (str(OBJECT_ID), Status.ACTIVE)
    assert (subscription.start, subscription.end) == (NOON, utc("2026-03-12"))
    assert (subscription.total, subscription.system_portion, subscription.spendable) == (
        110,
        10,
        100,
    )
    assert subscription.day is None
    assert subscription.limit(date(2026, 3, 11)) == 10


@pytest.mark.parametrize("grants", [ABSENT, None, []])
@pytest.mark.parametrize("spendable", [100, 0])
def test_no_grants_are_one_implied_grant_however_they_are_written(
    grants: object,
    spendable: int,
) -> None:
    expected = (implied(spendable, date(2026, 3, 2), 10),)

    assert read_grants(grants=grants, spendable_credits=spendable) == expected


@pytest.mark.parametrize(
    ("end", "days"),
    [
        pytest.param(NOON, 1, id="no time at all"),
        pytest.param(NOON + timedelta(hours=1), 1, id="an hour"),
        pytest.param(utc("2026-03-03"), 1, id="the first day"),
        pytest.param(utc("2026-03-03T23:59"), 1, id="into the second day"),
        pytest.param(utc("2026-03-04"), 2, id="two days"),
    ],
)
def test_an_implied_grant_has_at_least_one_day(end: datetime, days: int) -> None:
    assert read_grants(end_date=end) == (implied(100, date(2026, 3, 2), days),)


def test_days_of_an_implied_grant_are_days_of_the_documents_zone() -> None:
    grants = read_grants(timezone="Pacific/Auckland", end_date=utc("2026-03-11T11:00"))

    assert grants == (implied(100, date(2026, 3, 3), 9),)


def test_a_document_without_a_zone_is_in_the_services() -> None:
    subscription = read_subscription(document(), "Pacific/Auckland")

    assert subscription.timezone == "Pacific/Auckland"
    assert subscription.first_day == date(2026, 3, 3)


def test_an_explicit_grant_is_read_as_it_was_written() -> None:
    grants = read_grants(grants=[explicit(100)])

    grant_id = "65a1b2c3d4e5f60718293a4c"
    assert grants == (Grant(grant_id, Credits(101), Credits(1), date(2026, 3, 3), 5, "t"),)


@pytest.mark.parametrize(("spendable", "difference"), [(130, 30), (60, -40)])
def test_a_difference_to_the_grants_is_one_more_implied_grant(
    spendable: int,
    difference: int,
) -> None:
    grants = read_grants(spendable_credits=spendable, grants=[explicit(70), explicit(30)])

    assert [grant.spendable for grant in grants] == [70, 30, difference]
    assert grants[-1] == implied(difference, date(2026, 3, 2), 10)


@pytest.mark.parametrize("missing", ["total_credits", "system_portion", "spendable_credits"])
@pytest.mark.parametrize("unset", [ABSENT, None])
def test_one_missing_amount_follows_from_the_other_two(missing: str, unset: object) -> None:
    subscription = read_subscription(document(**{missing: unset}), "UTC")

    amounts = (subscription.total, subscription.system_portion, subscription.spendable)
    assert amounts == (110, 10, 100)


@pytest.mark.parametrize("number", [100, 100.0, Int64(100), Decimal128("100"), Decimal128("1E+2")])
def test_a_whole_number_is_read_however_bson_carried_it(number: float) -> None:
    subscription = read_subscription(document(spendable_credits=number), "UTC")

    assert subscription.spendable == 100
    assert type(subscription.grants[0].amount) is int


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(True, id="bool"),
        pytest.param("100", id="string"),
        pytest.param(99.5, id="fraction"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param(float("inf"), id="infinite"),
        pytest.param(2**53, id="too large"),
        pytest.param(-(2**53), id="too small"),
        pytest.param(1e300, id="far too large"),
        pytest.param(Decimal128("99.5"), id="decimal fraction"),
        pytest.param(Decimal128("NaN"), id="decimal that is not a number"),
        pytest.param(Decimal128("sNaN"), id="decimal that signals that it is not a number"),
        pytest.param(Decimal128("-Infinity"), id="infinite decimal"),
        pytest.param(Decimal128("1E+400"), id="decimal that is far too large"),
        pytest.param([100], id="list"),
        pytest.param({"$numberLong": "100"}, id="object"),
        pytest.param(None, id="null"),
    ],
)
def test_what_is_no_whole_number_is_not_guessed(value: object) -> None:
    with pytest.raises(UnreadableError, match="amount is"):
        whole(value, "amount")


@pytest.mark.parametrize("value", [CREDITS_MAX, -CREDITS_MAX, 0, -0.0])
def test_the_largest_numbers_are_read(value: float) -> None:
    assert whole(value, "amount") == value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total_credits": -1}, "an amount is negative"),
        ({"system_portion": -1}, "an amount is negative"),
        ({"spendable_credits": -1}, "an amount is negative"),
        ({"spendable_credits": ABSENT, "total_credits": 5}, "an amount is negative"),
        ({"total_credits": "110"}, "total_credits is not a number"),
        ({"system_portion": True}, "system_portion is not a number"),
        ({"spendable_credits": 0.5}, "spendable_credits is not a whole number"),
        ({"total_credits": 2**60}, "total_credits is too large"),
        ({"total_credits": ABSENT, "system_portion": None}, "two are missing"),
        ({"end_date": utc("2026-03-02T11:59")}, "end_date is before start_date"),
        ({"start_date": ABSENT}, "start_date is not a date"),
        ({"end_date": ABSENT}, "end_date is not a date"),
        ({"end_date": "2026-03-12"}, "end_date is not a date"),
        ({"start_date": date(2026, 3, 2)}, "start_date is not a date"),
        ({"start_date": utc("0001-01-01")}, "start_date is not set"),
        ({"status": ABSENT}, "status is unknown"),
        ({"status": "none"}, "status is unknown"),
        ({"status": "ACTIVE"}, "status is unknown"),
        ({"status": "trialing"}, "status is unknown"),
        ({"status": 1}, "status is unknown"),
        ({"timezone": "Mars/Olympus"}, "timezone is unknown"),
        ({"timezone": ""}, "timezone is unknown"),
        ({"timezone": 2}, "timezone is unknown"),
        ({"grants": {}}, "grants is not a list"),
        ({"grants": "none"}, "grants is not a list"),
        ({"grants": ["a"]}, "a grant is not an object"),
        ({"grants": [explicit(100, days=0)]}, "grants.days is less than 1"),
        ({"grants": [explicit(100, days=2.5)]}, "grants.days is not a whole number"),
        ({"grants": [explicit(100, amount="101")]}, "grants.amount is not a number"),
        ({"grants": [explicit(100, system_portion=None)]}, "grants.system_portion is not a number"),
        ({"grants": [explicit(100, from_day="3 March")]}, "grants.from_day is not a calendar day"),
        ({"grants": [explicit(100, from_day=NOON)]}, "grants.from_day is not a calendar day"),
        ({"grants": [{}]}, "grants.days is not a number"),
    ],
)
def test_what_cannot_be_read_is_quarantined_with_its_reason(
    changes: dict[str, object],
    reason: str,
) -> None:
    readable, quarantined = read_subscriptions([document(**changes)], "UTC")

    assert readable == []
    assert [q.document_id for q in quarantined] == [str(OBJECT_ID)]
    assert reason in quarantined[0].reason


def test_a_document_in_quarantine_leaves_the_others_and_is_left_untouched() -> None:
    broken, sound = document(_id="broken", status="?"), document(_id="sound")

    readable, quarantined = read_subscriptions([broken, sound], "UTC")

    assert [s.subscription_id for s in readable] == ["sound"]
    assert quarantined == [Quarantined("broken", "status is unknown")]
    assert broken == document(_id="broken", status="?")


def test_subscriptions_are_read_in_order_of_start_then_id() -> None:
    later = document(_id="a", start_date=utc("2026-03-03"))
    earlier = [document(_id=name) for name in ("c", "b")]

    readable, _ = read_subscriptions([later, *earlier], "UTC")

    assert [s.subscription_id for s in readable] == ["b", "c", "a"]


@pytest.fixture
def _server_in_auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_server_in_auckland")
@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=-3))])
def test_an_instant_is_utc_wherever_the_server_stands(zone: timezone | None) -> None:
    start = NOON.astimezone(zone) if zone else NOON.replace(tzinfo=None)

    subscription = read_subscription(document(start_date=start), "UTC")

    assert subscription.start == NOON
    assert subscription.start.utcoffset() == timedelta(0)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Santiago"])
def test_a_subscription_may_be_written_to_end_at_the_end_of_time(zone: str) -> None:
    never = utc("9999-12-31T23:59:59.999")

    subscription = read_subscription(document(end_date=never, timezone=zone), "UTC")

    assert subscription.end == never
    assert subscription.is_current(NOON + 1000 * ONE_DAY)
    assert subscription.days_remaining(date(9999, 12, 31)) in {0, 1}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Santiago"])
@pytest.mark.parametrize("end", [None, utc("9999-12-31T23:59:59.999"), utc("9000-01-01")])
def test_an_open_end_gives_the_credits_over_30_days(zone: str, end: datetime | None) -> None:
    open_ended = document(end_date=end, spendable_credits=2700, total_credits=2800, timezone=zone)

    subscription = read_subscription(open_ended, "UTC")

    first = subscription.first_day
    assert [subscription.limit(first + n * ONE_DAY) for n in (0, 29, 30)] == [90, 90, 0]
    assert subscription.is_current(NOON + 10_000 * ONE_DAY)


def test_a_day_document_is_of_the_local_day_of_its_date() -> None:
    midnight = {"date": utc("2026-03-02T11:00"), "credits_used": 7.0}

    assert read_usage_day(midnight, "Pacific/Auckland") == (date(2026, 3, 3), 7)
    assert read_usage_day(midnight, "UTC") == (date(2026, 3, 2), 7)


def test_a_day_document_that_says_nothing_of_its_use_has_none() -> None:
    assert read_usage_day({"date": utc("2026-03-02")}, "UTC") == (date(2026, 3, 2), 0)


@pytest.mark.parametrize(
    "day",
    [
        {"credits_used": 7},
        {"date": "2026-03-02", "credits_used": 7},
        {"date": utc("2026-03-02"), "credits_used": "7"},
        {"date": utc("2026-03-02"), "credits_used": 0.5},
        {"date": utc("2026-03-02"), "credits_used": False},
    ],
)
def test_a_day_document_that_cannot_be_read_is_refused(day: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        read_usage_day(day, "UTC")


# --- voids --------------------------------------------------------------------------------

HALF = {"from_day": "2026-03-04", "kept": 1, "parts": 2}
WHOLE_AGAIN = Void(date(2026, 3, 6), 1, 1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([HALF], (Void(date(2026, 3, 4), 1, 2),)),
        ([HALF | {"until": "2026-03-06"}], (Void(date(2026, 3, 4), 1, 2), WHOLE_AGAIN)),
        ([HALF | {"until": None}], (Void(date(2026, 3, 4), 1, 2),)),
        ([{"from_day": "2026-03-06", "kept": 7, "parts": 7}], (WHOLE_AGAIN,)),
    ],
)
def test_voids_say_from_which_day_and_until_when(
    stored: list[dict[str, Any]], expected: tuple[Void, ...]
) -> None:
    item = explicit(100, voids=stored, share_version=Int64(4))

    grant, *_ = read_grants(grants=[item])

    assert (grant.voids, grant.share_version) == (expected, 4)


@pytest.mark.parametrize(
    "change", [{"kept": -1}, {"kept": 3}, {"parts": 0, "kept": 0}, {"until": "soon"}]
)
def test_a_void_that_says_nothing_understandable_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        read_grants(grants=[explicit(100, voids=[HALF | change])])


@pytest.mark.parametrize("voids", [[], [{"from_day": "2026-03-05", "kept": 1, "parts": 2}]])
@pytest.mark.parametrize("days", [3_000_000, 10**9, 2**40])
def test_a_grant_that_goes_beyond_the_calendar_is_counted_day_by_day(
    days: int, voids: list[dict[str, Any]]
) -> None:
    read = document(grants=[explicit(100, days=days, voids=voids)], spendable_credits=100)
    recovered = recover(Stored(USER, 0, [read], []), NOON, ALL_SPENDABLE)
    ledger = Ledger(ALL_SPENDABLE, recovered.account)

    ledger.status(NOON)
    refused = refusal_of(ledger.charge(10**6, NOON))

    assert not recovered.quarantined
    assert refused.reason is Rejection.INSUFFICIENT_CREDITS
    assert sum(grant.spendable for grant in recovered.account.subscriptions[0].grants) == 100


@pytest.mark.parametrize("year", [2026, 9998, 9999])
def test_a_day_at_the_end_of_the_calendar_is_set_aside_and_hurts_nobody(year: int) -> None:
    moment = datetime(year, 12, 31, tzinfo=UTC)
    day = {"_id": "d", "subscription_id": str(OBJECT_ID), "date": moment, "credits_used": 1}
    stored = Stored(USER, 2, [document(end_date=None)], [day | {"applied_seq": 2}])

    recovered = recover(stored, NOON, ALL_SPENDABLE)
    ledger = Ledger(ALL_SPENDABLE, recovered.account)

    ledger.status(NOON)
    ledger.charge(1, NOON)
    assert [one.document_id for one in recovered.quarantined] == (["d"] if year == 9999 else [])
