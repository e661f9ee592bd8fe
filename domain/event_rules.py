"""Which events an entry causes: told by the account before it, the entry, and the account after.

Pure, and blind to what kind of change it was: whatever changes totals, dates, status or a day is
seen. What was told of a day is kept in the day (`Day.told`), so a crash tells nothing twice.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from domain.account import Account
from domain.copies import replace
from domain.correction_events import correction_events
from domain.coverage import PacksNow, packs_at, remaining_at
from domain.events import Event, EventType, iso_text, to_text
from domain.evolve import evolve
from domain.low_credits import has_reached, is_low, is_told, lowest_reached, threshold_facts
from domain.messages import Entry
from domain.recent_use import sum_before, use_by_day
from domain.subscription import Day, Subscription
from domain.told import Told
from domain.values import Credits, Policy, Status

SPIKE_DAYS = 30  # How many days before today the spike rule looks at,
SPIKE_DAYS_WITH_USE_MIN = 3  # and of how many of them it needs use.


def enter(account: Account, entry: Entry, policy: Policy) -> tuple[Entry, Account]:
    """Return the entry with the events it causes, and the account after it."""
    after = evolve(account, entry)
    events = (*detect(account, after, entry.at, policy), *correction_events(entry))
    if not events:
        return entry, after
    entry = replace(entry, events=events)
    return entry, evolve(account, entry)  # Once more: the day keeps what was told of it.


def detect(before: Account, after: Account, at: datetime, policy: Policy) -> Iterator[Event]:
    """Yield the events between two versions of an account, in their order."""
    may_be_depleted = before.extra is not after.extra
    for subscription in after.subscriptions:
        earlier = before.find(subscription.subscription_id)
        if earlier is subscription:
            continue
        if earlier is None or _differ(earlier, subscription):
            yield from _changes(before, after, earlier, subscription, at)
        day = subscription.day
        if day is not None and (earlier is None or earlier.day is not day):
            limit = subscription.limit(day.date)
            yield from _of_day(before, after, earlier, subscription, limit, at, policy)
            may_be_depleted = may_be_depleted or subscription.left_of(day, limit) <= 0
    if before.extra is not after.extra and after.current(at) is None:
        yield from _of_packs_alone(before, after, at, policy)
    if may_be_depleted:
        yield from _depleted(before, after, at, policy)


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
    yield _event(EventType.CHANGED, later.subscription_id, facts)
    had_one = before.shown(at) is not None
    if later.end > earlier.end if earlier else had_one:
        yield _event(EventType.RENEWED, later.subscription_id, facts)
    is_new_end = earlier is not None and earlier.status is not Status.EXPIRED
    if later.status is Status.EXPIRED and is_new_end:
        yield _event(EventType.EXPIRED, later.subscription_id, facts)


def _facts(subscription: Subscription) -> dict[str, Any]:
    return {
        "status": str(subscription.status),
        "timezone": subscription.timezone,
        "start_date": iso_text(subscription.start),
        "end_date": iso_text(subscription.end),
        "total_credits": subscription.total,
        "system_portion": subscription.system_portion,
        "spendable_credits": subscription.spendable,
    }


def _previous(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return what the fields that differ said before."""
    return {name: value for name, value in earlier.items() if value != later[name]}


# --- days ---------------------------------------------------------------------------------


def _of_day(  # noqa: PLR0913, PLR0917 - two versions of an account, and the day in question
    before: Account,
    account: Account,
    earlier: Subscription | None,
    subscription: Subscription,
    limit: Credits,
    at: datetime,
    policy: Policy,
) -> Iterator[Event]:
    day = subscription.day
    assert day is not None, "it was touched"
    packs = packs_at(account, at)
    given = Credits(limit + day.rolled_over + packs.given)
    # What is only held does not count: each hold that is released would lift it again.
    remaining = Credits(limit + day.rolled_over - day.used + packs.unused)
    if is_low(remaining, given, policy):
        percent = lowest_reached(remaining, given, policy)  # Of several the lowest says it all.
        if not (
            is_told(day.told, percent, policy)
            and _had_reached(percent, earlier, day, packs_at(before, at))
        ):
            facts = _day_facts(subscription, day) | {
                "daily_credit_limit": limit,
                "credits_rolled_over": day.rolled_over,
                "pack_credits": packs.unused,
                "remaining_credits": remaining,
            }
            facts |= threshold_facts(percent, policy)
            yield _event(EventType.LOW_CREDITS, subscription.subscription_id, facts)
    if day.used > 0 and not (day.told and day.told & Told.SPIKE):
        yield from _spike(account, subscription, day, policy)


def _had_reached(percent: int, earlier: Subscription | None, day: Day, packs: PacksNow) -> bool:
    """Say whether the same day was as low already before: one that was lifted is told of again."""
    if earlier is None or earlier.day is None or earlier.day.date != day.date:
        return False
    day_credits = earlier.limit(day.date) + earlier.day.rolled_over
    given, left = day_credits + packs.given, day_credits - earlier.day.used + packs.unused
    return has_reached(percent, Credits(left), Credits(given))


def _of_packs_alone(
    before: Account, after: Account, at: datetime, policy: Policy
) -> Iterator[Event]:
    """Yield an event where packs become low while no subscription is current."""
    was, packs = packs_at(before, at), packs_at(after, at)
    there = was.are_there or packs.are_there  # What is used up is not there any more.
    if not (there and is_low(packs.unused, packs.given, policy)):
        return
    percent = lowest_reached(packs.unused, packs.given, policy)
    if not (was.are_there and has_reached(percent, was.unused, was.given)):
        facts = {"pack_credits": packs.unused, "remaining_credits": packs.unused}
        facts |= threshold_facts(percent, policy)
        yield _event(EventType.LOW_CREDITS, None, facts)


def _depleted(before: Account, after: Account, at: datetime, policy: Policy) -> Iterator[Event]:
    """Yield an event where nothing is left of what was there before."""
    left = remaining_at(after, at, policy)
    if left > 0 or remaining_at(before, at, policy) <= 0:
        return
    current = after.current(at)
    facts = {"remaining_credits": left, "pack_credits": packs_at(after, at).left}
    yield _event(EventType.DEPLETED, None if current is None else current.subscription_id, facts)


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
        yield _event(EventType.SPIKE, subscription.subscription_id, facts)


def _day_facts(subscription: Subscription, day: Day) -> dict[str, Any]:
    return {
        "date": iso_text(subscription.midnight(day.date)),
        "timezone": subscription.timezone,
        "credits_used": day.used,
        "resets_at": iso_text(subscription.begins(subscription.following(day.date))),
    }


def _event(kind: EventType, subscription_id: str | None, facts: dict[str, Any]) -> Event:
    return Event(kind, subscription_id, to_text(facts))
