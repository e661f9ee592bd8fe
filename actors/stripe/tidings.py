"""Reads events into a digest: what each adds to the record of its subject."""

from dataclasses import replace
from datetime import datetime

from actors.stripe.digest import Digest, with_owner, with_payment
from actors.stripe.lookups import Lookups
from actors.stripe.objects import (
    Checkout,
    Invoice,
    Notice,
    Payment,
    Subscription,
    UnreadablePayloadError,
)
from actors.stripe.payloads import PAID_EVENTS, SUBSCRIPTION_EVENTS
from actors.stripe.precedence import ToldState
from actors.stripe.shapes import instant

ORDER = {"customer.subscription.created": 0, "customer.subscription.deleted": 2}
"""What comes first and last in one second, as far as the kinds of events tell."""


class Tidings:
    """Reads events, one by one. Raises StripeError, UnreadablePayloadError."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def read(self, digest: Digest, event: Notice) -> None:
        created = event.kept.created
        digest.newest = max(digest.newest, created)
        if event.kind in SUBSCRIPTION_EVENTS:
            self._read_subscription(digest, event)
            return
        match await self._lookups.whole(event):
            case Checkout() as session:
                await self._read_checkout(digest, session, created)
            case Invoice() as invoice:
                await self._read_invoice(digest, invoice, created, paid=event.kind in PAID_EVENTS)

    def _read_subscription(self, digest: Digest, event: Notice) -> None:
        kept, about = event.kept, event.about
        if not isinstance(about, Subscription) or about.has_more_items:
            digest.partial = digest.partial or not kept.parked  # Else it was asked for.
            return
        order = f"{ORDER.get(event.kind, 1)} {kept.event_id}"
        digest.told.append(ToldState(kept.created, order, about.state()))
        digest.record = with_owner(digest.record, about)

    async def _read_invoice(
        self, digest: Digest, invoice: Invoice, created: int, *, paid: bool
    ) -> None:
        subject = digest.record.subject
        if invoice.subscription_id != subject:
            return  # An invoice that is for no subscription gives no credits.
        customer_id = invoice.customer_id or digest.record.customer_id
        digest.record = replace(digest.record, customer_id=customer_id)
        digest.invoiced = max(digest.invoiced, created)
        invoice_id = invoice.id
        if not paid or invoice_id is None:
            return
        digest.touched.append(invoice_id)
        if invoice_id not in digest.record.payments:
            lines, given_back = await self._lookups.paid_lines(
                invoice, _paid_at(invoice, created), digest.record.given_back
            )
            record = replace(digest.record, given_back=given_back)
            digest.record = with_payment(record, invoice_id, lines)

    async def _read_checkout(self, digest: Digest, session: Checkout, created: int) -> None:
        named = None if digest.record.anonymous else session.reference_user
        record = replace(
            digest.record,
            customer_id=session.customer_id or digest.record.customer_id,
            reference_user=named or digest.record.reference_user,
        )
        digest.record = record
        session_id = session.id
        if session.subscription_id or session.mode == "subscription":
            digest.must_ask = digest.must_ask or record.state is None
            return
        if session_id is None or session.is_unpaid or session.mode == "setup":
            return
        digest.record = with_owner(record, session)
        digest.touched.append(session_id)
        if session_id not in record.payments:
            lines = await self._lookups.sold_once(session, _paid_at(session, created))
            digest.record = with_payment(digest.record, session_id, lines)


def _paid_at(payment: Payment, told: int) -> datetime:
    """Return when it was paid: as it says itself, else as an event of it does."""
    said = payment.said_paid_at or instant(told)
    if said is None:
        raise UnreadablePayloadError("nothing says when it was paid")
    return said
