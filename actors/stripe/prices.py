"""Reads what prices say: credits, days, what a unit costs, how long a period is. Pure."""

from calendar import monthrange
from datetime import datetime, timedelta
from fractions import Fraction

from actors.stripe.payloads import (
    Payload,
    UnreadablePayloadError,
    amount_of,
    id_of,
    part_of,
    period_of,
)
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


def number_of(about: Payload, name: str) -> int | None:
    """Return a whole number from metadata, which are texts; None where there is none.

    What is said and is no whole number, or out of its range, raises UnreadablePayloadError: it was
    meant, and is a mistake.
    """
    value = part_of(about.get("metadata")).get(name)
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= CREDITS_MAX):
        raise UnreadablePayloadError(f"{name} of {id_of(about)} is no whole number")
    least, most = RANGES.get(name, (0, CREDITS_MAX))
    if not least <= int(text) <= most:
        raise UnreadablePayloadError(f"{name} of {id_of(about)} is not from {least} to {most}")
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


def is_sold_once(price: Payload) -> bool:
    """Say whether a price is of something that has no period."""
    return price.get("type") == "one_time"


def is_metered(price: Payload) -> bool:
    """Say whether a price is of what was used, paid for afterwards."""
    return "metered" in (price.get("usage_type"), part_of(price.get("recurring")).get("usage_type"))


def unit_amount(price: Payload) -> int | None:
    """Return what a unit costs; None where there is no one amount for it, or no whole one."""
    if price.get("billing_scheme") == "tiered":
        return None
    unit = amount_of(price, "unit_amount") or amount_of(price, "amount")
    return unit if unit > 0 else None


def money_share(line: Payload, price: Payload) -> Fraction | None:
    """Return the share of a period that a correction's money is, all units together."""
    unit = unit_amount(price)
    return None if unit is None else Fraction(amount_of(line), unit)


def time_share(line: Payload, price: Payload) -> Fraction:
    """Return the share of a whole period that a correction's own period is, of one unit."""
    start, end = period_of(line)
    begin = _period_start(start, end, price)
    return min(Fraction((end - start) // SECOND, max((end - begin) // SECOND, 1)), Fraction(1))


def gives_back(line: Payload) -> bool:
    """Say whether a correction is for what is not used of a former price."""
    details = [
        part_of(part_of(part_of(line.get("parent")).get(name)).get("proration_details"))
        for name in ("subscription_item_details", "invoice_item_details")
    ]
    details.append(part_of(line.get("proration_details")))
    return amount_of(line) < 0 or any(one.get("credited_items") for one in details)


def _period_start(start: datetime, end: datetime, price: Payload) -> datetime:
    """Return where the whole period begins that ends at `end`."""
    recurring = part_of(price.get("recurring")) or price
    interval, count = recurring.get("interval"), recurring.get("interval_count") or 1
    if interval in UNITS:
        return end - UNITS[interval] * count
    if interval not in MONTHS:
        raise UnreadablePayloadError(f"{id_of(price)} has no amount of a unit and no interval")
    months = end.year * 12 + end.month - 1 - MONTHS[interval] * count
    year, month = divmod(months, 12)
    last = monthrange(year, month + 1)[1]
    earliest = end.replace(year=year, month=month + 1, day=min(end.day, last))
    if end.day < monthrange(end.year, end.month)[1]:
        return earliest
    # The last day of a month ends periods that began on any later day of theirs.
    return min(max(start, earliest), earliest.replace(day=last))
