"""One subscription: its grants, its open day, its holds, and what it leaves for any later day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import IntFlag
from itertools import pairwise

from domain.eras import Dated, Era, date_at
from domain.grants import Grant
from domain.holds import Hold
from domain.local_days import ONE_DAY
from domain.schedule import carry, first_covered, limits
from domain.stripe import StripeLink
from domain.values import CURRENT_STATUSES, SPENDING_STATUSES, Credits, Status

AVAILABLE_WITHIN_DAYS = 3660  # As long as a grant may last; more would keep the others waiting.

OPEN_END_YEAR = 9000  # Programs write the year 9999 where they mean that there is no end.
OPEN_END = datetime(9999, 12, 30, tzinfo=UTC)  # A day before the last: zones may add to it.
OPEN_GRANT_DAYS = 30


class Told(IntFlag):
    """Which events of a day were told, each once a day (low credits again after a lift)."""

    NOTHING = 0
    LOW_CREDITS = 1
    SPIKE = 2
    UNREAD = 4
    """No event: its document says nothing readable of its use, and the next charge puts that right."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day that was touched: what came over from the day before, and what was used."""

    date: date
    rolled_over: Credits
    used: Credits
    told: Told = Told.NOTHING


def is_open_end(end: datetime) -> bool:
    """Say whether an end means that there is none."""
    return end.year >= OPEN_END_YEAR


def implied_grant(
    spendable: Credits,
    start: datetime,
    end: datetime,
    timezone: str,
    eras: tuple[Era, ...] = (),
) -> Grant:
    """Return what a document gives beyond the grants it names: from its start to its end day.

    Where the end is open, over the first OPEN_GRANT_DAYS: what is left of it rolls over for ever.
    """
    first_day = date_at(start, timezone, eras)
    if is_open_end(end):
        return Grant(None, spendable, Credits(0), first_day, OPEN_GRANT_DAYS)
    days = max((date_at(end, timezone, eras) - first_day).days, 1)
    return Grant(None, spendable, Credits(0), first_day, days)


@dataclass(frozen=True, slots=True)
class Seldom:
    """What few subscriptions have: the others spend one reference on all of it."""

    eras: tuple[Era, ...] = ()
    """The zones of dates before those of the present zone."""


