"""From what the database holds to an account: account = views + entries the views lack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from domain.account import Account
from domain.evolve import evolve, keep_what_matters
from domain.foreign import (
    Document,
    Quarantined,
    UnreadableError,
    read_subscriptions,
    read_usage_day,
)
from domain.holds import Hold
from domain.messages import Entry
from domain.stored_holds import read_holds
from domain.subscription import Subscription
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
    for subscription in subscriptions:
        documents = [
            document
            for document in stored.days
            if str(document.get("subscription_id")) == subscription.subscription_id
        ]
        days, unreadable = _read_days(documents, subscription.timezone)
        quarantined += unreadable
        used = [(day.date, day.used) for day in days]
        holds = [hold for day in days for hold in day.holds]
        # A day of ours was charged by a clock that had come to it, be it ahead of this one.
        today = max([subscription.today(now), *(day.date for day in days if day.is_ours)])
        with_days.append(subscription.with_usage_days(used, today, policy.rollover_cap, holds))
    account = Account(stored.user_id, stored.applied_seq, tuple(with_days))
    # First the entries: one that pays for a subscription which has ended keeps its payment known.
    account = replay(account, stored.entries)
    if not whole:
        account = keep_what_matters(account, now)
    return Recovered(account, tuple(quarantined), tuple(stored.entries))


@dataclass(frozen=True, slots=True)
class _StoredDay:
    date: date
    used: Credits
    is_ours: bool
    holds: Sequence[Hold]


def _read_days(
    documents: Iterable[Document], timezone: str
) -> tuple[list[_StoredDay], list[Quarantined]]:
    """Return the readable days, and what cannot be read: whole documents, or holds in them."""
    days: list[_StoredDay] = []
    unreadable: list[Quarantined] = []
    for document in documents:
        name = str(document.get("_id"))
        try:
            day, used = read_usage_day(document, timezone)
        except UnreadableError as error:
            unreadable.append(Quarantined(name, str(error)))
        else:
            holds, reasons = read_holds(document, day)
            unreadable += [Quarantined(name, reason) for reason in reasons]
            days.append(_StoredDay(day, used, document.get("applied_seq") is not None, holds))
    return days, unreadable


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
