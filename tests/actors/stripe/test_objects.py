"""Stripe's objects, whatever their fields hold: reading refuses nothing, and what is odd is not there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from actors.stripe.objects import Notice
from actors.stripe.payloads import APPLICABLE, CUSTOMER_EVENTS, read_back, read_event
from tests.builders.authors import NOON
from tests.fakes.stripe_world import event, invoice, subscription

DEEP: dict[str, Any] = {}
for _ in range(400):
    DEEP = {"product": DEEP, "price": DEEP, "data": [DEEP]} if not DEEP else {"product": DEEP}
ODD: list[Any] = [None, True, -1, 2**70, 1.5, "", "x" * 300, [], [None, 1, "x"], {}, {"id": 5}]
ODD += [{"data": 7}, {"data": [1, {"id": []}]}, DEEP, {"price": DEEP}, [{"price": DEEP}]]
PRICE = {
    "id": "price_1",
    "metadata": {"allotment_credits": "5"},
    "product": {"id": "prod_1", "metadata": {}},
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "unit_amount": 5,
}
ABOUT: dict[str, Any] = (
    subscription()
    | invoice()
    | {
        "id": "any_1",
        "amount": 5,
        "amount_refunded": 1,
        "charge": "ch_1",
        "client_reference_id": "ada",
        "customer": {"id": "cus_1", "metadata": {"user_id": "ada"}},
        "disputed": False,
        "invoice": "in_1",
        "mode": "payment",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "status_transitions": {"paid_at": 5},
        "subscription": "sub_1",
        "plan": PRICE,
    }
)
LINE = ABOUT["lines"]["data"][0] | {"price": PRICE}
ABOUT["lines"] = {"data": [LINE], "has_more": False}


def odd(value: Any) -> Iterator[Any]:
    """Yield a value with each of its parts odd or away, one at a time."""
    yield from ODD
    if isinstance(value, dict):
        for name, part in value.items():
            yield {other: value[other] for other in value if other != name}
            yield from (value | {name: each} for each in odd(part))
    if isinstance(value, list):
        yield from ([each] for part in value for each in odd(part))


def read(kind: str, about: Any) -> Notice:
    return read_back(read_event(event("1", kind, about), NOON))


@pytest.mark.parametrize("kind", sorted(APPLICABLE | CUSTOMER_EVENTS | {"payout.paid"}))
def test_an_event_is_kept_and_read_back_whatever_its_object_holds(kind: str) -> None:
    for about in odd(ABOUT):
        notice = read(kind, about)

        assert notice.kept.subject, "it is applied to something"
        assert notice.kind == kind


@pytest.mark.parametrize("related", ODD)
def test_a_thin_event_names_what_it_is_about_or_nothing(related: Any) -> None:
    body = json.loads(event("1", "v1.invoice.paid", {}, object="v2.core.event"))

    kept = read_event(json.dumps(body | {"related_object": related}), NOON)

    assert read_back(kept).is_thin
    assert kept.subject == "evt_1"
