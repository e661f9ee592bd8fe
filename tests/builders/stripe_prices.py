"""Prices and invoices of Stripe's."""

from typing import Any

from tests.fakes.stripe_world import StripeWorld, event, invoice, subscription

NAMED = {"id": "cus_1", "metadata": {"user_id": "ada"}}
CREATED = event("created", "customer.subscription.created", subscription())
MONTHLY = {"type": "recurring", "recurring": {"interval": "month", "interval_count": 1}}
(LINE,) = invoice()["lines"]["data"]


def price(name: str, metadata: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"id": name, "metadata": metadata, "product": f"prod_{name}", **MONTHLY, **fields}


def know(world: StripeWorld, *prices: dict[str, Any]) -> None:
    world.stripe.objects |= {"sub_1": subscription(), **{one["id"]: one for one in prices}}


def line(name: str, of: str, amount: int, **fields: Any) -> dict[str, Any]:
    priced = {"pricing": {"price_details": {"price": of}}}
    return {**LINE, "id": name, "amount": amount, **priced, **fields}


def paid(*lines: dict[str, Any], name: str = "in_2", at: int = 5) -> str:
    about = invoice(name, lines={"data": list(lines), "has_more": False})
    return event(name, "invoice.paid", about, at)


OLD = price("price_1", {"allotment_credits": "3000"}, unit_amount=2900)
