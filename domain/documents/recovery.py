"""From what the database holds to an account: account = views + entries the views lack."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from domain.account import Account, Extra
from domain.charges import Charge, Opening, UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.decide_change import in_newest_zone
from domain.documents.days import read_adjusted, read_charged, read_day, read_told, read_used
from domain.documents.holds import read_holds
from domain.documents.packs import read_charge, read_lapsed, read_packs
from domain.documents.subscriptions import (
    Document,
    Quarantined,
    UnreadableError,
    read_subscriptions,
)
from domain.eras import date_named
from domain.evolve import replay
from domain.holds import Hold, HoldFreed, HoldPlaced, LapsedHold
from domain.messages import Change, CreditsAdded, DayOpened, Entry, charge_in
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.recent_use import NO_USE, with_use
from domain.retention import keep_what_matters
from domain.subscription import Subscription
from domain.told import Told
from domain.values import NO_CREDITS, Credits, Policy, UserId


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
    packs: Sequence[Document] = ()
    usages: Sequence[Document] = ()
    """Usage records that a command recalls."""
    lapsed_holds: Sequence[Document] = ()
    """Expired holds that a command recalls."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """An account, what could not be read, and the entries that no view contains yet."""

    account: Account
    quarantined: tuple[Quarantined, ...]
    lagging: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _StoredDay:
    date: date
    used: Credits
    is_ours: bool
    told: Told
    holds: Sequence[Hold]
    adjusted: Credits


class _Used(NamedTuple):
    """What days' documents say of a subscription."""

    used: list[tuple[date, Credits]]
    adjusted: dict[date, Credits]


def recover(
    stored: Stored, now: datetime, policy: Policy, recalls: Recalls | None = None
) -> Recovered:
    """Return the account of one user as of `now`.

    `recalls`: it is to be the whole one, with every subscription and pack there ever was, and with
    these charges and holds; None: what matters of it.
    """
    subscriptions, quarantined = read_subscriptions(stored.subscriptions, policy.timezone)
    charges, unreadable = _charges(stored, subscriptions, recalls or NOTHING_BESIDE)
    quarantined += unreadable
    with_days: list[Subscription] = []
    used: dict[str, _Used] = {}
    recent = NO_USE
    for subscription in subscriptions:
        calendar = in_newest_zone(subscription, stored.entries)
        days, unreadable = _read_days(_days_of(stored, subscription), calendar)
        quarantined += unreadable
        on_days = used[subscription.subscription_id] = _used_on(days)
        kept = subscription.keeping_from(_oldest(charges, subscription))
        read = _with_days(kept, days, on_days, calendar.today(now), policy)
        with_days.append(read)
        if read.day is not None:
            recent = with_use(recent, _before_newest(read, on_days.used))
    extra, unreadable = _extra(stored, charges)
    quarantined += unreadable
    account = Account(stored.user_id, stored.applied_seq, tuple(with_days), recent_use=recent)
    # First the entries: one that pays for a subscription which has ended keeps its payment known.
    account = replay(account.with_extra(extra), stored.entries)
    for subscription in account.subscriptions:  # Those that entries began, too.
        kept = subscription.keeping_from(_oldest(charges, subscription))
        account = account if kept is subscription else account.with_subscription(kept)
    account = _with_days_anew(account, used, stored.entries, policy)
    if recalls is None:
        account = keep_what_matters(account, now)
    return Recovered(account, tuple(quarantined), tuple(stored.entries))


def _days_of(stored: Stored, subscription: Subscription) -> list[Document]:
    name = subscription.subscription_id
    return [day for day in stored.days if str(day.get("subscription_id")) == name]


def _used_on(days: Iterable[_StoredDay]) -> _Used:
    used, adjusted = [], {}
    for day in days:
        used.append((day.date, day.used))
        if day.adjusted:
            adjusted[day.date] = day.adjusted
    return _Used(used, adjusted)


def _with_days(
    subscription: Subscription,
    days: Sequence[_StoredDay],
    on_days: _Used,
    today: date,
    policy: Policy,
) -> Subscription:
    # A day of ours was charged by a clock that had come to it, be it ahead of this one.
    today = max([today, *(day.date for day in days if day.is_ours)])
    told = {day.date: day.told for day in days if day.told}
    holds = [hold for day in days for hold in day.holds]
    cap = policy.rollover_cap
    return subscription.with_usage_days(on_days.used, today, cap, told, holds, on_days.adjusted)


