"""The operation that Stripe calls: an event is kept before it is answered.

The bare request, because the signature is over its bytes. What is not signed by one of our
secrets is 400, whatever is wrong with it, and leaves no trace.
"""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from actors.edge.backend import StripeDesk
from actors.edge.problem_bodies import Problem, documented
from actors.edge.problems import RequestRefused, make_problem
from actors.protocol.reports import StripeEventReport, StripeWaiting
from actors.protocol.store import StoreError
from actors.stripe.api import BadSignatureError, verify_signature
from actors.stripe.objects import UnreadablePayloadError
from actors.stripe.payloads import read_event
from actors.stripe.records import StripeEvent, StripeStore

HEADER_LENGTH_MAX = 4_096
UNAPPLIED_MAX = 1_000  # Events listed for operators.


class KeptEvent(BaseModel):
    """An event is kept."""

    received: bool = Field(examples=[True])
    repeated: bool = Field(examples=[False])
    """It was kept before."""


def add_stripe_operations(app: FastAPI, desk: StripeDesk) -> None:
    """Add the operation that takes Stripe's events; without secrets it is not there."""

    @app.post(
        "/stripe/webhook",
        responses={status: documented(status, Problem) for status in (400, 404, 408, 413, 503)},
        openapi_extra={"security": []},
    )
    async def take_event(request: Request) -> KeptEvent:
        """Keep an event of Stripe's. It is applied behind the answer, once."""
        if not desk.secrets:
            raise RequestRefused(make_problem("not_found", "Stripe is not set up"))
        event = read_signed(desk, await request.body(), request.headers)
        try:
            is_new = await asyncio.to_thread(desk.store.keep, event)
        except StoreError:
            title = "The event cannot be kept now; send it again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None
        return KeptEvent(received=True, repeated=not is_new)


def read_signed(desk: StripeDesk, body: bytes, headers: Any) -> StripeEvent:
    """Return the event of a body that one of our secrets has signed."""
    now, header = desk.clock(), headers.get("stripe-signature", "")[:HEADER_LENGTH_MAX]
    try:
        text = verify_signature(body, header, desk.secrets, now.timestamp())
        return read_event(text, now)
    except (BadSignatureError, UnreadablePayloadError):
        problem = make_problem("bad_signature", "This is no event that Stripe has signed for us")
        raise RequestRefused(problem) from None


async def stripe_events(store: StripeStore) -> tuple[list[StripeEventReport], StripeWaiting]:
    """Return what of Stripe's is not applied, dead letters first, and how much of it there is.

    May raise StoreError.
    """
    found = await asyncio.to_thread(store.unapplied, UNAPPLIED_MAX)
    count = await asyncio.to_thread(store.waiting)
    listed = [
        StripeEventReport(
            id=event.event_id,
            type=event.type,
            subject=event.subject,
            state=str(event.state),
            parked=event.parked,
            attempts=event.attempts,
            last_error=event.last_error,
            received_at=event.received_at,
        )
        for event in found
    ]
    return listed, StripeWaiting(**asdict(count))
