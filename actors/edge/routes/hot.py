"""The two operations of an application's every request: status and usage."""

from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from actors.edge.at_once import Operation, Place, parsed, writing
from actors.edge.backend import NEEDS_KEY_OR_TOKEN, Backend
from actors.edge.callers import WRITES, call_of, require_reading
from actors.edge.responses import Done, answered, problems, written
from actors.edge.routes.subscription import KeyHeader, UserIdQuery
from actors.protocol.calls import body_of
from domain.api.answers import CreditStatusResponse, UsageRecordResponse
from domain.api.requests import RecordUsageBody, UserIdText
from domain.values import UserId

USER_ID: TypeAdapter[str] = TypeAdapter(UserIdText)
READS: dict[str, Any] = {"openapi_extra": {"security": NEEDS_KEY_OR_TOKEN}}


def add_hot_operations(app: FastAPI, backend: Backend) -> dict[Place, Operation]:
    """Document status and usage in the interface, and return them by their places."""
    router = backend.router

    @app.get(
        "/subscription/status", response_model=CreditStatusResponse, responses=problems(), **READS
    )
    async def get_status(request: Request, user_id: UserIdQuery) -> Response:
        """Return what a user has today, from the owning shard's RAM."""
        require_reading(request, UserId(user_id), of_services=False)
        return Done(body_of(await router.status(UserId(user_id))))

    async def get_status_at_once(request: Request) -> Response:
        return await get_status(
            request, parsed(USER_ID, "user_id", request.query_params.get("user_id"))
        )

    @app.post(
        "/subscription/usage",
        status_code=201,
        response_model=UsageRecordResponse,
        responses=written(402),
        **WRITES,
    )
    async def record_usage(
        request: Request, body: RecordUsageBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Charge credits to today."""
        call = call_of(request, body.command(), idempotency_key)
        return await answered(backend, await router.call(call), 201)

    return {
        ("GET", "/subscription/status"): get_status_at_once,
        ("POST", "/subscription/usage"): writing(RecordUsageBody, record_usage),
    }
