"""From what the database holds to an account: account = views + entries the views lack."""

from collections.abc import Iterable, Mapping, Sequence
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
from domain.messages import CreditsAdded, DayOpened, Entry, UsageRecorded
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
    used: dict[str, list[tuple[date, Credits]]] = {}
    for subscription in subscriptions:
        documents = [
            document
            for document in stored.days
            if str(document.get("subscription_id")) == subscription.subscription_id
        ]
        days, unreadable = _read_days(documents, subscription.timezone)
        quarantined += unreadable
        used[subscription.subscription_id] = [(day, amount) for day, amount, _ in days]
        # A day of ours was charged by a clock that had come to it, be it ahead of this one.
        today = max([subscription.today(now), *(day for day, _, ours in days if ours)])
        on_days = used[subscription.subscription_id]
        with_days.append(subscription.with_usage_days(on_days, today, policy.rollover_cap))
    account = Account(stored.user_id, stored.applied_seq, tuple(with_days))
    # First the entries: one that pays for a subscription which has ended keeps its payment known.
    account = replay(account, stored.entries)
    account = _with_days_anew(account, used, stored.entries, policy)
    if not whole:
        account = keep_what_matters(account, now)
    return Recovered(account, tuple(quarantined), tuple(stored.entries))


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
        match entry.change:
            case UsageRecorded(opening=opening, credit_amount=amount):
                charged.setdefault(opening.subscription_id, []).append((opening.date, amount))
            case CreditsAdded(opening=opening) | DayOpened(opening):
                charged.setdefault(opening.subscription_id, []).append((opening.date, Credits(0)))
    for subscription_id, days in charged.items():
        subscription = account.find(subscription_id)
        if subscription is None or subscription.day is None:
            continue  # Another program has deleted it since.
        on_days = [*used.get(subscription_id, ()), *days]
        anew = subscription.with_usage_days(on_days, subscription.day.date, policy.rollover_cap)
        account = account.with_subscription(anew)
    return account


def _read_days(
    documents: Iterable[Document], timezone: str
) -> tuple[list[tuple[date, Credits, bool]], list[Quarantined]]:
    """Return (day, used, whether it is ours) of the readable documents, and the others."""
    days: list[tuple[date, Credits, bool]] = []
    unreadable: list[Quarantined] = []
    for document in documents:
        try:
            day, used = read_usage_day(document, timezone)
        except UnreadableError as error:
            unreadable.append(Quarantined(str(document.get("_id")), str(error)))
        else:
            days.append((day, used, document.get("applied_seq") is not None))
    return days, unreadable


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
