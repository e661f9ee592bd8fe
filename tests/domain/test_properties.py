"""What holds for every life: nothing is lost, nothing is minted, nothing depends on RAM."""

from collections import Counter
from datetime import date, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.account import Account
from domain.charges import Opening, UsageRecorded
from domain.holds import Hold, HoldFreed, HoldPlaced, HoldSettled
from domain.local_days import midnight
from domain.messages import CreditsAdded, DayOpened, charge_in
from domain.recovery import recover, replay
from domain.retention import keep_what_matters
from domain.subscription import Subscription
from domain.values import Credits, Policy, Status
from tests.domain.database import Database
from tests.domain.ledger import NOON, ONE_DAY, USER, Ledger
from tests.domain.lives import POLICIES, STEPS, ZONES, Step, live

FIRST = date(2026, 3, 2)
BEGIN = Step(0, "add", 300, 20)


def as_of(account: Account, now: datetime, policy: Policy) -> Account:
    return keep_what_matters(account, now).as_of(now, policy.rollover_cap)


def holds_of(account: Account) -> list[Hold]:
    return [one.hold for one in account.holds()]


def end_holds(ledger: Ledger, now: datetime) -> datetime:
    """Let all holds expire, and return when they have."""
    end = max([now, *(hold.expires_at for hold in holds_of(ledger.account))])
    for hold in holds_of(ledger.account):
        assert isinstance(ledger.expire_hold(hold.hold_id, end), HoldFreed)
    return end


@given(POLICIES, STEPS)
def test_replay_of_the_journal_is_the_live_account(policy: Policy, steps: list[Step]) -> None:
    ledger = Ledger(policy)

    live(ledger, steps)

    assert replay(Account(USER), ledger.entries) == ledger.account


@given(POLICIES, STEPS, st.integers(0, 25), st.integers(0, 25))
def test_views_and_the_entries_they_lack_are_the_live_account(
    policy: Policy,
    steps: list[Step],
    first_write: int,
    second_write: int,
) -> None:
    ledger, database = Ledger(policy), Database(USER)
    now = live(ledger, [BEGIN, *steps])

    database.apply(ledger.entries[:first_write])
    database.apply(ledger.entries[first_write : first_write + second_write])

    lagging = ledger.entries[database.applied_seq :]
    loaded = recover(database.stored(lagging), now, policy)
    assert as_of(loaded.account, now, policy) == as_of(ledger.account, now, policy)
    assert holds_of(loaded.account) == holds_of(keep_what_matters(ledger.account, now))
    assert loaded.quarantined == ()


@given(POLICIES, STEPS)
def test_the_books_agree_charge_by_charge(policy: Policy, steps: list[Step]) -> None:
    ledger, database = Ledger(policy), Database(USER)

    live(ledger, [BEGIN, *steps])
    database.apply(ledger.entries)

    used = sum(day["credits_used"] for day in database.days.values())
    assert used == sum(database.usages) == sum(used_by_day(ledger).values())


