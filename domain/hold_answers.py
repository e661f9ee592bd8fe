"""What a client is told of holds, the same over HTTP and from Python."""

import json
from datetime import datetime
from typing import Any

from domain.account import Account
from domain.answers import Answer
from domain.holds import Hold, HoldFreed, HoldPlaced
from domain.ids import shown_id
from domain.subscription import Subscription
from domain.values import Policy


class HoldResponse(Answer):
    """Credits that were set aside, and what is left beside them."""

    hold_id: str
    user_id: str
    credit_amount: int
    expires_at: datetime
    remaining_credits: int


class HoldReleaseResponse(Answer):
    """A hold that was given back. HTTP has no body for it."""

    hold_id: str
    credit_amount: int


class OpenHold(Answer):
    """One open hold."""

    hold_id: str
    subscription_id: str
    credit_amount: int
    made_at: datetime
    expires_at: datetime
    date: datetime
    service_type: str
    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: dict[str, Any] | None


class OpenHolds(Answer):
    """The open holds of one user, the one that expires first before the others."""

    user_id: str
    credits_held: int
    """Of all days; a status shows what counts against today."""
    holds: list[OpenHold]


def placed_answer(
    account: Account, change: HoldPlaced, now: datetime, policy: Policy
) -> HoldResponse:
    """Return the answer to a hold that was made, from the account after it."""
    known = account.as_of(now, policy.rollover_cap)
    subscription = known.find(change.opening.subscription_id)
    assert subscription is not None, "a hold has just been made on it"
    assert subscription.day is not None, "a hold has just touched this day"
    return HoldResponse(
        hold_id=change.hold.hold_id,
        user_id=account.user_id,
        credit_amount=change.hold.credit_amount,
        expires_at=change.hold.expires_at,
        remaining_credits=subscription.remaining(subscription.day),
    )


def freed_answer(change: HoldFreed) -> HoldReleaseResponse:
    """Return the answer to a release."""
    return HoldReleaseResponse(hold_id=change.hold_id, credit_amount=change.credit_amount)


def open_holds(account: Account, now: datetime, policy: Policy) -> OpenHolds:
    """Return the open holds of an account."""
    pairs = account.as_of(now, policy.rollover_cap).holds()
    return OpenHolds(
        user_id=account.user_id,
        credits_held=sum(hold.credit_amount for _, hold in pairs),
        holds=[
            _open_hold(subscription, hold)
            for subscription, hold in sorted(pairs, key=lambda pair: pair[1].expires_at)
        ],
    )


def _open_hold(subscription: Subscription, hold: Hold) -> OpenHold:
    return OpenHold(
        hold_id=hold.hold_id,
        subscription_id=shown_id(subscription.subscription_id),
        credit_amount=hold.credit_amount,
        made_at=hold.made_at,
        expires_at=hold.expires_at,
        date=subscription.midnight(hold.date),
        service_type=hold.service_type,
        token_count=hold.token_count,
        model_used=hold.model_used,
        session_id=hold.session_id,
        details=None if hold.details is None else json.loads(hold.details),
    )
