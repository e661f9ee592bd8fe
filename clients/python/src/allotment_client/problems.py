"""Problem bodies (RFC 9457) to errors: which code is which type."""

from collections.abc import Mapping
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
