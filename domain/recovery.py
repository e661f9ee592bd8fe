"""From what the database holds to an account: account = views + entries the views lack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.account import Account
from domain.evolve import evolve, keep_what_matters
from domain.foreign import (
    Document,
    Quarantined,
    UnreadableError,
    read_subscriptions,
    read_usage_day,
)
from domain.messages import Entry
from domain.subscription import Subscription
from domain.values import Policy, UserId


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


def recover(stored: Stored, now: datetime, policy: Policy) -> Recovered:
    """Return the account of one user as of `now`."""
    subscriptions, quarantined = read_subscriptions(stored.subscriptions, policy.timezone)
    with_days: list[Subscription] = []
    for subscription in subscriptions:
        used = []
        for document in stored.days:
            if str(document.get("subscription_id")) != subscription.subscription_id:
                continue
            try:
                used.append(read_usage_day(document, subscription.timezone))
            except UnreadableError as error:
                quarantined.append(Quarantined(str(document.get("_id")), str(error)))
        today = subscription.today(now)
        with_days.append(subscription.with_usage_days(used, today, policy.rollover_cap))
    account = Account(stored.user_id, stored.applied_seq, tuple(with_days))
    # First the entries: one that pays for a subscription which has ended keeps its payment known.
    account = keep_what_matters(replay(account, stored.entries), now)
    return Recovered(account, tuple(quarantined), tuple(stored.entries))


def replay(account: Account, entries: Iterable[Entry]) -> Account:
    """Return the account after further entries of its journal."""
    for entry in entries:
        account = evolve(account, entry)
    return account
