"""What a problem body says (RFC 9457), with examples: of each model, status and some operations."""

from datetime import datetime
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from domain.api.fields import shown
from domain.messages import Limit

MEDIA_TYPE = "application/problem+json"
REFERENCE = "#/components/schemas/"  # Where the OpenAPI document keeps what answers name.


def problem(code: str, status: int, title: str, **more: Any) -> dict[str, Any]:
    """Return a problem body."""
    base = {"type": "about:blank", "title": title, "status": status, "detail": title, "code": code}
    return base | more


class FieldError(BaseModel):
    """One field that is not valid."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str


class InvalidRequest(Problem):
    """A request that cannot be decided, with the fields that are wrong."""

    model_config = shown(
        **problem(
            "invalid_request",
            422,
            "The request is not valid",
            errors=[{"field": "credit_amount", "message": "Input should be a valid integer"}],
        )
    )

    errors: list[FieldError]


class InsufficientCredits(Problem):
    """A charge that the credits do not cover, and when they would."""

    model_config = shown(
        **problem(
            "insufficient_credits",
            402,
            "The remaining credits do not cover the charge",
            limit="daily",
            remaining_credits=10,
            required_credits=30,
            available_at="2026-03-11T00:00:00Z",
        )
    )

    limit: Limit
    remaining_credits: int
    required_credits: int
    available_at: datetime | None


class NotReady(Problem):
    """What the service waits for."""

    model_config = shown(
        **problem(
            "storage_unavailable", 503, "The service waits for: database", missing=["database"]
        )
    )

    missing: list[str]


def documented(status: int, *models: type[Problem]) -> dict[str, Any]:
    """Return the documentation of an answer that is one of these problems.

    It names them. A `model` of FastAPI's would have a validator made for every answer of every
    operation, which nobody uses: most of the time that building the interface takes.
    """
    named = [{"$ref": f"{REFERENCE}{model.__name__}"} for model in models]
    schema = named[0] if len(named) == 1 else {"anyOf": named}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEMS: dict[str, dict[str, Any]] = {
    "400": problem("bad_signature", 400, "This is no event that Stripe has signed for us"),
    "401": problem("unauthorized", 401, "A valid API key or token is needed"),
    "403": problem("forbidden", 403, "This needs a key with the scope admin"),
    "404": problem("not_found", 404, "There is no such subscription"),
    "408": problem("request_timeout", 408, "The body did not arrive in time"),
    "409": problem("hold_closed", 409, "The hold is closed"),
    "413": problem("too_large", 413, "A body has at most 1048576 bytes"),
    "415": problem("unsupported_media_type", 415, "A body is JSON"),
    "429": problem("rate_limited", 429, "This caller has sent too many requests"),
    "503": problem("overloaded", 503, "The service is overloaded; try again later"),
}
"""Examples of problems of the plain kind, by status."""
NO_KEY = problem("not_found", 404, "There is no such key in force")
NO_ENDPOINT = problem("not_found", 404, "There is no such endpoint")
NO_HOLD = problem("not_found", 404, "There is no such hold")
CLOSER_PROBLEMS: dict[tuple[str, str], dict[str, Any]] = {
    ("/subscription/usage/{usage_id}/reversals", "404"): problem(
        "not_found", 404, "There is no such charge"
    ),
    ("/subscription/usage/{usage_id}/reversals", "409"): problem(
        "already_reversed", 409, "All of the charge was reversed"
    ),
    ("/admin/keys/{key_id}", "404"): NO_KEY,
    ("/admin/keys/{key_id}/rotate", "404"): NO_KEY,
    **{
        (f"/admin/endpoints/{{endpoint_id}}{act}", "404"): NO_ENDPOINT
        for act in ("", "/rotate", "/test")
    },
    ("/subscription/holds/{hold_id}", "404"): NO_HOLD,
    ("/subscription/holds/{hold_id}/settle", "404"): NO_HOLD,
}
"""Those of single operations, by path and status."""
