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

from actors.protocol.calls import Calls, Outcome, Reply, service_call
from actors.stripe.commands import CannotBeAppliedError, check, commands_of, states_again
from actors.stripe.digest import Digest, known_as_told, with_owner
from actors.stripe.lookups import Lookups
from actors.stripe.objects import Customer, Notice, UnreadablePayloadError
from actors.stripe.owners import Owners, check_waits, has_credits
from actors.stripe.payloads import (
    CHECKOUT_EVENTS,
    CUSTOMER_EVENTS,
    INVOICE_EVENTS,
    MONEY_EVENTS,
    SUBSCRIPTION_EVENTS,
    subject_of,
)
from actors.stripe.precedence import ToldState, Verdict, choose, last_resort
from actors.stripe.records import StripeRecord, StripeStore
from actors.stripe.refunds import Refunds, with_money_back
from actors.stripe.tidings import Tidings
from domain.messages import Command
from domain.values import UserId

IGNORED = "ignored"
APPLIED = "applied"
NOBODYS = "nobody's"
STRIPE = "stripe"  # Who has asked for it, as the journal keeps it.

T = TypeVar("T")
Turns = WeakValueDictionary[str, asyncio.Lock]
"""What lets one piece of work at a time change a record."""


class RecordTakenError(Exception):
    """Another incarnation has saved the record meanwhile: read it again."""


