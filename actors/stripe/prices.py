"""Reads what prices say: credits, days, what a unit costs, how long a period is. Pure."""

from calendar import monthrange
from datetime import datetime, timedelta
from fractions import Fraction

from actors.stripe.objects import Line, Price, UnreadablePayloadError
from domain.api.credit_requests import GRANT_DAYS_MAX
from domain.packs import PRIORITY_MAX
from domain.values import CREDITS_MAX

CREDITS, DAYS = "allotment_credits", "allotment_days"
EXPIRES, PRIORITY = "allotment_expires_days", "allotment_priority"
RANGES = {DAYS: (1, GRANT_DAYS_MAX), EXPIRES: (1, GRANT_DAYS_MAX), PRIORITY: (0, PRIORITY_MAX)}
"""The least and the most that may be said."""

SECOND = timedelta(seconds=1)
UNITS = {"day": timedelta(days=1), "week": timedelta(days=7)}
MONTHS = {"month": 1, "year": 12}


def number_of(about: Price, name: str) -> int | None:
    """Return a whole number from metadata, which are texts; None where there is none.

    What is said and is no whole number, or out of its range, raises UnreadablePayloadError: it was
    meant, and is a mistake.
    """
    value = (about.metadata or {}).get(name)
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= CREDITS_MAX):
        raise UnreadablePayloadError(f"{name} of {about.id} is no whole number")
    least, most = RANGES.get(name, (0, CREDITS_MAX))
    if not least <= int(text) <= most:
        raise UnreadablePayloadError(f"{name} of {about.id} is not from {least} to {most}")
    return int(text)


def expiry_after(paid_at: datetime, days: int | None) -> datetime | None:
    """Return when a pack expires that was paid for at an instant; None: never."""
    try:
        return None if days is None else paid_at + timedelta(days=days)
    except OverflowError as error:
        raise UnreadablePayloadError("a pack expires after the calendar's end") from error


def times(credits_each: int, quantity: int) -> int:
    """Return the credits of some units. Raises UnreadablePayloadError where they are too many."""
    found = credits_each * quantity
    if found > CREDITS_MAX:
        raise UnreadablePayloadError(f"{quantity} units give more credits than can be counted")
    return found


def money_share(line: Line, price: Price) -> Fraction | None:
    """Return the share of a period that a correction's money is, all units together."""
    return None if price.unit_amount is None else Fraction(line.amount, price.unit_amount)


def time_share(line: Line, price: Price) -> Fraction:
    """Return the share of a whole period that a correction's own period is, of one unit."""
    start, end = line.period()
    begin = _period_start(start, end, price)
    return min(Fraction((end - start) // SECOND, max((end - begin) // SECOND, 1)), Fraction(1))


def gives_back(line: Line) -> bool:
    """Say whether a correction is for what is not used of a former price."""
    return line.amount < 0 or line.credits_items


def _period_start(start: datetime, end: datetime, price: Price) -> datetime:
    """Return where the whole period begins that ends at `end`."""
    interval, count = price.interval, price.interval_count
    if interval in UNITS:
        return end - UNITS[interval] * count
    if interval not in MONTHS:
        raise UnreadablePayloadError(f"{price.id} has no amount of a unit and no interval")
    months = end.year * 12 + end.month - 1 - MONTHS[interval] * count
    year, month = divmod(months, 12)
    last = monthrange(year, month + 1)[1]
    earliest = end.replace(year=year, month=month + 1, day=min(end.day, last))
    if end.day < monthrange(end.year, end.month)[1]:
        return earliest
    # The last day of a month ends periods that began on any later day of theirs.
    return min(max(start, earliest), earliest.replace(day=last))
