"""Plain accounting of one user, written from the contract's text alone.

It shares no code with what it checks: days are walked one by one, nothing is cached, nothing is
clever. Entries, commands and answers come in as what others say; whatever they say that does
not follow from the books raises `BrokenPromiseError`.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SPENDING = ("active", "past_due")
CURRENT = ("active", "past_due", "paused")
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


@dataclass
class Hold:
    """Set aside on a day, and nothing has become of it that anybody wrote down."""

    id: str
    day: date
    amount: int
    expires_at: datetime


@dataclass
class Grant:
    amount: int
    system: int
    first: date
    days: int

    @property
    def spendable(self) -> int:
        return self.amount - self.system

    def slice_on(self, day: date) -> int:
        i = (day - self.first).days
        if i < 0 or i >= self.days:
            return 0
        return (i + 1) * self.spendable // self.days - i * self.spendable // self.days


@dataclass
class Subscription:
    """`used` holds every day that was touched, be it by a charge of nothing."""

    id: str
    start: datetime
    end: datetime
    status: str
    zone: str
    grants: list[Grant] = field(default_factory=list)
    used: dict[date, int] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    past: list[tuple[str, date]] = field(default_factory=list)
    """Zones of before, each with the last date that is its own."""

    def day_of(self, at: datetime) -> date:
        return self._day(at, lambda zone, until: at < midnight(until + DAY, zone))

    def named(self, instant: datetime) -> date:
        """Return the date that a day's document is of."""
        return self._day(instant, lambda zone, until: instant <= midnight(until, zone))

    def _day(self, at: datetime, belongs: Callable[[str, date], bool]) -> date:
        before = date.min
        for zone, until in self.past:
            if belongs(zone, until):
                return max(at.astimezone(ZoneInfo(zone)).date(), before)
            before = until
        return max(at.astimezone(ZoneInfo(self.zone)).date(), before)

    def midnight(self, day: date) -> datetime:
        """Return what names a date's document."""
        zones = [zone for zone, until in self.past if day <= until]
        return midnight(day, zones[0] if zones else self.zone)

    def begins(self, day: date) -> datetime:
        """Return when a date begins: not before the one of an earlier zone has ended."""
        ends = [midnight(until + DAY, zone) for zone, until in self.past if until < day]
        return max([*ends, self.midnight(day)])

    def move(self, zone: str, at: datetime) -> None:
        if zone == self.zone:
            return
        today = max(self.today(at), self.day_of(self.start))
        if not self.past or self.past[-1][1] < today:
            self.past.append((self.zone, today))
        self.zone = zone
        if self.past[-1][0] == zone:
            self.past.pop()

    def today(self, at: datetime) -> date:
        return max([self.day_of(at), *self.used])

    def is_current(self, at: datetime) -> bool:
        return self.start <= at < self.end and self.status in CURRENT

    def limit(self, day: date) -> int:
        return sum(grant.slice_on(day) for grant in self.grants)

    def is_open(self, hold: Hold, at: datetime) -> bool:
        return at < hold.expires_at and self.is_current(at)

    def open_holds(self, at: datetime) -> list[Hold]:
        return [hold for hold in self.holds if self.is_open(hold, at)]

    def held_on(self, day: date, at: datetime) -> int:
        return sum(hold.amount for hold in self.open_holds(at) if hold.day == day)

    def rolled_over(self, day: date, at: datetime, cap: int | None) -> int:
        """Return what a day has from the one before, as it is at an instant."""
        rolled, walked = 0, self.day_of(self.start)
        while walked < day:
            taken = self.used.get(walked, 0) + self.held_on(walked, at)
            left = self.limit(walked) + rolled - taken
            rolled = left if cap is None else min(left, cap)
            walked += DAY
        return rolled

    def remaining(self, day: date, at: datetime, cap: int | None) -> int:
        taken = self.used.get(day, 0) + self.held_on(day, at)
        return self.limit(day) + self.rolled_over(day, at, cap) - taken

    def covers_from(self, amount: int, today: date, cap: int | None) -> datetime | None:
        """Return the first midnight from which the schedule covers an amount."""
        day = today + DAY
        while (begins := self.begins(day)) < self.end:
            if self.remaining(day, begins, cap) >= amount:
                return begins
            day += DAY
        return None


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


@dataclass
class Book:
    """One user's subscriptions in order of their start, after `seq` entries."""

    user_id: str
    seq: int = 0
    subscriptions: list[Subscription] = field(default_factory=list)
    payments: set[str] = field(default_factory=set)

    def current(self, at: datetime) -> Subscription | None:
        found = [s for s in self.subscriptions if s.is_current(at)]
        return found[-1] if found else None

    def shown(self, at: datetime) -> Subscription | None:
        started = [s for s in self.subscriptions if s.start <= at]
        return self.current(at) or (started[-1] if started else None)

    def find(self, subscription_id: str) -> Subscription | None:
        return next((s for s in self.subscriptions if s.id == subscription_id), None)

    def find_hold(self, hold_id: str) -> tuple[Subscription, Hold] | None:
        found = [(s, hold) for s in self.subscriptions for hold in s.holds if hold.id == hold_id]
        return found[0] if found else None

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
    remaining = limit + rolled - used - held
    low = current and remaining * 100 <= rules.low_percent * (limit + rolled)
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
