"""Decide what an operator's change does to a subscription: its status, its end, its time zone."""

from collections.abc import Iterable
from datetime import datetime

from domain.account import Account
from domain.credit import name_implied
from domain.eras import ERAS_MAX, eras_after
from domain.local_days import ONE_DAY
from domain.messages import ChangeSubscription, Entry, Refusal, Rejection, SubscriptionChanged
from domain.open_ends import is_open_end
from domain.subscription import Subscription


def change_subscription(
    account: Account, command: ChangeSubscription, key: str, now: datetime
) -> SubscriptionChanged | Refusal:
    """Return what changes. Where nothing is new it is entered: the key must have its answer."""
    subscription = account.find(command.subscription_id)
    if subscription is None:
        return Refusal(Rejection.NO_SUCH_SUBSCRIPTION)
    if command.end_date is not None and command.end_date <= subscription.start:
        return Refusal(Rejection.END_NOT_AFTER_START)
    after = subscription
    if command.timezone is not None:
        after = _in_zone(subscription, command.timezone, now)
    if len(after.eras) > max(ERAS_MAX, len(subscription.eras)):
        return Refusal(Rejection.TOO_MANY_ZONES)
    end = command.end_date or _later_end(subscription, after, now)
    is_moved = end not in (None, subscription.end) or after.timezone != subscription.timezone
    implied = subscription.grants if is_moved else ()
    return SubscriptionChanged(
        command.subscription_id,
        command.status,
        end,
        name_implied(implied, now, account.user_id, key),
        command.reason,
        command.timezone,
        after.eras if command.timezone is not None else (),
    )


def _in_zone(subscription: Subscription, timezone: str, now: datetime) -> Subscription:
    # One that is still to begin keeps the date it begins on, whose credits would be lost else.
    today = max(subscription.today(now), subscription.first_day)
    eras = eras_after(timezone, subscription.timezone, subscription.eras, today)
    return subscription.in_zone(timezone, eras)


def _later_end(before: Subscription, after: Subscription, now: datetime) -> datetime | None:
    """Return the end where the last day that gives would not begin before it; None: it stays.

    So it is where the new zone is a day behind. What that day gives would be lost. An end that was
    before that of the grants takes days away by itself, and does so still.
    """
    if after.timezone == before.timezone or before.end <= now or is_open_end(before.end):
        return None
    gives_until = max((grant.gives_until for grant in before.grants), default=before.first_day)
    last = gives_until - ONE_DAY
    gives = before.limit(last) > 0 and before.end >= before.earliest_midnight(gives_until)
    is_lost = last > before.today(now) and after.begins(last) >= before.end
    return after.begins(after.following(last)) if gives and is_lost else None


def in_newest_zone(subscription: Subscription, entries: Iterable[Entry]) -> Subscription:
    """Return the subscription in the zone that the last of these entries gives it.

    So its days are read as they will be once its document contains the entries.
    """
    for change in (entry.change for entry in entries):
        if (
            isinstance(change, SubscriptionChanged)
            and change.subscription_id == subscription.subscription_id
            and change.timezone is not None
        ):
            subscription = subscription.in_zone(change.timezone, change.eras)
    return subscription
