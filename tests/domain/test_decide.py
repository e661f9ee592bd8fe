"""What a command changes: the facts of the day, the names of what it makes, and nothing else."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.account import Account
from domain.charges import OnInsufficient, Opening
from domain.decide import decide
from domain.evolve import evolve
from domain.messages import (
    AddCredit,
    DayOpened,
    RecordUsage,
    Refusal,
    Rejection,
    SubscriptionExpired,
)
from domain.usage_facts import UsageFacts, facts_of
from domain.values import Credits, Policy, Status, is_object_id
from tests.builders.ledger import (
    NOON,
    ONE_DAY,
    ONE_MILLISECOND,
    USER,
    Ledger,
    charge_of,
    grant_of,
    ledger_with,
    pay,
    refusal_of,
    utc,
)


def test_a_first_payment_begins_a_subscription_that_ends_at_midnight_after_its_last_day() -> None:
    ledger = Ledger(Policy())

    added = grant_of(ledger.add(1009, 2, NOON, transaction_id="t", timezone="Pacific/Auckland"))

    assert (added.created, added.renewed) == (True, False)
    assert (added.start, added.end) == (NOON, utc("2026-03-04T11:00"))
    assert (added.timezone, added.grant.from_day) == ("Pacific/Auckland", date(2026, 3, 3))
    assert (added.grant.amount, added.grant.system_portion, added.grant.spendable) == (
        1009,
        100,
        909,
    )
    assert added.grant.transaction_id == "t"
    assert (added.opening.daily_credit_limit, added.opening.rolled_over) == (454, 0)


def test_a_first_payment_that_names_no_zone_takes_the_services() -> None:
    ledger = Ledger(Policy(timezone="America/Santiago"))

    assert grant_of(ledger.add(10, 1, NOON)).timezone == "America/Santiago"


def test_a_payment_into_a_current_subscription_keeps_its_zone_and_its_later_end() -> None:
    ledger = ledger_with(10, 5, timezone="Pacific/Auckland")

    short = grant_of(ledger.add(14, 2, NOON + ONE_DAY, timezone="UTC"))
    long = grant_of(ledger.add(50, 5, NOON + ONE_DAY))

    assert short.timezone == "Pacific/Auckland"
    assert (short.created, short.renewed, short.end) == (False, False, utc("2026-03-07T11:00"))
    assert (long.created, long.renewed, long.end) == (False, True, utc("2026-03-08T11:00"))
    assert (short.opening.daily_credit_limit, long.opening.daily_credit_limit) == (17, 27)
    assert (long.system_portion_before, long.spendable_before) == (0, 64)


def test_a_payment_after_the_end_begins_another_subscription_and_renews() -> None:
    ledger = ledger_with(10, 2)
    end = utc("2026-03-04")

    renewal = grant_of(ledger.add(7, 1, end))

    assert (renewal.created, renewal.renewed) == (True, True)
    assert (renewal.opening.daily_credit_limit, renewal.opening.rolled_over) == (7, 0)
    assert ledger.status(end).remaining_credits == 7


def test_a_payment_on_a_day_of_use_leaves_the_use_as_it_is() -> None:
    ledger = ledger_with(10, 5)
    ledger.charge(4, NOON + ONE_DAY)

    ledger.add(50, 5, NOON + ONE_DAY)

    status = ledger.status(NOON + ONE_DAY)
    assert (status.daily_credit_limit, status.credits_rolled_over) == (20, 10)
    assert (status.credits_used, status.remaining_credits) == (4, 26)


def test_a_charge_carries_what_the_caller_said_and_the_day_it_belongs_to() -> None:
    ledger = ledger_with(10, 5)
    earlier = utc("2025-12-31T23:59")
    facts = UsageFacts(token_count=77, model_used="m", session_id="s", details='{"a": 1}')
    command = RecordUsage(USER, "chat", Credits(3), earlier, **facts_of(facts))

    charge = charge_of(ledger.do(command, NOON + ONE_DAY))

    assert (charge.service_type, charge.credit_amount, charge.token_count) == ("chat", 3, 77)
    assert (charge.model_used, charge.session_id, charge.details) == ("m", "s", '{"a": 1}')
    assert charge.timestamp == earlier
    subscription_id = ledger.account.subscriptions[0].subscription_id
    assert charge.opening == Opening(
        subscription_id, date(2026, 3, 3), utc("2026-03-03"), Credits(10), Credits(10)
    )


def test_a_charge_without_a_timestamp_is_of_now() -> None:
    assert charge_of(ledger_with(10, 5).charge(1, NOON)).timestamp == NOON


@pytest.mark.parametrize("amount", [0, 9, 10])
def test_a_charge_that_the_remaining_credits_cover_is_accepted(amount: int) -> None:
    ledger = ledger_with(10, 5)

    charge_of(ledger.charge(amount, NOON))

    assert ledger.status(NOON).remaining_credits == 10 - amount


def test_a_charge_is_recorded_in_full_where_the_caller_says_so() -> None:
    ledger = ledger_with(10, 5)

    charge = charge_of(ledger.record(25, NOON))

    assert charge.credit_amount == 25
    assert ledger.status(NOON).remaining_credits == -15


def test_a_charge_of_nothing_is_refused_in_debt_and_recorded_where_the_caller_says_so() -> None:
    ledger = ledger_with(10, 5)
    ledger.record(25, NOON)

    refused, recorded = ledger.charge(0, NOON), ledger.record(0, NOON)

    assert refused is not None
    assert not hasattr(refused, "credit_amount")
    assert charge_of(recorded).credit_amount == 0


def test_a_day_is_opened_once_by_whatever_touches_it_first() -> None:
    ledger = ledger_with(10, 5)

    on_the_first_day = ledger.open_day(NOON)
    first, again = ledger.open_day(NOON + ONE_DAY), ledger.open_day(NOON + ONE_DAY)
    ledger.charge(1, NOON + 2 * ONE_DAY)
    after_a_charge = ledger.open_day(NOON + 2 * ONE_DAY)

    decisions = [on_the_first_day, first, again, after_a_charge]
    openings = [d.opening for d in decisions if isinstance(d, DayOpened)]
    assert [opening.first_touch for opening in openings] == [False, True, False, False]
    assert (openings[1].daily_credit_limit, openings[1].rolled_over) == (10, 10)


@pytest.mark.parametrize(
    "command",
    [
        AddCredit(USER, Credits(10), 3, pay("another")),
        RecordUsage(USER, "chat", Credits(3)),
        RecordUsage(USER, "chat", Credits(3000)),
        RecordUsage(USER, "chat", Credits(3000), on_insufficient=OnInsufficient.RECORD),
    ],
)
def test_a_command_decided_twice_makes_the_same(command: AddCredit | RecordUsage) -> None:
    account, policy = ledger_with(10, 5).account, Policy()

    first, second = (decide(account, command, "key", NOON, policy) for _ in range(2))

    assert first == second


def test_what_commands_make_is_named_by_their_keys() -> None:
    ledger = ledger_with(10, 5)

    first, second = charge_of(ledger.charge(1, NOON)), charge_of(ledger.charge(1, NOON))
    grant = grant_of(ledger.add(10, 1, NOON)).grant.grant_id or ""

    assert is_object_id(first.usage_id)
    assert is_object_id(grant)
    assert len({first.usage_id, second.usage_id, grant}) == 3


def test_deciding_changes_no_account() -> None:
    before = ledger_with(10, 5).account
    copy = replace(before)

    decide(before, RecordUsage(USER, "chat", Credits(3)), "key", NOON, Policy())

    assert before == copy
    assert isinstance(before, Account)


# --- changes by operators, and ends -----------------------------------------------------------


def test_a_changed_status_stops_the_spending_and_a_later_one_resumes_it() -> None:
    ledger = ledger_with(10, 5)

    ledger.change(NOON, status=Status.PAUSED)
    paused = ledger.charge(1, NOON)
    ledger.change(NOON, status=Status.ACTIVE)

    assert refusal_of(paused).reason is Rejection.NO_ACTIVE_SUBSCRIPTION
    assert charge_of(ledger.charge(1, NOON)).credit_amount == 1


def test_a_later_end_keeps_the_days_of_an_implied_grant_where_they_were() -> None:
    ledger = ledger_with(10, 5)
    (subscription,) = ledger.account.subscriptions
    implied = replace(subscription.grants[0], grant_id=None, transaction_id=None)
    ledger.account = ledger.account.with_subscription(replace(subscription, grants=(implied,)))

    ledger.change(NOON, end=subscription.end + 5 * ONE_DAY)

    (changed,) = ledger.account.subscriptions
    assert changed.end == subscription.end + 5 * ONE_DAY
    assert changed.grants == (replace(implied, grant_id=changed.grants[0].grant_id),)
    assert changed.grants[0].grant_id is not None
    assert ledger.status(NOON).daily_credit_limit == 10


def test_an_end_in_the_past_ends_the_subscription_at_once() -> None:
    ledger = ledger_with(10, 5)

    ledger.change(NOON + ONE_DAY, end=NOON + timedelta(hours=1))

    assert ledger.status(NOON + ONE_DAY).status is Status.EXPIRED
    assert isinstance(ledger.charge(0, NOON + ONE_DAY), Refusal)


def test_a_subscription_expires_once_and_not_before_its_end() -> None:
    ledger = ledger_with(10, 5)
    end = ledger.account.subscriptions[0].end

    too_early = ledger.expire(end - ONE_MILLISECOND)
    expired = ledger.expire(end)
    again = ledger.expire(end + ONE_DAY)

    assert refusal_of(too_early) == Refusal(Rejection.NOT_ENDED)
    assert expired == SubscriptionExpired(ledger.account.subscriptions[0].subscription_id, end)
    assert ledger.account.subscriptions[0].status is Status.EXPIRED
    assert refusal_of(again) == Refusal(Rejection.NOT_ENDED)


def test_a_cancelled_subscription_does_not_expire() -> None:
    ledger = ledger_with(10, 5)
    ledger.change(NOON, status=Status.CANCELLED)

    assert refusal_of(ledger.expire(NOON + 9 * ONE_DAY)) == Refusal(Rejection.NOT_ENDED)


def test_an_expiry_gives_way_where_another_program_has_moved_the_end_meanwhile() -> None:
    ledger = ledger_with(10, 5)
    before, end = ledger.account, ledger.account.subscriptions[0].end
    ledger.expire(end)
    moved = before.with_subscription(replace(before.subscriptions[0], end=end + ONE_DAY))

    account = evolve(moved, ledger.entries[-1])

    assert account.subscriptions[0].status is Status.ACTIVE