@dataclass(frozen=True, slots=True)
class Subscription(Dated):
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
    holds: tuple[Hold, ...] = ()
    """Those that nothing resolved, by expiry; some may be over: `as_of` leaves them out."""
    earlier: tuple[Day, ...] = ()
    """The touched days before the newest, back to the oldest hold's: what it frees goes on."""
    seldom: Seldom | None = None
    """None where all of it is at its default."""

    @property
    def spendable(self) -> Credits:
        return Credits(sum(grant.spendable for grant in self.grants))

    @property
    def total(self) -> Credits:
        return Credits(self.system_portion + self.spendable)

    @property
    def eras(self) -> tuple[Era, ...]:
        return () if self.seldom is None else self.seldom.eras

    def in_zone(self, timezone: str, eras: tuple[Era, ...]) -> "Subscription":
        """Return the subscription with another zone, and the zones it had before."""
        seldom = replace(self.seldom or Seldom(), eras=eras)
        return replace(self, timezone=timezone, seldom=None if seldom == Seldom() else seldom)

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
        day = self.date_at(now)
        return day if self.day is None else max(day, self.day.date)

    def day_at(self, today: date, cap: Credits | None) -> Day:
        """Return `today` as it opens after the newest touched day, idle days included."""
        day = self.day or Day(self.first_day, Credits(0), Credits(0))
        if today <= day.date:
            return day
        left = self.remaining(day)
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
        idle = (last_touched + ONE_DAY).toordinal(), (today - ONE_DAY).toordinal()
        for limit in limits(self.grants, *idle):
            rolled_over = carry(Credits(limit + rolled_over), cap)
        return rolled_over

    def remaining(self, day: Day) -> Credits:
        """Return what is left to spend on a day of this subscription."""
        left = self.limit(day.date) + day.rolled_over - day.used
        return Credits(left - self.held_on(day.date) if self.holds else left)

    def available_at(self, required: Credits, today: Day, cap: Credits | None) -> datetime | None:
        """Return the first midnight from which the schedule covers the amount; None if never.

        Nothing else is spent in the meantime. Source: contract, problems of 402. Only another
        program's document gives anything later than AVAILABLE_WITHIN_DAYS: that counts as never.
        """
        following = self.following(today.date)
        if following != today.date + ONE_DAY:  # A change of the zone leaves a date out.
            today = replace(self, day=today, earlier=()).day_at(following - ONE_DAY, cap)
        tomorrow = following.toordinal()
        last = min(self.last_day.toordinal(), tomorrow + AVAILABLE_WITHIN_DAYS)
        left = self.remaining(today)
        # Between two days on which holds are over, only the grants decide.
        changing = sorted({max(self._is_over_on(hold, last), tomorrow) for hold in self.holds})
        until = min([last, *(day - 1 for day in changing)])
        found = first_covered(self.grants, left, required, cap, tomorrow, until)
        for day, after in pairwise((*changing, last + 1)):
            if found is not None or day > last:
                break
            then = self.as_of(self.begins(date.fromordinal(day)), cap)
            left = then.remaining(then.day_at(date.fromordinal(day), cap))
            until = min(after - 1, last)
            found = first_covered(self.grants, left, required, cap, day + 1, until)
            found = day if left >= required else found
        return None if found is None else self.begins(date.fromordinal(found))

    def _is_over_on(self, hold: Hold, last: int) -> int:
        """Return the first day, an ordinal, that begins when a hold is over; after `last`: any."""
        day = self.date_at(hold.expires_at)
        if day.toordinal() > last:  # No instant may be the beginning of such a day.
            return day.toordinal()
        return day.toordinal() + (self.begins(day) < hold.expires_at)

    # --- holds --------------------------------------------------------------------------

    @property
    def touched(self) -> tuple[Day, ...]:
        """The touched days that are known here, the newest last."""
        return self.earlier if self.day is None else (*self.earlier, self.day)

    def held_on(self, day: date) -> Credits:
        """Return what the holds made on a day set aside."""
        return Credits(sum(hold.credit_amount for hold in self.holds if hold.date == day))

    def is_open(self, hold: Hold, now: datetime) -> bool:
        """Say whether a hold of this subscription that nothing resolved is not over."""
        return now < hold.expires_at and self.is_current(now)

    def as_of(self, now: datetime, cap: Credits | None) -> "Subscription":
        """Return the subscription without the holds that are over; what they free rolls over."""
        if not self.holds:
            return self
        holds = tuple(hold for hold in self.holds if self.is_open(hold, now))
        return self.with_days(self.carried(self.touched, holds, cap), holds)

    def carried(
        self, days: Sequence[Day], holds: tuple[Hold, ...], cap: Credits | None
    ) -> tuple[Day, ...]:
        """Return touched days with what each inherits from the one before, under these holds."""
        result: list[Day] = []
        for day in days:
            if result:
                before = replace(self, day=result[-1], holds=holds, earlier=())
                inherited = before.day_at(day.date, cap).rolled_over
                result.append(replace(day, rolled_over=inherited))
            else:
                result.append(day)
        return tuple(result)

    def with_days(self, days: Sequence[Day], holds: Iterable[Hold]) -> "Subscription":
        """Return the subscription with these touched days (in order) as far as holds need them."""
        in_order = tuple(sorted(holds, key=lambda hold: (hold.expires_at, hold.hold_id)))
        oldest = min((hold.date for hold in in_order), default=date.max)
        earlier = tuple(day for day in days[:-1] if day.date >= oldest)
        return replace(self, day=days[-1] if days else None, holds=in_order, earlier=earlier)

    def opened(self, day: Day) -> "Subscription":
        """Return the subscription with a day as its newest, if it has no newer one."""
        if self.day is not None and self.day.date >= day.date:
            return self
        return self.with_days((*self.touched, day), self.holds)

    def with_usage_days(
        self,
        used: Iterable[tuple[date, Credits]],
        today: date,
        cap: Credits | None,
        told: Mapping[date, Told] | None = None,
        holds: Iterable[Hold] = (),
    ) -> "Subscription":
        """Return the subscription after the days on which something was used (any order).

        Days after `today` do not count yet, days before the first never do. `told` says which
        events of a day were told.
        """
        sums: dict[date, int] = {}
        for day, amount in used:
            if self.first_day <= day <= today:
                sums[day] = sums.get(day, 0) + amount
        counted = tuple(hold for hold in holds if hold.date in sums)
        subscription = replace(self, day=None, holds=counted, earlier=())
        days: list[Day] = []
        for day in sorted(sums):
            opened = subscription.day_at(day, cap)
            was_told = (told or {}).get(day, Told.NOTHING)
            days.append(Day(day, opened.rolled_over, Credits(sums[day]), was_told))
            subscription = replace(subscription, day=days[-1])
        return subscription.with_days(days, counted) if counted else subscription

    def days_remaining(self, today: date) -> int:
        """Return how many local days the subscription still covers, today included."""
        return max((self.last_day - today).days + 1, 0)
