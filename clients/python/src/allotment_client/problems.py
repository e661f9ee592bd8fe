"""Problem bodies (RFC 9457) to errors: which code is which type."""

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any

from allotment_client.errors import (
    AllotmentError,
    AlreadyReversedError,
    BadSignatureError,
    DuplicatePaymentError,
    ForbiddenError,
    GoesOnError,
    HoldClosedError,
    IdempotencyKeyReusedError,
    InsufficientCreditsError,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NoActiveSubscriptionError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    RefusedError,
    RequestTimeoutError,
    ReshardRunningError,
    TooLargeError,
    TryAgainError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)

BY_CODE: dict[str, type[AllotmentError]] = {
    kind.code: kind
    for kind in (
        InsufficientCreditsError,
        NoActiveSubscriptionError,
        DuplicatePaymentError,
        IdempotencyKeyReusedError,
        NotFoundError,
        AlreadyReversedError,
        HoldClosedError,
        ReshardRunningError,
        InvalidRequestError,
        TooLargeError,
        UnsupportedMediaTypeError,
        MethodNotAllowedError,
        BadSignatureError,
        UnauthorizedError,
        ForbiddenError,
        OverloadedError,
        RateLimitedError,
        RequestTimeoutError,
        InternalError,
        UnavailableError,
    )
}
"""The type of every code that the service has."""


def error_of(problem: Mapping[str, Any], not_found: type[NotFoundError]) -> AllotmentError:
    """Return the error of a problem body. A code that only a newer service knows has its kind."""
    code, status = problem["code"], problem["status"]
    kind = BY_CODE.get(code)
    if kind is None:
        kind = TryAgainError if status >= 500 or status == 429 else RefusedError
    elif kind is NotFoundError:
        kind = not_found
    elif problem["title"] == GoesOnError.title:
        kind = GoesOnError
    return kind(problem["detail"], problem=problem)


def limit_headers(error: RefusedError, now: datetime) -> dict[str, str]:
    """Return the headers of a refusal: what is left, and when there will be enough."""
    left = 0 if error.shortfall is None else max(0, error.shortfall.remaining_credits)
    seconds = error.retry_after
    if seconds is None and error.available_at is not None:
        seconds = max(0.0, (error.available_at - now).total_seconds())
    if seconds is None:
        return {"RateLimit": f'"credits";r={left}'}
    headers = {"RateLimit": f'"credits";r={left};t={ceil(seconds)}'}
    return headers if error.retry_after is None else headers | {"Retry-After": str(ceil(seconds))}
