"""The zones of a subscription in its document: written by us or by another program, and read back."""

from datetime import date, timedelta
from typing import Any

import pytest

from domain.api.render import status_answer
from domain.documents.recovery import recover
from domain.documents.subscriptions import UnreadableError, read_subscription
from domain.eras import Era
from domain.messages import ChangeSubscription
from domain.values import Status
from tests.builders.ledger import ALL_SPENDABLE, NOON, USER, ledger_with, utc
from tests.fakes.database import Database

HOUR = timedelta(hours=1)


def stored(**fields: Any) -> dict[str, Any]:
    return {
        "_id": "foreign",
        "start_date": utc("2026-03-01"),
        "end_date": utc("2026-03-11"),
        "spendable_credits": 900,
        "system_portion": 0,
        "status": "active",
        "timezone": "Asia/Tokyo",
        **fields,
    }


def test_earlier_zones_are_read_whoever_wrote_them() -> None:
    parts = [{"timezone": "UTC", "until": "2026-03-02"}]

    subscription = read_subscription(stored(timezones=parts), "UTC")

    assert subscription.eras == (Era("UTC", date(2026, 3, 2)),)
    assert read_subscription(stored(timezones=[]), "UTC").seldom is None
    assert read_subscription(stored(timezones=None), "UTC").seldom is None


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ("UTC", "timezones is not a list"),
        (["UTC"], "a part of timezones is not an object"),
        ([{"timezone": "UTC"}], "timezones.until is not a calendar day"),
        ([{"timezone": "UTC", "until": "9999-12-31"}], "timezones.until is at an end"),
        ([{"timezone": "Mars", "until": "2026-03-02"}], "timezones.timezone is unknown"),
        ([{"timezone": "UTC", "until": "2026-03-02"}] * 2, "not in the order of its dates"),
        ([{"timezone": "UTC", "until": f"{y}-01-01"} for y in range(2000, 2101)], "more than 100"),
    ],
)
def test_earlier_zones_that_cannot_be_read_make_the_document_unreadable(
    parts: Any, reason: str
) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_subscription(stored(timezones=parts), "UTC")


def test_an_edit_of_the_zone_alone_leaves_the_dates_of_earlier_zones() -> None:
    ledger, database = ledger_with(90, 10), Database(USER)
    ledger.charge(30, NOON)
    ledger.change(NOON, timezone="Asia/Tokyo")
    database.apply(ledger.entries)
    (document,) = database.subscriptions.values()

    document["timezone"] = "America/New_York"

    account = recover(database.stored([]), NOON, ALL_SPENDABLE).account
    shown = status_answer(account, NOON, ALL_SPENDABLE)
    assert (shown.date, shown.credits_used) == (utc("2026-03-02"), 30)
    assert shown.resets_at == utc("2026-03-03T05:00")


def test_another_program_may_change_the_zone_as_we_do() -> None:
    ledger, database = ledger_with(90, 10), Database(USER)
    ledger.charge(30, NOON)
    database.apply(ledger.entries)
    (document,) = database.subscriptions.values()

    document |= {
        "timezone": "America/New_York",
        "timezones": [{"timezone": "UTC", "until": "2026-03-02"}],
    }

    account = recover(database.stored([]), NOON, ALL_SPENDABLE).account
    ledger.change(NOON, timezone="America/New_York")
    assert account.subscriptions == ledger.account.subscriptions


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("hours", range(0, 42, 3))
@pytest.mark.parametrize("hour", [0, 5, 15, 24, 29])
def test_another_programs_day_is_of_one_date_before_and_after_the_view_has_the_change(
    zone: str, hours: int, hour: int
) -> None:
    ledger, database = ledger_with(90, 10), Database(USER)
    ledger.charge(30, NOON)
    database.apply(ledger.entries)
    ledger.change(NOON, timezone=zone)
    name = ledger.account.subscriptions[0].subscription_id
    place = name, NOON.replace(hour=0) + hour * HOUR
    if hour:
        database.days[place] = {"subscription_id": name, "date": place[1], "credits_used": 7}
    now = NOON + hours * HOUR

    lagging = recover(database.stored(ledger.entries[2:]), now, ALL_SPENDABLE).account
    database.apply(ledger.entries[2:])
    written = recover(database.stored([]), now, ALL_SPENDABLE).account

    assert status_answer(lagging, now, ALL_SPENDABLE) == status_answer(written, now, ALL_SPENDABLE)
    assert lagging == written


def test_a_process_of_the_version_before_may_send_a_change() -> None:
    before = ChangeSubscription(USER, "s", Status.PAUSED)
    sent = object.__new__(ChangeSubscription)
    sent.__setstate__([USER, "s", Status.PAUSED, None])

    assert sent == before
