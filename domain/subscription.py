"""One subscription: its grants, its open day, and what it leaves for any later day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntFlag

from domain.grants import Grant
from domain.local_days import ONE_DAY, day_of, midnight
from domain.stripe import StripeLink
from domain.values import CURRENT_STATUSES, SPENDING_STATUSES, Credits, Status

AVAILABLE_WITHIN_DAYS = 3660  # As long as a grant may last; more would keep the others waiting.


class Told(IntFlag):
    """Which events of a day were told, each once a day (low credits again after a lift)."""

    NOTHING = 0
    LOW_CREDITS = 1
    SPIKE = 2


@dataclass(frozen=True, slots=True)
class Day:
    """A day that was touched: what came over from the day before, and what was used."""

    date: date
    rolled_over: Credits
    used: Credits
    told: Told = Told.NOTHING


def carry(left: Credits, cap: Credits | None) -> Credits:
    """Return what a day hands to the next: all of a debt, and of a rest at most the cap."""
    return left if cap is None else Credits(min(left, cap))


def implied_grant(spendable: Credits, start: datetime, end: datetime, timezone: str) -> Grant:
    """Return what a document gives beyond the grants it names: from its start to its end day."""
    first_day = day_of(start, timezone)
    days = max((day_of(end, timezone) - first_day).days, 1)
    return Grant(None, spendable, Credits(0), first_day, days)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One user's right to credits from `start` (inclusive) to `end` (exclusive)."""

    subscription_id: str
    start: datetime
    end: datetime
    status: Status
    timezone: str
    system_portion: Credits
    grants: tuple[Grant, ...]
    day: Day | None = None
    """The newest day that was touched; None before the first."""
    stripe: StripeLink | None = None
    """The Stripe subscription that it follows."""

    @property
    def spendable(self) -> Credits:
        return Credits(sum(grant.spendable for grant in self.grants))

    @property
    def total(self) -> Credits:
        return Credits(self.system_portion + self.spendable)

    @property
    def first_day(self) -> date:
        return day_of(self.start, self.timezone)

    @property
    def last_day(self) -> date:
        """The local day of the last instant before the end."""
        return day_of(self.end - timedelta(milliseconds=1), self.timezone)

    def is_current(self, now: datetime) -> bool:
        return self.start <= now < self.end and self.status in CURRENT_STATUSES

    def may_spend(self, now: datetime) -> bool:
        return self.start <= now < self.end and self.status in SPENDING_STATUSES

    def status_at(self, now: datetime) -> Status:
        """Return the status a client sees: time ends a subscription whatever its document says."""
        return (
            Status.EXPIRED if now >= self.end and self.status in CURRENT_STATUSES else self.status
        )

    def belongs_to_stripe(self, stripe_subscription_id: str) -> bool:
        """Say whether it follows this Stripe subscription, or has grants that it paid for."""
        follows = self.stripe is not None and self.stripe.subscription_id == stripe_subscription_id
        return follows or any(
            grant.stripe_subscription_id == stripe_subscription_id for grant in self.grants
        )

    def limit(self, day: date) -> Credits:
        """Return the allocation of a day: the slices of all grants."""
        return Credits(sum(grant.slice_on(day) for grant in self.grants))

    def allocated(self, first: date, last: date) -> Credits:
        """Return the sum of the limits from `first` (inclusive) to `last` (exclusive)."""
        return Credits(
            sum(g.allocated_before(last) - g.allocated_before(first) for g in self.grants),
        )

    def today(self, now: datetime) -> date:
        """Return the day charges belong to. It never goes back, even where local clocks do."""
        day = day_of(now, self.timezone)
        return day if self.day is None else max(day, self.day.date)

    def day_at(self, today: date, cap: Credits | None) -> Day:
        """Return `today` as it opens after the newest touched day, idle days included."""
        day = self.day or Day(self.first_day, Credits(0), Credits(0))
        if today <= day.date:
            return day
        left = Credits(self.limit(day.date) + day.rolled_over - day.used)
        if cap is None or all(grant.spendable >= 0 for grant in self.grants):
            # Where no day takes credits away, a rest that has reached the cap stays there:
            # cutting it once says the same as cutting it every day.
            idle = self.allocated(day.date + ONE_DAY, today)
            return Day(today, carry(Credits(left + idle), cap), Credits(0))
        return Day(today, self._carry_over_idle_days(day.date, left, today, cap), Credits(0))

    def _carry_over_idle_days(
        self,
        last_touched: date,
        left: Credits,
        today: date,
        cap: Credits,
    ) -> Credits:
        rolled_over = carry(left, cap)
        idle_day = last_touched + ONE_DAY
        while idle_day < today:
            rolled_over = carry(Credits(self.limit(idle_day) + rolled_over), cap)
            idle_day += ONE_DAY
        return rolled_over

    def remaining(self, day: Day) -> Credits:
        """Return what is left to spend on a day of this subscription."""
        return Credits(self.limit(day.date) + day.rolled_over - day.used)

    def available_at(self, required: Credits, today: Day, cap: Credits | None) -> datetime | None:
        """Return the first midnight from which the schedule covers the amount; None if never.

        Nothing else is spent in the meantime. Source: contract, problems of 402. Only another
        program's document gives anything later than AVAILABLE_WITHIN_DAYS: that counts as never.
        """
        left = self.remaining(today)
        tomorrow = today.date.toordinal() + 1
        last = min(self.last_day.toordinal(), tomorrow + AVAILABLE_WITHIN_DAYS)
        for day in map(date.fromordinal, range(tomorrow, last + 1)):
            left = Credits(carry(left, cap) + self.limit(day))
            if left >= required:
                return midnight(day, self.timezone)
        return None

    def with_usage_days(
        self,
        used: Iterable[tuple[date, Credits]],
        today: date,
        cap: Credits | None,
        told: Mapping[date, Told] | None = None,
    ) -> "Subscription":
        """Return the subscription after the days on which something was used (any order).

        Days after `today` do not count yet, days before the first never do. `told` says which
        events of a day were told.
        """
        sums: dict[date, int] = {}
        for day, amount in used:
            if self.first_day <= day <= today:
                sums[day] = sums.get(day, 0) + amount
        subscription = replace(self, day=None)
        for day in sorted(sums):
            opened = subscription.day_at(day, cap)
            was_told = (told or {}).get(day, Told.NOTHING)
            touched = Day(day, opened.rolled_over, Credits(sums[day]), was_told)
            subscription = replace(subscription, day=touched)
        return subscription

    def days_remaining(self, today: date) -> int:
        """Return how many local days the subscription still covers, today included."""
        return max((self.last_day - today).days + 1, 0)
