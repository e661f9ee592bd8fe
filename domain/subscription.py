"""One subscription: its grants, its open day, its holds, and what it leaves for any later day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter

from domain.copies import replace
from domain.eras import Dated, Era
from domain.grant_sums import allocated_before, limit_of, none_takes_away, spendable_of
from domain.grants import Grant
from domain.holds import Hold
from domain.local_days import ONE_DAY
from domain.schedule import carry, limits
from domain.stripe import StripeLink
from domain.told import Told
from domain.values import CURRENT_STATUSES, SPENDING_STATUSES, Credits, Status


@dataclass(frozen=True, slots=True)
class Day:
    """A day that was touched: what came over from the day before, and what was used."""

    date: date
    rolled_over: Credits
    """What the day before left, less what adjustments have taken from this day."""
    used: Credits
    told: Told = Told.NOTHING


@dataclass(frozen=True, slots=True)
class Seldom:
    """What few subscriptions have: the others spend one reference on all of it."""

    eras: tuple[Era, ...] = ()
    """The zones of dates before those of the present zone."""
    adjusted: tuple[tuple[date, Credits], ...] = ()
    """What adjustments have taken from touched days that are known here."""
    kept_from: date | None = None
    """Touched days are kept from here on, because a correction goes back so far."""


NOTHING_SELDOM = Seldom()


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
        return spendable_of(self.grants)

    @property
    def total(self) -> Credits:
        return Credits(self.system_portion + self.spendable)

    @property
    def eras(self) -> tuple[Era, ...]:
        return () if self.seldom is None else self.seldom.eras

    def in_zone(self, timezone: str, eras: tuple[Era, ...]) -> "Subscription":
        """Return the subscription with another zone, and the zones it had before."""
        zoned = replace(self, timezone=timezone)
        return zoned.with_seldom(replace(self.seldom or NOTHING_SELDOM, eras=eras))

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
        return limit_of(self.grants, day)

    def allocated(self, first: date, last: date) -> Credits:
        """Return the sum of the limits from `first` (inclusive) to `last` (exclusive)."""
        before = allocated_before(self.grants, first)
        return Credits(allocated_before(self.grants, last) - before)

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
        if cap is None or none_takes_away(self.grants):
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
        return self.left_of(day, self.limit(day.date))

    def left_of(self, day: Day, limit: Credits) -> Credits:
        """Return what is left to spend on a day, whose limit is known."""
        left = limit + day.rolled_over - day.used
        return Credits(left - self.held_on(day.date) if self.holds else left)

    # --- holds --------------------------------------------------------------------------

    @property
    def touched(self) -> tuple[Day, ...]:
        """The touched days that are known here, the newest last."""
        return self.earlier if self.day is None else (*self.earlier, self.day)

    def held_on(self, day: date) -> Credits:
        """Return what the holds made on a day set aside."""
        return held_on(day, self.holds)

    def is_open(self, hold: Hold, now: datetime) -> bool:
        """Say whether a hold of this subscription that nothing resolved is not over."""
        return now < hold.expires_at and self.is_current(now)

    def as_of(self, now: datetime, cap: Credits | None) -> "Subscription":
        """Return the subscription without the holds that are over; what they free rolls over."""
        if not self.holds or (now < self.holds[0].expires_at and self.is_current(now)):
            return self  # The first is the first to expire.
        holds = tuple(hold for hold in self.holds if self.is_open(hold, now))
        if len(holds) == len(self.holds):
            return self
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
                taken = self.adjusted_on(day.date)
                result.append(replace(day, rolled_over=Credits(inherited - taken)))
            else:
                result.append(day)
        return tuple(result)

    def with_days(self, days: Sequence[Day], holds: Iterable[Hold]) -> "Subscription":
        """Return the subscription with these touched days (in order) as far as they are needed."""
        in_order = tuple(sorted(holds, key=attrgetter("expires_at", "hold_id")))
        oldest = min((hold.date for hold in in_order), default=date.max)
        if self.seldom is not None and self.seldom.kept_from is not None:
            oldest = min(oldest, self.seldom.kept_from)
        earlier = tuple(day for day in days[:-1] if day.date >= oldest)
        changed = replace(self, day=days[-1] if days else None, holds=in_order, earlier=earlier)
        return changed if self.seldom is None else changed.with_adjusted(dict(self.seldom.adjusted))

    # --- corrections --------------------------------------------------------------------

    def adjusted_on(self, day: date) -> Credits:
        """Return what adjustments have taken from a day that is known here."""
        if self.seldom is None:
            return Credits(0)
        return next((amount for on, amount in self.seldom.adjusted if on == day), Credits(0))

    def with_adjustment(self, day: date, amount: Credits) -> "Subscription":
        """Return the subscription with more taken from a touched day."""
        adjusted = dict(self.seldom.adjusted) if self.seldom else {}
        adjusted[day] = Credits(adjusted.get(day, 0) + amount)
        return self.with_adjusted(adjusted)

    def with_adjusted(self, adjusted: Mapping[date, Credits]) -> "Subscription":
        """Return the subscription with what adjustments have taken from its touched days."""
        if not adjusted and self.seldom is None:
            return self
        known = {day.date for day in self.touched}
        kept = tuple(sorted((on, a) for on, a in adjusted.items() if on in known and a))
        return self.with_seldom(replace(self.seldom or NOTHING_SELDOM, adjusted=kept))

    def keeping_from(self, day: date | None) -> "Subscription":
        """Return the subscription that keeps its touched days from one on; None: as holds do."""
        if day is None and self.seldom is None:
            return self
        kept = self.with_seldom(replace(self.seldom or NOTHING_SELDOM, kept_from=day))
        return kept if day is not None else kept.with_days(kept.touched, kept.holds)

    def with_seldom(self, seldom: Seldom) -> "Subscription":
        """Return the subscription with what few have."""
        return replace(self, seldom=None if seldom == NOTHING_SELDOM else seldom)

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
        adjusted: Mapping[date, Credits] | None = None,
    ) -> "Subscription":
        """Return the subscription after the days on which something was used (any order).

        Days after `today` do not count yet, days before the first never do. `told` says which
        events of a day were told, `adjusted` what adjustments have taken from it.
        """
        sums: dict[date, int] = {}
        for day, amount in used:
            if self.first_day <= day <= today:
                sums[day] = sums.get(day, 0) + amount
        counted = tuple(hold for hold in holds if hold.date in sums)
        adjusted = adjusted or {}
        subscription = replace(self, day=None, holds=counted, earlier=()).with_adjusted({})
        days: list[Day] = []
        for day in sorted(sums):
            opened = subscription.day_at(day, cap)
            was_told = (told or {}).get(day, Told.NOTHING)
            rolled_over = Credits(opened.rolled_over - adjusted.get(day, 0))
            days.append(Day(day, rolled_over, Credits(sums[day]), was_told))
            subscription = replace(subscription, day=days[-1])
        if not counted and not adjusted and subscription.seldom is None:
            return subscription
        whole = replace(subscription, earlier=tuple(days[:-1]))
        return whole.with_adjusted(adjusted).with_days(days, counted)

    def days_remaining(self, today: date) -> int:
        """Return how many local days the subscription still covers, today included."""
        return max((self.last_day - today).days + 1, 0)


def held_on(day: date, holds: Iterable[Hold]) -> Credits:
    """Return what those of some holds set aside that were made on a day."""
    return Credits(sum(hold.credit_amount for hold in holds if hold.date == day))
