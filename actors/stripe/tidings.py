"""Reads events into news: what each adds to the record of its subject."""

from dataclasses import replace

from actors.stripe.digest import News, with_owner, with_payment
from actors.stripe.lookups import Lookups
from actors.stripe.payloads import (
    CHECKOUT_EVENTS,
    INVOICE_EVENTS,
    PAID_EVENTS,
    SUBSCRIPTION_EVENTS,
    Payload,
    has_more_items,
    id_of,
    is_thin,
    object_of,
    paid_at,
    parse_object,
    plain_type,
    read_subscription,
    subscription_of_invoice,
)
from actors.stripe.precedence import Told
from actors.stripe.records import StripeEvent

ORDER = {"customer.subscription.created": 0, "customer.subscription.deleted": 2}
"""What comes first and last in one second, as far as the kinds of events tell."""


class Tidings:
    """Reads events, one by one. Raises StripeError, UnreadablePayloadError."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def read(self, news: News, event: StripeEvent) -> None:
        payload, kind = parse_object(event.body), plain_type(event.type)
        about: Payload | None = object_of(payload)
        news.newest = max(news.newest, event.created)
        if kind in SUBSCRIPTION_EVENTS:
            assert about is not None, "an event is about something"
            if is_thin(payload) or has_more_items(about):
                news.partial = news.partial or not event.parked  # Else it was asked for.
            else:
                order = f"{ORDER.get(kind, 1)} {event.event_id}"
                news.told.append(Told(event.created, order, read_subscription(about)))
                news.record = with_owner(news.record, about)
            return
        if is_thin(payload):
            about = await self._lookups.whole(id_of(about) or "", kind)
        if about is None:
            return
        if kind in CHECKOUT_EVENTS:
            await self._read_checkout(news, about, event.created)
        elif kind in INVOICE_EVENTS:
            await self._read_invoice(news, about, event.created, paid=kind in PAID_EVENTS)

    async def _read_invoice(
        self, news: News, invoice: Payload, created: int, *, paid: bool
    ) -> None:
        subject = news.record.subject
        if subscription_of_invoice(invoice) != subject:
            return  # An invoice that is for no subscription gives no credits.
        customer = id_of(invoice.get("customer"))
        news.record = replace(news.record, customer_id=customer or news.record.customer_id)
        news.invoiced = max(news.invoiced, created)
        invoice_id = id_of(invoice)
        if not paid or invoice_id is None:
            return
        news.touched.append(invoice_id)
        if invoice_id not in news.record.payments:
            lines = await self._lookups.paid_lines(invoice, paid_at(invoice, created))
            news.record = with_payment(news.record, invoice_id, lines)

    async def _read_checkout(self, news: News, session: Payload, created: int) -> None:
        named = None if news.record.anonymous else session.get("client_reference_id")
        record = replace(
            news.record,
            customer_id=id_of(session.get("customer")) or news.record.customer_id,
            reference_user=named or news.record.reference_user,
        )
        news.record = record
        session_id = id_of(session)
        if id_of(session.get("subscription")) or session.get("mode") == "subscription":
            news.must_ask = news.must_ask or record.state is None
            return
        is_paid = session.get("payment_status") != "unpaid" and session.get("mode") != "setup"
        if session_id is None or not is_paid:
            return
        news.record = with_owner(record, session)
        news.touched.append(session_id)
        if session_id not in record.payments:
            lines = await self._lookups.sold_once(session, paid_at(session, created))
            news.record = with_payment(news.record, session_id, lines)
