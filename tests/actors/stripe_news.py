"""Every event of Stripe's that we handle, with what it tells and what Stripe knows from then on."""

from dataclasses import dataclass
from typing import Any

from actors.stripe.reading import APPLICABLE, CUSTOMER_EVENTS
from tests.actors.stripe_world import BEGAN, invoice
from tests.actors.stripe_world import subscription as described

LATER = 3 * 3600 + 600  # Seconds after the beginning: after all that was told and asked before.
OTHER = "customer.discount.created"
"""One of the many events that say nothing here."""
NAMED = {"id": "cus_1", "metadata": {"user_id": "ada"}}
PACK = {"id": "pack", "metadata": {"allotment_credits": "1000", "allotment_days": "10"}}
SESSION: dict[str, Any] = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "customer": "cus_1",
    "amount_total": 1000,
}


def charge(refunded: int) -> dict[str, Any]:
    about = {"id": "ch_1", "amount": 2900, "amount_refunded": refunded, "disputed": True}
    return about | {"payment_intent": "pi_1"}


def dispute(status: str) -> dict[str, Any]:
    about = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "amount": 1450}
    return about | {"payment_intent": "pi_1", "status": status}


def refund(status: str) -> dict[str, Any]:
    return {"id": "re_1", "object": "refund", "charge": "ch_1", "status": status} | {
        "payment_intent": "pi_1"
    }


@dataclass(frozen=True)
class News:
    """What an event tells, and what Stripe knows from then on."""

    says: str
    about: dict[str, Any]
    known: tuple[dict[str, Any], ...] = ()
    before: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(kind, object) of what has been told of the same payment before."""


def state(says: str, **fields: Any) -> News:
    about = described(user=None, **fields)
    return News(says, about, (about,))


SECOND = invoice("in_2", period=1, total=2900)
HALF = ("charge.refunded", charge(1450))
LOST = ("charge.dispute.closed", dispute("lost"))
NEWS: dict[str, News] = {
    "customer.subscription.created": state("active"),
    "customer.subscription.updated": state("past due", status="past_due"),
    "customer.subscription.deleted": state("ended", status="canceled", ended_at=BEGAN + LATER),
    "customer.subscription.paused": state("paused", status="paused"),
    "customer.subscription.resumed": state("active"),
    "invoice.paid": News("the next period is paid", SECOND),
    "invoice.payment_succeeded": News("the same", SECOND),
    "invoice.payment_failed": News(
        "the next period is not paid", SECOND, (described(user=None, status="past_due"),)
    ),
    "checkout.session.completed": News("1,000 credits are sold", SESSION),
    "checkout.session.async_payment_succeeded": News("the same", SESSION),
    "charge.refunded": News("half of the first period", charge(1450)),
    "refund.updated": News("cancelled", refund("canceled"), (charge(0),), (HALF,)),
    "refund.failed": News("failed", refund("failed"), (charge(0),), (HALF,)),
    "charge.refund.updated": News("failed", refund("failed"), (charge(0),), (HALF,)),
    "charge.dispute.created": News("open", dispute("needs_response")),
    "charge.dispute.updated": News("under review", dispute("under_review")),
    "charge.dispute.closed": News("lost, half of the first period", dispute("lost")),
    "charge.dispute.funds_reinstated": News("won after it was lost", dispute("won"), (), (LOST,)),
    "customer.created": News("names a user", NAMED),
    "customer.updated": News("names a user", NAMED),
    OTHER: News("", {"id": "di_1", "object": "discount", "customer": "cus_1"}),
}
assert NEWS.keys() == APPLICABLE | CUSTOMER_EVENTS | {OTHER}, "every event that we handle"
