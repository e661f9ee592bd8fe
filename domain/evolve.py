"""Make a decision so. `evolve` cannot refuse, and replaying the journal through it is recovery."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from domain.account import Account
from domain.grants import Grant
from domain.messages import (
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    Opening,
    UsageRecorded,
)
from domain.subscription import Day, Subscription, implied_grant
from domain.values import Credits, Status


def evolve(account: Account, entry: Entry) -> Account:
    """Return the account after the next entry of its journal."""
    assert entry.seq == account.seq + 1, "the journal of an account has no gaps"
    numbered = replace(account, seq=entry.seq)
    match entry.change:
        case CreditsAdded(created=True):
            return _begin(numbered, entry.change)
        case CreditsAdded():
            return _raise(numbered, entry.change)
        case UsageRecorded(opening=opening, credit_amount=amount):
            return _use(numbered, opening, amount)
        case DayOpened(opening):
            return _use(numbered, opening, Credits(0))
        case CommandRefused():
            return numbered
        case _:
            assert_never(entry.change)


def _begin(account: Account, change: CreditsAdded) -> Account:
    subscription = Subscription(
        change.opening.subscription_id,
        change.start,
        change.end,
        Status.ACTIVE,
        change.timezone,
        change.grant.system_portion,
        (change.grant,),
        Day(change.opening.date, change.opening.rolled_over, Credits(0)),
    )
    if any(s.subscription_id == subscription.subscription_id for s in account.subscriptions):
        return account
    in_order = sorted(
        (*account.subscriptions, subscription), key=lambda s: (s.start, s.subscription_id)
    )
    return keep_what_matters(replace(account, subscriptions=tuple(in_order)), change.start)


def _raise(account: Account, change: CreditsAdded) -> Account:
    subscription = _find(account, change.opening)
    if subscription is None:
        return account
    raised = replace(
        subscription,
        grants=_raised_grants(subscription, change),
        system_portion=Credits(subscription.system_portion + change.grant.system_portion),
        end=max(subscription.end, change.end),
    )
    return account.with_subscription(_touch(raised, change.opening, Credits(0)))


def _raised_grants(subscription: Subscription, change: CreditsAdded) -> tuple[Grant, ...]:
    """Return the grants as the document will have them once a view contains the change.

    Where another program has changed the totals since the decision, a difference stays implied.
    """
    named = [grant for grant in subscription.grants if grant.grant_id is not None]
    grants = (*named, *change.made_explicit, change.grant)
    spendable = subscription.spendable + change.grant.spendable
    missing = Credits(spendable - sum(grant.spendable for grant in grants))
    if not missing:
        return grants
    end = max(subscription.end, change.end)
    return (*grants, implied_grant(missing, subscription.start, end, subscription.timezone))


def _use(account: Account, opening: Opening, amount: Credits) -> Account:
    subscription = _find(account, opening)
    if subscription is None:
        return account
    return account.with_subscription(_touch(subscription, opening, amount))


def _find(account: Account, opening: Opening) -> Subscription | None:
    """Return the subscription of a change; None where another program has deleted it since."""
    for subscription in account.subscriptions:
        if subscription.subscription_id == opening.subscription_id:
            return subscription
    return None


def _touch(subscription: Subscription, opening: Opening, amount: Credits) -> Subscription:
    day = subscription.day
    if day is None or day.date < opening.date:
        day = Day(opening.date, opening.rolled_over, Credits(0))
    return replace(subscription, day=replace(day, used=Credits(day.used + amount)))


def keep_what_matters(account: Account, now: datetime) -> Account:
    """Return the account with at most one subscription that ended; its payments stay known."""
    ended = [s for s in account.subscriptions if s.end <= now]
    dropped = ended[:-1]
    if not dropped:
        return account
    transactions = {
        grant.transaction_id
        for subscription in dropped
        for grant in subscription.grants
        if grant.transaction_id is not None
    }
    return replace(
        account,
        subscriptions=tuple(s for s in account.subscriptions if s not in dropped),
        past_transactions=account.past_transactions | transactions,
    )
