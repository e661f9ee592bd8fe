"""Reads the events Stripe sends, thin ones too: once when delivered, once when read back to be applied.

What is behind works with objects (`objects.py`), never with a payload.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from actors.stripe.objects import (
    About,
    Checkout,
    Customer,
    Invoice,
    Movement,
    Named,
    Notice,
    UnreadablePayloadError,
)
from actors.stripe.records import StripeEvent
from actors.stripe.shapes import (
    ID_LENGTH_MAX,
    Payload,
    id_of,
    is_seconds,
    part_of,
    read_charge,
    read_checkout,
    read_customer,
    read_invoice,
    read_movement,
    read_other,
    read_subscription,
)

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

OLDEST_VERSION = "2017-08-15"
RELEASES = frozenset({"acacia", "basil", "clover", "dahlia", "endive"})
"""Stripe's releases whose shapes are read here; versions before 2024-09-30 have no name."""


READERS: tuple[tuple[frozenset[str], Callable[[Payload], About]], ...] = (
    (SUBSCRIPTION_EVENTS, read_subscription),
    (INVOICE_EVENTS, read_invoice),
    (CHECKOUT_EVENTS, read_checkout),
    (frozenset({"charge.refunded"}), read_charge),
    (MONEY_EVENTS, read_movement),
    (CUSTOMER_EVENTS, read_customer),
)
"""How the object is read that an event of a type is about."""


def read_event(body: str, received_at: datetime) -> StripeEvent:
    """Return an event from its verified JSON text. Raises UnreadablePayloadError."""
    event = _parse(body)
    event_id, kind = event.get("id"), event.get("type")
    for name, value in (("id", event_id), ("type", kind)):
        if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH_MAX or "\0" in value:
            raise UnreadablePayloadError(f"{name} is not a text")
    about = _about(event)
    return StripeEvent(
        str(event_id),
        str(kind),
        _created(event.get("created")),
        event.get("livemode") is True,
        subject_of(about) or str(event_id),
        about.customer_id or (about.id if isinstance(about, Customer) else None),
        body,
        received_at,
    )


def read_back(kept: StripeEvent) -> Notice:
    """Return what a kept event says. Raises UnreadablePayloadError where its text is none."""
    event = _parse(kept.body)
    return Notice(
        kept,
        plain_type(kept.type),
        _about(event),
        is_foreign=bool(event.get("account")),
        strange_version=_strange_version(event.get("api_version")),
    )


def plain_type(kind: str) -> str:
    """Return the type of an event without the version that thin ones carry."""
    return kind.removeprefix("v1.")


def subject_of(about: About) -> str | None:
    """Return the id of the object that an event is applied to."""
    match about:
        case Invoice() | Checkout():
            return about.subscription_id or about.id
        case Movement():
            return about.charge_id or about.id
    return about.id


def _parse(body: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadablePayloadError("it is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadablePayloadError("it is not a JSON object")
    return value


def _about(event: Payload) -> About:
    """Return the object an event is about; a thin event names it only."""
    if event.get("object") == THIN:
        return Named(id_of(event.get("related_object")), None, None)
    return read_object(str(event.get("type")), part_of(part_of(event.get("data")).get("object")))


def read_object(kind: str, about: Payload) -> About:
    """Return the object that an event of a type is about."""
    kind = plain_type(kind)
    return next((read(about) for kinds, read in READERS if kind in kinds), read_other(about))


def _strange_version(version: object) -> str | None:
    """Return a version nobody here has read.

    A payload has the version of its endpoint, else of its account: neither is the SDK's.
    """
    if version is None:  # Thin events have none.
        return None
    day, _, release = str(version).partition(".")
    known = release in RELEASES if release else OLDEST_VERSION <= day < "2024-09-30"
    return None if known else str(version)[:ID_LENGTH_MAX]


def _created(value: object) -> int:
    if is_seconds(value):
        assert isinstance(value, int), "seconds are whole"
        return value
    try:  # Thin events say it as ISO 8601.
        return int(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError) as error:
        raise UnreadablePayloadError("created is not an instant") from error
