"""One user's accounting, told from the whole history each time a question is asked.

It owns what section 2 of the contract says about split, slice, limit, roll-over, remaining, end,
adding credits and recording usage, holds, voiding grants, and what an operator may change of a
subscription; it knows no foreign documents.
It shares no code with `domain/`, remembers nothing but the history, and would rather be slow than
clever. Instants are expected in the order in which they happen.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.reference.dates import Dates, local_midnight

ONE_DAY = timedelta(days=1)
ONE_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


class Void(NamedTuple):
    from_day: date
    kept: int
    parts: int


class Grant(NamedTuple):
    from_day: date
    days: int
    amount: int
    system_portion: int
    spendable: int
    transaction_id: str = ""
    voids: tuple[Void, ...] = ()

    def slice_on(self, day: date) -> int:
        i = (day - self.from_day).days
        if i < 0 or i >= self.days:
            return 0
        kept, parts = 1, 1
        for void in self.voids:
            if void.from_day <= day:  # What was told last counts.
                kept, parts = void.kept, void.parts
        begin, end = i * self.spendable // self.days, (i + 1) * self.spendable // self.days
        return end * kept // parts - begin * kept // parts

    def given(self) -> int:
        """All slices, one by one."""
        return sum(self.slice_on(self.from_day + i * ONE_DAY) for i in range(self.days))


class Day(NamedTuple):
    day: date
    limit: int
    rolled_over: int
    used: int
    held: int
    remaining: int
    cut: int  # What the roll-over rule takes away at the end of this day.


class Hold:
    def __init__(self, day: date, amount: int, expires_at: datetime) -> None:
        self.day = day
        self.amount = amount
        self.expires_at = expires_at
        self.resolved = False


class Subscription:
    def __init__(self, start_date: datetime, timezone: str) -> None:
        self.start_date = start_date
        self.timezone = timezone
        self.zone = ZoneInfo(timezone)
        self.grants: list[Grant] = []
        self.used_on: dict[date, int] = {}
        self.holds: list[Hold] = []
        self.status = "active"
        self.ends: list[datetime] = []  # What the end is the latest of.
        self.dates: Dates | None = None  # Once the zone was changed.

    def local_day(self, now: datetime) -> date:
        return self.dates.at(now).day if self.dates else now.astimezone(self.zone).date()

    def named(self, day: date) -> datetime:
        """Find the midnight of a day, in the zone that the day began in."""
        return local_midnight(
            day, ZoneInfo(self.dates.from_day(day).zone) if self.dates else self.zone
        )

    def begins(self, day: date) -> datetime:
        return self.dates.from_day(day).begins if self.dates else local_midnight(day, self.zone)

    def change_zone(self, now: datetime, timezone: str) -> None:
        given = [g.from_day + i * ONE_DAY for g in self.grants for i in range(g.days)]
        gives = (day for day in given if any(g.slice_on(day) for g in self.grants))
        last = max(gives, default=given[0])
        is_same = timezone == self.timezone
        self.dates = self.dates or Dates(self.start_date, self.timezone)
        zones = {ZoneInfo(zone) for zone in (self.timezone, *self.dates.zones_until(now))}
        is_whole = self.end_date() >= min(local_midnight(last + ONE_DAY, z) for z in zones)
        comes = is_whole and self.local_day(now) < last and now < self.end_date()
        self.dates.change(now, timezone)
        self.timezone, self.zone = timezone, ZoneInfo(timezone)
        if comes and not is_same and self.begins(last) >= self.end_date():
            self.ends.append(self.begins(last + ONE_DAY))

    def end_day(self) -> date:
        """Name the first local day that no longer belongs to the subscription."""
        return self.local_day(self.end_date() - ONE_MILLISECOND) + ONE_DAY

    def end_date(self) -> datetime:
        return max(self.ends)

    def is_current(self, now: datetime) -> bool:
        goes_on = self.status in ("active", "past_due", "paused")
        return goes_on and self.start_date <= now < self.end_date()

    def is_open(self, hold: Hold, now: datetime) -> bool:
        return not hold.resolved and now < hold.expires_at and self.is_current(now)

    def schedule(self, rollover: str | int, now: datetime) -> Iterator[Day]:
        """Every day from the first to the last; those to come as if nothing else is spent.

        Holds count that are open at `now`.
        """
        open_holds = [hold for hold in self.holds if self.is_open(hold, now)]
        day = self.local_day(self.start_date)
        end_day = self.end_day()
        rolled_over = 0
        while day < end_day:
            limit = sum(grant.slice_on(day) for grant in self.grants)
            used = self.used_on.get(day, 0)
            held = sum(hold.amount for hold in open_holds if hold.day == day)
            remaining = limit + rolled_over - used - held
            carried = carry(remaining, rollover)
            yield Day(day, limit, rolled_over, used, held, remaining, cut=remaining - carried)
            rolled_over = carried
            day += ONE_DAY


def carry(left_over: int, rollover: str | int) -> int:
    """Hand debt on to the next day in full, and a positive left-over up to the cap."""
    if left_over < 0 or rollover == "full":
        return left_over
    if rollover == "none":
        return 0
    return min(left_over, int(rollover))


class ReferenceUser:
    def __init__(
        self,
        *,
        system_portion_bps: int = 1000,
        rollover: str | int = "full",
        low_credits_percent: int = 20,
        default_timezone: str = "UTC",
    ) -> None:
        self.system_portion_bps = system_portion_bps
        self.rollover = rollover
        self.low_credits_percent = low_credits_percent
        self.default_timezone = default_timezone
        self.subscriptions: list[Subscription] = []  # Oldest first.
        self.transaction_ids: list[str] = []
        self.holds: list[tuple[Subscription, Hold]] = []  # In the order in which they were placed.

    def add_credit(
        self,
        *,
        now: datetime,
        amount: int,
        days: int,
        transaction_id: str,
        timezone: str | None = None,
    ) -> str:
        now = to_milliseconds(now)
        if transaction_id in self.transaction_ids:
            return "duplicate_payment"
        self.transaction_ids.append(transaction_id)
        outcome = "added"
        subscription = self._current(now)
        if subscription is None:
            outcome = "created"
            subscription = Subscription(now, timezone or self.default_timezone)
            self.subscriptions.append(subscription)
        system_portion = amount * self.system_portion_bps // 10000
        spendable = amount - system_portion
        today = subscription.local_day(now)
        subscription.grants.append(
            Grant(today, days, amount, system_portion, spendable, transaction_id)
        )
        subscription.ends.append(subscription.begins(today + timedelta(days=days)))
        return outcome

    def void(self, *, now: datetime, transaction_id: str, kept: int, parts: int) -> None:
        """Keep a share of what a payment's grant gives, from tomorrow on: of less, or of more again."""
        for subscription in self.subscriptions:
            if now >= subscription.end_date():
                continue
            tomorrow = subscription.local_day(now) + ONE_DAY
            subscription.grants = [
                grant._replace(voids=(*grant.voids, Void(tomorrow, kept, parts)))
                if grant.transaction_id == transaction_id
                else grant
                for grant in subscription.grants
            ]

    def record_usage(
        self, *, now: datetime, credit_amount: int, on_insufficient: str = "reject"
    ) -> str:
        now = to_milliseconds(now)
        subscription = self._current(now)
        if subscription is None or subscription.status == "paused":
            return "no_active_subscription"
        today = self._today(subscription, now)
        if today.remaining < credit_amount and on_insufficient == "reject":
            return "insufficient_credits"
        subscription.used_on[today.day] = today.used + credit_amount
        return "recorded"

    def place_hold(
        self, *, now: datetime, credit_amount: int, seconds: int, holds_max: int = 500
    ) -> str:
        now = to_milliseconds(now)
        subscription = self._current(now)
        if subscription is None or subscription.status == "paused":
            return "no_active_subscription"
        open_holds = sum(s.is_open(h, now) for s in self.subscriptions for h in s.holds)
        if open_holds >= holds_max:
            return "too_many_holds"
        today = self._today(subscription, now)
        if today.remaining < credit_amount:
            return "insufficient_credits"
        hold = Hold(today.day, credit_amount, now + timedelta(seconds=seconds))
        subscription.holds.append(hold)
        self.holds.append((subscription, hold))
        return "held"

    def settle_hold(
        self, which: int, *, now: datetime, credit_amount: int, on_insufficient: str = "reject"
    ) -> str:
        """Settle one of all the holds there ever were, in the order in which they were placed."""
        now = to_milliseconds(now)
        subscription, hold = self.holds[which]
        if not subscription.is_open(hold, now):
            return "hold_closed"
        beyond = credit_amount - hold.amount
        if beyond > 0 and subscription.status == "paused":
            return "no_active_subscription"
        remaining = self._today(subscription, now).remaining
        if beyond > 0 and remaining < beyond and on_insufficient == "reject":
            return "insufficient_credits"
        hold.resolved = True
        used = subscription.used_on.get(hold.day, 0)
        subscription.used_on[hold.day] = used + credit_amount
        return "settled"

    def release_hold(self, which: int, *, now: datetime) -> str:
        subscription, hold = self.holds[which]
        if not subscription.is_open(hold, to_milliseconds(now)):
            return "hold_closed"
        hold.resolved = True
        return "freed"

    def expire_hold(self, which: int, *, now: datetime) -> str:
        subscription, hold = self.holds[which]
        if hold.resolved:
            return "hold_closed"
        if subscription.is_open(hold, to_milliseconds(now)):
            return "not_ended"
        hold.resolved = True
        return "freed"

    def refusal(self, *, now: datetime, credit_amount: int) -> dict[str, Any]:
        """Why a charge that was just refused was refused, and when it would not be."""
        now = to_milliseconds(now)
        subscription = self._current(now)
        remaining = 0
        available_at = None
        if subscription is not None and subscription.status != "paused":
            today = self._today(subscription, now)
            remaining = today.remaining
            day, end_day = today.day + ONE_DAY, subscription.end_day()
            while available_at is None and day < end_day:
                begins = subscription.begins(day)
                if subscription.local_day(begins) > day:  # It never is today.
                    day += ONE_DAY
                    continue
                if any(h.expires_at > begins for h in subscription.holds):
                    rows = {row.day: row for row in subscription.schedule(self.rollover, begins)}
                    if rows[day].remaining >= credit_amount:
                        available_at = begins
                    day += ONE_DAY
                else:  # Nothing changes any more: one schedule tells all days.
                    for row in subscription.schedule(self.rollover, begins):
                        if row.day >= day and row.remaining >= credit_amount:
                            available_at = subscription.begins(row.day)
                            break
                    break
        return {
            "limit": "subscription" if available_at is None else "daily",
            "remaining_credits": remaining,
            "required_credits": credit_amount,
            "available_at": available_at,
        }

    def status(self, *, now: datetime) -> dict[str, Any]:
        now = to_milliseconds(now)
        if not self.subscriptions:
            return self._nothing(now, self.default_timezone)
        current = self._current(now)
        newest = current or self.subscriptions[-1]
        ran_out = now >= newest.end_date() and newest.status in ("active", "past_due", "paused")
        answer = (
            self._nothing(now, newest.timezone)
            | {
                "status": "expired" if ran_out else newest.status,
                "start_date": newest.start_date,
                "end_date": newest.end_date(),
                "total_credits": sum(g.system_portion + g.given() for g in newest.grants),
                "system_portion": sum(grant.system_portion for grant in newest.grants),
                "spendable_credits": sum(grant.given() for grant in newest.grants),
            }
            | self._turns(newest, now)
        )
        if current is None:
            return answer | {
                "days_remaining": max((newest.end_day() - newest.local_day(now)).days, 0)
            }
        today = self._today(newest, now)
        threshold = self.low_credits_percent * (today.limit + today.rolled_over)
        return answer | {
            "days_remaining": (newest.end_day() - today.day).days,
            "daily_credit_limit": today.limit,
            "credits_rolled_over": today.rolled_over,
            "credits_used": today.used,
            "credits_held": today.held,
            "remaining_credits": today.remaining,
            "low_credits": today.remaining * 100 <= threshold,
        }

    def change(
        self,
        which: int,
        *,
        status: str | None = None,
        end_date: datetime | None = None,
        timezone: str | None = None,
        now: datetime | None = None,
    ) -> str:
        """`now` is needed where the zone changes."""
        subscription = self.subscriptions[which]
        if end_date is not None and end_date <= subscription.start_date:
            return "end_not_after_start"
        if timezone is not None and now is not None:
            subscription.change_zone(to_milliseconds(now), timezone)
        if end_date is not None:
            subscription.ends = [end_date]
        subscription.status = status or subscription.status
        return "changed"

    def expire(self, which: int, *, now: datetime) -> str:
        subscription = self.subscriptions[which]
        goes_on = subscription.status in ("active", "past_due", "paused")
        if not goes_on or to_milliseconds(now) < subscription.end_date():
            return "not_ended"
        subscription.status = "expired"
        return "expired"

    def life(self, *, now: datetime) -> dict[str, int]:
        """Where the spendable credits of the newest subscription are: used + left + forfeited.

        `left` is negative while the debt exceeds all that is still to come. Debt that is open at
        the end was spent and never given, so it counts against `forfeited`.
        """
        now = to_milliseconds(now)
        if not self.subscriptions:
            return {"used": 0, "left": 0, "forfeited": 0}
        newest = self.subscriptions[-1]
        rows = list(newest.schedule(self.rollover, now))
        used = sum(newest.used_on.values())
        if self._current(now) is None:
            forfeited = sum(row.cut for row in rows[:-1]) + rows[-1].remaining
            return {"used": used, "left": 0, "forfeited": forfeited}
        today = self._today(newest, now)
        left = today.remaining + sum(row.limit for row in rows if row.day > today.day)
        forfeited = sum(row.cut for row in rows if row.day < today.day)
        return {"used": used, "left": left, "forfeited": forfeited}

    def _current(self, now: datetime) -> Subscription | None:
        for subscription in reversed(self.subscriptions):
            if subscription.is_current(now):
                return subscription
        return None

    def _today(self, subscription: Subscription, now: datetime) -> Day:
        today = subscription.local_day(now)
        return next(row for row in subscription.schedule(self.rollover, now) if row.day == today)

    def _turns(self, subscription: Subscription, now: datetime) -> dict[str, Any]:
        today = subscription.local_day(now)
        resets_at = subscription.begins(today + ONE_DAY)
        return {"date": subscription.named(today), "resets_at": resets_at}

    def _nothing(self, now: datetime, timezone: str) -> dict[str, Any]:
        """Answer for a user who never had a subscription, on the day it is in that zone."""
        zone = ZoneInfo(timezone)
        today = now.astimezone(zone).date()
        amounts = (
            "days_remaining total_credits system_portion spendable_credits daily_credit_limit "
            "credits_rolled_over credits_used credits_held remaining_credits"
        )
        return dict.fromkeys(amounts.split(), 0) | {
            "status": "none",
            "timezone": timezone,
            "start_date": None,
            "end_date": None,
            "date": local_midnight(today, zone),
            "low_credits": False,
            "resets_at": local_midnight(today + ONE_DAY, zone),
        }
