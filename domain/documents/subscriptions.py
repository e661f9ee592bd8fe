"""Reading documents that any program may have written, and refusing what cannot be read.

A subscription document is the truth whoever wrote it: ours, Mongoose's, or one edited by hand.
Source of the rules: contract, section 2, foreign documents.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from domain.documents.eras import read_zones
from domain.eras import Era
from domain.grants import Grant, Void, share_from
from domain.ids import kept_id
from domain.open_ends import OPEN_END, implied_grant
from domain.stripe import StripeItem, StripeLink
from domain.subscription import Seldom, Subscription
from domain.values import CREDITS_MAX, Credits, Status

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document that is left untouched and answered as if it did not exist."""

    document_id: str
    reason: str


class UnreadableError(ValueError):
    """A field says nothing this program understands. The message names the field."""


def read_subscriptions(
    documents: Iterable[Document],
    default_timezone: str,
) -> tuple[list[Subscription], list[Quarantined]]:
    """Return the readable subscriptions in order of start, and the others with a reason."""
    readable: list[Subscription] = []
    quarantined: list[Quarantined] = []
    for document in documents:
        try:
            readable.append(read_subscription(document, default_timezone))
        except UnreadableError as error:
            quarantined.append(Quarantined(str(document.get("_id")), str(error)))
    readable.sort(key=lambda s: (s.start, s.subscription_id))
    return readable, quarantined


def read_subscription(document: Document, default_timezone: str) -> Subscription:
    """Return the subscription a document describes. Raises UnreadableError."""
    subscription_id = kept_id(document)
    if subscription_id is None:
        raise UnreadableError("its _id is too long, or of a type that is not kept")
    timezone, eras = _zones(document, default_timezone)
    start, end = instant(document, "start_date"), _end(document)
    if end < start:
        raise UnreadableError("end_date is before start_date")
    system_portion, spendable = portions(document, "total_credits")
    grants = tuple(_grant(item) for item in _list(document, "grants"))
    missing = spendable - sum(grant.spendable for grant in grants)
    if missing or not grants:
        grants += (implied_grant(Credits(missing), start, end, timezone, eras),)
    return Subscription(
        subscription_id,
        start,
        end,
        _status(document),
        timezone,
        system_portion,
        grants,
        stripe=_link(document.get("stripe")),
        seldom=Seldom(eras) if eras else None,
    )


@runtime_checkable
class _Decimal128(Protocol):
    """BSON's decimal number, which is no type of Python's."""

    def to_decimal(self) -> Decimal: ...


def whole(value: object, field: str) -> int:
    """Return a whole number, however BSON carried it. Raises UnreadableError."""
    number = value
    if not isinstance(value, int | float) and isinstance(value, _Decimal128):  # This asks slowly.
        number = value.to_decimal()
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        raise UnreadableError(f"{field} is not a number")
    if not (number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)):
        raise UnreadableError(f"{field} is not a whole number")
    if not -CREDITS_MAX <= number <= CREDITS_MAX:
        raise UnreadableError(f"{field} is too large")
    if number != int(number):
        raise UnreadableError(f"{field} is not a whole number")
    return int(number)


def amount(value: object, field: str) -> int:
    """Return a whole number that is not negative. Raises UnreadableError."""
    number = whole(value, field)
    if number < 0:
        raise UnreadableError(f"{field} is negative")
    return number


def portions(document: Document, whole_field: str) -> tuple[Credits, Credits]:
    """Return (system portion, spendable). Of three amounts any two tell the third.

    Raises UnreadableError.
    """
    names = (whole_field, "system_portion", "spendable_credits")
    total, system, spendable = (
        None if document.get(field) is None else whole(document[field], field) for field in names
    )
    if (total is None) + (system is None) + (spendable is None) > 1:
        raise UnreadableError(f"of {', '.join(names)} two are missing")
    if system is None:
        assert total is not None and spendable is not None, "two of three are there"  # noqa: PT018
        system = total - spendable
    if spendable is None:
        assert total is not None, "two of three are there"
        spendable = total - system
    if min(system, spendable, 0 if total is None else total) < 0:
        raise UnreadableError("an amount is negative")
    return Credits(system), Credits(spendable)