@given(POLICIES, STEPS)
def test_totals_are_the_system_portion_and_the_spendable_credits(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger, database = Ledger(policy), Database(USER)

    now = live(ledger, [BEGIN, *steps])
    database.apply(ledger.entries)

    status = ledger.status(now)
    assert status.total_credits == status.system_portion + status.spendable_credits
    for document in database.subscriptions.values():
        parts = document["system_portion"] + document["spendable_credits"]
        assert document["total_credits"] == parts
        assert document["total_credits"] == sum(g["amount"] for g in document["grants"])


def used_by_day(ledger: Ledger) -> Counter[tuple[str, date]]:
    used: Counter[tuple[str, date]] = Counter()
    for entry in ledger.entries:
        charge = charge_in(entry.change)
        if charge is not None:
            used[charge.opening.subscription_id, charge.opening.date] += charge.credit_amount
    return used


def rolled_over_as_journaled(ledger: Ledger) -> dict[tuple[str, date], Credits]:
    openings: list[Opening] = []
    for entry in ledger.entries:
        match entry.change:
            case CreditsAdded(opening=opening) | UsageRecorded(opening=opening):
                openings.append(opening)
            case DayOpened(opening) | HoldPlaced(opening=opening):
                openings.append(opening)
            case HoldFreed(opening=opening, reopened=reopened):
                openings += (opening, *reopened)
            case HoldSettled(usage=usage, reopened=reopened):
                openings += (usage.opening, *reopened)
    return {(opening.subscription_id, opening.date): opening.rolled_over for opening in openings}


def forfeited(
    subscription: Subscription,
    used: dict[date, int],
    cap: Credits | None,
    holds: tuple[Hold, ...] = (),
) -> list[int]:
    """Return what each day loses to the cap, and the last to the end: a debt is a loss below 0."""
    losses, left = [], 0
    # An end that was moved lets what is left be used on days without a grant.
    last = max([*(g.ends_on for g in subscription.grants), *(d + ONE_DAY for d in used)])
    for index in range((last - subscription.first_day).days):
        day = subscription.first_day + index * ONE_DAY
        before = [(d, Credits(amount)) for d, amount in used.items() if d < day]
        earlier = tuple(hold for hold in holds if hold.date < day)
        opened = subscription.with_usage_days(before, day, cap, None, earlier).day_at(day, cap)
        losses.append(left - opened.rolled_over)
        held = sum(hold.credit_amount for hold in holds if hold.date == day)
        left = subscription.limit(day) + opened.rolled_over - used.get(day, 0) - held
    return [*losses, left]


@given(POLICIES, STEPS.map(lambda steps: steps[:12]))
def test_over_a_life_used_and_forfeited_are_what_was_spendable(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = Ledger(policy)
    end_holds(ledger, live(ledger, [BEGIN, *steps]))
    by_day = used_by_day(ledger)

    for subscription in ledger.account.subscriptions:
        name = subscription.subscription_id
        used = {day: amount for (owner, day), amount in by_day.items() if owner == name}
        losses = forfeited(subscription, used, policy.rollover_cap)

        assert sum(used.values()) + sum(losses) == subscription.spendable
        assert all(loss >= 0 for loss in losses[:-1])
        assert policy.rollover_cap is not None or not any(losses[:-1])


@given(POLICIES, STEPS.map(lambda steps: steps[:12]))
def test_at_any_time_used_held_left_and_forfeited_are_what_was_spendable(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = Ledger(policy)
    now = live(ledger, [BEGIN, *steps])
    by_day = used_by_day(ledger)

    for subscription in ledger.account.as_of(now, policy.rollover_cap).subscriptions:
        name = subscription.subscription_id
        used = {day: amount for (owner, day), amount in by_day.items() if owner == name}
        used |= {hold.date: used.get(hold.date, 0) for hold in subscription.holds}
        held = sum(hold.credit_amount for hold in subscription.holds)
        *losses, left = forfeited(subscription, used, policy.rollover_cap, subscription.holds)

        assert sum(used.values()) + held + sum(losses) + left == subscription.spendable
        assert all(loss >= 0 for loss in losses)


@given(POLICIES, STEPS)
def test_the_holds_of_a_day_document_are_those_of_its_account(
    policy: Policy, steps: list[Step]
) -> None:
    ledger, database = Ledger(policy), Database(USER)

    live(ledger, [BEGIN, *steps])
    database.apply(ledger.entries)

    in_documents = {h["hold_id"] for day in database.days.values() for h in day.get("holds", [])}
    assert in_documents == {hold.hold_id for hold in holds_of(ledger.account)}


@given(POLICIES, STEPS)
def test_what_a_day_inherited_is_the_same_by_journal_and_by_formula(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = Ledger(policy)
    end_holds(ledger, live(ledger, [BEGIN, *steps]))
    by_day, journaled = used_by_day(ledger), rolled_over_as_journaled(ledger)

    for subscription in ledger.account.subscriptions:
        name = subscription.subscription_id
        used = [(d, Credits(amount)) for (owner, d), amount in by_day.items() if owner == name]
        for (owner, day), rolled_over in journaled.items():
            if owner == name:
                before = [(d, amount) for d, amount in used if d < day]
                by_formula = subscription.with_usage_days(before, day, policy.rollover_cap)
                assert by_formula.day_at(day, policy.rollover_cap).rolled_over == rolled_over


@st.composite
def foreign_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Describe a current subscription as another program may: with and without grants."""
    zone = draw(st.sampled_from(ZONES))
    begins = FIRST - draw(st.integers(1, 20)) * ONE_DAY
    days = draw(st.integers(25, 60))
    grants = [
        {
            "grant_id": f"{index}",
            "amount": draw(st.integers(0, 500)),
            "from_day": (begins + draw(st.integers(0, 30)) * ONE_DAY).isoformat(),
            "days": draw(st.integers(1, 40)),
        }
        for index in range(draw(st.integers(0, 3)))
    ]
    return {
        "_id": "foreign",
        "start_date": midnight(begins, zone),
        "end_date": midnight(begins + days * ONE_DAY, zone),
        "system_portion": draw(st.integers(0, 100)),
        "spendable_credits": draw(st.integers(0, 1500)),
        "status": draw(st.sampled_from([Status.ACTIVE, Status.PAST_DUE])),
        "timezone": zone,
        "grants": grants,
    }


def limits(account: Account) -> list[Credits]:
    (subscription,) = account.subscriptions
    return [subscription.limit(FIRST + index * ONE_DAY) for index in range(-40, 120)]


@given(foreign_documents(), POLICIES, st.integers(0, 500), st.integers(1, 90))
def test_added_credits_lower_no_days_limit_of_a_foreign_subscription(
    document: dict[str, Any],
    policy: Policy,
    amount: int,
    days: int,
) -> None:
    database = Database(USER, subscriptions={"foreign": document})
    before = recover(database.stored([]), NOON, policy).account
    ledger = Ledger(policy, before)

    added = ledger.add(amount, days, NOON)
    database.apply(ledger.entries)
    after = recover(database.stored([]), NOON, policy).account

    assert isinstance(added, CreditsAdded)
    given = [added.grant.slice_on(FIRST + index * ONE_DAY) for index in range(-40, 120)]
    raised = [limit + more for limit, more in zip(limits(before), given, strict=True)]
    assert limits(ledger.account) == limits(after) == raised
    assert after == ledger.account
    assert all(more >= 0 for more in given)
    assert sum(given) == added.grant.spendable


@given(foreign_documents(), POLICIES, STEPS, st.integers(0, 25))
def test_a_life_on_a_foreign_subscription_is_recovered_too(
    document: dict[str, Any],
    policy: Policy,
    steps: list[Step],
    written: int,
) -> None:
    database = Database(USER, subscriptions={"foreign": document})
    ledger = Ledger(policy, recover(database.stored([]), NOON, policy).account)
    now = live(ledger, steps)

    database.apply(ledger.entries[:written])

    lagging = ledger.entries[database.applied_seq :]
    loaded = recover(database.stored(lagging), now, policy)
    assert as_of(loaded.account, now, policy) == as_of(ledger.account, now, policy)
