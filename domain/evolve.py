"""Make a decision so. `evolve` cannot refuse, and replaying the journal through it is recovery."""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from domain.account import Account
from domain.charges import Opening, UsageRecorded
from domain.copies import replace
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.events import EventType
from domain.evolve_holds import apply_openings, evolve_hold, with_use_of_closed
from domain.evolve_packs import adjusted, evolve_pack, given_back, refunded, settled_late, spent
from domain.grant_sums import spendable_of, with_grants
from domain.grants import Grant
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.low_credits import told_at
from domain.messages import (
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.open_ends import implied_grant
from domain.pack_messages import PackAdded, PackExpired
from domain.recent_use import with_use
from domain.stripe import GrantsVoided, StripeStateApplied, VoidedGrant, with_voids
from domain.subscription import Day, Subscription
from domain.told import Told
from domain.values import Credits, Status


def evolve(  # noqa: PLR0911 - one a kind of change
    account: Account, entry: Entry
) -> Account:
    """Return the account after the next entry of its journal.

    Nothing is let go here: a later entry may change a subscription that ended long ago.
    """
    assert entry.seq == account.seq + 1, "the journal of an account has no gaps"
    numbered = replace(account, seq=entry.seq)
    match entry.change:
        case CreditsAdded():
            add = _begin if entry.change.created else _raise
            return add(numbered, entry.change, told_by(entry))
        case UsageRecorded():
            return _charge(numbered, entry.change, told_by(entry))
        case DayOpened(opening):
            return _use(numbered, opening, Credits(0), told_by(entry))
        case HoldPlaced() | HoldSettled() | HoldFreed():
            return evolve_hold(numbered, entry.change, told_by(entry))
        case CommandRefused():
            return numbered
        case PackAdded() | PackExpired():
            return evolve_pack(numbered, entry.change)
        case UsageReversed() | CreditsAdjusted():
            return _correct(numbered, entry.change, told_by(entry))
        case _:
            return _evolve_subscription(numbered, entry.change, entry.at)


def _evolve_subscription(
    account: Account,
    change: SubscriptionChanged | SubscriptionExpired | StripeStateApplied | GrantsVoided,
    at: datetime,
) -> Account:
    match change:
        case SubscriptionChanged():
            return _change(account, change)
        case SubscriptionExpired(subscription_id=subscription_id):
            return _expire(account, subscription_id, at)
        case StripeStateApplied():
            apply = _begin_empty if change.created else _follow
            return apply(account, change)
        case GrantsVoided():
            return _void(account, change)
        case _:
            assert_never(change)


def told_by(entry: Entry) -> Told:
    """Return which events of the day an entry has told."""
    told = Told.NOTHING
    for event in entry.events:
        if event.type is EventType.LOW_CREDITS:
            told = told.then(told_at(event))
        elif event.type is EventType.SPIKE:
            told |= Told.SPIKE
    return told


def _begin(account: Account, change: CreditsAdded, told: Told) -> Account:
    subscription = Subscription(
        change.opening.subscription_id,
        change.start,
        change.end,
        Status.ACTIVE,
        change.timezone,
        change.grant.system_portion,
        (change.grant,),
        Day(change.opening.date, change.opening.rolled_over, Credits(0), told),
    )
    return _with_new(account, subscription)


def _with_new(account: Account, subscription: Subscription) -> Account:
    if any(s.subscription_id == subscription.subscription_id for s in account.subscriptions):
        return account
    in_order = sorted(
        (*account.subscriptions, subscription), key=lambda s: (s.start, s.subscription_id)
    )
    return replace(account, subscriptions=tuple(in_order))


def _raise(account: Account, change: CreditsAdded, told: Told) -> Account:
    subscription = account.find(change.opening.subscription_id)
    if subscription is None:  # Another program has deleted it since.
        return account
    raised = replace(
        subscription,
        grants=_raised_grants(subscription, change),
        system_portion=Credits(subscription.system_portion + change.grant.system_portion),
        end=max(subscription.end, change.end),
        status=change.status or subscription.status,
    )
    return _touch(account, raised, change.opening, Credits(0), told)


def _raised_grants(subscription: Subscription, change: CreditsAdded) -> tuple[Grant, ...]:
    spendable = Credits(subscription.spendable + change.grant.spendable)
    end = max(subscription.end, change.end)
    return _with_grants(subscription, (*change.made_explicit, change.grant), spendable, end)


def _with_grants(
    subscription: Subscription, added: tuple[Grant, ...], spendable: Credits, end: datetime
) -> tuple[Grant, ...]:
    """Return the grants as the document will have them once a view contains the change.

    Where another program has changed the totals since the decision, a difference stays implied.
    """
    known = subscription.grants
    if any(grant.grant_id is None for grant in known):
        known = tuple(grant for grant in known if grant.grant_id is not None)
    grants = with_grants(known, added)
    missing = Credits(spendable - spendable_of(grants))
    if grants and not missing:
        return grants
    zones = subscription.timezone, subscription.eras
    return (*grants, implied_grant(missing, subscription.start, end, *zones))


def _charge(account: Account, change: UsageRecorded, told: Told) -> Account:
    if change.packs:
        account = spent(account, change.packs)
    if change.settles is not None:
        account = settled_late(account, change.settles)
    if change.opening is None:
        return account
    return _use(account, change.opening, change.day_amount, told)


def _correct(account: Account, change: UsageReversed | CreditsAdjusted, told: Told) -> Account:
    match change:
        case UsageReversed(opening=opening, reopened=reopened, day_amount=amount):
            account = given_back(account, change)
            if opening is None:
                return account
            return apply_openings(account, (opening, *reopened), Credits(-amount), told)
        case CreditsAdjusted(opening=opening, day_amount=amount):
            account = adjusted(account, change)
            return account if opening is None else _take_from_day(account, opening, amount, told)


def _take_from_day(account: Account, opening: Opening, amount: Credits, told: Told) -> Account:
    account = _use(account, opening, Credits(0), told)
    subscription = account.find(opening.subscription_id)
    if subscription is None or subscription.day is None:
        return account
    day = replace(subscription.day, rolled_over=opening.rolled_over)
    changed = replace(subscription, day=day).with_adjustment(day.date, amount)
    return account.with_subscription(changed)


def _use(account: Account, opening: Opening, amount: Credits, told: Told) -> Account:
    subscription = account.find(opening.subscription_id)
    if subscription is None:
        return account
    return _touch(account, subscription, opening, amount, told)


def _change(account: Account, change: SubscriptionChanged) -> Account:
    subscription = account.find(change.subscription_id)
    if subscription is None:
        return account
    if change.timezone is not None:
        subscription = subscription.in_zone(change.timezone, change.eras)
    end = change.end or subscription.end
    grants = _with_grants(subscription, change.made_explicit, subscription.spendable, end)
    status = change.status or subscription.status
    return account.with_subscription(replace(subscription, status=status, end=end, grants=grants))


def _expire(account: Account, subscription_id: str, at: datetime) -> Account:
    subscription = account.find(subscription_id)
    if subscription is None or subscription.end > at:  # Another program has moved the end since.
        return account
    return account.with_subscription(replace(subscription, status=Status.EXPIRED))


def _begin_empty(account: Account, change: StripeStateApplied) -> Account:
    """Begin a subscription that follows Stripe's, before anything was paid for."""
    nothing = implied_grant(Credits(0), change.start, change.end, change.timezone)
    subscription = Subscription(
        change.subscription_id,
        change.start,
        change.end,
        change.status or Status.ACTIVE,
        change.timezone,
        Credits(0),
        (nothing,),
        stripe=change.link,
    )
    return _with_new(account, subscription)


def _follow(account: Account, change: StripeStateApplied) -> Account:
    subscription = account.find(change.subscription_id)
    if subscription is None:
        return account
    changed = replace(
        subscription,
        stripe=change.link or subscription.stripe,
        status=change.status or subscription.status,
    )
    grants = _voided_grants(subscription, change.voided, change.made_explicit, change.end)
    return account.with_subscription(replace(changed, grants=grants, end=change.end))


def _void(account: Account, change: GrantsVoided) -> Account:
    account = refunded(account, change.packs)
    subscription = None if change.subscription_id is None else account.find(change.subscription_id)
    if subscription is None:
        return account
    grants = _voided_grants(subscription, change.voided, (), subscription.end)
    return account.with_subscription(replace(subscription, grants=grants))


def _voided_grants(
    subscription: Subscription,
    taken: tuple[VoidedGrant, ...],
    made_explicit: tuple[Grant, ...],
    end: datetime,
) -> tuple[Grant, ...]:
    lost = sum(one.credits_before - one.credits_after for one in taken)
    spendable = Credits(subscription.spendable - lost)
    voided = replace(subscription, grants=with_voids(subscription.grants, taken))
    return _with_grants(voided, made_explicit, spendable, end)


def _touch(
    account: Account, subscription: Subscription, opening: Opening, amount: Credits, told: Told
) -> Account:
    opened = subscription.opened(Day(opening.date, opening.rolled_over, Credits(0)))
    day, before = opened.day, subscription.day
    assert day is not None, "it has just been opened"
    if opening.date < day.date:  # Another program has added a later day since the decision.
        used = with_use(account.recent_use, [(opening.date, amount)])
        account = replace(account, recent_use=used)
    account = with_use_of_closed(account, before, day)
    told = day.told.of_read.then(told) if told else day.told.of_read
    touched = Day(day.date, day.rolled_over, Credits(day.used + amount), told)
    return account.with_subscription(replace(opened, day=touched))


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
