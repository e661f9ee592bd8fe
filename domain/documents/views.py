"""The views of the journal: what entries change in the collections that other programs read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from domain.charges import Opening, UsageRecorded
from domain.copies import replace
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.documents.pack_views import PackView, project_packs
from domain.evolve import told_by
from domain.holds import Hold, HoldFreed, HoldPlaced, HoldSettled, LapsedHold
from domain.messages import (
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.pack_messages import PackAdded, PackExpired
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.told import Told
from domain.values import NO_CREDITS, Credits, UserId


@dataclass(slots=True)
class DayView:
    """One day document: the facts as of the newest entry, and what is to be added to its use."""

    opening: Opening
    used: Credits
    applied_seq: int
    is_new: bool
    """No document of the day is expected to be there."""
    first_seq: int
    """The first entry of these that touches it."""
    told: Told = Told.NOTHING
    """Which events of the day these entries have told."""
    placed: list[Hold] = field(default_factory=list)
    """Holds that the document is to have from now on."""
    freed: list[str] = field(default_factory=list)
    """Ids of holds that it is to have no longer."""
    adjusted: Credits = NO_CREDITS
    """What adjustments take from it, to be added."""


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
    packs: dict[str, PackView] = field(default_factory=dict)
    reversals: list[UsageReversed] = field(default_factory=list)
    """What usage records are to say of what went back, in the order of the journal."""
    lapsed: dict[str, LapsedHold] = field(default_factory=dict)
    """Holds that can be settled late, or are closed though a source may still hold credits."""
    settled_late: list[str] = field(default_factory=list)
    """Ids of expired holds that were settled: they are closed."""


def project(entries: Sequence[Entry]) -> AccountViews:
    """Return what consecutive entries of one account change, a document touched once."""
    first, last = entries[0], entries[-1]
    views = AccountViews(first.user_id, first.seq - 1, last.seq)
    for entry in entries:
        if entry.events:
            views.events.append(entry)
        _project(views, entry)
        project_packs(views.packs, entry)
    return views


def _project(views: AccountViews, entry: Entry) -> None:
    match entry.change:
        case CreditsAdded(opening=opening):
            views.subscriptions.append(entry)
            _touch(views, opening, NO_CREDITS, entry)
        case UsageRecorded():
            _project_charge(views, entry, entry.change)
        case DayOpened(opening):
            _touch(views, opening, NO_CREDITS, entry)
        case HoldPlaced() | HoldSettled() | HoldFreed():
            _project_hold(views, entry, entry.change)
        case CommandRefused() | PackAdded() | PackExpired() | GrantsVoided(subscription_id=None):
            pass
        case SubscriptionChanged() | SubscriptionExpired() | StripeStateApplied() | GrantsVoided():
            views.subscriptions.append(entry)
        case UsageReversed() | CreditsAdjusted():
            _project_correction(views, entry, entry.change)
        case _:
            assert_never(entry.change)


def _project_charge(views: AccountViews, entry: Entry, change: UsageRecorded) -> None:
    views.usages.append(entry)
    if change.opening is not None:
        _touch(views, change.opening, change.day_amount, entry)
    if change.settles in views.lapsed:
        views.lapsed[change.settles] = replace(views.lapsed[change.settles], is_closed=True)
    elif change.settles is not None:
        views.settled_late.append(change.settles)


def _project_hold(
    views: AccountViews, entry: Entry, change: HoldPlaced | HoldSettled | HoldFreed
) -> None:
    match change:
        case HoldPlaced(opening=opening):
            if opening is not None:
                day = _touch(views, opening, NO_CREDITS, entry)
                day.placed += [] if change.of_day is None else [change.of_day]
        case HoldSettled(hold_id, usage, reopened):
            views.usages.append(entry)
            if usage.opening is not None:
                openings = (usage.opening, *reopened)
                _free(views, hold_id, openings, usage.day_amount, entry)
        case HoldFreed(hold_id=hold_id, opening=opening, reopened=reopened):
            if opening is not None:
                _free(views, hold_id, (opening, *reopened), NO_CREDITS, entry)
    if not isinstance(change, HoldPlaced) and change.lapsed is not None:
        views.lapsed[change.hold_id] = change.lapsed


def _project_correction(
    views: AccountViews, entry: Entry, change: UsageReversed | CreditsAdjusted
) -> None:
    match change:
        case UsageReversed(opening=opening, reopened=reopened, day_amount=amount):
            views.reversals.append(change)
            if opening is not None:
                _bring_all_forward(views, (opening, *reopened), Credits(-amount), entry)
        case CreditsAdjusted(opening=opening, day_amount=amount):
            if opening is not None:
                day = _touch(views, opening, NO_CREDITS, entry)
                day.adjusted = Credits(day.adjusted + amount)


def _touch(views: AccountViews, opening: Opening, amount: Credits, entry: Entry) -> DayView:
    day = _bring_forward(views, opening, amount, entry.seq)
    _note_told(day, entry)
    return day


def _note_told(day: DayView, entry: Entry) -> None:
    if entry.events:  # Seldom, and flags take their time.
        day.told = day.told.then(told_by(entry))


def _bring_forward(views: AccountViews, opening: Opening, amount: Credits, seq: int) -> DayView:
    name = (opening.subscription_id, opening.starts_at)
    day = views.days.get(name)
    if day is None:
        day = views.days[name] = DayView(opening, amount, seq, opening.first_touch, seq)
    else:
        day.opening, day.applied_seq = opening, seq
        day.used = Credits(day.used + amount)
    return day


def _free(
    views: AccountViews,
    hold_id: str,
    openings: Sequence[Opening],
    charged: Credits,
    entry: Entry,
) -> None:
    """Take a hold out of its own day, the first of these; the later ones inherit anew."""
    own = _bring_all_forward(views, openings, charged, entry)
    placed_here = [hold for hold in own.placed if hold.hold_id == hold_id]
    if placed_here:  # No document has ever had it.
        own.placed.remove(placed_here[0])
    else:
        own.freed.append(hold_id)


def _bring_all_forward(
    views: AccountViews, openings: Sequence[Opening], charged: Credits, entry: Entry
) -> DayView:
    """Charge the first of these days, let the later ones inherit anew; return the first."""
    own = day = _bring_forward(views, openings[0], charged, entry.seq)
    for opening in openings[1:]:
        day = _bring_forward(views, opening, NO_CREDITS, entry.seq)
    _note_told(day, entry)  # Events are about the newest day.
    return own
