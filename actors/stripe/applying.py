"""Applies what Stripe told: all waiting events of one subject together, as one piece of work.

read the events → choose or ask for the state → save the record → tell the shard → note the events

It decides nothing about credits: it sends commands, each under a key made of what it stands
for, so that any repeat is harmless.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from weakref import WeakValueDictionary

from actors.calls import service_call
from actors.expiring import Calls
from actors.stripe.lookups import Lookups
from actors.stripe.news import News, known_as_told, with_owner, with_payment
from actors.stripe.order import Told, Verdict, choose, last_resort
from actors.stripe.reading import (
    CHECKOUT_EVENTS,
    CUSTOMER_EVENTS,
    INVOICE_EVENTS,
    PAID_EVENTS,
    REFUND_EVENTS,
    SUBSCRIPTION_EVENTS,
    Payload,
    amount_of,
    customer_user,
    has_more_items,
    id_of,
    is_thin,
    object_of,
    parse_object,
    plain_type,
    read_subscription,
    subject_of,
    subscription_of_invoice,
)
from actors.stripe.records import StripeEvent, StripeRecord, StripeStore
from actors.stripe.telling import CannotBeAppliedError, check, commands_of
from domain.values import UserId, parse_user_id

ORDER = {"customer.subscription.created": 0, "customer.subscription.deleted": 2}
"""What comes first and last in one second, as far as the kinds of events tell."""

IGNORED = "ignored"
APPLIED = "applied"
STRIPE = "stripe"  # Who has asked for it, as the journal keeps it.

T = TypeVar("T")


class UnknownUserError(Exception):
    """Nobody has said yet whose this is."""


class RecordTakenError(Exception):
    """Another incarnation has saved the record meanwhile: read it again."""


class Applier:
    """Applies events, subject by subject. Raises StripeError, StoreError, and those above."""

    def __init__(
        self,
        store: StripeStore,
        lookups: Lookups,
        router: Calls,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._router = router
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def apply(self, subject: str, events: Sequence[StripeEvent]) -> str:
        """Apply all events of one subject, and return what came of it."""
        kinds = {plain_type(event.type) for event in events}
        if kinds & CUSTOMER_EVENTS:
            await self._in_thread(self._store.wake, subject, self._clock())
        if kinds & REFUND_EVENTS:
            return await self._refund(events)
        if not kinds & (SUBSCRIPTION_EVENTS | INVOICE_EVENTS | CHECKOUT_EVENTS):
            return IGNORED
        subject = await self._subject(subject, events)
        async with self._turn(subject):
            return await self._bring_in(subject, events)

    async def _subject(self, subject: str, events: Sequence[StripeEvent]) -> str:
        """Return what events are applied to: thin ones of an invoice do not name it."""
        first, kind = parse_object(events[0].body), plain_type(events[0].type)
        if not is_thin(first) or kind in SUBSCRIPTION_EVENTS:
            return subject
        about = await self._lookups.whole(subject, kind)
        return subject_of({"type": kind, "data": {"object": about}})

    def _turn(self, subject: str) -> asyncio.Lock:
        """Return what lets one piece of work at a time change a record."""
        return self._turns.setdefault(subject, asyncio.Lock())

    async def _bring_in(self, subject: str, events: Sequence[StripeEvent]) -> str:
        known = await self._in_thread(self._store.record, subject)
        news = News(known or StripeRecord(subject))
        for event in events:
            await self._read(news, event)
        await self._settle_state(news)
        if news.record.state is None and not news.record.payments:
            await self._save(known, news.record)
            return IGNORED
        return await self._tell(known, news)

    # --- reading ------------------------------------------------------------------------

    async def _read(self, news: News, event: StripeEvent) -> None:
        payload, kind = parse_object(event.body), plain_type(event.type)
        about: Payload | None = object_of(payload)
        news.newest = max(news.newest, event.created)
        if kind in SUBSCRIPTION_EVENTS:
            assert about is not None, "an event is about something"
            if is_thin(payload) or has_more_items(about):
                news.partial = True
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
            await self._read_checkout(news, about)
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
            lines = await self._lookups.paid_lines(invoice)
            news.record = with_payment(news.record, invoice_id, lines)

    async def _read_checkout(self, news: News, session: Payload) -> None:
        record = replace(
            news.record,
            customer_id=id_of(session.get("customer")) or news.record.customer_id,
            reference_user=session.get("client_reference_id") or news.record.reference_user,
        )
        news.record = record
        session_id = id_of(session)
        if id_of(session.get("subscription")) or session.get("mode") == "subscription":
            news.must_ask = news.must_ask or record.state is None
            return
        if session_id is None or session.get("payment_status") == "unpaid":
            return
        news.record = with_owner(record, session)
        news.touched.append(session_id)
        if session_id not in record.payments:
            packs = await self._lookups.packs(session)
            news.record = with_payment(news.record, session_id, packs)

    # --- the state ----------------------------------------------------------------------

    async def _settle_state(self, news: News) -> None:
        verdict = choose(news.record, news.told)
        if isinstance(verdict, Told):
            news.record = replace(
                news.record,
                state=verdict.state,
                stamp=max(verdict.created, news.record.stamp),
                asked=False,
                event_id=verdict.event_id,
            )
        ended = news.record.state is not None and news.record.state.is_ended
        silent = news.record.state is None and news.must_ask
        behind = news.invoiced > news.record.stamp or news.partial or silent
        if verdict is Verdict.ASK or (behind and not ended):
            await self._ask(news, verdict)

    async def _ask(self, news: News, verdict: Told | Verdict) -> None:
        """Ask Stripe. What it says was true when we asked, and contains all that was told."""
        asked_at = int(self._clock().timestamp())  # Before the request, not after it.
        record = news.record
        found = await self._lookups.subscription(record.subject)
        if found is None:  # It was deleted with all test data; or it was never there.
            if verdict is Verdict.ASK:
                known = [] if record.state is None else [known_as_told(record, record.state)]
                told = last_resort([*news.told, *known])
                news.record = replace(
                    record, state=told.state, stamp=told.created, event_id=told.event_id
                )
            return
        news.record = replace(
            with_owner(record, found),
            state=read_subscription(found),
            stamp=max(asked_at, news.newest, record.stamp),
            asked=True,
            event_id="",
        )

    # --- refunds ------------------------------------------------------------------------

    async def _refund(self, events: Sequence[StripeEvent]) -> str:
        """Void the refunded share of what the charge paid for. Refunds of a charge only grow."""
        last = max(events, key=lambda event: (event.created, event.event_id))
        payload = parse_object(last.body)
        charge: Payload | None = object_of(payload)
        if is_thin(payload):
            charge = await self._lookups.whole(id_of(charge) or "", plain_type(last.type))
        if charge is None:
            return IGNORED
        amount, refunded = amount_of(charge), amount_of(charge, "amount_refunded")
        paid_for = await self._lookups.paid_by(charge)
        if paid_for is None or not 0 < refunded <= amount:
            return IGNORED
        payment_id, subject = paid_for
        async with self._turn(subject):
            return await self._take_back(subject, payment_id, amount - refunded, amount)

    async def _take_back(self, subject: str, payment_id: str, kept: int, parts: int) -> str:
        known = await self._in_thread(self._store.record, subject)
        news = News(known or StripeRecord(subject))
        kept_before, parts_before = news.record.refunds.get(payment_id, (1, 1))
        if kept * parts_before < kept_before * parts:
            refunds = {**news.record.refunds, payment_id: (kept, parts)}
            news.record = replace(news.record, refunds=refunds)
        news.touched.append(payment_id)
        if payment_id not in news.record.payments:  # It is voided when it is granted.
            await self._save(known, news.record)
            return APPLIED
        return await self._tell(known, news)

    # --- telling the shard --------------------------------------------------------------

    async def _tell(self, known: StripeRecord | None, news: News) -> str:
        record = news.record
        owner = await self._owner(record)
        if owner is None:
            await self._save(known, record)
            raise UnknownUserError
        record = await self._save(known, replace(record, user_id=owner))
        for command, key in commands_of(record, news.touched):
            (reply,) = await self._router.calls([service_call(command, key, STRIPE)])
            check(reply)
        return APPLIED

    async def _owner(self, record: StripeRecord) -> UserId | None:
        """Return whose it is: first what the subscription says, then its customer, and so on."""
        if record.user_id is not None:
            return record.user_id
        named = record.metadata_user
        if named is None and record.customer_id is not None:
            customer = await self._lookups.customer(record.customer_id)
            named = customer_user(customer or {})
        named = named or record.reference_user
        if named is not None:
            try:
                return parse_user_id(named)
            except ValueError as error:
                raise CannotBeAppliedError(f"the user id is not valid: {error}") from error
        if record.customer_id is None:
            return None
        return await self._in_thread(self._store.user_of_customer, record.customer_id)

    async def _save(self, known: StripeRecord | None, record: StripeRecord) -> StripeRecord:
        if record == (known or StripeRecord(record.subject)):
            return record
        numbered = replace(record, revision=(known.revision if known else 0) + 1)
        if not await self._in_thread(self._store.save, numbered):
            raise RecordTakenError
        return numbered

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.to_thread(call, *args)
