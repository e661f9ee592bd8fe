"""Days in documents, read back whoever wrote them: what was used, and what of it was told."""

from datetime import date

from domain.documents.subscriptions import Document, UnreadableError, amount, instant
from domain.eras import Era, date_named
from domain.low_credits import is_percent
from domain.told import Told
from domain.values import NO_CREDITS, Credits


def read_day(document: Document, timezone: str, eras: tuple[Era, ...] = ()) -> date:
    """Return which day a day document speaks of. Raises UnreadableError."""
    day = date_named(instant(document, "date"), timezone, eras)
    if day.year == date.max.year:  # Days are counted on from it, and none come after.
        raise UnreadableError("date is at the end of the calendar")
    return day


def read_usage_day(document: Document, timezone: str) -> tuple[date, Credits]:
    """Return which day a day document speaks of and what was used. Raises UnreadableError."""
    return read_day(document, timezone), read_used(document)


def read_used(document: Document) -> Credits:
    """Return what was used on a day. Raises UnreadableError."""
    if "credits_used" not in document and "credits_charged" not in document:
        return NO_CREDITS
    return Credits(amount(document.get("credits_used"), "credits_used"))


def read_charged(document: Document) -> Credits | None:
    """Return what we have charged to a day, whatever it says of its use; None: not known."""
    try:
        return Credits(amount(document.get("credits_charged"), "credits_charged"))
    except UnreadableError:
        return None


def read_adjusted(document: Document) -> Credits:
    """Return what adjustments have taken from a day; what is no amount says nothing."""
    try:
        return Credits(amount(document.get("credits_adjusted") or 0, "credits_adjusted"))
    except UnreadableError:
        return NO_CREDITS


def read_told(document: Document) -> Told:
    """Return which events of a day were told; a field that is no plain true says nothing."""
    told = Told.NOTHING
    for field, event in TOLD_BY_FIELD.items():
        if document.get(field) is True:
            told |= event
    percent = document.get(TOLD_PERCENT)
    return told.at(percent) if told & Told.LOW_CREDITS and is_percent(percent) else told


def told_fields(told: Told) -> dict[str, bool | int]:
    """Return the fields that say which events of a day were told."""
    if not told:
        return {}
    fields: dict[str, bool | int] = {n: True for n, event in TOLD_BY_FIELD.items() if told & event}
    return fields | {TOLD_PERCENT: told.percent} if told.percent else fields


TOLD_BY_FIELD = {"low_credits_told": Told.LOW_CREDITS, "spike_told": Told.SPIKE}
TOLD_PERCENT = "low_credits_told_percent"
TOLD_FIELDS = (*TOLD_BY_FIELD, TOLD_PERCENT)
"""The fields of a day document that say which events were told, and at which percent."""
