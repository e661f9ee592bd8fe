"""Plain accounting of one user, written from the contract's text alone.

It shares no code with what it checks: days are walked one by one, nothing is cached, nothing is
clever. Entries, commands and answers come in as what others say; whatever they say that does
not follow from the books raises `BrokenPromiseError`.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.simulation.pack_books import Charged, Pack, given_by, in_order, left_in
from tests.simulation.subscription_books import CURRENT, DAY, Hold, Subscription, midnight

SPENDING = ("active", "past_due")
INSTANTS = ("start_date", "end_date", "date", "resets_at", "as_of")


class BrokenPromiseError(AssertionError):
    """Something that must never be has been seen."""


def require(holds: object, what: str, **seen: object) -> None:
    """Raise unless it holds."""
    if not holds:
        details = ", ".join(f"{name}={value!r}" for name, value in seen.items())
        raise BrokenPromiseError(f"{what}: {details}" if seen else what)


@dataclass(frozen=True)
class Rules:
    """The settings that decide amounts."""

    system_portion_bps: int
    cap: int | None
    zone: str
    low_percent: int
    holds_max: int
    late_seconds: int = 86_400


@dataclass
class Held:
    """All that is open of one hold at an instant: its day's share, its packs' in order."""

    id: str
    expires_at: datetime
    subscription: Subscription | None = None
    share: Hold | None = None
    packs: dict[str, int] = field(default_factory=dict)

    @property
    def of_day(self) -> int:
        return 0 if self.share is None else self.share.amount

    @property
    def amount(self) -> int:
        return self.of_day + sum(self.packs.values())


@dataclass
class Book:
    """One user's subscriptions in order of their start, after `seq` entries."""

    user_id: str
    seq: int = 0
    subscriptions: list[Subscription] = field(default_factory=list)
    payments: set[str] = field(default_factory=set)
    packs: dict[str, Pack] = field(default_factory=dict)
    charges: dict[str, Charged] = field(default_factory=dict)
    lapsed: dict[str, datetime] = field(default_factory=dict)
    """Holds that have expired, and until when they can be settled all the same."""

    def current(self, at: datetime) -> Subscription | None:
        found = [s for s in self.subscriptions if s.is_current(at)]
        return found[-1] if found else None

    def shown(self, at: datetime) -> Subscription | None:
        started = [s for s in self.subscriptions if s.start <= at]
        return self.current(at) or (started[-1] if started else None)

    def find(self, subscription_id: str) -> Subscription | None:
        return next((s for s in self.subscriptions if s.id == subscription_id), None)

    def find_hold(self, hold_id: str) -> Held | None:
        """Return all that nobody wrote down of a hold; some of it may be over."""
        held: Held | None = None
        for subscription in self.subscriptions:
            for share in subscription.holds:
                if share.id == hold_id:
                    held = Held(hold_id, share.expires_at, subscription, share)
        for pack in in_order(self.packs.values()):
            if hold_id in pack.holds:
                amount, expires_at = pack.holds[hold_id]
                held = held or Held(hold_id, expires_at)
                held.packs[pack.id] = amount
        return held

    def open_hold(self, hold_id: str, at: datetime) -> Held | None:
        """Return what is open of a hold at an instant."""
        held = self.find_hold(hold_id)
        if held is None or at >= held.expires_at:
            return None
        if held.subscription is not None and not held.subscription.is_current(at):
            held.subscription = held.share = None
        return held if held.share is not None or held.packs else None

    def holds_open(self, at: datetime) -> int:
        ids = {hold.id for s in self.subscriptions for hold in s.open_holds(at)}
        of_packs = (pack.holds.items() for pack in self.packs.values())
        ids |= {name for holds in of_packs for name, (_, over_at) in holds if at < over_at}
        return len(ids)

    def copy(self) -> "Book":
        return deepcopy(self)


# --- what a status says -----------------------------------------------------------------


def status(book: Book, at: datetime, rules: Rules) -> dict[str, Any]:
    """Return what a status must say at an instant."""
    shown = book.shown(at)
    zone = shown.zone if shown else rules.zone
    today = shown.today(at) if shown else at.astimezone(ZoneInfo(zone)).date()
    current = shown is not None and shown.is_current(at)
    limit = shown.limit(today) if shown and current else 0
    rolled = shown.rolled_over(today, at, rules.cap) if shown and current else 0
    used = shown.used.get(today, 0) if shown and current else 0
    held = shown.held_on(today, at) if shown and current else 0
    of_day, packs = limit + rolled - used - held, book.packs.values()
    remaining, given = of_day + left_in(packs, at), limit + rolled + given_by(packs, at)
    is_given = current or any(pack.counts(at) for pack in packs)
    low = is_given and remaining * 100 <= rules.low_percent * given
    return {
        "user_id": book.user_id,
        "subscription_id": shown.id if shown else None,
        "status": _status_of(shown, at),
        "timezone": zone,
        "start_date": shown.start if shown else None,
        "end_date": shown.end if shown else None,
        "days_remaining": _days_remaining(shown, today) if shown else 0,
        "total_credits": sum(g.amount for g in shown.grants) if shown else 0,
        "system_portion": sum(g.system for g in shown.grants) if shown else 0,
        "spendable_credits": sum(g.spendable for g in shown.grants) if shown else 0,
        "date": shown.midnight(today) if shown else midnight(today, zone),
        "daily_credit_limit": limit,
        "credits_rolled_over": rolled,
        "credits_used": used,
        "credits_held": held,
        "day_remaining_credits": of_day,
        "pack_credits": left_in(packs, at),
        "remaining_credits": remaining,
        "low_credits": low,
        "resets_at": shown.begins(today + DAY) if shown else midnight(today + DAY, zone),
        "as_of": at,
    }


def _status_of(shown: Subscription | None, at: datetime) -> str:
    if shown is None:
        return "none"
    return "expired" if at >= shown.end and shown.status in CURRENT else shown.status


def _days_remaining(shown: Subscription, today: date) -> int:
    last = shown.day_of(shown.end - timedelta(milliseconds=1))
    return max((last - today).days + 1, 0)


def read_status(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with its instants as instants."""
    return {
        name: datetime.fromisoformat(value) if name in INSTANTS and value else value
        for name, value in answer.items()
    }


def differences(expected: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ, each with what it should be and what it is."""
    names = expected.keys() | said.keys()
    return {
        name: (expected.get(name), said.get(name))
        for name in sorted(names)
        if expected.get(name) != said.get(name)
    }
