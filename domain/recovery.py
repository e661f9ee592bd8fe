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
    read_told,
    read_usage_day,
)
from domain.messages import CreditsAdded, DayOpened, Entry, UsageRecorded
from domain.recent_use import NO_USE, with_use
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
        days, unreadable = _read_days(documents, subscription.timezone)
        quarantined += unreadable
        on_days = used[subscription.subscription_id] = [(day, amount) for day, amount, _, _ in days]
        # A day of ours was charged by a clock that had come to it, be it ahead of this one.
        today = max([subscription.today(now), *(day for day, _, ours, _ in days if ours)])
        told = {day: told for day, _, _, told in days if told}
        read = subscription.with_usage_days(on_days, today, policy.rollover_cap, told)
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
        match entry.change:
            case UsageRecorded(opening=opening, credit_amount=amount):
                charged.setdefault(opening.subscription_id, []).append((opening.date, amount))
            case CreditsAdded(opening=opening) | DayOpened(opening):
                charged.setdefault(opening.subscription_id, []).append((opening.date, Credits(0)))
    for subscription_id, days in charged.items():
        subscription = account.find(subscription_id)
        if subscription is None or subscription.day is None:
            continue  # Another program has deleted it since.
        on_days, newest = [*used.get(subscription_id, ()), *days], subscription.day
        told = {newest.date: newest.told}
        anew = subscription.with_usage_days(on_days, newest.date, policy.rollover_cap, told)
        account = account.with_subscription(anew)
    return account


def _read_days(
    documents: Iterable[Document], timezone: str
) -> tuple[list[tuple[date, Credits, bool, Told]], list[Quarantined]]:
    """Return (day, used, is it ours, what was told) of readable documents, and the others."""
    days: list[tuple[date, Credits, bool, Told]] = []
    unreadable: list[Quarantined] = []
    for document in documents:
        try:
            day, used = read_usage_day(document, timezone)
        except UnreadableError as error:
            unreadable.append(Quarantined(str(document.get("_id")), str(error)))
        else:
            ours = document.get("applied_seq") is not None
            days.append((day, used, ours, read_told(document)))
    return days, unreadable


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
