"""Compares what we know with what Stripe has: subscriptions, paid invoices, events.

It changes nothing itself. What differs is kept as an event, and applied as events are: so one
that arrives meanwhile is never overwritten, and everything is granted once. A page that fails
fails the run, and the next one goes on where it was.

What we hold and Stripe does not have is named, and left as it is: the key of another account
would otherwise end every subscription there is. One that nobody renews ends by itself.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from actors.protocol.errors import UnavailableError
from actors.protocol.reports import Findings
from actors.stripe.api import StripeAwayError
from actors.stripe.digest import state_of
from actors.stripe.lookups import Lookups
from actors.stripe.objects import Subscription, UnreadablePayloadError
from actors.stripe.payloads import APPLICABLE, THIN, plain_type, read_event
from actors.stripe.records import ReconcilePlace, StripeRecord, StripeStore, Urgency
from actors.stripe.shapes import Payload, read_invoice, read_subscription
from domain.stripe import StripeLink
from domain.values import UserId, parse_user_id

UNLISTED = "unlisted"
KINDS = ("subscriptions", UNLISTED, "invoices", "events")
SINCE = timedelta(days=30)  # Stripe keeps events no longer.
KEPT = timedelta(days=60)  # How long applied events are kept here: longer, so none comes back.
UNLISTED_PAGE = 100  # Subjects that are asked for one by one, before it is noted how far it is.
PLACE_AGE_MAX = timedelta(days=1)  # What is older begins anew: its page may have gone.
ATTEMPTS_MAX = 5
PAUSE_SECONDS = 2.5  # More than the look-ups leave Stripe alone for.

T = TypeVar("T")


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
        now = self._clock().replace(microsecond=0)  # As exact as every database keeps it.
        place = await asyncio.to_thread(self._store.place)
        if place is None or place.began_at < now - PLACE_AGE_MAX:
            place = ReconcilePlace(KINDS[0], None, 0, 0, now)
        found = Findings(checked=place.checked, differed=place.differed)
        for kind in KINDS[KINDS.index(place.kind) :]:
            after = place.after if kind == place.kind else None
            compare_all = self._compare_unlisted if kind == UNLISTED else self._compare_listed
            await compare_all(replace(place, kind=kind, after=after), found)
        await asyncio.to_thread(self._store.note_place, None)
        found.trimmed = await asyncio.to_thread(self._store.trim, self._clock() - KEPT)
        return found

    async def _compare_listed(self, place: ReconcilePlace, found: Findings) -> None:
        """Compare all that Stripe lists of one kind with what we know."""
        kind, after, more = place.kind, place.after, True
        since = None if kind == "subscriptions" else int((place.began_at - SINCE).timestamp())
        while more:
            page, more = await self._insist(partial(self._lookups.page, kind, after, since))
            await asyncio.to_thread(self._compare, place, page, found)
            after = str(page[-1].get("id")) if page else after
            more = more and bool(page)
            await self._note(place, after, found)

    async def _compare_unlisted(self, place: ReconcilePlace, found: Findings) -> None:
        """Ask for each subscription that lives here and that Stripe has not listed."""
        after = place.after or ""
        while True:
            subjects = await asyncio.to_thread(
                self._store.unlisted, place.began_at, after, UNLISTED_PAGE
            )
            for subject in subjects:
                theirs = await self._insist(partial(self._lookups.subscription, subject))
                await asyncio.to_thread(self._compare_one, subject, theirs, found)
            if not subjects:
                return
            after = subjects[-1]
            await self._note(place, after, found)

    async def _note(self, place: ReconcilePlace, after: str | None, found: Findings) -> None:
        here = replace(place, after=after, checked=found.checked, differed=found.differed)
        await asyncio.to_thread(self._store.note_place, here)

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        for _ in range(ATTEMPTS_MAX):
            try:
                return await ask()
            except StripeAwayError:
                await self._sleep(PAUSE_SECONDS)
        raise UnavailableError

    def _compare_one(self, subject: str, theirs: Subscription | None, found: Findings) -> None:
        """Compare one subscription that was asked for. None: Stripe says that it has none."""
        if theirs is not None:  # It has begun while the others were listed.
            self._compare_objects(self._compare_subscription, [theirs], found)
            return
        found.checked += 1
        record = self._store.record(subject)
        if record is not None and record.state is not None and not record.state.is_ended:
            found.note_difference(f"{subject}: {record.state.status} here, Stripe has none")

    def _compare(self, place: ReconcilePlace, page: list[Payload], found: Findings) -> None:
        compare = {
            "subscriptions": lambda one: self._compare_subscription(read_subscription(one)),
            "invoices": self._compare_invoice,
            "events": self._compare_event,
        }[place.kind]
        names = [str(one.get("id")) for one in page]
        if place.kind == "subscriptions":
            self._store.note_listed(names, place.began_at)
        known = self._store.known_events(names)
        self._compare_objects(compare, [one for one in page if one.get("id") not in known], found)
        found.checked += len(known)

    def _compare_objects(
        self,
        compare: Callable[[T], str | None],
        objects: Sequence[T],
        found: Findings,
    ) -> None:
        for one in objects:
            found.checked += 1
            try:
                difference = compare(one)
            except UnreadablePayloadError:
                found.quarantined += 1
                continue
            if difference is not None:
                found.note_difference(difference)

    def _compare_subscription(self, theirs: Subscription) -> str | None:
        state = theirs.state()
        record = self._store.record(state.subscription_id)
        renamed = None if record is None or state.is_ended else _renamed(record, theirs)
        behind = self._behind(record, theirs)
        if behind is None:
            return renamed
        now = self._clock()
        # A thin event has Stripe asked again when it is applied: nothing newer is overwritten.
        self._keep(
            {
                "id": f"reconcile {state.subscription_id} {int(now.timestamp())}",
                "object": THIN,
                "type": "v1.customer.subscription.updated",
                "created": now.isoformat(),
                "livemode": theirs.livemode,
                "related_object": {"id": state.subscription_id, "type": "subscription"},
            }
        )
        return behind if renamed is None else f"{behind}; {renamed}"

    def _behind(self, record: StripeRecord | None, theirs: Subscription) -> str | None:
        """Say what is to be applied of a subscription; None: nothing."""
        state = theirs.state()
        ours = state_of(record) if record else None
        if record is None or ours is None or not _is_same(ours, theirs):
            return f"{state.subscription_id}: {ours.status if ours else 'unknown'} here, {state.status}"
        named = self._named_now(record, theirs)
        if named is not None:
            return f"{state.subscription_id}: nobody's here, it is {named}'s"
        if record.owed and record.user_id is not None:
            return f"{state.subscription_id}: payments of {record.user_id} are not all granted"
        return None

    def _named_now(self, record: StripeRecord, theirs: Subscription) -> UserId | None:
        """Return whose a subscription is that was nobody's; None where that is as it was."""
        if record.user_id is not None:
            return None
        named = _user_in(theirs)
        if named is not None:
            try:
                return parse_user_id(named)
            except ValueError:  # Its dead letter says so.
                return None
        if theirs.customer_id is None:
            return None
        return self._store.user_of_customer(theirs.customer_id)

    def _compare_invoice(self, theirs: Payload) -> str | None:
        invoice = read_invoice(theirs)
        invoice_id = invoice.id
        if invoice.subscription_id is None or invoice_id is None:
            return None
        record = self._store.record(invoice.subscription_id)
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
        found = read_event(json.dumps(event), self._clock())
        return self._store.keep(replace(found, urgency=Urgency.FOUND))


def _is_same(ours: StripeLink, theirs: Subscription) -> bool:
    """Say whether a state is the known one. What hangs on items is known of the whole list only."""
    if not theirs.has_more_items:
        return ours == theirs.state()
    return _without_items(ours) == _without_items(theirs.state())


def _without_items(state: StripeLink) -> StripeLink:
    return replace(state, items=(), period_end=None)


def _user_in(theirs: Subscription) -> str | None:
    """Return the user that a subscription names, else its customer."""
    return theirs.user or theirs.customer_user


def _renamed(record: StripeRecord, theirs: Subscription) -> str | None:
    """Name a subscription that stays with its user and names another one; None: it does not."""
    named = _user_in(theirs)
    if record.anonymous or record.user_id is None or named in (None, record.user_id):
        return None
    return f"{record.subject}: pays for {record.user_id} here, {named!r} in its metadata"
