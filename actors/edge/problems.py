"""Problems: what an HTTP client is told when a request was not done."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from actors.edge.addresses import with_plus
from actors.edge.problem_bodies import (
    MEDIA_TYPE,
    FieldError,
    InsufficientCredits,
    InvalidRequest,
    Problem,
)
from actors.protocol.errors import AllotmentError, RefusedError
from domain.messages import Shortfall

RETRY_AFTER_SECONDS = 1
SECONDS_OF_A_DAY = 86_400  # What is covered later is not worth waiting for.
ERRORS_MAX = 50  # Field errors named in one body.
SAID_LENGTH_MAX = 300  # Characters of a field's name, or of what is wrong with it.
PLUS = "; a + in a query means a space, write %2B for a plus sign"

STATUS = {
    "bad_signature": 400,
    "unauthorized": 401,
    "insufficient_credits": 402,
    "no_active_subscription": 402,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "already_reversed": 409,
    "hold_closed": 409,
    "reshard_running": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "duplicate_payment": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "overloaded": 503,
    "storage_unavailable": 503,
}
_CODE_OF_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
}


class RequestRefused(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """Ends a request with a problem body."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.headers = headers


def make_problem(code: str, title: str, detail: str | None = None) -> Problem:
    """Return a problem body of a code."""
    return Problem(title=title, status=STATUS[code], detail=detail or title, code=code)


def problem_of(error: AllotmentError) -> Problem:
    """Return the problem body of a failure."""
    base = make_problem(error.code, error.title, str(error))
    shortfall = error.shortfall if isinstance(error, RefusedError) else None
    if isinstance(shortfall, Shortfall):
        return InsufficientCredits(
            **base.model_dump(),
            limit=shortfall.limit,
            remaining_credits=shortfall.remaining_credits,
            required_credits=shortfall.required_credits,
            available_at=shortfall.available_at,
        )
    if error.code != "invalid_request":
        return base
    field = error.field if isinstance(error, RefusedError) else None
    if field is None:
        return with_errors(base, [])
    message = base.detail.removeprefix(f"{field}: ")
    return with_errors(base, [FieldError(field=field, message=message)])


def with_errors(problem: Problem, errors: list[FieldError]) -> InvalidRequest:
    """Return the body with the fields that are wrong."""
    return InvalidRequest(**problem.model_dump(), errors=errors)


def invalid(field: str, message: str) -> InvalidRequest:
    """Return the body that says what is wrong with one part of a request."""
    base = make_problem("invalid_request", "The request is not valid", f"{field}: {message}")
    return with_errors(base, [FieldError(field=field, message=message)])


def invalid_fields(
    error: ValidationError | RequestValidationError,
    parameter: str | None = None,
    *,
    errors_max: int = ERRORS_MAX,
) -> InvalidRequest:
    """Return the body that names what is wrong with a request, without repeating its values.

    `parameter` is the name of a value that was checked alone.
    """
    found: Sequence[Any]
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False, include_input=False)
    else:
        found = error.errors()
    from_framework = isinstance(error, RequestValidationError)
    errors = [
        FieldError(
            field=parameter or field_of(item, from_framework=from_framework),
            message=sayable(str(item["msg"]).removeprefix("Value error, ")),
        )
        for item in found[:errors_max]
    ]
    first = errors[0] if errors else FieldError(field="", message="not valid")
    base = make_problem(
        "invalid_request", "The request is not valid", f"{first.field}: {first.message}"
    )
    return with_errors(base, errors)


def explained(problem: Problem, query: bytes) -> Problem:
    """Return a body that says so where a plus sign of an address has become a space."""
    spaced = with_plus(query)
    if not spaced or not isinstance(problem, InvalidRequest):
        return problem
    errors = [
        FieldError(field=e.field, message=e.message + PLUS * (e.field in spaced))
        for e in problem.errors
    ]
    detail = f"{errors[0].field}: {errors[0].message}" if errors else problem.detail
    return problem.model_copy(update={"errors": errors, "detail": detail})


def field_of(item: Mapping[str, Any], *, from_framework: bool) -> str:
    """Return the name of a field that is wrong: the same, whoever has found out.

    The framework puts the part of the request before it, and the place after it in JSON that
    cannot be read.
    """
    names = item["loc"][1:] if from_framework else item["loc"]
    if item["type"] == "json_invalid" or not names:
        return "body"
    return sayable(".".join(map(str, names)))


def sayable(text: str) -> str:
    """Return text of a client's as JSON can carry it: shortened, without lone surrogates."""
    return text[:SAID_LENGTH_MAX].encode(errors="replace").decode()


def respond(problem: Problem, more: Mapping[str, str] | None = None) -> Response:
    """Return the response of a problem, with more headers than its kind has."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if problem.status == 503 else {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    headers |= more or {}
    return Response(
        problem.model_dump_json(), problem.status, headers=headers, media_type=MEDIA_TYPE
    )


def waiting(available_at: datetime, now: datetime) -> dict[str, str]:
    """Return the header that says when to come again, where that is within a day."""
    seconds = ceil((available_at - now).total_seconds())
    return {"Retry-After": str(seconds)} if 0 < seconds <= SECONDS_OF_A_DAY else {}


async def on_refused(request: Request, error: Exception) -> Response:
    """Answer a request that a handler ended."""
    assert isinstance(error, RequestRefused)
    return respond(explained(error.problem, request.scope["query_string"]), error.headers)


async def on_failure(_: Request, error: Exception) -> Response:
    """Answer a command that was not done."""
    assert isinstance(error, AllotmentError)
    return respond(problem_of(error))


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer a request whose fields are not valid."""
    assert isinstance(error, RequestValidationError | ValidationError)
    return respond(explained(invalid_fields(error), request.scope["query_string"]))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code)
    if code is None:
        return respond(invalid("body", str(error.detail)))
    if code == "not_found" and request.scope["path"].endswith("/"):
        return respond(make_problem(code, "There is no such path: leave out the slash at its end"))
    if code != "method_not_allowed":
        return respond(make_problem(code, str(error.detail)))
    return respond(make_problem(code, "The path has no such method"), {"Allow": allowed(request)})


def allowed(request: Request) -> str:
    """Return the methods that a path has: several routes may share it."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.scope["path"]):
            methods |= route.methods or set()
    methods |= {"HEAD"} if "GET" in methods else set()
    return ", ".join(sorted(methods))


async def on_defect(_: Request, _error: Exception) -> Response:
    """Answer where our own code failed. The cause is in the log, never in the body."""
    return respond(make_problem("internal_error", "The service failed"))


HANDLERS: dict[Any, Any] = {
    RequestRefused: on_refused,
    AllotmentError: on_failure,
    RequestValidationError: on_invalid,
    HTTPException: on_http_error,
    Exception: on_defect,
}
