"""How much a user used on each of the last days, packed: every resident account carries it.

The days that subscriptions hold open are not in here; `use_by_day` puts the two together.
"""

from array import array
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import NewType

from domain.subscription import Subscription

RecentUse = NewType("RecentUse", bytes)
"""First day (ordinal, 4 bytes), width of an amount (1 byte), an amount a day without gaps."""

NO_USE = RecentUse(b"")
DAYS_MAX = 32  # The spike rule looks back 30 days, in whatever zone today is.

_WIDTHS = ("B", "H", "I", "Q")
_HEAD = 5


def unpack(recent: RecentUse) -> dict[int, int]:
    """Return the use by day (ordinal); days without use are left out or 0."""
    if not recent:
        return {}
    first = int.from_bytes(recent[:4], "big")
    amounts = array(_WIDTHS[recent[4]], recent[_HEAD:])
    return dict(zip(range(first, first + len(amounts)), amounts, strict=True))


def sum_before(recent: RecentUse, today: int, days: int) -> tuple[int, int]:
    """Return (sum, number of days with use) of so many days before a day (ordinal)."""
    if not recent:
        return 0, 0
    first = int.from_bytes(recent[:4], "big")
    amounts = array(_WIDTHS[recent[4]], recent[_HEAD:])
    if first < today - days or first + len(amounts) > today:  # Seldom: most are all in there.
        amounts = amounts[max(today - days - first, 0) : max(today - first, 0)]
    return sum(amounts), len(amounts) - amounts.count(0)


def pack(days: Mapping[int, int]) -> RecentUse:
    """Return the use of the newest DAYS_MAX days. Only what is more than 0 is use."""
    used = [day for day, amount in days.items() if amount > 0]
    if not used:
        return NO_USE
    last = max(used)
    first = min(day for day in used if day > last - DAYS_MAX)
    amounts = [max(days.get(day, 0), 0) for day in range(first, last + 1)]
    most = max(amounts)
    width = next(w for w, code in enumerate(_WIDTHS) if most < 1 << 8 * array(code).itemsize)
    packed = array(_WIDTHS[width], amounts).tobytes()
    return RecentUse(first.to_bytes(4, "big") + bytes((width,)) + packed)


def with_use(recent: RecentUse, used: Iterable[tuple[date, int]]) -> RecentUse:
    """Return the use with more days, or more use of the same days; less than 0: given back."""
    days = unpack(recent)
    for day, amount in used:
        if amount > 0 or day.toordinal() in days:
            days[day.toordinal()] = days.get(day.toordinal(), 0) + amount
    return pack(days)


def forget_old(recent: RecentUse, now: datetime) -> RecentUse:
    """Return the use without the days that no today can look back to any more."""
    oldest = oldest_day(now).toordinal()
    if not recent or int.from_bytes(recent[:4], "big") >= oldest:
        return recent
    return pack({day: used for day, used in unpack(recent).items() if day >= oldest})


def oldest_day(now: datetime) -> date:
    """Return the first day that may still count, wherever the user's clock is."""
    return now.date() - timedelta(days=DAYS_MAX - 1)


def use_by_day(recent: RecentUse, subscriptions: Iterable[Subscription]) -> dict[int, int]:
    """Return the use by day (ordinal), the days that subscriptions hold open included."""
    days = unpack(recent)
    for subscription in subscriptions:
        day = subscription.day
        if day is not None and day.used > 0:
            days[day.date.toordinal()] = days.get(day.date.toordinal(), 0) + day.used
    return days
