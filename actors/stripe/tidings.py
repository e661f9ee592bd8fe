"""Reads events into news: what each adds to the record of its subject."""

from dataclasses import replace
from datetime import datetime

from actors.stripe.digest import News, with_owner, with_payment
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
from actors.stripe.precedence import Told
from actors.stripe.shapes import instant

ORDER = {"customer.subscription.created": 0, "customer.subscription.deleted": 2}
"""What comes first and last in one second, as far as the kinds of events tell."""


class Tidings:
    """Reads events, one by one. Raises StripeError, UnreadablePayloadError."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def read(self, news: News, event: Notice) -> None:
        created = event.kept.created
        news.newest = max(news.newest, created)
        if event.kind in SUBSCRIPTION_EVENTS:
            self._read_subscription(news, event)
            return
        match await self._lookups.whole(event):
            case Checkout() as session:
                await self._read_checkout(news, session, created)
            case Invoice() as invoice:
                await self._read_invoice(news, invoice, created, paid=event.kind in PAID_EVENTS)

    def _read_subscription(self, news: News, event: Notice) -> None:
        kept, about = event.kept, event.about
        if not isinstance(about, Subscription) or about.has_more_items:
            news.partial = news.partial or not kept.parked  # Else it was asked for.
            return
        order = f"{ORDER.get(event.kind, 1)} {kept.event_id}"
        news.told.append(Told(kept.created, order, about.state()))
        news.record = with_owner(news.record, about)

    async def _read_invoice(
        self, news: News, invoice: Invoice, created: int, *, paid: bool
    ) -> None:
        subject = news.record.subject
        if invoice.subscription_id != subject:
            return  # An invoice that is for no subscription gives no credits.
        customer_id = invoice.customer_id or news.record.customer_id
        news.record = replace(news.record, customer_id=customer_id)
        news.invoiced = max(news.invoiced, created)
        invoice_id = invoice.id
        if not paid or invoice_id is None:
            return
        news.touched.append(invoice_id)
        if invoice_id not in news.record.payments:
            lines = await self._lookups.paid_lines(invoice, _paid_at(invoice, created))
            news.record = with_payment(news.record, invoice_id, lines)

    async def _read_checkout(self, news: News, session: Checkout, created: int) -> None:
        named = None if news.record.anonymous else session.reference_user
        record = replace(
            news.record,
            customer_id=session.customer_id or news.record.customer_id,
            reference_user=named or news.record.reference_user,
        )
        news.record = record
        session_id = session.id
        if session.subscription_id or session.mode == "subscription":
            news.must_ask = news.must_ask or record.state is None
            return
        if session_id is None or session.is_unpaid or session.mode == "setup":
            return
        news.record = with_owner(record, session)
        news.touched.append(session_id)
        if session_id not in record.payments:
            lines = await self._lookups.sold_once(session, _paid_at(session, created))
            news.record = with_payment(news.record, session_id, lines)


def _paid_at(payment: Payment, told: int) -> datetime:
    """Return when it was paid: as it says itself, else as an event of it does."""
    said = payment.said_paid_at or instant(told)
    if said is None:
        raise UnreadablePayloadError("nothing says when it was paid")
    return said
