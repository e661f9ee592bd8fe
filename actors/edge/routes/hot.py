"""The two operations of an application's every request: status and usage.

They take the bare request, and the gate hands it to them before FastAPI sees it: its layers
cost more than all of ours. FastAPI knows the same functions, for the documentation.
"""

from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter, ValidationError

from actors.auth.caller import Scope
from actors.edge.backend import NEEDS_KEY, NEEDS_KEY_OR_TOKEN, Backend
from actors.edge.callers import call_of, require_reading, require_scope
from actors.edge.gate import Operation
from actors.edge.once import MemberTwiceError, check_members
from actors.edge.problems import RequestRefused, invalid, invalid_fields
from actors.edge.responses import Done, answered, problems, written
from actors.protocol.calls import body_of
from domain.api.answers import CreditStatusResponse, UsageRecordResponse
from domain.api.requests import COMMAS_MAX, IdempotencyKey, RecordUsageBody, UserIdText
from domain.values import UserId

USER_ID: TypeAdapter[str] = TypeAdapter(UserIdText)
KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)

STATUS_DOCUMENTED: dict[str, Any] = {
    "security": NEEDS_KEY_OR_TOKEN,
    "parameters": [
        {
            "name": "user_id",
            "in": "query",
            "required": True,
            "description": "1 to 128 printable characters, no spaces.",
            "schema": USER_ID.json_schema(),
        }
    ],
}
USAGE_DOCUMENTED: dict[str, Any] = {
    "security": NEEDS_KEY,
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A repeat gets the first answer again.",
            "schema": KEY.json_schema(),
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/RecordUsageBody"}}
        },
    },
}

T = TypeVar("T")


def add_hot_operations(app: FastAPI, backend: Backend) -> dict[tuple[str, str], Operation]:
    """Document status and usage in the interface, and return them by method and path."""
    router = backend.router

    async def get_status(request: Request) -> Response:
        """Return what a user has today, from the owning shard's RAM."""
        user_id = UserId(parsed(USER_ID, "user_id", request.query_params.get("user_id")))
        require_reading(request, user_id, of_services=False)
        return Done(body_of(await router.status(user_id)))

    async def record_usage(request: Request) -> Response:
        """Charge credits to today."""
        require_scope(request, Scope.WRITE)
        key = request.headers.get("idempotency-key")
        if key is not None:
            parsed(KEY, "Idempotency-Key", key)
        text: bytes = request.scope["body"]
        if text.count(b",") > COMMAS_MAX:  # Naming what is wrong with each part would take long.
            raise RequestRefused(invalid("body", "has more parts than a charge can have"))
        try:
            body = RecordUsageBody.model_validate_json(text)
        except ValidationError as error:
            raise RequestRefused(invalid_fields(error)) from None
        try:
            check_members(text, len(body.model_fields_set))
        except MemberTwiceError as error:
            raise RequestRefused(invalid("body", str(error))) from None
        return await answered(
            backend, await router.call(call_of(request, body.command(), key)), 201
        )

    app.get(
        "/subscription/status",
        response_model=CreditStatusResponse,
        responses=problems(),
        openapi_extra=STATUS_DOCUMENTED,
    )(get_status)
    app.post(
        "/subscription/usage",
        status_code=201,
        response_model=UsageRecordResponse,
        responses=written(402),
        openapi_extra=USAGE_DOCUMENTED,
    )(record_usage)
    return {
        ("GET", "/subscription/status"): get_status,
        ("POST", "/subscription/usage"): record_usage,
    }


def parsed(adapter: TypeAdapter[T], field: str, value: object) -> T:
    """Return a checked parameter, or refuse the request and name it."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise RequestRefused(invalid_fields(error, field)) from None
