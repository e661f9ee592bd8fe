"""What a caller is told when a command was not done: one type a code, the same codes as HTTP.

AllotmentError
├── RefusedError                      the command changed nothing, and would not if repeated now
│   ├── InsufficientCreditsError
│   ├── NoActiveSubscriptionError
│   ├── DuplicatePaymentError
│   ├── IdempotencyKeyReusedError
│   ├── NotFoundError
│   │   ├── HoldNotFoundError
│   │   └── UsageNotFoundError
│   ├── AlreadyReversedError
│   ├── HoldClosedError
│   └── InvalidRequestError
└── TryAgainError                     repeat with the same key
    ├── OverloadedError
    └── UnavailableError
        └── GoesOnError
"""

from domain.eras import ERAS_MAX
from domain.grants import GRANTS_MAX, TRANSACTION_IDS_MAX
from domain.messages import Refusal, Rejection, Shortfall


class AllotmentError(Exception):
    """A command was not done. `code` is stable; the message is for people."""

    code = "internal_error"
    title = "The service failed"


class RefusedError(AllotmentError):
    """The command changed nothing."""

    def __init__(
        self, detail: str = "", shortfall: Shortfall | None = None, field: str | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.shortfall = shortfall
        """How far the credits were from covering a charge, and when they would."""
        self.field = field
        """What of the request is wrong, where that is one field that the account decides on."""


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


class InvalidRequestError(RefusedError):
    """The request is not one the service can decide."""

    code = "invalid_request"
    title = "The request is not valid"


class TryAgainError(AllotmentError):
    """The outcome may be unknown; a repeat with the same key never charges twice."""

    def __init__(self) -> None:
        super().__init__(self.title)


class OverloadedError(TryAgainError):
    """A queue was full. Nothing was written."""

    code = "overloaded"
    title = "The service is overloaded; try again later"


class UnavailableError(TryAgainError):
    """The database or the owning shard did not answer in time."""

    code = "storage_unavailable"
    title = "The service cannot reach its storage; try again later"


class GoesOnError(UnavailableError):
    """What was asked for is under way and takes longer than its answer may."""

    title = "It goes on, and takes longer than this answer may; ask again with the same key"


_BY_REJECTION: dict[Rejection, type[RefusedError]] = {
    Rejection.KEY_REUSED: IdempotencyKeyReusedError,
    Rejection.NO_SUCH_SUBSCRIPTION: NotFoundError,
    Rejection.END_NOT_AFTER_START: InvalidRequestError,
    Rejection.TOO_MANY_ZONES: InvalidRequestError,
    Rejection.EXPIRY_NOT_IN_FUTURE: InvalidRequestError,
    Rejection.NO_SUCH_USAGE: UsageNotFoundError,
    Rejection.ALREADY_REVERSED: AlreadyReversedError,
    Rejection.MORE_THAN_CHARGED: InvalidRequestError,
    Rejection.NO_SUCH_PACK: NotFoundError,
    Rejection.HOLD_CLOSED: HoldClosedError,
    Rejection.TOO_MANY_HOLDS: InvalidRequestError,
    Rejection.NOT_ENDED: InvalidRequestError,
    Rejection.NO_SUCH_GRANT: NotFoundError,
    Rejection.DUPLICATE_PAYMENT: DuplicatePaymentError,
    Rejection.NO_PRICE: InvalidRequestError,
    Rejection.NO_ACTIVE_SUBSCRIPTION: NoActiveSubscriptionError,
    Rejection.AMOUNT_TOO_LARGE: InvalidRequestError,
    Rejection.TOO_MANY_GRANTS: InvalidRequestError,
    Rejection.INSUFFICIENT_CREDITS: InsufficientCreditsError,
}
_DETAILS = {
    Rejection.END_NOT_AFTER_START: "end_date: it is not after the start",
    Rejection.TOO_MANY_ZONES: "timezone: the subscription's has been changed on as many dates as it"
    f" may be, {ERAS_MAX}",
    Rejection.EXPIRY_NOT_IN_FUTURE: "expires_at: it is not in the future",
    Rejection.MORE_THAN_CHARGED: "credit_amount: it is more than is left of the charge",
    Rejection.TOO_MANY_HOLDS: "the user has as many open holds as an account may have",
    Rejection.NOT_ENDED: "the subscription has not ended, or its document says already that it has",
    Rejection.NO_PRICE: "credit_amount: it is missing, and no price of the price list applies to this"
    " service_type and model_used",
    # Of too many grants, what was refused before that had a reason of its own is told here.
    Rejection.AMOUNT_TOO_LARGE: "the amount takes a total past 2^53 - 1, or the subscription has"
    f" {GRANTS_MAX:,} grants",
    Rejection.TOO_MANY_GRANTS: f"the subscription has {GRANTS_MAX:,} grants, or their transaction ids"
    f" have {TRANSACTION_IDS_MAX:,} characters",
}

_FIELDS = {
    Rejection.TOO_MANY_ZONES: "timezone",
    Rejection.EXPIRY_NOT_IN_FUTURE: "expires_at",
    Rejection.MORE_THAN_CHARGED: "credit_amount",
}


def refused(refusal: Refusal) -> RefusedError:
    """Return the error that tells a caller of a refusal."""
    reason = refusal.reason
    detail = _DETAILS.get(reason, "")
    return _BY_REJECTION[reason](detail, refusal.shortfall, _FIELDS.get(reason))


class ShardLostError(Exception):
    """The shard did not answer. What it was told may or may not have been done."""