def _grant(item: object) -> Grant:
    if not isinstance(item, Mapping):
        raise UnreadableError("a grant is not an object")
    payment = item.get("payment")
    transaction_id = payment.get("transaction_id") if isinstance(payment, Mapping) else None
    days = whole(item.get("days"), "grants.days")
    if days < 1:
        raise UnreadableError("grants.days is less than 1")
    stripe_id = item.get("stripe_subscription_id")
    return Grant(
        str(item.get("grant_id") or item.get("_id") or ""),  # Mongoose gives parts an `_id`.
        # The amount shrinks with what is voided; slices are shares of what was paid for.
        Credits(
            whole(item.get("amount"), "grants.amount")
            + whole(item.get("voided_credits") or 0, "grants.voided_credits")
        ),
        Credits(whole(item.get("system_portion", 0), "grants.system_portion")),
        _calendar_day(item.get("from_day")),
        days,
        None if transaction_id is None else str(transaction_id),
        tuple(void for one in _list(item, "voids") for void in _voids(one)),
        None if stripe_id is None else str(stripe_id),
        _count(item.get("share_version")) or 0,
    )


def _voids(item: object) -> Iterator[Void]:
    """Yield what a void in a document says: from a day on, and until when."""
    if not isinstance(item, Mapping):
        raise UnreadableError("a void is not an object")
    kept, parts = (whole(item.get(f), f"grants.voids.{f}") for f in ("kept", "parts"))
    if not 0 <= kept <= parts or parts < 1:
        raise UnreadableError("a void keeps less than nothing, or more than all")
    from_day = _calendar_day(item.get("from_day"))
    yield share_from(from_day, 1, 1) if kept == parts else Void(from_day, kept, parts)
    if item.get("until") is not None:
        yield share_from(_calendar_day(item["until"]), 1, 1)


def _link(block: object) -> StripeLink | None:
    """Return what a `stripe` block says; other programs may keep there what they like."""
    if not isinstance(block, Mapping) or not isinstance(block.get("subscription_id"), str):
        return None
    items = block.get("items")
    return StripeLink(
        block["subscription_id"],
        _text(block.get("customer_id")),
        _text(block.get("status")) or "",
        _moment(block.get("created")),
        _moment(block.get("period_end")),
        _moment(block.get("cancel_at")),
        _moment(block.get("ended_at")),
        tuple(
            StripeItem(str(item.get("price_id")), quantity)
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, Mapping) and (quantity := _count(item.get("quantity"))) is not None
        ),
        _count(block.get("version")) or 0,
        _moment(block.get("extends_to")),
    )


def _count(value: object) -> int | None:
    try:
        return whole(value, "count")
    except UnreadableError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _calendar_day(value: object) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise UnreadableError("grants.from_day is not a calendar day") from error


def instant(document: Document, field: str) -> datetime:
    """Return an instant in UTC. Raises UnreadableError."""
    value = document.get(field)
    if not isinstance(value, datetime):
        raise UnreadableError(f"{field} is not a date")
    if value.year == 1:  # The zero value of dates in Go and .NET: nobody has set it.
        raise UnreadableError(f"{field} is not set")
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _end(document: Document) -> datetime:
    """Return when a subscription ends; null is an open end. Raises UnreadableError."""
    has_none = "end_date" in document and document["end_date"] is None
    return OPEN_END if has_none else instant(document, "end_date")


def _status(document: Document) -> Status:
    try:
        status = Status(str(document.get("status")))
    except ValueError as error:
        raise UnreadableError("status is unknown") from error
    if status is Status.NONE:
        raise UnreadableError("status is unknown")
    return status


def _zones(document: Document, default: str) -> tuple[str, tuple[Era, ...]]:
    try:
        return read_zones(document, default)
    except ValueError as error:
        raise UnreadableError(str(error)) from error


def _list(document: Document, field: str) -> list[Any]:
    value = document.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnreadableError(f"{field} is not a list")
    return value
