"""A subscription whose time zone is changed: what it may spend, when, and until when."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api.render import status_answer
from domain.documents.recovery import recover
from domain.eras import Era
from domain.event_rules import detect
from domain.local_days import day_of, midnight
from domain.messages import SubscriptionChanged
from domain.values import Status
from tests.builders.ledger import (
    ALL_SPENDABLE,
    NOON,
    ONE_DAY,
    ONE_MILLISECOND,
    USER,
    Ledger,
    ledger_with,
    refusal_of,
    utc,
)
from tests.builders.lives import FAR_ZONES
from tests.fakes.database import Database

HOUR = timedelta(hours=1)
END = utc("2026-03-12")
MIDNIGHTS = {  # Of 3 March, and when that date begins after a change at noon of the day before.
    "Asia/Tokyo": ("2026-03-02T15:00", "2026-03-03T00:00"),
    "America/New_York": ("2026-03-03T05:00", "2026-03-03T05:00"),
    "Africa/Abidjan": ("2026-03-03T00:00", "2026-03-03T00:00"),
}


def changed(ledger: Ledger, now: datetime, **fields: Any) -> SubscriptionChanged:
    change = ledger.change(now, **fields)
    assert isinstance(change, SubscriptionChanged), change
    return change


@pytest.mark.parametrize("zone", MIDNIGHTS)
def test_the_open_day_ends_where_it_is_and_the_next_one_begins_at_the_new_midnight(
    zone: str,
) -> None:
    named, begins = map(utc, MIDNIGHTS[zone])
    ledger = ledger_with(90, 10)
    ledger.charge(50, NOON)

    changed(ledger, NOON, timezone=zone)

    for now in (NOON, begins - ONE_MILLISECOND):
        shown = ledger.status(now)
        assert (shown.timezone, shown.date, shown.resets_at) == (zone, utc("2026-03-02"), begins)
        assert (shown.remaining_credits, shown.days_remaining) == (40, ledger_days(zone))
    refusal = refusal_of(ledger.charge(41, begins - ONE_MILLISECOND))
    assert refusal.shortfall is not None
    assert refusal.shortfall.available_at == begins
    shown = ledger.status(begins)
    assert (shown.date, shown.remaining_credits) == (named, 130)
    assert shown.resets_at == named + ONE_DAY


def ledger_days(zone: str) -> int:
    """Return how many dates there are to the end, which stays at midnight of UTC."""
    return 11 if zone == "Asia/Tokyo" else 10


def test_status_end_and_zone_change_together_and_the_reason_is_in_the_entry() -> None:
    ledger = ledger_with(90, 10)
    end = utc("2026-03-20")

    change = changed(
        ledger, NOON, status=Status.PAUSED, end=end, timezone="Asia/Tokyo", reason="moved"
    )

    shown = ledger.status(NOON)
    assert (shown.status, shown.end_date, shown.timezone) == (Status.PAUSED, end, "Asia/Tokyo")
    assert (change.reason, change.eras) == ("moved", (Era("UTC", NOON.date()),))


def test_the_same_zone_changes_nothing_and_is_entered() -> None:
    ledger = ledger_with(90, 10)
    before = ledger.account.subscriptions

    changed(ledger, NOON, timezone="UTC")

    assert ledger.account.subscriptions == before
    assert ledger.account.seq == 2
    assert ledger.entries[-1].events == ()


def test_a_change_and_its_return_on_one_date_leave_nothing() -> None:
    ledger = ledger_with(90, 10)
    before = ledger.account.subscriptions

    changed(ledger, NOON, timezone="Asia/Tokyo")
    changed(ledger, NOON + HOUR, timezone="America/New_York")
    changed(ledger, NOON + 2 * HOUR, timezone="UTC")

    assert ledger.account.subscriptions == before


def test_a_subscription_that_has_ended_keeps_its_days_and_may_go_on_in_another_zone() -> None:
    ledger = ledger_with(90, 2)
    ledger.charge(10, NOON)
    later = NOON + 5 * ONE_DAY

    changed(ledger, later, timezone="America/New_York")
    changed(ledger, later, end=later + ONE_DAY)

    shown = ledger.status(later)
    assert (shown.date, shown.remaining_credits) == (utc("2026-03-07"), 170)
    assert shown.resets_at == utc("2026-03-08T05:00")


def test_events_tell_the_new_zone_and_the_one_before() -> None:
    ledger = ledger_with(90, 10)
    before = ledger.account

    changed(ledger, NOON, timezone="Asia/Tokyo", reason="a secret")

    (event,) = ledger.entries[-1].events
    assert event.type == "subscription.changed"
    assert '"previous":{"timezone":"UTC"}' in event.data.replace(" ", "")
    assert '"timezone":"Asia/Tokyo"' in event.data.replace(" ", "")
    assert "secret" not in event.data
    assert list(detect(before, before, NOON, ALL_SPENDABLE)) == []


def test_low_credits_of_the_open_day_name_when_it_ends() -> None:
    ledger = ledger_with(90, 10)
    changed(ledger, NOON, timezone="America/New_York")

    ledger.charge(90, NOON)

    event, _ = ledger.entries[-1].events  # The other says that nothing is left.
    assert '"date":"2026-03-02T00:00:00.000Z"' in event.data.replace(" ", "")
    assert '"resets_at":"2026-03-03T05:00:00.000Z"' in event.data.replace(" ", "")


def test_a_hold_is_of_the_date_it_was_made_on() -> None:
    ledger = ledger_with(90, 10)
    hold_id = ledger.held(30, NOON, seconds=86_400)
    changed(ledger, NOON, timezone="Asia/Tokyo")

    late = NOON + 13 * HOUR
    ledger.charge(1, late)
    ledger.settle(hold_id, 20, late)

    usages = [entry.change for entry in ledger.entries[-2:]]
    assert usages[0].opening.starts_at == utc("2026-03-02T15:00")  # type: ignore[union-attr]
    assert usages[1].usage.opening.starts_at == utc("2026-03-02")  # type: ignore[union-attr]
    assert ledger.status(late).remaining_credits == 90 + 70 - 1


# --- ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Pacific/Pago_Pago"])
def test_the_end_stays_where_every_day_begins_before_it(zone: str) -> None:
    ledger = ledger_with(90, 10)

    changed(ledger, NOON, timezone=zone)

    assert ledger.status(NOON).end_date == END


def test_where_the_last_day_would_not_begin_the_end_is_that_of_the_day() -> None:
    ledger = ledger_with(90, 10, timezone="Pacific/Apia")

    changed(ledger, NOON, timezone="Pacific/Pago_Pago")

    end = ledger.status(NOON).end_date
    assert end == midnight(date(2026, 3, 13), "Pacific/Pago_Pago")
    for zone in ("Pacific/Apia", "Pacific/Pago_Pago", "Pacific/Apia", "Pacific/Pago_Pago"):
        changed(ledger, NOON, timezone=zone)
        assert ledger.status(NOON).end_date == end


def test_an_end_that_an_operator_has_set_before_that_of_the_grants_stays() -> None:
    ledger = ledger_with(90, 10, timezone="Pacific/Apia")
    cut = midnight(date(2026, 3, 9), "Pacific/Apia")
    changed(ledger, NOON, end=cut)

    changed(ledger, NOON, timezone="Pacific/Pago_Pago")

    assert ledger.status(NOON).end_date == cut


def test_implied_grants_are_written_out_so_that_days_keep_what_they_gave() -> None:
    document = {
        "_id": "foreign",
        "start_date": utc("2026-03-01"),
        "end_date": utc("2026-03-11"),
        "spendable_credits": 900,
        "system_portion": 0,
        "status": "active",
        "timezone": "UTC",
    }
    database = Database(USER, subscriptions={"foreign": document})
    ledger = Ledger(account=recover(database.stored([]), NOON, ALL_SPENDABLE).account)

    changed(ledger, NOON, timezone="America/New_York")
    database.apply(ledger.entries)

    shown = ledger.status(NOON)
    assert (shown.daily_credit_limit, shown.credits_rolled_over) == (90, 90)
    loaded = recover(database.stored([]), NOON, ALL_SPENDABLE).account
    assert status_answer(loaded, NOON, ALL_SPENDABLE) == shown
    assert loaded == ledger.account


def test_one_that_is_to_begin_keeps_the_date_it_begins_on() -> None:
    start = utc("2026-03-04T20:00")
    document = {
        "_id": "foreign",
        "start_date": start,
        "end_date": utc("2026-03-14"),
        "spendable_credits": 900,
        "system_portion": 0,
        "status": "active",
        "timezone": "UTC",
    }
    database = Database(USER, subscriptions={"foreign": document})
    ledger = Ledger(account=recover(database.stored([]), NOON, ALL_SPENDABLE).account)

    changed(ledger, NOON, timezone="Pacific/Kiritimati")

    assert ledger.status(start).daily_credit_limit == 90
    assert spend_all(ledger, start, utc("2026-03-14")) == 900


# --- nothing early, nothing lost ----------------------------------------------------------


def spend_all(ledger: Ledger, now: datetime, end: datetime) -> int:
    """Spend every hour what there is, and return how much that was."""
    spent = 0
    while now < end:
        remaining = ledger.status(now).remaining_credits
        ledger.charge(remaining, now)
        spent += remaining
        now += HOUR
    return spent


MOVES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(FAR_ZONES)), max_size=5)


@given(st.sampled_from(FAR_ZONES), MOVES, st.integers(0, 23), st.sampled_from([None, 0, 25]))
def test_who_spends_all_and_moves_has_each_day_once_and_none_early(
    zone: str, moves: list[tuple[int, str]], hour: int, cap: int | None
) -> None:
    now = NOON + hour * HOUR
    ledger = ledger_with(90, 8, timezone=zone, now=now, rollover_cap=cap)
    zones, spent = {zone}, 0

    for hours, other in [*moves, (300, zone)]:
        until = min(now + hours * HOUR, ledger.account.subscriptions[0].end)
        while now < until:
            remaining = ledger.status(now).remaining_credits
            ledger.charge(remaining, now)
            spent += remaining
            assert spent <= max(given_by(now, z, ledger) for z in zones)
            now += HOUR
        changed(ledger, now, timezone=other)
        zones.add(other)

    # A date that is left out, a day ahead, has nobody who spends it; what it gives rolls over.
    assert spent == 8 * 90 or cap is not None


def given_by(now: datetime, zone: str, ledger: Ledger) -> int:
    """Return what the dates up to now have given, by the calendar of one zone."""
    (subscription,) = ledger.account.subscriptions
    first = subscription.first_day
    days = (day_of(now, zone) - first).days + 1
    return sum(subscription.limit(first + i * ONE_DAY) for i in range(max(days, 0)))


@given(st.sampled_from(FAR_ZONES), MOVES, st.integers(1, 8 * 90), st.sampled_from([None, 0, 100]))
def test_waiting_until_available_at_helps_across_a_change(
    zone: str, moves: list[tuple[int, str]], amount: int, cap: int | None
) -> None:
    ledger, now = ledger_with(90, 8, timezone=zone, rollover_cap=cap), NOON
    for hours, other in moves:
        now += hours * HOUR
        ledger.charge(ledger.status(now).remaining_credits, now)
        changed(ledger, now, timezone=other)
    decision = ledger.charge(amount, now)
    if not hasattr(decision, "shortfall"):
        return
    refusal = refusal_of(decision)
    at = refusal.shortfall.available_at if refusal.shortfall else None
    if at is None:
        return

    assert at > now
    assert ledger.status(at).remaining_credits >= amount
    assert ledger.status(at - ONE_MILLISECOND).remaining_credits < amount
