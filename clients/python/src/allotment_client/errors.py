"""What a caller is told when a call was not done: one type a code, the codes of HTTP.

AllotmentError
├── RefusedError                      nothing was changed, and would not be if repeated now
│   ├── InsufficientCreditsError      `available_at` says when it would pass
│   ├── NoActiveSubscriptionError
│   ├── DuplicatePaymentError
│   ├── IdempotencyKeyReusedError
│   ├── NotFoundError
│   │   ├── HoldNotFoundError
│   │   └── UsageNotFoundError
│   ├── AlreadyReversedError
│   ├── HoldClosedError
│   ├── ReshardRunningError
│   ├── InvalidRequestError
│   ├── TooLargeError, UnsupportedMediaTypeError, MethodNotAllowedError, BadSignatureError
│   └── UnauthorizedError, ForbiddenError
├── TryAgainError                     the outcome may be unknown: repeat with the same key
│   ├── OverloadedError, RateLimitedError, RequestTimeoutError, InternalError
│   └── UnavailableError
│       ├── GoesOnError
│       └── ServiceAwayError          no answer: a broken connection, a timeout, a proxy's 5xx
└── UnexpectedAnswerError             what answers at this address is not Allotment
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How far a charge was from being covered, and when it would be."""

    limit: str
    """`daily`, `subscription`, or `credits` where no day can help."""
    remaining_credits: int
    required_credits: int
    available_at: datetime | None
    """The first midnight from which it would pass if nothing else is spent; None: never."""


class AllotmentError(Exception):
    """A call was not done. `code` is stable; the message is for people."""

    code = "internal_error"
    title = "The service failed"

    def __init__(self, detail: str = "", *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail or self.title)
        self.problem = problem
        """The body of the answer; None where there was none."""
        self.key: str | None = None
        """The idempotency key of the call: repeated with it, the call never charges twice."""
        self.retry_after: float | None = None
        """What the answer's `Retry-After` said, in seconds."""
        if problem is not None:
            self.code = str(problem["code"])
            self.title = str(problem["title"])

    @property
    def status(self) -> int | None:
        """The status of the answer; None where there was none."""
        return None if self.problem is None else int(self.problem["status"])


class RefusedError(AllotmentError):
    """The call changed nothing."""

    def __init__(self, detail: str = "", *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, problem=problem)
        told = problem or {}
        self.shortfall = _shortfall(told)
        """How far the credits were from covering a charge, and when they would."""
        self.errors: list[dict[str, str]] = list(told.get("errors") or ())
        """What is wrong with which `field` of the request: a `message` each."""

    @property
    def field(self) -> str | None:
        """What of the request is wrong, where that is one field."""
        return self.errors[0]["field"] if len(self.errors) == 1 else None

    @property
    def available_at(self) -> datetime | None:
        """The first midnight from which a charge would pass; None: never, or credits are not why."""
        return None if self.shortfall is None else self.shortfall.available_at


class InsufficientCreditsError(RefusedError):
    """The remaining credits do not cover the charge."""

    code = "insufficient_credits"
    title = "The remaining credits do not cover the charge"


class NoActiveSubscriptionError(RefusedError):
    """The user has no subscription that may spend now."""

    code = "no_active_subscription"
    title = "The user has no subscription that may spend"


class DuplicatePaymentError(RefusedError):
    """The payment's transaction has added credits before."""

    code = "duplicate_payment"
    title = "This payment has added its credits before"


class IdempotencyKeyReusedError(RefusedError):
    """The key was used for another request."""

    code = "idempotency_key_reused"
    title = "The idempotency key was used for another request"


class NotFoundError(RefusedError):
    """What the request names is not there."""

    code = "not_found"
    title = "There is no such subscription"


class HoldNotFoundError(NotFoundError):
    """No hold has ever had this id."""

    title = "There is no such hold"


class UsageNotFoundError(NotFoundError):
    """No charge has this id."""

    title = "There is no such charge"


class AlreadyReversedError(RefusedError):
    """Nothing is left of the charge that could go back."""

    code = "already_reversed"
    title = "All of the charge was reversed"


class HoldClosedError(RefusedError):
    """The hold was settled or released, or it expired too long ago. Nothing was charged."""

    code = "hold_closed"
    title = "The hold is closed"


class ReshardRunningError(RefusedError):
    """A change to another number of shards is not finished."""

    code = "reshard_running"
    title = "A change to another number of shards is not finished"


class InvalidRequestError(RefusedError):
    """The request is not one the service can decide, or one this client would not send."""

    code = "invalid_request"
    title = "The request is not valid"


class TooLargeError(RefusedError):
    """The request is longer than the service takes: 1 MiB."""

    code = "too_large"
    title = "The request is too large"


class UnsupportedMediaTypeError(RefusedError):
    """The body is not JSON."""

    code = "unsupported_media_type"
    title = "A body is JSON"


class MethodNotAllowedError(RefusedError):
    """The service is of another version than this client."""

    code = "method_not_allowed"
    title = "The path has no such method"


class BadSignatureError(RefusedError):
    """An event that Stripe has not signed."""

    code = "bad_signature"
    title = "This is no event that Stripe has signed"


class UnauthorizedError(RefusedError):
    """The API key is missing, wrong, revoked or expired."""

    code = "unauthorized"
    title = "A valid API key or token is needed"


class ForbiddenError(RefusedError):
    """The API key's scope does not cover this."""

    code = "forbidden"
    title = "This needs a key with another scope"


class TryAgainError(AllotmentError):
    """The outcome may be unknown; a repeat with the same key never charges twice."""


class OverloadedError(TryAgainError):
    """A queue was full. Nothing was written."""

    code = "overloaded"
    title = "The service is overloaded; try again later"


class RateLimitedError(TryAgainError):
    """The caller has sent its share of requests. Nothing was written."""

    code = "rate_limited"
    title = "This caller has sent too many requests; try again later"


class RequestTimeoutError(TryAgainError):
    """The request did not arrive in time. Nothing was written."""

    code = "request_timeout"
    title = "The body did not arrive in time"


class InternalError(TryAgainError):
    """A defect of the service's; the cause is in its log."""

    code = "internal_error"
    title = "The service failed"


class UnavailableError(TryAgainError):
    """The database or the owning shard did not answer in time."""

    code = "storage_unavailable"
    title = "The service cannot reach its storage; try again later"


class GoesOnError(UnavailableError):
    """What was asked for is under way and takes longer than its answer may."""

    title = "It goes on, and takes longer than this answer may; ask again with the same key"


class ServiceAwayError(UnavailableError):
    """Nothing of the service answered. The cause is httpx's error, where there was one."""

    code = "service_away"
    title = "The service does not answer; try again later"


class UnexpectedAnswerError(AllotmentError):
    """What answers at this address is not Allotment: look at the address."""

    code = "unexpected_answer"
    title = "What answers at this address is not Allotment"


InsufficientCredits = InsufficientCreditsError  # As the TypeScript client names it.


def _shortfall(problem: Mapping[str, Any]) -> Shortfall | None:
    if "required_credits" not in problem:
        return None
    at = problem["available_at"]
    return Shortfall(
        problem["limit"],
        problem["remaining_credits"],
        problem["required_credits"],
        None if at is None else datetime.fromisoformat(at),
    )
