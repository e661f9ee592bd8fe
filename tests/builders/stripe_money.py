"""Payments, refunds and shapes of Stripe's objects."""

import json
from datetime import timedelta
from typing import Any

from actors.protocol.reports import Findings
from actors.stripe.reconciliation import Reconciliation
from actors.stripe.shapes import Payload
from tests.builders.authors import NOON
from tests.fakes.stripe_world import StripeWorld, event, invoice, subscription

CREATED = event("created", "customer.subscription.created", subscription())
PAID = event("paid", "invoice.paid", invoice(), 1)


def thin(kind: str, about: str, at: int = 0) -> str:
    created = (NOON - timedelta(hours=3, seconds=-at)).isoformat()
    return json.dumps(
        {
            "id": f"evt_thin_{kind}",
            "object": "v2.core.event",
            "type": f"v1.{kind}",
            "created": created,
            "livemode": False,
            "related_object": {"id": about},
        }
    )


async def at_once(_seconds: float) -> None:
    pass


def reconciliation(world: StripeWorld) -> Reconciliation:
    return Reconciliation(world.ledger, world.lookups, world.clock, at_once)


async def reconcile(world: StripeWorld) -> Findings:
    found = await reconciliation(world).run(NOON)
    await world.settle()
    return found


def has(world: StripeWorld, *subscriptions: dict[str, Any], **pages: list[Payload]) -> None:
    """Let Stripe have these subscriptions, and list these objects."""
    world.stripe.objects |= {one["id"]: one for one in subscriptions}
    world.stripe.pages = {"subscriptions": list(subscriptions), **pages}


def charge(name: str, amount: int, refunded: int, **fields: Any) -> dict[str, Any]:
    about = {"id": f"ch_{name}", "amount": amount, "amount_refunded": refunded}
    return about | {"payment_intent": f"pi_{name}"} | fields


def refunded(about: dict[str, Any], at: int, name: str = "") -> str:
    return event(f"r_{about['id']}{name}", "charge.refunded", about, at)


async def with_invoice(world: StripeWorld, *charges: str, total: int = 2900) -> None:
    world.stripe.objects |= {"sub_1": subscription(), "in_1": invoice(total=total)}
    world.stripe.invoices_of = {f"pi_{name}": "in_1" for name in charges}
    await world.settle(CREATED, PAID)
