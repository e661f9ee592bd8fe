"""Reads Stripe's objects, in the shapes before and after 2025-03-31.basil. Nothing is refused here."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from actors.stripe.objects import (
    Charge,
    Checkout,
    Customer,
    Invoice,
    Line,
    Movement,
    Price,
    StripeObject,
    Subscription,
)
from domain.stripe import StripeItem, StripeLink

Payload = Mapping[str, Any]

ID_LENGTH_MAX = 255


def read_customer(about: Payload) -> Customer:
    return Customer(*_common(about), has_metadata="metadata" in about)


def read_subscription(about: Payload) -> Subscription:
    customer = part_of(about.get("customer"))
    return Subscription(
        *_common(about),
        link=_link(about),
        customer_user=_user(customer),
        livemode=about.get("livemode") is True,
        has_more_items=part_of(about.get("items")).get("has_more") is True,
    )


def _link(about: Payload) -> StripeLink | None:
    subscription_id, status = id_of(about), about.get("status")
    if subscription_id is None or not isinstance(status, str):
        return None
    items = list(_items(about.get("items")))
    ends = [i.get("current_period_end") for i in items] + [about.get("current_period_end")]
    period_end = max((end for end in ends if isinstance(end, int)), default=None)
    cancel_at = about.get("cancel_at")
    if not is_seconds(cancel_at) and about.get("cancel_at_period_end") is True:
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
            StripeItem(_price_of(item).id or "", _quantity(item))
            for item in sorted(items, key=lambda item: str(item.get("id")))
        ),
        version=0,
    )


def read_invoice(about: Payload) -> Invoice:
    details = part_of(part_of(about.get("parent")).get("subscription_details"))
    return Invoice(
        *_common(about),
        id_of(details.get("subscription")) or id_of(about.get("subscription")),
        *_money(about, "total"),
        lines=tuple(read_line(line) for line in _items(about.get("lines"))),
        has_more_lines=part_of(about.get("lines")).get("has_more") is True,
    )


def read_checkout(about: Payload) -> Checkout:
    return Checkout(
        *_common(about),
        id_of(about.get("subscription")),
        *_money(about, "amount_total"),
        reference_user=_text(about.get("client_reference_id")) or None,
        mode=_text(about.get("mode")) or None,
        is_unpaid=about.get("payment_status") == "unpaid",
    )


def read_charge(about: Payload) -> Charge:
    return Charge(
        *_common(about),
        id_of(about) or id_of(about.get("charge")),
        *_paid_by(about),
        _whole(about.get("amount")),
        _text(about.get("currency")),
        amount_refunded=_whole(about.get("amount_refunded")),
        may_be_disputed=about.get("disputed") is not False,
    )


def read_movement(about: Payload) -> Movement:
    return Movement(
        *_common(about),
        id_of(about.get("charge")),
        *_paid_by(about),
        _whole(about.get("amount")),
        _text(about.get("currency")),
    )


def read_line(line: Payload) -> Line:
    parent, period = part_of(line.get("parent")), part_of(line.get("period"))
    details = [
        part_of(parent.get(name)) for name in ("subscription_item_details", "invoice_item_details")
    ]
    credits_items = [part_of(one.get("proration_details")) for one in (*details, line)]
    return Line(
        str(line.get("id")),
        _price_of(line),
        _quantity(line),
        _whole(line.get("amount")),
        _whole(line.get("amount_total")),
        _text(line.get("currency")),
        instant(period.get("start")),
        instant(period.get("end")),
        is_proration=any(one.get("proration") is True for one in (line, *details)),
        credits_items=any(one.get("credited_items") for one in credits_items),
    )


def read_price(about: Payload) -> Price:
    """Return a price or a plan with its product; or a product, which has none itself."""
    product = about.get("product")
    return _price(about, None if product is None else _price(_expanded(product), None))


def _price(about: Payload, product: Price | None) -> Price:
    recurring = part_of(about.get("recurring"))
    unit = _whole(about.get("unit_amount")) or _whole(about.get("amount"))
    term = recurring or about
    return Price(
        id_of(about),
        part_of(about["metadata"]) if "metadata" in about else None,
        product,
        is_sold_once=about.get("type") == "one_time",
        is_metered="metered" in (about.get("usage_type"), recurring.get("usage_type")),
        unit_amount=unit if unit > 0 and about.get("billing_scheme") != "tiered" else None,
        interval=_text(term.get("interval")) or None,
        interval_count=_whole(term.get("interval_count")) or 1,
    )


def _price_of(line: Payload) -> Price:
    """Return the price of an item or a line."""
    for name in ("price", "plan"):
        if line.get(name) is not None:
            return read_price(_expanded(line[name]))
    details = part_of(part_of(line.get("pricing")).get("price_details"))
    return read_price(_expanded(details.get("price")))


def _expanded(value: object) -> Payload:
    """Return an object that is expanded, or is only an id."""
    return value if isinstance(value, Mapping) else {"id": value}


def read_other(about: Payload) -> StripeObject:
    return StripeObject(*_common(about))


def id_of(value: object) -> str | None:
    """Return the id of something that is expanded, or is only an id."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX else None


def instant(seconds: object) -> datetime | None:
    """Return Stripe's seconds as an instant; None where they are none."""
    if not is_seconds(seconds):
        return None
    assert isinstance(seconds, int), "seconds are whole"
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _common(about: Payload) -> tuple[str | None, str | None, str | None]:
    return id_of(about), id_of(about.get("customer")), _user(about)


def _user(about: Payload) -> str | None:
    return _text(part_of(about.get("metadata")).get("user_id")) or None


def _money(about: Payload, total: str) -> tuple[str, int, datetime | None]:
    paid_at = instant(part_of(about.get("status_transitions")).get("paid_at"))
    return _text(about.get("currency")), _whole(about.get(total)), paid_at


def _paid_by(about: Payload) -> tuple[str | None, str | None, str | None]:
    status = _text(about.get("status")) or None
    return id_of(about.get("payment_intent")), id_of(about.get("invoice")), status


def _quantity(line: Payload) -> int:
    quantity = line.get("quantity")
    return quantity if isinstance(quantity, int) and not isinstance(quantity, bool) else 1


def _whole(value: object) -> int:
    """Return an amount; 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def part_of(value: object) -> Payload:
    """Return an object within a payload; an empty one where it is none."""
    return value if isinstance(value, Mapping) else {}


def _items(listed: object) -> Iterator[Payload]:
    items = listed.get("data") if isinstance(listed, Mapping) else listed
    for item in items if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            yield item
