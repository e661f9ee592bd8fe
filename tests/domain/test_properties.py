"""What holds for every life: nothing is lost, nothing is minted, nothing depends on RAM."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.account import Account
from domain.charges import Opening, UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.documents.recovery import recover
from domain.evolve import replay
from domain.holds import Hold, HoldFreed, HoldPlaced, HoldSettled
from domain.local_days import midnight
from domain.messages import CreditsAdded, DayOpened, charge_in
from domain.retention import keep_what_matters
from domain.subscription import Subscription
from domain.values import Credits, Policy, Status
from tests.builders.ledger import NOON, ONE_DAY, USER, Ledger
from tests.builders.lives import POLICIES, STEPS, ZONES, Step, live
from tests.builders.shard_ledger import ShardLedger
from tests.fakes.database import Database

FIRST = date(2026, 3, 2)
BEGIN = Step(0, "add", 300, 20)


def as_of(account: Account, now: datetime, policy: Policy) -> Account:
    return keep_what_matters(account, now).as_of(now, policy.rollover_cap)


def holds_of(account: Account) -> list[Hold]:
    return [one.hold for one in account.holds()]


def whole(ledger: Ledger) -> Account:
    """Return the account with all that the journal says."""
    return replay(Account(USER), ledger.entries)


def end_holds(ledger: Ledger, now: datetime) -> datetime:
    """Let all holds expire, and return when they have."""
    end = max([now, *(hold.expires_at for hold in holds_of(ledger.account))])
    for hold in holds_of(ledger.account):
        assert isinstance(ledger.expire_hold(hold.hold_id, end), HoldFreed)
    return end


@given(POLICIES, STEPS)
def test_replay_of_the_journal_is_the_live_account(policy: Policy, steps: list[Step]) -> None:
    ledger = ShardLedger(policy)

    now = live(ledger, steps)

    assert as_of(whole(ledger), now, policy) == as_of(ledger.account, now, policy)


@given(POLICIES, STEPS, st.integers(0, 25), st.integers(0, 25))
def test_views_and_the_entries_they_lack_are_the_live_account(
    policy: Policy,
    steps: list[Step],
    first_write: int,
    second_write: int,
) -> None:
    ledger, database = ShardLedger(policy), Database(USER)
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
    ledger, database = ShardLedger(policy), Database(USER)

    live(ledger, [BEGIN, *steps])
    database.apply(ledger.entries)

    used = sum(day["credits_used"] for day in database.days.values())
    assert used == sum(used_by_day(ledger).values())
    of_packs = sum(pack["credits_used"] for pack in database.packs.values())
    records = database.records.values()
    back = sum(record.get("reversed_credits", 0) for record in records)
    assert used + of_packs == sum(database.usages) - back


@given(POLICIES, STEPS)
def test_totals_are_the_system_portion_and_the_spendable_credits(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger, database = ShardLedger(policy), Database(USER)

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
        charge, change = charge_in(entry.change), entry.change
        if charge is not None and charge.opening is not None:
            used[name_of(charge.opening)] += charge.day_amount
        if isinstance(change, UsageReversed) and change.opening is not None:
            used[name_of(change.opening)] -= change.day_amount
    return used


def adjusted_by_day(ledger: Ledger) -> Counter[tuple[str, date]]:
    adjusted: Counter[tuple[str, date]] = Counter()
    for entry in ledger.entries:
        change = entry.change
        if isinstance(change, CreditsAdjusted) and change.opening is not None:
            adjusted[name_of(change.opening)] += change.day_amount
    return adjusted


def name_of(opening: Opening) -> tuple[str, date]:
    return opening.subscription_id, opening.date


def of(by_day: Counter[tuple[str, date]], subscription: Subscription) -> dict[date, int]:
    name = subscription.subscription_id
    return {day: amount for (owner, day), amount in by_day.items() if owner == name}


def rolled_over_as_journaled(ledger: Ledger) -> dict[tuple[str, date], Credits]:
    openings: list[Opening | None] = []
    for entry in ledger.entries:
        match entry.change:
            case CreditsAdded(opening=opening) | UsageRecorded(opening=opening):
                openings.append(opening)
            case DayOpened(opening=opening) | HoldPlaced(opening=opening):
                openings.append(opening)
            case CreditsAdjusted(opening=opening):
                openings.append(opening)
            case HoldFreed(opening=opening, reopened=reopened):
                openings += (opening, *reopened)
            case UsageReversed(opening=opening, reopened=reopened):
                openings += (opening, *reopened)
            case HoldSettled(usage=usage, reopened=reopened):
                openings += (usage.opening, *reopened)
    return {name_of(opening): opening.rolled_over for opening in openings if opening is not None}


def forfeited(
    subscription: Subscription,
    used: Mapping[date, int],
    cap: Credits | None,
    holds: tuple[Hold, ...] = (),
    adjusted: Mapping[date, int] | None = None,
) -> list[int]:
    """Return what each day loses to the cap, and the last to the end: a debt is a loss below 0."""
    losses, left, adjusted = [], 0, adjusted or {}
    # An end that was moved lets what is left be used on days without a grant.
    touched = [day + ONE_DAY for day in (*used, *adjusted)]
    last = max([*(g.ends_on for g in subscription.grants), *touched])
    for index in range((last - subscription.first_day).days):
        day = subscription.first_day + index * ONE_DAY
        rolled_over = inherited(subscription, day, used, cap, holds, adjusted)
        losses.append(left - rolled_over)
        held = sum(hold.credit_amount for hold in holds if hold.date == day)
        given = subscription.limit(day) + rolled_over
        left = given - used.get(day, 0) - held - adjusted.get(day, 0)
    return [*losses, left]


def inherited(
    subscription: Subscription,
    day: date,
    used: Mapping[date, int],
    cap: Credits | None,
    holds: tuple[Hold, ...],
    adjusted: Mapping[date, int],
) -> Credits:
    """Return what a day has from the ones before it, by the formula alone."""
    touched = {**dict.fromkeys(adjusted, 0), **used}
    before = [(d, Credits(amount)) for d, amount in touched.items() if d < day]
    earlier = tuple(hold for hold in holds if hold.date < day)
    taken = {d: Credits(amount) for d, amount in adjusted.items() if d < day}
    opened = subscription.with_usage_days(before, day, cap, None, earlier, taken)
    return opened.day_at(day, cap).rolled_over


@given(POLICIES, STEPS.map(lambda steps: steps[:12]))
def test_over_a_life_used_taken_back_and_forfeited_are_what_was_spendable(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = ShardLedger(policy)
    end_holds(ledger, live(ledger, [BEGIN, *steps]))
    by_day, taken = used_by_day(ledger), adjusted_by_day(ledger)

    for subscription in whole(ledger).subscriptions:
        used, adjusted = of(by_day, subscription), of(taken, subscription)
        losses = forfeited(subscription, used, policy.rollover_cap, (), adjusted)

        whole_sum = sum(used.values()) + sum(adjusted.values()) + sum(losses)
        assert whole_sum == subscription.spendable
        assert all(loss >= 0 for loss in losses[:-1])
        assert policy.rollover_cap is not None or not any(losses[:-1])


@given(POLICIES, STEPS.map(lambda steps: steps[:12]))
def test_at_any_time_used_held_left_taken_back_and_forfeited_are_what_was_spendable(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = ShardLedger(policy)
    now = live(ledger, [BEGIN, *steps])
    by_day, taken = used_by_day(ledger), adjusted_by_day(ledger)

    for subscription in ledger.account.as_of(now, policy.rollover_cap).subscriptions:
        used, adjusted = of(by_day, subscription), of(taken, subscription)
        used |= {hold.date: used.get(hold.date, 0) for hold in subscription.holds}
        held = sum(hold.credit_amount for hold in subscription.holds)
        *losses, left = forfeited(
            subscription, used, policy.rollover_cap, subscription.holds, adjusted
        )

        whole_sum = sum(used.values()) + sum(adjusted.values()) + held + sum(losses) + left
        assert whole_sum == subscription.spendable
        assert all(loss >= 0 for loss in losses)


@given(POLICIES, STEPS)
def test_the_holds_of_documents_are_those_of_the_account(policy: Policy, steps: list[Step]) -> None:
    ledger, database = ShardLedger(policy), Database(USER)

    live(ledger, [BEGIN, *steps])
    database.apply(ledger.entries)

    documents = (*database.days.values(), *database.packs.values())
    in_documents = {hold["hold_id"] for one in documents for hold in one.get("holds", [])}
    assert in_documents == {hold.hold_id for hold in holds_of(whole(ledger))}


@given(POLICIES, STEPS)
def test_what_a_day_inherited_is_the_same_by_journal_and_by_formula(
    policy: Policy,
    steps: list[Step],
) -> None:
    ledger = ShardLedger(policy)
    end_holds(ledger, live(ledger, [BEGIN, *steps]))
    by_day, taken = used_by_day(ledger), adjusted_by_day(ledger)
    journaled = rolled_over_as_journaled(ledger)

    for subscription in whole(ledger).subscriptions:
        used, adjusted = of(by_day, subscription), of(taken, subscription)
        for (owner, day), rolled_over in journaled.items():
            if owner == subscription.subscription_id:
                by_formula = inherited(subscription, day, used, policy.rollover_cap, (), adjusted)
                assert by_formula - adjusted.get(day, 0) == rolled_over


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
    first = recover(database.stored([]), NOON, policy).account
    ledger = ShardLedger(policy, first, database=database)
    now = live(ledger, steps)

    if written > database.applied_seq:
        ledger.write(written)

    loaded = ledger.load(now)
    assert as_of(loaded.account, now, policy) == as_of(ledger.account, now, policy)
