"""Reads what Stripe sends, in the payload shapes before and after 2025-03-31.basil.

Payloads are plain JSON values here. What cannot be read raises UnreadablePayloadError: a repeat
would say the same.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from actors.stripe.records import StripeEvent
from domain.stripe import StripeItem, StripeLink

Payload = Mapping[str, Any]

THIN = "v2.core.event"
SUBSCRIPTION_EVENTS = frozenset(
    f"customer.subscription.{what}"
    for what in ("created", "updated", "deleted", "paused", "resumed")
)
PAID_EVENTS = frozenset({"invoice.paid", "invoice.payment_succeeded"})
INVOICE_EVENTS = PAID_EVENTS | {"invoice.payment_failed"}
CHECKOUT_EVENTS = frozenset(
    {"checkout.session.completed", "checkout.session.async_payment_succeeded"}
)
REFUND_EVENTS = frozenset(
    {"charge.refunded", "charge.refund.updated", "refund.updated", "refund.failed"}
)
DISPUTE_EVENTS = frozenset(
    f"charge.dispute.{what}" for what in ("created", "updated", "closed", "funds_reinstated")
)
MONEY_EVENTS = REFUND_EVENTS | DISPUTE_EVENTS
"""Money has gone back, or has come again: each is a reason to look at the charge."""
CUSTOMER_EVENTS = frozenset({"customer.created", "customer.updated"})
APPLICABLE = SUBSCRIPTION_EVENTS | INVOICE_EVENTS | CHECKOUT_EVENTS | MONEY_EVENTS
"""All that can change credits or a state. Stripe lists up to 20 types at once."""

ID_LENGTH_MAX = 255

OLDEST_VERSION = "2017-08-15"
RELEASES = frozenset({"acacia", "basil", "clover", "dahlia", "endive"})
"""Stripe's releases whose shapes are read here; versions before 2024-09-30 have no name."""


class UnreadablePayloadError(ValueError):
    """The payload lacks what it must have. The message names it, and no value."""


def read_event(body: str, received_at: datetime) -> StripeEvent:
    """Return an event from its verified JSON text. Raises UnreadablePayloadError."""
    event = parse_object(body)
    event_id, kind = event.get("id"), event.get("type")
    for name, value in (("id", event_id), ("type", kind)):
        if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH_MAX or "\0" in value:
            raise UnreadablePayloadError(f"{name} is not a text")
    about = object_of(event)
    return StripeEvent(
        str(event_id),
        str(kind),
        _created(event.get("created")),
        event.get("livemode") is True,
        subject_of(event),
        id_of(about.get("customer")) or (id_of(about) if str(kind) in CUSTOMER_EVENTS else None),
        body,
        received_at,
    )


def parse_object(body: str) -> dict[str, Any]:
    """Return the JSON object of a text. Raises UnreadablePayloadError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadablePayloadError("it is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadablePayloadError("it is not a JSON object")
    return value


def object_of(event: Payload) -> Payload:
    """Return the object an event is about; a thin event names it only."""
    if event.get("object") == THIN:
        related = event.get("related_object")
        return related if isinstance(related, Mapping) else {}
    data = event.get("data")
    about = data.get("object") if isinstance(data, Mapping) else None
    return about if isinstance(about, Mapping) else {}


def is_thin(event: Payload) -> bool:
    """Say whether an event only names what it is about."""
    return event.get("object") == THIN


def strange_version(event: Payload) -> str | None:
    """Return the version of a payload whose shape nobody here has read; None: it is known.

    A payload has the version of its endpoint, else of its account: neither is the SDK's.
    """
    version = event.get("api_version")
    if version is None:  # Thin events have none.
        return None
    day, _, release = str(version).partition(".")
    known = release in RELEASES if release else OLDEST_VERSION <= day < "2024-09-30"
    return None if known else str(version)[:ID_LENGTH_MAX]


def plain_type(kind: str) -> str:
    """Return the type of an event without the version that thin ones carry."""
    return kind.removeprefix("v1.")


def subject_of(event: Payload) -> str:
    """Return the id of the object that an event is applied to; its own where there is none."""
    about = object_of(event)
    kind = plain_type(str(event.get("type")))
    subject = None
    if kind in INVOICE_EVENTS:
        subject = subscription_of_invoice(about)
    elif kind in CHECKOUT_EVENTS:
        subject = id_of(about.get("subscription"))
    elif kind in MONEY_EVENTS:
        subject = id_of(about.get("charge"))
    return subject or id_of(about) or str(event.get("id"))


def id_of(value: object) -> str | None:
    """Return the id of something that is expanded, or is only an id."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX else None


