"""Plain accounting of subscriptions, written from the contract's text alone.

Days are walked one by one, nothing is cached, nothing is clever.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
CURRENT = ("active", "past_due", "paused")


@dataclass
class Hold:
    """A day's share of a hold, and nothing has become of it that anybody wrote down."""

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
    adjusted: dict[date, int] = field(default_factory=dict)
    """What operators have taken from days, which is no use."""

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
        """Return what a day has from the one before, less what was taken from it."""
        walked = self.day_of(self.start)
        rolled = -self.adjusted.get(walked, 0)
        while walked < day:
            taken = self.used.get(walked, 0) + self.held_on(walked, at)
            left = self.limit(walked) + rolled - taken
            rolled = left if cap is None else min(left, cap)
            walked += DAY
            rolled -= self.adjusted.get(walked, 0)
        return rolled

    def remaining(self, day: date, at: datetime, cap: int | None) -> int:
        taken = self.used.get(day, 0) + self.held_on(day, at)
        return self.limit(day) + self.rolled_over(day, at, cap) - taken


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
