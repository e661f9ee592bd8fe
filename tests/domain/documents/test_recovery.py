"""An account is its views and the entries they lack, wherever the line between them runs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from domain.account import Account
from domain.documents.recovery import Recovered, Stored, recover
from domain.documents.subscriptions import Quarantined
from domain.evolve import replay
from domain.recent_use import sum_before
from domain.retention import keep_what_matters
from domain.subscription import Day
from domain.told import Told
from domain.values import Credits, Policy
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, ledger_with, utc
from tests.fakes.database import Database

Edit = Callable[[dict[str, Any]], None]


def written_by_another_program(**changes: object) -> dict[str, Any]:
    """Give 100 credits over ten days, without naming a grant."""
    return {
        "_id": "foreign",
        "user_id": "ada",
        "start_date": utc("2026-03-02"),
        "end_date": utc("2026-03-12"),
        "total_credits": 100,
        "system_portion": 0,
        "status": "active",
    } | changes


def used_on(day: str, used: object, **changes: object) -> dict[str, Any]:
    fields = {"subscription_id": "foreign", "date": utc(day), "credits_used": used}
    return {"_id": f"day {day}"} | fields | changes


def database_with(**changes: object) -> Database:
    return Database(USER, subscriptions={"foreign": written_by_another_program(**changes)})


def recovered(database: Database, ledger: Ledger, now: datetime = NOON) -> Recovered:
    lagging = ledger.entries[database.applied_seq :]
    return recover(database.stored(lagging), now, ledger.policy)


def ledger_on(database: Database) -> Ledger:
    """Load the account as a shard does, and go on from there."""
    loaded = recover(database.stored([]), NOON, ALL_SPENDABLE)
    return Ledger(account=loaded.account)


def test_of_an_unknown_user_an_empty_account_is_recovered() -> None:
    assert recover(Stored(USER, 0), NOON, Policy()) == Recovered(Account(USER), (), ())


@pytest.mark.parametrize("applied", range(8))
def test_views_and_the_entries_they_lack_make_the_live_account(applied: int) -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(4, NOON)
    ledger.record(30, NOON + ONE_DAY)
    ledger.charge(99, NOON + ONE_DAY)
    ledger.add(70, 7, NOON + 2 * ONE_DAY)
    ledger.open_day(NOON + 3 * ONE_DAY)
    ledger.charge(2, NOON + 3 * ONE_DAY)
    database = Database(USER)

    database.apply(ledger.entries[:applied])

    loaded = recovered(database, ledger, NOON + 3 * ONE_DAY)
    assert loaded.account == ledger.account
    assert loaded.lagging == tuple(ledger.entries[applied:])


def test_replay_alone_is_recovery() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(4, NOON)

    assert replay(Account(USER), ledger.entries) == ledger.account


def test_days_of_use_need_no_user_and_no_order() -> None:
    database = database_with()
    database.days = {
        ("foreign", utc(day)): used_on(day, used)
        for day, used in [("2026-03-04", 5), ("2026-03-02", 1), ("2026-03-03", 25)]
    }

    account = recovered(database, Ledger(), NOON + 2 * ONE_DAY).account

    assert account.subscriptions[0].day == Day(date(2026, 3, 4), Credits(-6), Credits(5))


def test_two_documents_of_one_local_day_are_one_day() -> None:
    database = database_with(timezone="Pacific/Auckland", start_date=utc("2026-03-01T11:00"))
    at_midnight, at_noon = "2026-03-01T11:00", "2026-03-01T23:00"
    database.days = {
        ("foreign", utc(at)): used_on(at, used) for at, used in [(at_midnight, 3), (at_noon, 4)]
    }

    account = recovered(database, Ledger(), utc("2026-03-02T10:00")).account

    assert account.subscriptions[0].day == Day(date(2026, 3, 2), Credits(0), Credits(7))


def test_days_before_the_first_or_after_today_or_of_another_subscription_do_not_count() -> None:
    database = database_with()
    database.days = {
        ("foreign", utc("2026-03-01")): used_on("2026-03-01", 1),
        ("foreign", utc("2026-03-03")): used_on("2026-03-03", 2),
        ("another", utc("2026-03-02")): used_on("2026-03-02", 4, subscription_id="another"),
    }

    account = recovered(database, Ledger()).account

    assert account.subscriptions[0].day is None


def test_limit_and_rollover_of_a_day_document_are_not_believed() -> None:
    database = database_with()
    wrong = {"daily_credit_limit": 999, "credits_rolled_over": -999}
    database.days = {("foreign", utc("2026-03-03")): used_on("2026-03-03", 5, **wrong)}

    account = recovered(database, Ledger(), NOON + ONE_DAY).account

    assert account.subscriptions[0].day == Day(date(2026, 3, 3), Credits(10), Credits(5))


def test_a_day_document_in_quarantine_counts_nothing_and_is_named() -> None:
    database = database_with()
    database.days = {
        ("foreign", utc("2026-03-02")): used_on("2026-03-02", "7"),
        ("foreign", utc("2026-03-03")): used_on("2026-03-03", 5),
    }

    loaded = recovered(database, Ledger(), NOON + ONE_DAY)

    assert loaded.account.subscriptions[0].day == Day(date(2026, 3, 3), Credits(10), Credits(5))
    assert loaded.quarantined == (Quarantined("day 2026-03-02", "credits_used is not a number"),)


def test_a_subscription_in_quarantine_is_answered_as_if_it_did_not_exist() -> None:
    database = database_with(status="trialing")
    database.days = {("foreign", utc("2026-03-02")): used_on("2026-03-02", 7)}

    loaded = recovered(database, Ledger())

    assert loaded.account == Account(USER)
    assert loaded.quarantined == (Quarantined("foreign", "status is unknown"),)


def test_credits_added_to_a_foreign_subscription_make_its_implied_grant_explicit() -> None:
    database = database_with()
    ledger = ledger_on(database)

    ledger.add(15, 15, NOON)
    database.apply(ledger.entries)

    document = database.subscriptions["foreign"]
    spans = [(g["spendable_credits"], g["from_day"], g["days"]) for g in document["grants"]]
    assert spans == [(100, "2026-03-02", 10), (15, "2026-03-02", 15)]
    assert (document["total_credits"], document["spendable_credits"]) == (115, 115)
    assert document["end_date"] == utc("2026-03-17")
    assert recovered(database, ledger).account == ledger.account


@pytest.mark.parametrize("spendable", [130, 60])
def test_a_difference_made_explicit_keeps_its_days(spendable: int) -> None:
    database = database_with()
    ledger = ledger_on(database)
    ledger.add(15, 15, NOON)
    database.apply(ledger.entries)
    database.subscriptions["foreign"]["spendable_credits"] = spendable
    again = ledger_on(database)

    again.add(30, 30, NOON)
    database.apply(again.entries)

    assert recovered(database, again).account.subscriptions == again.account.subscriptions
    implied = [g for g in again.account.subscriptions[0].grants if g.transaction_id is None]
    assert [(g.spendable, g.days) for g in implied] == [(100, 10), (spendable - 115, 15)]


def set_fields(**fields: object) -> Edit:
    return lambda document: document.update(fields)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(set_fields(spendable_credits=130, total_credits=130), id="credits given"),
        pytest.param(set_fields(spendable_credits=60, total_credits=60), id="credits taken"),
        pytest.param(set_fields(end_date=utc("2026-03-10")), id="an earlier end"),
        pytest.param(set_fields(end_date=utc("2026-03-30")), id="a later end"),
        pytest.param(set_fields(system_portion=9), id="another system portion"),
        pytest.param(set_fields(status="past_due"), id="another status"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["a named grant", "an implied grant"])
def test_an_edit_that_overtakes_the_views_is_seen_alike_before_and_after_them(
    edit: Edit,
    named: bool,
) -> None:
    database = database_with(spendable_credits=100)
    ledger = ledger_on(database)
    if named:
        ledger.add(10, 10, NOON)
        database.apply(ledger.entries)
    ledger.add(45, 15, NOON)
    ledger.charge(3, NOON)
    edit(database.subscriptions["foreign"])

    before = recovered(database, ledger).account
    database.apply(ledger.entries[database.applied_seq :])
    after = recovered(database, ledger).account

    assert before == after


def test_a_charge_to_a_deleted_subscription_is_replayed_without_it() -> None:
    database = database_with()
    ledger = ledger_on(database)
    ledger.charge(3, NOON)
    database.subscriptions.clear()

    account = recovered(database, ledger).account

    assert account == Account(USER, seq=1)


def test_a_payment_that_no_view_contains_stays_known_when_its_subscription_has_ended() -> None:
    database = database_with()
    ledger = ledger_on(database)
    ledger.add(10, 1, NOON, transaction_id="paid")
    newer = written_by_another_program(_id="newer", start_date=utc("2026-03-03"))
    database.subscriptions["newer"] = newer

    account = recovered(database, ledger, NOON + 90 * ONE_DAY).account

    assert account.has_payment("paid")
    assert [s.subscription_id for s in account.subscriptions] == ["newer"]


def test_an_account_recovered_later_keeps_one_ended_subscription() -> None:
    ledger = ledger_with(10, 1)
    ledger.add(10, 1, NOON + 5 * ONE_DAY)
    database = Database(USER)
    database.apply(ledger.entries)

    account = recovered(database, ledger, NOON + 90 * ONE_DAY).account

    assert account == keep_what_matters(ledger.account, NOON + 90 * ONE_DAY)
    assert len(account.subscriptions) == 1
    assert replace(account, subscriptions=()).past_transactions == {"transaction 0"}


def test_a_charge_that_no_view_contains_counts_as_use_beside_a_later_day_of_another_program() -> (
    None
):
    database = database_with()
    ledger = ledger_on(database)
    ledger.charge(3, NOON)
    tomorrow = utc("2026-03-03T12:00")
    later = used_on("2026-03-03", 15)
    database.days["foreign", later["date"]] = later

    before = recovered(database, ledger, tomorrow).account
    database.apply(ledger.entries)

    assert before == recovered(database, ledger, tomorrow).account
    assert sum_before(before.recent_use, date(2026, 3, 3).toordinal(), 30) == (3, 1)


def test_an_edit_of_the_day_before_reaches_a_charge_that_no_view_contains() -> None:
    database = database_with()
    ledger = ledger_on(database)
    ledger.charge(3, NOON + ONE_DAY)
    database.days["foreign", utc("2026-03-02")] = used_on("2026-03-02", 4)

    lagging = recovered(database, ledger, NOON + ONE_DAY).account
    database.apply(ledger.entries)
    complete = recovered(database, ledger, NOON + ONE_DAY).account

    assert lagging == complete
    (subscription,) = lagging.subscriptions
    assert subscription.day == Day(date(2026, 3, 3), Credits(6), Credits(3))


def test_what_was_told_of_a_day_that_a_hold_keeps_is_known_beside_an_entry_of_the_next() -> None:
    ledger = ledger_with(100, 5)
    ledger.hold(5, NOON, seconds=86_400)
    ledger.charge(85, NOON)
    database = Database(USER)
    database.apply(ledger.entries)
    tomorrow = NOON + 0.5 * ONE_DAY
    ledger.charge(1, tomorrow)

    account = recovered(database, ledger, tomorrow).account

    assert account == ledger.account
    assert account.subscriptions[0].earlier[0].told is Told.LOW_CREDITS
