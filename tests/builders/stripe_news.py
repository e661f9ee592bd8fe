"""Every event of Stripe's that we handle, with what it tells and what Stripe knows from then on."""

from dataclasses import dataclass
from typing import Any

from actors.stripe.payloads import APPLICABLE, CUSTOMER_EVENTS
from tests.fakes.stripe_world import BEGAN, invoice
from tests.fakes.stripe_world import subscription as described

LATER = 3 * 3600 + 600  # Seconds after the beginning: after all that was told and asked before.
OTHER = "customer.discount.created"
"""One of the many events that say nothing here."""
NAMED = {"id": "cus_1", "metadata": {"user_id": "ada"}}
OVER_DAYS = {"id": "over_days", "metadata": {"allotment_credits": "1000", "allotment_days": "10"}}
PACK = {"id": "pack", "metadata": {"allotment_credits": "1000"}}
SESSION: dict[str, Any] = {
    "id": "cs_1",
    "mode": "payment",
    "payment_status": "paid",
    "customer": "cus_1",
    "amount_total": 1000,
}
SALE = SESSION | {"id": "cs_2"}
PAID_BY_1, PAID_BY_2 = 2900, 1000
"""What charges 1 (of the first period) and 2 (of a pack) come to."""


def charge(refunded: int, of: int = 1) -> dict[str, Any]:
    amount = PAID_BY_1 if of == 1 else PAID_BY_2
    about = {"id": f"ch_{of}", "amount": amount, "amount_refunded": refunded, "disputed": True}
    return about | {"payment_intent": f"pi_{of}"}


def dispute(status: str, of: int = 1) -> dict[str, Any]:
    amount = (PAID_BY_1 if of == 1 else PAID_BY_2) // 2
    about = {"id": f"dp_{of}", "object": "dispute", "charge": f"ch_{of}", "amount": amount}
    return about | {"payment_intent": f"pi_{of}", "status": status}


def refund(status: str, of: int = 1) -> dict[str, Any]:
    about = {"id": f"re_{of}", "object": "refund", "charge": f"ch_{of}", "status": status}
    return about | {"payment_intent": f"pi_{of}"}


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
SOLD = ("checkout.session.completed", SALE)
HALF_OF_PACK = ("charge.refunded", charge(500, of=2))
LOST_PACK = ("charge.dispute.closed", dispute("lost", of=2))
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
    "checkout.session.completed": News("1,000 credits are sold, over 10 days", SESSION),
    "checkout.session.async_payment_succeeded": News("the same", SESSION),
    "charge.refunded": News("half of the first period", charge(1450)),
    "refund.updated": News("cancelled", refund("canceled"), (charge(0),), (HALF,)),
    "refund.failed": News("failed", refund("failed"), (charge(0),), (HALF,)),
    "charge.refund.updated": News("failed", refund("failed"), (charge(0),), (HALF,)),
    "charge.dispute.created": News("open", dispute("needs_response")),
    "charge.dispute.updated": News("under review", dispute("under_review")),
    "charge.dispute.closed": News("lost, half of the first period", dispute("lost")),
    "charge.dispute.funds_reinstated": News("won after it was lost", dispute("won"), (), (LOST,)),
    "checkout.session.completed of a pack": News("a pack of 1,000 credits is sold", SALE),
    "checkout.session.async_payment_succeeded of a pack": News("the same", SALE),
    "charge.refunded of a pack": News("half of a pack", charge(500, of=2), (), (SOLD,)),
    "refund.updated of a pack": News(
        "cancelled, of a pack", refund("canceled", of=2), (charge(0, of=2),), (SOLD, HALF_OF_PACK)
    ),
    "charge.dispute.closed of a pack": News(
        "lost, half of a pack", dispute("lost", of=2), (), (SOLD,)
    ),
    "charge.dispute.funds_reinstated of a pack": News(
        "won after it was lost, of a pack", dispute("won", of=2), (), (SOLD, LOST_PACK)
    ),
    "customer.created": News("names a user", NAMED),
    "customer.updated": News("names a user", NAMED),
    OTHER: News("", {"id": "di_1", "object": "discount", "customer": "cus_1"}),
}
"""By the kind of the event, and what else tells news of one kind apart."""


def kind_of(name: str) -> str:
    """Return the kind of event that tells these news."""
    return name.partition(" ")[0]


OF_PACKS = [name for name in NEWS if kind_of(name) != name]
KINDS = {kind_of(name) for name in NEWS}
assert APPLICABLE | CUSTOMER_EVENTS | {OTHER} == KINDS, "every event that we handle"
