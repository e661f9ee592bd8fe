"""What was decided becomes so, whatever another program has done in the meantime."""

from dataclasses import replace
from datetime import date

import pytest

from domain.account import Account
from domain.charges import UsageRecorded
from domain.evolve import evolve
from domain.messages import CreditsAdded, Entry
from domain.subscription import Day
from domain.values import Credits, Status
from tests.builders.ledger import NOON, ONE_DAY, USER, Ledger, ledger_with


def last_entry(ledger: Ledger) -> Entry:
    return ledger.entries[-1]


def test_an_entry_out_of_order_is_a_broken_journal() -> None:
    ledger = ledger_with(10, 5)
    entry = last_entry(ledger)

    with pytest.raises(AssertionError, match="no gaps"):
        evolve(ledger.account, entry)
    with pytest.raises(AssertionError, match="no gaps"):
        evolve(ledger.account, replace(entry, seq=3))


def test_a_charge_touches_its_day_and_later_ones_add_to_it() -> None:
    ledger = ledger_with(10, 5)

    ledger.charge(3, NOON + ONE_DAY)
    ledger.charge(4, NOON + ONE_DAY)

    day = ledger.account.subscriptions[0].day
    assert day == Day(date(2026, 3, 3), Credits(10), Credits(7))


def test_a_charge_to_a_day_that_is_over_counts_for_the_newest_touched_day() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    late = last_entry(ledger)
    ledger.charge(4, NOON + ONE_DAY)

    account = evolve(ledger.account, replace(late, seq=ledger.account.seq + 1))

    assert account.subscriptions[0].day == Day(date(2026, 3, 3), Credits(17 - 10), Credits(7))


@pytest.mark.parametrize("step", ["charge", "add", "open"])
def test_a_change_of_a_subscription_that_was_deleted_only_counts_on(step: str) -> None:
    ledger = ledger_with(10, 5)
    deleted = Account(USER, seq=ledger.account.seq)
    change = {
        "charge": lambda: ledger.charge(1, NOON),
        "add": lambda: ledger.add(10, 5, NOON),
        "open": lambda: ledger.open_day(NOON + ONE_DAY),
    }

    change[step]()

    assert evolve(deleted, last_entry(ledger)) == replace(deleted, seq=2)


def test_a_subscription_that_is_there_already_is_not_begun_twice() -> None:
    ledger = ledger_with(10, 5)
    entry = last_entry(ledger)
    assert isinstance(entry.change, CreditsAdded)
    written_before = replace(ledger.account, seq=0)

    account = evolve(written_before, entry)

    assert account == ledger.account


def test_a_new_subscription_takes_its_place_in_the_order_of_start() -> None:
    ledger = ledger_with(10, 5)
    to_come = replace(
        ledger.account.subscriptions[0],
        subscription_id="to come",
        start=NOON + 30 * ONE_DAY,
        end=NOON + 40 * ONE_DAY,
    )
    ledger.account = replace(ledger.account, subscriptions=(*ledger.account.subscriptions, to_come))

    ledger.add(10, 5, NOON + 10 * ONE_DAY)

    starts = [s.start for s in ledger.account.subscriptions]
    assert starts == [NOON, NOON + 10 * ONE_DAY, NOON + 30 * ONE_DAY]


def test_subscriptions_of_one_start_keep_the_order_in_which_documents_are_read() -> None:
    ledger = ledger_with(10, 5)
    cancelled = replace(
        ledger.account.subscriptions[0], subscription_id="f" * 24, status=Status.CANCELLED
    )
    ledger.account = replace(ledger.account, subscriptions=(cancelled,))

    ledger.add(10, 5, NOON)

    ids = [s.subscription_id for s in ledger.account.subscriptions]
    assert ids == sorted(ids)
    current = ledger.account.current(NOON)
    assert current is not None
    assert current.subscription_id != cancelled.subscription_id


def test_a_charge_to_an_older_subscription_leaves_the_newer_alone() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    late = last_entry(ledger)
    assert isinstance(late.change, UsageRecorded)
    ledger.add(10, 1, NOON + 9 * ONE_DAY)
    newer = ledger.account.subscriptions[-1]

    account = evolve(ledger.account, replace(late, seq=ledger.account.seq + 1))

    assert account.subscriptions[0].day == Day(date(2026, 3, 2), Credits(0), Credits(6))
    assert account.subscriptions[-1] == newer
