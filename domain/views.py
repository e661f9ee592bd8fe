"""The views of the journal: what entries change in the collections that other programs read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from domain.evolve import told_by
from domain.messages import (
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    Opening,
    SubscriptionChanged,
    SubscriptionExpired,
    UsageRecorded,
)
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.subscription import Told
from domain.values import Credits, UserId


@dataclass(slots=True)
class DayView:
    """One day document: the facts as of the newest entry, and what is to be added to its use."""

    opening: Opening
    used: Credits
    applied_seq: int
    is_new: bool
    """No document of the day is expected to be there."""
    told: Told = Told.NOTHING
    """Which events of the day these entries have told."""


@dataclass(slots=True)
class AccountViews:
    """Everything the entries `after_seq + 1 … applied_seq` of one account change."""

    user_id: UserId
    after_seq: int
    applied_seq: int
    subscriptions: list[Entry] = field(default_factory=list)
    """What changes subscription documents, in the order of the journal."""
    days: dict[tuple[str, datetime], DayView] = field(default_factory=dict)
    usages: list[Entry] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)
    """Entries with events."""


def project(entries: Sequence[Entry]) -> AccountViews:
    """Return what consecutive entries of one account change, a document touched once."""
    first, last = entries[0], entries[-1]
    views = AccountViews(first.user_id, first.seq - 1, last.seq)
    for entry in entries:
        if entry.events:
            views.events.append(entry)
        match entry.change:
            case CreditsAdded(opening=opening):
                views.subscriptions.append(entry)
                _touch(views, opening, Credits(0), entry)
            case UsageRecorded(opening=opening, credit_amount=amount):
                views.usages.append(entry)
                _touch(views, opening, amount, entry)
            case DayOpened(opening):
                _touch(views, opening, Credits(0), entry)
            case (
                SubscriptionChanged()
                | SubscriptionExpired()
                | StripeStateApplied()
                | GrantsVoided()
            ):
                views.subscriptions.append(entry)
            case CommandRefused():
                pass
            case _:
                assert_never(entry.change)
    return views


def _touch(views: AccountViews, opening: Opening, amount: Credits, entry: Entry) -> None:
    day = (opening.subscription_id, opening.starts_at)
    before = views.days.get(day)
    used = amount + (before.used if before else 0)
    is_new = before.is_new if before else opening.first_touch
    told = told_by(entry) | (before.told if before else Told.NOTHING)
    views.days[day] = DayView(opening, Credits(used), entry.seq, is_new, told)
