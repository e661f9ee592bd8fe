"""What entries change in the collections: each document once, each credit once."""

from datetime import date

from domain.charges import UsageRecorded
from domain.documents.views import project
from domain.messages import CreditsAdded
from tests.builders.ledger import NOON, ONE_DAY, ledger_with, utc


def test_entries_of_one_day_touch_its_document_once() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    ledger.charge(4, NOON)

    views = project(ledger.entries)

    subscription_id = ledger.account.subscriptions[0].subscription_id
    assert list(views.days) == [(subscription_id, utc("2026-03-02"))]
    (day,) = views.days.values()
    assert (day.used, day.applied_seq, day.opening.date) == (7, 3, date(2026, 3, 2))
    assert (day.opening.daily_credit_limit, day.opening.rolled_over) == (10, 0)


def test_a_day_document_shows_the_limit_after_the_newest_grant() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    ledger.add(5, 1, NOON)

    (day,) = project(ledger.entries).days.values()

    assert (day.opening.daily_credit_limit, day.used) == (15, 3)


def test_each_touched_day_has_a_document_and_idle_days_have_none() -> None:
    ledger = ledger_with(10, 9)
    ledger.charge(3, NOON + ONE_DAY)
    ledger.open_day(NOON + 4 * ONE_DAY)

    days = project(ledger.entries).days

    assert [(starts_at.day, day.used) for (_, starts_at), day in days.items()] == [
        (2, 0),
        (3, 3),
        (6, 0),
    ]


def test_additions_and_usages_come_in_the_order_of_the_journal() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    ledger.add(5, 1, NOON)
    ledger.charge(0, NOON)

    views = project(ledger.entries)

    assert [type(entry.change) for entry in views.subscriptions] == [CreditsAdded, CreditsAdded]
    assert [type(entry.change) for entry in views.usages] == [UsageRecorded, UsageRecorded]
    assert [entry.seq for entry in views.subscriptions + views.usages] == [1, 3, 2, 4]


def test_a_refusal_moves_the_mark_and_nothing_else() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(11, NOON)

    views = project(ledger.entries[1:])

    assert (views.after_seq, views.applied_seq) == (1, 2)
    assert (views.subscriptions, views.days, views.usages) == ([], {}, [])


def test_views_name_the_entries_they_contain() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(1, NOON)
    ledger.charge(1, NOON)

    views = project(ledger.entries[1:])

    assert (views.user_id, views.after_seq, views.applied_seq) == ("ada", 1, 3)
