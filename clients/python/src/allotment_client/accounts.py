"""The calls that an application makes for its users: statuses, credits, charges, holds."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from allotment_client.answers import (
    AdjustmentResponse,
    CreditAdditionResponse,
    CreditStatusResponse,
    HoldResponse,
    ReversalResponse,
    UsageRecordResponse,
)
from allotment_client.call import Call, checked_key, encoded, path_of, query_of
from allotment_client.decoding import reader
from allotment_client.errors import HoldNotFoundError, UsageNotFoundError

HOLD_SECONDS_DEFAULT = 300

Manner = Literal["reject", "record", "cap"]
"""What a charge does that is not covered: nothing, all of it as debt, or as much as there is."""
HoldManner = Literal["reject", "record"]

STATUS, CREDITS = reader(CreditStatusResponse), reader(CreditAdditionResponse)
USAGE, HOLD = reader(UsageRecordResponse), reader(HoldResponse)
REVERSAL, ADJUSTMENT = reader(ReversalResponse), reader(AdjustmentResponse)


def check_daily_allocation(user_id: str) -> Call[CreditStatusResponse]:
    """Return what the user has today. Reads only."""
    return Call("GET", "/subscription/status", STATUS, query_of(user_id=user_id))


def add_credit(  # noqa: PLR0913 - what is bought, and how
    user_id: str,
    amount: int,
    days: int | None = None,
    payment: Mapping[str, Any] | None = None,
    *,
    kind: Literal["daily", "pack"] = "daily",
    timezone: str | None = None,
    expires_at: datetime | None = None,
    priority: int | None = None,
    category: Literal["paid", "promotional"] | None = None,
    key: str | None = None,
) -> Call[CreditAdditionResponse]:
    """Add credits over `days` days from today, or a pack (`kind="pack"`, without `days`).

    A payment (`method`, `transaction_id`, `amount`, `currency`) is needed, and its transaction
    counts once a user. `expires_at`, `priority` and `category` are a pack's.
    """
    body = encoded(
        user_id=user_id,
        amount=amount,
        days=days,
        kind=kind,
        payment=payment,
        timezone=timezone,
        expires_at=expires_at,
        priority=priority,
        category=category,
    )
    path = "/subscription/credits"
    return Call("POST", path, CREDITS, body=body, key=checked_key(key))


def record_usage(  # noqa: PLR0913 - the fields of a usage record
    user_id: str,
    service_type: str,
    credit_amount: int | None = None,
    *,
    token_count: int | None = None,
    tokens: Mapping[str, int] | None = None,
    model_used: str | None = None,
    session_id: str | None = None,
    details: Mapping[str, Any] | None = None,
    timestamp: datetime | None = None,
    on_insufficient: Manner = "reject",
    key: str | None = None,
) -> Call[UsageRecordResponse]:
    """Charge credits, today's first, then packs', or raise InsufficientCreditsError.

    Without `credit_amount`: what `token_count`, or `tokens` by kind (`{"input": 900}`), cost by the
    price list.
    """
    body = encoded(
        user_id=user_id,
        service_type=service_type,
        credit_amount=credit_amount,
        token_count=token_count,
        tokens=tokens,
        model_used=model_used,
        session_id=session_id,
        details=details,
        timestamp=timestamp,
        on_insufficient=on_insufficient,
    )
    return Call("POST", "/subscription/usage", USAGE, body=body, key=checked_key(key))


def hold(  # noqa: PLR0913 - the fields of a usage record
    user_id: str,
    service_type: str,
    credit_amount: int,
    *,
    expires_in: int = HOLD_SECONDS_DEFAULT,
    token_count: int | None = None,
    model_used: str | None = None,
    session_id: str | None = None,
    details: Mapping[str, Any] | None = None,
    timestamp: datetime | None = None,
    on_insufficient: HoldManner = "reject",
    at_least: int | None = None,
    key: str | None = None,
) -> Call[HoldResponse]:
    """Set credits aside for `expires_in` seconds, or raise InsufficientCreditsError.

    Where less than `credit_amount` is there, `at_least` is enough: the answer says how much.
    """
    body = encoded(
        user_id=user_id,
        service_type=service_type,
        credit_amount=credit_amount,
        expires_in=expires_in,
        token_count=token_count,
        model_used=model_used,
        session_id=session_id,
        details=details,
        timestamp=timestamp,
        on_insufficient=on_insufficient,
        at_least=at_least,
    )
    return Call("POST", "/subscription/holds", HOLD, body=body, key=checked_key(key))


def settle(  # noqa: PLR0913 - the fields of a usage record
    hold_id: str,
    credit_amount: int | None = None,
    *,
    token_count: int | None = None,
    tokens: Mapping[str, int] | None = None,
    model_used: str | None = None,
    details: Mapping[str, Any] | None = None,
    on_insufficient: Manner = "cap",
    key: str | None = None,
) -> Call[UsageRecordResponse]:
    """Charge what it cost to what the hold has set aside, and as far as it can be beyond.

    An expired hold is settled late, for a while. Raises HoldClosedError where it is closed.
    Without `credit_amount`: what `token_count`, or `tokens` by kind (`{"input": 900}`), cost by the
    price list.
    """
    body = encoded(
        credit_amount=credit_amount,
        token_count=token_count,
        tokens=tokens,
        model_used=model_used,
        details=details,
        on_insufficient=on_insufficient,
    )
    path, key = f"{_hold_path(hold_id)}/settle", checked_key(key)
    return Call("POST", path, USAGE, body=body, key=key, not_found=HoldNotFoundError)


def release(hold_id: str, *, reason: str | None = None, key: str | None = None) -> Call[None]:
    """Give back what a hold has set aside. Raises HoldClosedError where it is over.

    `reason` is kept in the user's history.
    """
    path, key = _hold_path(hold_id), checked_key(key)
    body = None if reason is None else encoded(reason=reason)
    return Call("DELETE", path, _nothing, body=body, key=key, not_found=HoldNotFoundError)


def reverse(
    user_id: str,  # noqa: ARG001 - the interface finds the user by the charge
    usage_id: str,
    reason: str,
    *,
    credit_amount: int | None = None,
    key: str | None = None,
) -> Call[ReversalResponse]:
    """Give back what a charge has taken, or a part of it, to where it came from.

    Raises AlreadyReversedError where nothing is left of it, UsageNotFoundError. The charge is
    found by its id: whose it is, is not compared with `user_id`.
    """
    if not usage_id:
        raise UsageNotFoundError
    body = encoded(credit_amount=credit_amount, reason=reason)
    path, key = path_of("subscription", "usage", usage_id, "reversals"), checked_key(key)
    return Call("POST", path, REVERSAL, body=body, key=key, not_found=UsageNotFoundError)


def adjust(  # noqa: PLR0913 - what is given or taken, and how
    user_id: str,
    reason: str,
    *,
    credit_amount: int | None = None,
    remaining_credits: int | None = None,
    expires_at: datetime | None = None,
    allow_debt: bool = False,
    key: str | None = None,
) -> Call[AdjustmentResponse]:
    """Give or take credits, or set what is left to a number: one of the two amounts.

    Raises InsufficientCreditsError where there is less than is to be taken, unless `allow_debt`.
    `expires_at` is that of what is given. Needs an admin key.
    """
    body = encoded(
        user_id=user_id,
        credit_amount=credit_amount,
        remaining_credits=remaining_credits,
        reason=reason,
        expires_at=expires_at,
        allow_debt=allow_debt,
    )
    path = "/subscription/adjustments"
    return Call("POST", path, ADJUSTMENT, body=body, key=checked_key(key))


def _hold_path(hold_id: str) -> str:
    if not hold_id:
        raise HoldNotFoundError
    return path_of("subscription", "holds", hold_id)


def _nothing(_: Any) -> None:
    return None
