"""From what the database holds to an account: account = views + entries the views lack."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from domain.account import Account
from domain.decide_change import in_newest_zone
from domain.evolve import evolve, keep_what_matters
from domain.foreign import (
    Document,
    Quarantined,
    UnreadableError,
    read_charged,
    read_day,
    read_subscriptions,
    read_told,
    read_used,
)
from domain.holds import Hold, HoldFreed, HoldPlaced
from domain.messages import CreditsAdded, DayOpened, Entry, charge_in
from domain.recent_use import NO_USE, with_use
from domain.stored_holds import read_holds
from domain.subscription import Subscription, Told
from domain.values import Credits, Policy, UserId


@dataclass(frozen=True, slots=True)
class Stored:
    """All the database holds of one user that a decision may need."""

    user_id: UserId
    applied_seq: int
    """The newest entry the views contain."""
    subscriptions: Sequence[Document] = ()
    days: Sequence[Document] = ()
    entries: Sequence[Entry] = ()
    """The entries after `applied_seq`, in order."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """An account, what could not be read, and the entries that no view contains yet."""

    account: Account
    quarantined: tuple[Quarantined, ...]
    lagging: tuple[Entry, ...]


def recover(stored: Stored, now: datetime, policy: Policy, *, whole: bool = False) -> Recovered:
    """Return the account of one user as of `now`; `whole`: with every subscription it had."""
    subscriptions, quarantined = read_subscriptions(stored.subscriptions, policy.timezone)
    with_days: list[Subscription] = []
    used: dict[str, list[tuple[date, Credits]]] = {}
    recent = NO_USE
    for subscription in subscriptions:
        documents = [
            document
            for document in stored.days
            if str(document.get("subscription_id")) == subscription.subscription_id
        ]
        calendar = in_newest_zone(subscription, stored.entries)
        days, unreadable = _read_days(documents, calendar)
        quarantined += unreadable
        on_days = used[subscription.subscription_id] = [(day.date, day.used) for day in days]
        holds = [hold for day in days for hold in day.holds]
        # A day of ours was charged by a clock that had come to it, be it ahead of this one.
        today = max([calendar.today(now), *(day.date for day in days if day.is_ours)])
        told = {day.date: day.told for day in days if day.told}
        read = subscription.with_usage_days(on_days, today, policy.rollover_cap, told, holds)
        with_days.append(read)
        if read.day is not None:
            recent = with_use(recent, _before_newest(read, on_days))
    account = Account(stored.user_id, stored.applied_seq, tuple(with_days), recent_use=recent)
    # First the entries: one that pays for a subscription which has ended keeps its payment known.
    account = replay(account, stored.entries)
    account = _with_days_anew(account, used, stored.entries, policy)
    if not whole:
        account = keep_what_matters(account, now)
    return Recovered(account, tuple(quarantined), tuple(stored.entries))


@dataclass(frozen=True, slots=True)
class _StoredDay:
    date: date
    used: Credits
    is_ours: bool
    told: Told
    holds: Sequence[Hold]


def _before_newest(
    subscription: Subscription, used: Iterable[tuple[date, Credits]]
) -> Iterable[tuple[date, int]]:
    """Return the sums by day of what was used before the day that the subscription holds."""
    assert subscription.day is not None, "something was used"
    sums: dict[date, int] = {}
    for day, amount in used:
        if subscription.first_day <= day < subscription.day.date:
            sums[day] = sums.get(day, 0) + amount
    return sums.items()


def _with_days_anew(
    account: Account,
    used: Mapping[str, Sequence[tuple[date, Credits]]],
    entries: Iterable[Entry],
    policy: Policy,
) -> Account:
    """Return the account with the days as documents will have them once views contain the entries.

    An entry says what its day opened with; another program may have edited the days before it
    since then, and what was loaded has the edit.
    """
    charged: dict[str, list[tuple[date, Credits]]] = {}
    for entry in entries:
        charge = charge_in(entry.change)
        if charge is not None:
            on_days = charged.setdefault(charge.opening.subscription_id, [])
            on_days.append((charge.opening.date, charge.credit_amount))
        elif isinstance(entry.change, CreditsAdded | DayOpened | HoldPlaced | HoldFreed):
            opening = entry.change.opening
            charged.setdefault(opening.subscription_id, []).append((opening.date, Credits(0)))
    for subscription_id, days in charged.items():
        subscription = account.find(subscription_id)
        if subscription is None or subscription.day is None:
            continue  # Another program has deleted it since.
        anew = subscription.with_usage_days(
            [*used.get(subscription_id, ()), *days],
            subscription.day.date,
            policy.rollover_cap,
            {day.date: day.told for day in subscription.touched},
            subscription.holds,
        )
        account = account.with_subscription(anew)
    return account


def _read_days(
    documents: Iterable[Document], subscription: Subscription
) -> tuple[list[_StoredDay], list[Quarantined]]:
    """Return the readable days, and what cannot be read: whole documents, or parts of them.

    Where a day says nothing readable of its use, what we have charged to it counts.
    """
    days: list[_StoredDay] = []
    unreadable: list[Quarantined] = []
    for document in documents:
        name = str(document.get("_id"))
        try:
            day = read_day(document, subscription.timezone, subscription.eras)
        except UnreadableError as error:
            unreadable.append(Quarantined(name, str(error)))
            continue
        told, used = read_told(document), read_charged(document)
        try:
            used = read_used(document)
        except UnreadableError as error:
            unreadable.append(Quarantined(name, str(error)))
            told |= Told.UNREAD
        holds, reasons = read_holds(document, day)
        unreadable += [Quarantined(name, reason) for reason in reasons]
        if used is not None:
            ours = document.get("applied_seq") is not None
            days.append(_StoredDay(day, used, ours, told, holds))
    return days, unreadable


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