def subscription_of_invoice(invoice: Payload) -> str | None:
    """Return the subscription an invoice is for, in either shape."""
    parent = part_of(invoice.get("parent"))
    details = part_of(parent.get("subscription_details"))
    return id_of(details.get("subscription")) or id_of(invoice.get("subscription"))


def customer_user(about: Payload) -> str | None:
    """Return the user that an object's metadata name."""
    user = part_of(about.get("metadata")).get("user_id")
    return user if isinstance(user, str) and user else None


def read_subscription(about: Payload) -> StripeLink:
    """Return the state of a subscription. Raises UnreadablePayloadError."""
    subscription_id, status = id_of(about), about.get("status")
    if subscription_id is None or not isinstance(status, str):
        raise UnreadablePayloadError("the subscription has no id or no status")
    items = list(_items(about.get("items")))
    ends = [i.get("current_period_end") for i in items] + [about.get("current_period_end")]
    period_end = max((end for end in ends if isinstance(end, int)), default=None)
    cancel_at = about.get("cancel_at")
    if not _is_seconds(cancel_at) and about.get("cancel_at_period_end") is True:
        cancel_at = period_end
    return StripeLink(
        subscription_id,
        id_of(about.get("customer")),
        status,
        instant(about.get("created")),
        instant(period_end),
        instant(cancel_at),
        instant(about.get("ended_at")),
        tuple(
            StripeItem(price_of(item)[0] or "", quantity_of(item))
            for item in sorted(items, key=lambda item: str(item.get("id")))
        ),
        version=0,
    )


def has_more_items(about: Payload) -> bool:
    """Say whether a payload carries only the first of a subscription's items."""
    return part_of(about.get("items")).get("has_more") is True


def price_of(line: Payload) -> tuple[str | None, Payload]:
    """Return (id, object) of the price of an item or a line; the object may be empty."""
    for name in ("price", "plan"):
        value = line.get(name)
        if value is not None:
            return id_of(value), part_of(value)
    details = part_of(part_of(line.get("pricing")).get("price_details"))
    return id_of(details.get("price")), part_of(details.get("price"))


def quantity_of(line: Payload) -> int:
    """Return the quantity of an item or a line; metered ones have none."""
    quantity = line.get("quantity")
    return quantity if isinstance(quantity, int) and not isinstance(quantity, bool) else 1


def lines_of(invoice: Payload) -> list[Payload]:
    """Return the lines that an invoice carries itself."""
    return list(_items(invoice.get("lines")))


def has_more_lines(invoice: Payload) -> bool:
    """Say whether a payload carries only the first of an invoice's lines."""
    return part_of(invoice.get("lines")).get("has_more") is True


def is_proration(line: Payload) -> bool:
    """Say whether a line corrects a period that was paid before."""
    parent = part_of(line.get("parent"))
    details = (parent.get("subscription_item_details"), parent.get("invoice_item_details"))
    return line.get("proration") is True or any(
        part_of(detail).get("proration") is True for detail in details
    )


def period_of(line: Payload) -> tuple[datetime, datetime]:
    """Return the period a line is for. Raises UnreadablePayloadError."""
    period = part_of(line.get("period"))
    start, end = instant(period.get("start")), instant(period.get("end"))
    if start is None or end is None or end < start:
        raise UnreadablePayloadError("a line has no period")
    return start, end


def paid_at(about: Payload, told: int) -> datetime:
    """Return when an invoice or checkout was paid: as it says itself, else as an event of it does.

    Raises UnreadablePayloadError.
    """
    said = instant(part_of(about.get("status_transitions")).get("paid_at")) or instant(told)
    if said is None:
        raise UnreadablePayloadError("nothing says when it was paid")
    return said


def amount_of(payload: Payload, name: str = "amount") -> int:
    """Return an amount of money; 0 where there is none."""
    value = payload.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def instant(seconds: object) -> datetime | None:
    """Return Stripe's seconds as an instant; None where they are none."""
    if not _is_seconds(seconds):
        return None
    assert isinstance(seconds, int), "seconds are whole"
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _created(value: object) -> int:
    if _is_seconds(value):
        assert isinstance(value, int), "seconds are whole"
        return value
    try:  # Thin events say it as ISO 8601.
        return int(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError) as error:
        raise UnreadablePayloadError("created is not an instant") from error


def _is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def part_of(value: object) -> Payload:
    """Return an object within a payload; an empty one where it is none."""
    return value if isinstance(value, Mapping) else {}


def _items(listed: object) -> Iterator[Payload]:
    items = listed.get("data") if isinstance(listed, Mapping) else listed
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            yield item
