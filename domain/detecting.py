"""Which events an entry causes: told by the account before it, the entry, and the account after.

Pure, and blind to what kind of change it was: whatever changes totals, dates, status or a day is
seen. What was told of a day is kept in the day (`Day.told`), so a crash tells nothing twice.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from domain.account import Account
from domain.answering import is_low
from domain.events import Event, EventType, to_text
from domain.evolve import evolve
from domain.messages import Entry
from domain.recent_use import sum_before, use_by_day
from domain.subscription import Day, Subscription, Told
from domain.values import Credits, Policy, Status

SPIKE_DAYS = 30  # How many days before today the spike rule looks at,
SPIKE_DAYS_WITH_USE_MIN = 3  # and of how many of them it needs use.


def enter(account: Account, entry: Entry, policy: Policy) -> tuple[Entry, Account]:
    """Return the entry with the events it causes, and the account after it."""
    after = evolve(account, entry)
    events = tuple(detect(account, after, entry.at, policy))
    if not events:
        return entry, after
    entry = replace(entry, events=events)
    return entry, evolve(account, entry)  # Once more: the day keeps what was told of it.


def detect(before: Account, after: Account, at: datetime, policy: Policy) -> Iterator[Event]:
    """Yield the events between two versions of an account, in their order."""
    for subscription in after.subscriptions:
        earlier = before.find(subscription.subscription_id)
        if earlier is subscription:
            continue
        if earlier is None or _differ(earlier, subscription):
            yield from _changes(before, after, earlier, subscription, at)
        if subscription.day is not None and (
            earlier is None or earlier.day is not subscription.day
        ):
            yield from _of_day(after, earlier, subscription, subscription.day, policy)


# --- subscriptions ------------------------------------------------------------------------


def _differ(earlier: Subscription, later: Subscription) -> bool:
    """Say whether totals, dates, zone or status differ. A charge leaves all of them as they are."""
    if earlier.grants is not later.grants and earlier.spendable != later.spendable:
        return True
    return (earlier.system_portion, earlier.start, earlier.end, earlier.status) != (
        later.system_portion,
        later.start,
        later.end,
        later.status,
    ) or earlier.timezone != later.timezone


def _changes(
    before: Account,
    after: Account,
    earlier: Subscription | None,
    later: Subscription,
    at: datetime,
) -> Iterator[Event]:
    shown = after.shown(at)
    facts = _facts(later) | {
        "current": shown is not None and shown.subscription_id == later.subscription_id,
        "created": earlier is None,
        "previous": None if earlier is None else _previous(_facts(earlier), _facts(later)),
    }
    yield _event(EventType.CHANGED, later, facts)
    had_one = before.shown(at) is not None
    if later.end > earlier.end if earlier else had_one:
        yield _event(EventType.RENEWED, later, facts)
    is_new_end = earlier is not None and earlier.status is not Status.EXPIRED
    if later.status is Status.EXPIRED and is_new_end:
        yield _event(EventType.EXPIRED, later, facts)


def _facts(subscription: Subscription) -> dict[str, Any]:
    return {
        "status": str(subscription.status),
        "timezone": subscription.timezone,
        "start_date": _iso(subscription.start),
        "end_date": _iso(subscription.end),
        "total_credits": subscription.total,
        "system_portion": subscription.system_portion,
        "spendable_credits": subscription.spendable,
    }


def _previous(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return what the fields that differ said before."""
    return {name: value for name, value in earlier.items() if value != later[name]}


# --- days ---------------------------------------------------------------------------------


def _of_day(
    account: Account,
    earlier: Subscription | None,
    subscription: Subscription,
    day: Day,
    policy: Policy,
) -> Iterator[Event]:
    limit = subscription.limit(day.date)
    day_credits = Credits(limit + day.rolled_over)
    # What is only held does not count: each hold that is released would lift it again.
    remaining = Credits(day_credits - day.used)
    if is_low(remaining, day_credits, policy) and not (
        day.told & Told.LOW_CREDITS and _was_low(earlier, day, policy)
    ):
        facts = _day_facts(subscription, day) | {
            "daily_credit_limit": limit,
            "credits_rolled_over": day.rolled_over,
            "remaining_credits": remaining,
            "low_credits_percent": policy.low_credits_percent,
        }
        yield _event(EventType.LOW_CREDITS, subscription, facts)
    if day.used > 0 and not (day.told and day.told & Told.SPIKE):
        yield from _spike(account, subscription, day, policy)


def _was_low(earlier: Subscription | None, day: Day, policy: Policy) -> bool:
    """Say whether the same day was low already before: one that was lifted is told of again."""
    if earlier is None or earlier.day is None or earlier.day.date != day.date:
        return False
    day_credits = Credits(earlier.limit(day.date) + earlier.day.rolled_over)
    return is_low(Credits(day_credits - earlier.day.used), day_credits, policy)


def _spike(
    account: Account, subscription: Subscription, day: Day, policy: Policy
) -> Iterator[Event]:
    """Yield an event where today's use is a multiple of what the user's days with use have."""
    today = day.date.toordinal()
    if len(account.subscriptions) == 1:
        used: int = day.used
        total, count = sum_before(account.recent_use, today, SPIKE_DAYS)
    else:  # Others may hold days of their own open, today among them.
        days = use_by_day(account.recent_use, account.subscriptions)
        used = days.get(today, 0)
        past = [days[d] for d in days if today - SPIKE_DAYS <= d < today and days[d] > 0]
        total, count = sum(past), len(past)
    if count < SPIKE_DAYS_WITH_USE_MIN or used < total // count:
        return
    if used * count >= policy.spike_factor * total:
        facts = _day_facts(subscription, day) | {
            "credits_used": used,
            "mean_credits_used": round(total / count, 2),
            "days_with_use": count,
            "spike_factor": float(policy.spike_factor),
        }
        yield _event(EventType.SPIKE, subscription, facts)


def _day_facts(subscription: Subscription, day: Day) -> dict[str, Any]:
    return {
        "date": _iso(subscription.midnight(day.date)),
        "timezone": subscription.timezone,
        "credits_used": day.used,
        "resets_at": _iso(subscription.begins(subscription.following(day.date))),
    }


def _event(kind: EventType, subscription: Subscription, facts: dict[str, Any]) -> Event:
    return Event(kind, subscription.subscription_id, to_text(facts))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
