"""Compares what we know with what Stripe has: subscriptions, paid invoices, events.

It changes nothing itself. What differs is kept as an event, and applied as events are: so one
that arrives meanwhile is never overwritten, and everything is granted once. A page that fails
fails the run, and the next one goes on where it was.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from actors.failures import UnavailableError
from actors.reports import Findings
from actors.stripe_api import StripeAwayError
from actors.stripe_lookups import Lookups
from actors.stripe_news import state_of
from actors.stripe_reading import (
    CHECKOUT_EVENTS,
    INVOICE_EVENTS,
    REFUND_EVENTS,
    SUBSCRIPTION_EVENTS,
    THIN,
    Payload,
    UnreadablePayloadError,
    id_of,
    plain_type,
    read_event,
    read_subscription,
    subscription_of_invoice,
)
from actors.stripe_records import ReconcilePlace, StripeStore

KINDS = ("subscriptions", "invoices", "events")
SINCE = timedelta(days=30)  # Stripe keeps events no longer.
KEPT = timedelta(days=60)  # How long applied events are kept here: longer, so none comes back.
PAGE_ATTEMPTS_MAX = 5
PAGE_PAUSE_SECONDS = 2.5  # More than the look-ups leave Stripe alone for.
APPLICABLE = SUBSCRIPTION_EVENTS | INVOICE_EVENTS | CHECKOUT_EVENTS | REFUND_EVENTS


class Reconciliation:
    """The job that compares with Stripe."""

    def __init__(
        self,
        store: StripeStore,
        lookups: Lookups,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._lookups = lookups
        self._clock = clock
        self._sleep = sleep

    async def run(self, _due: datetime) -> Findings:
        """Compare everything. Raises StoreError, StripeError, UnavailableError."""
        begun = ReconcilePlace(KINDS[0], None, 0, 0, self._clock())
        place = await asyncio.to_thread(self._store.place) or begun
        found = Findings(checked=place.checked, differed=place.differed)
        for kind in KINDS[KINDS.index(place.kind) :]:
            after = place.after if kind == place.kind else None
            await self._compare_all(kind, after, found, place)
        await asyncio.to_thread(self._store.note_place, None)
        found.trimmed = await asyncio.to_thread(self._store.trim, self._clock() - KEPT)
        return found

    async def _compare_all(
        self, kind: str, after: str | None, found: Findings, begun: ReconcilePlace
    ) -> None:
        since = None if kind == "subscriptions" else int((begun.began_at - SINCE).timestamp())
        more = True
        while more:
            page, more = await self._page(kind, after, since)
            await asyncio.to_thread(self._compare, kind, page, found)
            after = str(page[-1].get("id")) if page else after
            more = more and bool(page)
            place = replace(
                begun, kind=kind, after=after, checked=found.checked, differed=found.differed
            )
            await asyncio.to_thread(self._store.note_place, place)

    async def _page(
        self, kind: str, after: str | None, since: int | None
    ) -> tuple[list[Payload], bool]:
        for _ in range(PAGE_ATTEMPTS_MAX):
            try:
                return await self._lookups.page(kind, after, since)
            except StripeAwayError:
                await self._sleep(PAGE_PAUSE_SECONDS)
        raise UnavailableError

    def _compare(self, kind: str, page: list[Payload], found: Findings) -> None:
        compare = {
            "subscriptions": self._compare_subscription,
            "invoices": self._compare_invoice,
            "events": self._compare_event,
        }[kind]
        known = self._store.known_events([str(one.get("id")) for one in page])
        for one in page:
            found.checked += 1
            if str(one.get("id")) in known:
                continue
            try:
                difference = compare(one)
            except UnreadablePayloadError:
                found.quarantined += 1
                continue
            if difference is not None:
                found.note_difference(difference)

    def _compare_subscription(self, theirs: Payload) -> str | None:
        state = read_subscription(theirs)
        record = self._store.record(state.subscription_id)
        ours = state_of(record) if record else None
        if ours == state:
            return None
        now = self._clock()
        # A thin event has Stripe asked again when it is applied: nothing newer is overwritten.
        self._keep(
            {
                "id": f"reconcile {state.subscription_id} {int(now.timestamp())}",
                "object": THIN,
                "type": "v1.customer.subscription.updated",
                "created": now.isoformat(),
                "livemode": theirs.get("livemode") is True,
                "related_object": {"id": state.subscription_id, "type": "subscription"},
            }
        )
        return f"{state.subscription_id}: {ours.status if ours else 'unknown'} here, {state.status}"

    def _compare_invoice(self, theirs: Payload) -> str | None:
        subject, invoice_id = subscription_of_invoice(theirs), id_of(theirs)
        if subject is None or invoice_id is None:
            return None
        record = self._store.record(subject)
        if record is not None and invoice_id in record.payments:
            return None
        paid_at = (theirs.get("status_transitions") or {}).get("paid_at")
        kept = self._keep(
            {
                "id": f"reconcile {invoice_id}",
                "object": "event",
                "type": "invoice.paid",
                "created": paid_at or theirs.get("created"),
                "livemode": theirs.get("livemode") is True,
                "data": {"object": theirs},
            }
        )
        return f"{invoice_id}: not granted" if kept else None

    def _compare_event(self, theirs: Payload) -> str | None:
        if plain_type(str(theirs.get("type"))) not in APPLICABLE:
            return None
        return f"{theirs.get('id')}: not delivered" if self._keep(theirs) else None

    def _keep(self, event: Mapping[str, Any]) -> bool:
        return self._store.keep(read_event(json.dumps(event), self._clock()))
