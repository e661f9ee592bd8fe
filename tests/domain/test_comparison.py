"""What differs between RAM and MongoDB is found, and what only looks different is not."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.account import Account
from domain.comparison import Difference, difference, essence
from domain.decide import decide
from domain.documents.recovery import recover
from domain.evolve import evolve
from domain.messages import ChangeSubscription, CommandRefused, Entry, Refusal
from domain.recalls import NOTHING_BESIDE
from domain.recent_use import NO_USE, with_use
from domain.retention import keep_what_matters
from domain.subscription import Day
from domain.told import Told
from domain.values import Credits, Policy, Status
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, ledger_with
from tests.builders.lives import POLICIES, STEPS, Step, take
from tests.fakes.database import Database

BEGIN = Step(0, "add", 300, 20)


@given(POLICIES, STEPS, st.integers(0, 2000))
def test_a_life_in_ram_means_what_its_documents_say_at_every_later_instant(
    policy: Policy, steps: list[Step], hours: int
) -> None:
    ledger, now = Ledger(policy), NOON
    in_ram = Account(USER)
    for step in [BEGIN, *steps]:
        now += timedelta(hours=step.hours)
        before = len(ledger.entries)
        take(ledger, step, now)
        if step.kind in ("change", "end", "expire"):  # A shard loads the whole account for these.
            in_ram = recovered(ledger.entries[:before], now, policy, whole=True)
        for entry in ledger.entries[before:]:
            in_ram = evolve(in_ram, entry)
        in_ram = keep_what_matters(in_ram, now)

    later = now + timedelta(hours=hours)
    in_db = recovered(ledger.entries, later, policy)

    assert essence(in_ram, later, policy) == essence(in_db, later, policy)
    assert difference(in_ram, in_db, later, policy) is None


def recovered(
    entries: list[Entry], now: datetime, policy: Policy, *, whole: bool = False
) -> Account:
    database = Database(USER)
    database.apply(entries)
    return recover(database.stored([]), now, policy, NOTHING_BESIDE if whole else None).account


def compared(in_ram: Account, in_db: Account) -> Difference | None:
    return difference(in_ram, in_db, NOON, ALL_SPENDABLE)


def test_an_account_that_nobody_touched_since_yesterday_equals_one_loaded_today() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(3, NOON)
    tomorrow = NOON + ONE_DAY
    (subscription,) = ledger.account.subscriptions
    opened = replace(subscription, day=subscription.day_at(tomorrow.date(), None))

    used = with_use(NO_USE, [(NOON.date(), 3)])
    rolled = replace(ledger.account.with_subscription(opened), recent_use=used)

    assert rolled != ledger.account
    assert difference(ledger.account, rolled, tomorrow, ALL_SPENDABLE) is None


def test_a_user_remembered_as_absent_whom_a_document_names_is_missing_in_ram() -> None:
    account = ledger_with(10, 5).account

    assert compared(Account(USER, account.seq), account) is Difference.MISSING_IN_RAM


def test_a_subscription_without_a_document_is_missing_in_the_database() -> None:
    account = ledger_with(10, 5).account

    assert compared(account, Account(USER, account.seq)) is Difference.MISSING_IN_DB


def test_every_field_that_a_decision_reads_counts() -> None:
    account = ledger_with(10, 5).account
    (subscription,) = account.subscriptions
    assert subscription.day is not None
    grant = subscription.grants[0]
    changed = [
        replace(subscription, end=subscription.end + ONE_DAY),
        replace(subscription, status=Status.PAUSED),
        replace(subscription, timezone="Europe/Berlin"),
        replace(subscription, system_portion=Credits(1)),
        replace(subscription, grants=(replace(grant, amount=Credits(51)),)),
        replace(subscription, grants=(replace(grant, transaction_id="other"),)),
        replace(subscription, day=replace(subscription.day, used=Credits(1))),
        replace(subscription, day=Day(subscription.day.date, Credits(1), Credits(0))),
        replace(subscription, day=replace(subscription.day, told=Told.LOW_CREDITS)),
    ]

    others = [account.with_subscription(other) for other in changed]
    others.append(replace(account, seq=account.seq + 1))
    others.append(replace(account, past_transactions=frozenset({"another"})))
    others.append(replace(account, recent_use=with_use(NO_USE, [(NOON.date() - ONE_DAY, 1)])))

    assert [compared(account, other) for other in others] == [Difference.STALE] * len(others)


def test_an_operators_change_of_a_subscription_long_gone_brings_it_back_with_its_days() -> None:
    ledger = ledger_with(10, 3)
    ledger.charge(4, NOON)
    for index in (10, 20):
        ledger.add(10, 1, NOON + index * ONE_DAY)
    now = NOON + 30 * ONE_DAY
    trimmed = recovered(ledger.entries, now, ALL_SPENDABLE)
    whole = recovered(ledger.entries, now, ALL_SPENDABLE, whole=True)
    first = ledger.account.subscriptions[0].subscription_id
    command = ChangeSubscription(USER, first, None, now + ONE_DAY)

    unknown = decide(trimmed, command, "key", now, ALL_SPENDABLE)
    change = decide(whole, command, "key", now, ALL_SPENDABLE)

    assert isinstance(unknown, Refusal)
    assert change is not None
    assert not isinstance(change, Refusal | CommandRefused)
    entry = Entry(USER, whole.seq + 1, now, "key", "", change, None)
    current = evolve(whole, entry).current(now)
    assert current is not None
    assert current.subscription_id == first
    assert current.remaining(current.day_at(now.date(), None)) == 26