def _extra(stored: Stored, charges: Sequence[Charge]) -> tuple[Extra, list[Quarantined]]:
    packs, quarantined = read_packs(stored.packs)
    lapsed: list[LapsedHold] = []
    for document in stored.lapsed_holds:
        try:
            lapsed.append(read_lapsed(document))
        except UnreadableError as error:
            quarantined.append(Quarantined(str(document.get("_id")), str(error)))
    return Extra(packs, tuple(charges), tuple(lapsed)), quarantined


def _charges(
    stored: Stored, subscriptions: Sequence[Subscription], recalls: Recalls
) -> tuple[list[Charge], list[Quarantined]]:
    """Return the charges that are recalled: of usage records, and of entries no view contains.

    Those of entries are as they were made: that reversals of them follow is replayed.
    """
    by_id = {s.subscription_id: s for s in subscriptions}
    charges: list[Charge] = []
    unreadable: list[Quarantined] = []
    for document in stored.usages:
        known = by_id.get(str(document.get("subscription_id")))
        at = document.get("date")
        day = None
        if known is not None and isinstance(at, datetime):
            calendar = in_newest_zone(known, stored.entries)
            day = date_named(at, calendar.timezone, calendar.eras)
        try:
            charge = read_charge(document, day)
        except UnreadableError as error:
            unreadable.append(Quarantined(str(document.get("_id")), str(error)))
        else:
            charges += [] if charge is None else [charge]
    for entry in stored.entries:
        made = charge_in(entry.change)
        if made is not None and made.usage_id in recalls.usages:
            charges.append(_charge_of(made))
    return charges, unreadable


def _charge_of(made: UsageRecorded) -> Charge:
    opening = made.opening
    return Charge(
        made.usage_id,
        None if opening is None else opening.subscription_id,
        None if opening is None else opening.date,
        made.day_amount,
        made.packs,
        NO_CREDITS,
    )


def _oldest(charges: Iterable[Charge], subscription: Subscription) -> date | None:
    """Return the first day of a subscription that a correction may go back to."""
    days = (
        charge.date
        for charge in charges
        if charge.subscription_id == subscription.subscription_id and charge.date is not None
    )
    return min(days, default=None)


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
    account: Account, stored: Mapping[str, _Used], entries: Iterable[Entry], policy: Policy
) -> Account:
    """Return the account with the days as documents will have them once views contain the entries.

    An entry says what its day opened with; another program may have edited the days before it
    since then, and what was loaded has the edit.
    """
    touched: dict[str, _Used] = {}
    for entry in entries:
        for opening, used, taken in _touched_by(entry.change):
            on_days, adjusted = touched.setdefault(opening.subscription_id, _Used([], {}))
            on_days.append((opening.date, used))
            adjusted[opening.date] = Credits(adjusted.get(opening.date, 0) + taken)
    for subscription_id, (on_days, adjusted) in touched.items():
        subscription = account.find(subscription_id)
        if subscription is None or subscription.day is None:
            continue  # Another program has deleted it since.
        known = stored.get(subscription_id, _Used([], {}))
        anew = subscription.with_usage_days(
            [*known.used, *on_days],
            subscription.day.date,
            policy.rollover_cap,
            {day.date: day.told for day in subscription.touched},
            subscription.holds,
            _sums(known.adjusted, adjusted),
        )
        account = account.with_subscription(anew)
    return account


def _sums(*amounts: Mapping[date, Credits]) -> dict[date, Credits]:
    sums: Counter[date] = Counter()
    for by_day in amounts:
        sums.update(by_day)
    return {day: Credits(amount) for day, amount in sums.items()}


def _touched_by(change: Change) -> Iterator[tuple[Opening, Credits, Credits]]:
    """Yield (a day that a change touches, what it charges to it, what it takes from it)."""
    charge = charge_in(change)
    if charge is not None and charge.opening is not None:
        yield charge.opening, charge.day_amount, NO_CREDITS
    elif isinstance(change, CreditsAdded | DayOpened | HoldPlaced | HoldFreed):
        if change.opening is not None:
            yield change.opening, NO_CREDITS, NO_CREDITS
    elif isinstance(change, UsageReversed) and change.opening is not None:
        yield change.opening, Credits(-change.day_amount), NO_CREDITS
    elif isinstance(change, CreditsAdjusted) and change.opening is not None:
        yield change.opening, NO_CREDITS, change.day_amount


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
            days.append(_StoredDay(day, used, ours, told, holds, read_adjusted(document)))
    return days, unreadable
