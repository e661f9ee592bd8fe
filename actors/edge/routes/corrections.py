"""The operations that correct: charges reversed, balances adjusted."""

from typing import Annotated

from fastapi import FastAPI, Path, Request, Response

from actors.edge.backend import Backend, find_settled
from actors.edge.callers import ADMIN_OF_ONE, WRITES, call_of
from actors.edge.responses import answered, written
from actors.edge.routes.subscription import KeyHeader
from actors.protocol.errors import UsageNotFoundError
from actors.protocol.store import ChargedUsage
from domain.api.correction_answers import AdjustmentResponse, ReversalResponse
from domain.api.correction_requests import AdjustCreditsBody, ReverseUsageBody
from domain.api.requests import TEXT_LENGTH_MAX
from domain.values import is_object_id

UsageId = Annotated[
    str,
    Path(min_length=1, max_length=TEXT_LENGTH_MAX, description="The id of the charge."),
]


def add_correcting_operations(app: FastAPI, backend: Backend) -> None:
    """Add reversals, which need the scope write, and adjustments, which need admin."""

    @app.post(
        "/subscription/usage/{usage_id:segment}/reversals",
        status_code=201,
        response_model=ReversalResponse,
        responses=written(404, 409),
        **WRITES,
    )
    async def reverse_usage(
        request: Request,
        usage_id: UsageId,
        body: ReverseUsageBody,
        idempotency_key: KeyHeader = None,
    ) -> Response:
        """Give back what a charge has taken, or a part of it, to where it came from.

        What was taken last goes back first. What came from a past day rolls over to today as far
        as the roll-over rule lets it; what came from a subscription or a pack that has ended lapses.
        """
        found = await find_charged(backend, usage_id)
        command = body.command(found.user_id, usage_id)
        call = call_of(request, command, idempotency_key, found.service_type)
        return await answered(backend, await backend.router.call(call), 201)

    @app.post(
        "/subscription/adjustments",
        status_code=201,
        response_model=AdjustmentResponse,
        responses=written(402),
        **ADMIN_OF_ONE,
    )
    async def adjust_credits(
        request: Request, body: AdjustCreditsBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Give or take credits, or set what is left to a number.

        What is given is a pack of the category `adjustment`. What is taken is taken as a charge is,
        today's credits first, and counts as no use.
        """
        call = call_of(request, body.command(), idempotency_key)
        return await answered(backend, await backend.router.call(call), 201)


async def find_charged(backend: Backend, usage_id: str) -> ChargedUsage:
    """Return whom a charge was made to, and for what. Raises UsageNotFoundError."""
    if not is_object_id(usage_id):  # Nobody need look it up.
        raise UsageNotFoundError
    found = await find_settled(backend, lambda: backend.overview.charged(usage_id))
    if found is None:
        raise UsageNotFoundError
    return found
