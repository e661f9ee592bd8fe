"""Stripe's events and records in memory, and a Stripe that answers from a dict."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from actors.protocol.store import StorageUnavailableError
from actors.stripe.api import StripeAwayError
from actors.stripe.records import (
    EventState,
    ReconcilePlace,
    StripeEvent,
    StripeRecord,
    Urgency,
    Waiting,
)
from actors.stripe.shapes import Payload
from domain.values import UserId

RECORD: TypeAdapter[StripeRecord] = TypeAdapter(StripeRecord)


class MemoryStripe:
    """A `StripeStore`."""

    def __init__(self) -> None:
        self.events: dict[str, StripeEvent] = {}
        self.next_attempt: dict[str, datetime] = {}
        self.outcomes: dict[str, str] = {}
        self.records: dict[str, StripeRecord] = {}
        self.customers: dict[str, UserId] = {}
        self.listed: dict[str, datetime] = {}
        self.unavailable = False
        self._place: ReconcilePlace | None = None

    def keep(self, event: StripeEvent) -> bool:
        self._enter()
        known = self.events.get(event.event_id)
        if known is None:
            self.events[event.event_id] = event
        elif known.state is not EventState.APPLIED:
            again = replace(known, state=EventState.RECEIVED, urgency=event.urgency)
            self.events[event.event_id] = again
        self.next_attempt[event.event_id] = event.received_at
        return known is None

    def due(self, now: datetime, limit: int, *, fresh: bool, newest: bool = False) -> list[str]:
        self._enter()
        waiting = sorted(
            (self.next_attempt[e.event_id], e.subject)
            for e in self.events.values()
            if e.state is EventState.RECEIVED
            and (e.urgency is Urgency.FRESH) == fresh
            and self.next_attempt[e.event_id] <= now
        )
        if newest:
            waiting.reverse()
        return list(dict.fromkeys(subject for _, subject in waiting[:limit]))

    def pending(self, subject: str) -> list[StripeEvent]:
        self._enter()
        found = [
            e
            for e in self.events.values()
            if e.subject == subject and e.state is EventState.RECEIVED
        ]
        return sorted(found, key=lambda event: (event.created, event.event_id))

    def applied(self, event_ids: Sequence[str], at: datetime, outcome: str) -> None:
        self._set(event_ids, state=EventState.APPLIED, last_error=None)
        self.outcomes |= dict.fromkeys(event_ids, outcome)

    def postpone(
        self, event_ids: Sequence[str], until: datetime, error: str, *, parked: bool = False
    ) -> None:
        urgency = {"urgency": Urgency.PARKED} if parked else {}
        self._set(event_ids, last_error=error, **urgency)
        self.next_attempt |= dict.fromkeys(event_ids, until)

    def rest(self, event_ids: Sequence[str], until: datetime) -> None:
        self._enter()
        self.next_attempt |= dict.fromkeys(event_ids, until)

    def fail(self, event_ids: Sequence[str], error: str) -> None:
        self._set(event_ids, state=EventState.FAILED, last_error=error)

    def wake(self, customer_id: str, now: datetime) -> None:
        self._enter()
        for event in list(self.events.values()):
            waits = event.parked and event.state is not EventState.APPLIED
            if waits and event.customer_id == customer_id:
                self.next_attempt[event.event_id] = now
                woken = replace(event, urgency=Urgency.FRESH, state=EventState.RECEIVED)
                self.events[event.event_id] = woken

    def record(self, subject: str) -> StripeRecord | None:
        self._enter()
        return self.records.get(subject)

    def save(self, record: StripeRecord) -> bool:
        self._enter()
        known = self.records.get(record.subject)
        if (known.revision if known else 0) != record.revision - 1:
            return False
        # What is read is never the object that was saved: a database makes another of it.
        kept = RECORD.dump_python(record, mode="json")
        self.records[record.subject] = RECORD.validate_python(kept)
        return True

    def note_listed(self, subjects: Sequence[str], at: datetime) -> None:
        self._enter()
        self.listed |= dict.fromkeys(self.records.keys() & set(subjects), at)

    def unlisted(self, since: datetime, after: str, limit: int) -> list[str]:
        self._enter()
        found = [
            subject
            for subject, record in sorted(self.records.items())
            if subject > after and record.state is not None and not record.state.is_ended
        ]
        old = [s for s in found if s not in self.listed or self.listed[s] < since]
        return old[:limit]

    def user_of_customer(self, customer_id: str) -> UserId | None:
        self._enter()
        return self.customers.get(customer_id)

    def ownerless(self, customer_id: str) -> list[str]:
        self._enter()
        found = self.records.values()
        theirs = [r for r in found if r.customer_id == customer_id]
        return [r.subject for r in theirs if r.user_id is None or r.owed]

    def living(self, user_id: UserId) -> list[StripeRecord]:
        self._enter()
        theirs = [record for record in self.records.values() if record.user_id == user_id]
        return [r for r in theirs if r.state is not None and not r.state.is_ended]

    def waiting(self) -> Waiting:
        self._enter()
        received = [e.urgency for e in self.events.values() if e.state is EventState.RECEIVED]
        dead = sum(e.state is EventState.FAILED for e in self.events.values())
        fresh, found, parked = map(received.count, Urgency)
        return Waiting(fresh, found, parked, dead)

    def unapplied(self, limit: int) -> list[StripeEvent]:
        self._enter()
        found = [replace(e, body="") for e in self.events.values()]
        failed = [e for e in found if e.state is EventState.FAILED]
        return [*failed, *(e for e in found if e.state is EventState.RECEIVED)][:limit]

    def known_events(self, event_ids: Sequence[str]) -> set[str]:
        self._enter()
        found = self.events.keys() & set(event_ids)
        return {name for name in found if self.events[name].state is not EventState.FAILED}

    def trim(self, before: datetime) -> int:
        self._enter()
        old = [
            e.event_id
            for e in self.events.values()
            if e.received_at < before
            and (e.state is EventState.APPLIED or (e.state is EventState.FAILED and e.parked))
        ]
        for event_id in old:
            del self.events[event_id]
        return len(old)

    def place(self) -> ReconcilePlace | None:
        self._enter()
        return self._place

    def note_place(self, place: ReconcilePlace | None) -> None:
        self._enter()
        self._place = place

    def _set(self, event_ids: Sequence[str], **fields: Any) -> None:
        self._enter()
        for event_id in event_ids:
            known = self.events[event_id]
            self.events[event_id] = replace(known, attempts=known.attempts + 1, **fields)

    def _enter(self) -> None:
        if self.unavailable:
            raise StorageUnavailableError("a fault was asked for")


class FakeStripe:
    """A `StripeApi` whose objects a test sets. `away` makes every call fail."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[Payload]] = {}
        self.invoices_of: dict[str, str] = {}
        self.checkouts_of: dict[str, str] = {}
        self.pages: dict[str, list[Payload]] = {}
        self.calls: list[str] = []
        self.away = False

    def subscription(self, subscription_id: str) -> Payload | None:
        return self._get(subscription_id)

    def invoice(self, invoice_id: str) -> Payload | None:
        return self._get(invoice_id)

    def price(self, price_id: str) -> Payload | None:
        return self._get(price_id)

    def product(self, product_id: str) -> Payload | None:
        return self._get(product_id)

    def customer(self, customer_id: str) -> Payload | None:
        return self._get(customer_id)

    def checkout(self, session_id: str) -> Payload | None:
        return self._get(session_id)

    def charge(self, charge_id: str) -> Payload | None:
        return self._get(charge_id)

    def refund(self, refund_id: str) -> Payload | None:
        return self._get(refund_id)

    def dispute(self, dispute_id: str) -> Payload | None:
        return self._get(dispute_id)

    def disputes(self, charge_id: str) -> list[Payload]:
        self._enter(f"disputes of {charge_id}")
        found = self.objects.values()
        return [d for d in found if (d.get("object"), d.get("charge")) == ("dispute", charge_id)]

    def checkout_lines(self, session_id: str) -> list[Payload]:
        self._enter(session_id)
        return self.lines.get(session_id, [])

    def invoice_paid_by(self, payment_intent: str) -> str | None:
        self._enter(payment_intent)
        return self.invoices_of.get(payment_intent)

    def checkout_paid_by(self, payment_intent: str) -> str | None:
        self._enter(payment_intent)
        return self.checkouts_of.get(payment_intent)

    def page(self, kind: str, after: str | None, since: int | None) -> tuple[list[Payload], bool]:
        self._enter(f"{kind} after {after}")
        found = self.pages.get(kind, [])
        ids = [one["id"] for one in found]
        begin = ids.index(after) + 1 if after else 0
        return found[begin : begin + 2], len(found) > begin + 2

    def _get(self, name: str) -> Payload | None:
        self._enter(name)
        return copy.deepcopy(self.objects.get(name))

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        if self.away:
            raise StripeAwayError("a fault was asked for")