class Applier:
    """Applies events, subject by subject.

    Raises StripeError, StoreError, RecordTakenError, UnknownUserError, UnreadablePayloadError,
    CannotBeAppliedError.
    """

    def __init__(
        self,
        store: StripeStore,
        lookups: Lookups,
        router: Calls,
        clock: Callable[[], datetime],
        turns: "Turns | None" = None,
    ) -> None:
        """Share `turns` with all who apply events beside this one."""
        self._store = store
        self._lookups = lookups
        self._router = router
        self._clock = clock
        self._tidings = Tidings(lookups)
        self._refunds = Refunds(lookups)
        self._owners = Owners(store, lookups)
        self._turns = Turns() if turns is None else turns

    async def apply(self, subject: str, events: Sequence[Notice]) -> str:
        """Apply all events of one subject, and return what came of it."""
        kinds = {event.kind for event in events}
        if kinds & CUSTOMER_EVENTS:
            return await self._name(subject, events[-1])
        if kinds & MONEY_EVENTS:
            return await self._refund(events)
        if not kinds & (SUBSCRIPTION_EVENTS | INVOICE_EVENTS | CHECKOUT_EVENTS):
            return IGNORED
        subject = await self._subject(subject, events)
        async with self._turn(subject):
            return await self._bring_in(subject, events)

    async def _name(self, customer_id: str, event: Notice) -> str:
        """Give what was nobody's to the user that its customer names."""
        customer = event.about if isinstance(event.about, Customer) else None
        if customer is None or not customer.has_metadata:
            customer = await self._lookups.customer(customer_id)
        if customer is None or customer.user is None:
            return IGNORED
        failed: list[str] = []
        for subject in await self._in_thread(self._store.ownerless, customer_id):
            try:
                async with self._turn(subject):
                    await self._bring_in(subject, [])
            except (CannotBeAppliedError, UnreadablePayloadError) as error:
                failed.append(f"{subject}: {error}")
        await self._in_thread(self._store.wake, customer_id, event.kept.received_at)
        if failed:
            raise CannotBeAppliedError("; ".join(failed))
        return APPLIED

    async def _subject(self, subject: str, events: Sequence[Notice]) -> str:
        """Return what events are applied to: thin ones of an invoice do not name it."""
        if not events[0].is_thin or events[0].kind in SUBSCRIPTION_EVENTS:
            return subject
        about = await self._lookups.whole(events[0])
        return (None if about is None else subject_of(about)) or subject

    def _turn(self, subject: str) -> asyncio.Lock:
        """Return what lets one piece of work at a time change a record."""
        return self._turns.setdefault(subject, asyncio.Lock())

    async def _bring_in(self, subject: str, events: Sequence[Notice]) -> str:
        known = await self._in_thread(self._store.record, subject)
        digest = Digest(known or StripeRecord(subject))
        digest.aged = known is not None and known.state is not None and known.user_id is None
        for event in events:
            await self._tidings.read(digest, event)
        if known is not None and events and not (digest.partial or digest.must_ask):
            ask = has_credits(digest.record)
            if await self._owners.find(digest.record, ask=ask) is None:
                self._take_told(digest)
                return await self._leave(known, digest.record)
        await self._settle_state(digest)
        if digest.record.state is None and not digest.record.payments:
            await self._save(known, digest.record)
            return IGNORED
        return await self._tell(known, digest)

    # --- the state ----------------------------------------------------------------------

    async def _settle_state(self, digest: Digest) -> None:
        verdict = self._take_told(digest)
        ended = digest.record.state is not None and digest.record.state.is_ended
        silent = digest.record.state is None and digest.must_ask
        behind = digest.invoiced > digest.record.stamp or digest.partial or silent or digest.aged
        if verdict is Verdict.ASK or (behind and not ended):
            await self._ask(digest, verdict)

    def _take_told(self, digest: Digest) -> ToldState | Verdict:
        """Take up the state that counts among those told, where that can be said."""
        verdict = choose(digest.record, digest.told)
        if isinstance(verdict, ToldState):
            digest.record = replace(
                digest.record,
                state=verdict.state,
                stamp=max(verdict.created, digest.record.stamp),
                asked=False,
                event_id=verdict.event_id,
            )
        return verdict

    async def _ask(self, digest: Digest, verdict: ToldState | Verdict) -> None:
        """Ask Stripe. What it says was true when we asked, and contains all that was told."""
        asked_at = int(self._clock().timestamp())  # Before the request, not after it.
        record = digest.record
        found = await self._lookups.subscription(record.subject)
        if found is None:  # It was deleted with all test data; or it was never there.
            if verdict is Verdict.ASK:
                known = [] if record.state is None else [known_as_told(record, record.state)]
                told = last_resort([*digest.told, *known])
                digest.record = replace(
                    record, state=told.state, stamp=told.created, event_id=told.event_id
                )
            return
        digest.record = replace(
            with_owner(record, found),
            state=found.state(),
            stamp=max(asked_at, digest.newest, record.stamp),
            asked=True,
            event_id="",
        )

    # --- refunds and disputes -----------------------------------------------------------

    async def _refund(self, events: Sequence[Notice]) -> str:
        """Void the share of what was paid for that has gone back, and no more."""
        charge = await self._refunds.find(events)
        if charge is None:
            return IGNORED
        async with self._turn(charge.subject):
            known = await self._in_thread(self._store.record, charge.subject)
            # Asked after the record was read: who asked before another saved it asks again.
            back = await self._refunds.read(charge)
            if back is None:
                return IGNORED
            digest = Digest(with_money_back(known or StripeRecord(charge.subject), back))
            digest.touched.append(charge.payment)
            if charge.payment not in digest.record.payments:  # It is voided when it is granted.
                await self._save(known, digest.record)
                return APPLIED
            return await self._tell(known, digest)

    # --- telling the shard --------------------------------------------------------------

    async def _tell(self, known: StripeRecord | None, digest: Digest) -> str:
        owner = await self._owners.find(digest.record, ask=True)
        if owner is None:
            return await self._leave(known, digest.record)
        owed = digest.record.owed
        if digest.record.user_id is None:
            # What was paid before is told now, or by a later attempt.
            owed = tuple(p for p in digest.record.payments if p not in digest.touched)
        record = await self._save(known, replace(digest.record, user_id=owner, owed=owed))
        others = await self._living_beside(record, owner)
        commands = commands_of(record, [*digest.touched, *owed])
        for command, key in [*commands, *states_again(others, owner, record)]:
            reply = await self._send(command, key)
            # Where a message was lost, a refusal is the key's answer for good, though its reason may
            # have passed. A new key doubles nothing: a payment counts once under whatever key, and a
            # state or a refund under an older revision is passed over.
            if reply.replayed and reply.outcome is Outcome.REFUSED:
                reply = await self._send(command, f"{key} again {self._clock().isoformat()}")
            check(reply)
        await self._save(record, replace(record, owed=()))
        return APPLIED

    async def _living_beside(self, record: StripeRecord, owner: UserId) -> list[StripeRecord]:
        """Return what the user's subscription can follow once Stripe has ended this."""
        if record.state is None or not record.state.is_ended:
            return []
        return await self._in_thread(self._store.living, owner)

    async def _send(self, command: Command, key: str) -> Reply:
        (reply,) = await self._router.calls([service_call(command, key, STRIPE)])
        return reply

    async def _leave(self, known: StripeRecord | None, record: StripeRecord) -> str:
        """Keep what is nobody's. Raises UnknownUserError where it is worth waiting."""
        await self._save(known, record)
        check_waits(record, self._clock())
        return NOBODYS

    async def _save(self, known: StripeRecord | None, record: StripeRecord) -> StripeRecord:
        if record == (known or StripeRecord(record.subject)):
            return record
        numbered = replace(record, revision=(known.revision if known else 0) + 1)
        if not await self._in_thread(self._store.save, numbered):
            raise RecordTakenError
        return numbered

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.to_thread(call, *args)
