"""What a client is told of holds, the same over HTTP and from Python."""

from datetime import datetime

from pydantic import Field

from domain.account import Account, OpenHold
from domain.api.answers import Answer, Fields, Source, UsageFactsAnswer, told_facts
from domain.api.correction_answers import sources_of
from domain.api.fields import HoldId, Midnight, Moment, ShownUserId, SubscriptionId
from domain.holds import HoldFreed, HoldPlaced
from domain.ids import shown_id
from domain.local_days import midnight
from domain.packs import credits_in
from domain.values import Credits, Policy


class HoldResponse(Answer):
    """Credits that were set aside, and what is left beside them."""

    hold_id: HoldId
    user_id: ShownUserId
    credit_amount: int = Field(examples=[40])
    expires_at: datetime = Field(examples=["2026-03-10T12:02:00Z"])
    remaining_credits: int = Field(examples=[1050])


class HoldReleaseResponse(Answer):
    """A hold that was given back. HTTP has no body for it."""

    hold_id: HoldId
    credit_amount: int = Field(examples=[40])


class _OpenHold(Answer):
    hold_id: HoldId
    subscription_id: SubscriptionId | None
    credit_amount: int = Field(examples=[40])
    sources: list[Source] = Field(examples=[[{"credit_amount": 40}]])
    made_at: Moment
    expires_at: datetime = Field(examples=["2026-03-10T12:02:00Z"])
    date: Midnight
    service_type: str = Field(examples=["chat"])


class OpenHoldRecord(UsageFactsAnswer, _OpenHold):
    """One open hold."""


class OpenHolds(Answer):
    """The open holds of one user, the one that expires first before the others."""

    user_id: ShownUserId
    credits_held: int = Field(examples=[40])
    """Of all days; a status shows what counts against today."""
    holds: list[OpenHoldRecord]


def placed_answer(account: Account, change: HoldPlaced, now: datetime, policy: Policy) -> Fields:
    """Return a `HoldResponse` to a hold that was made, from the account after it."""
    known = account.as_of(now, policy.rollover_cap)
    remaining = credits_in(known.packs, now)
    if change.opening is not None:
        subscription = known.find(change.opening.subscription_id)
        assert subscription is not None, "a hold has just been made on it"
        assert subscription.day is not None, "a hold has just touched this day"
        remaining = Credits(remaining + subscription.remaining(subscription.day))
    return {
        "hold_id": change.hold.hold_id,
        "user_id": account.user_id,
        "credit_amount": change.hold.credit_amount,
        "expires_at": change.hold.expires_at,
        "remaining_credits": remaining,
    }


def freed_answer(change: HoldFreed) -> HoldReleaseResponse:
    """Return the answer to a release."""
    return HoldReleaseResponse(hold_id=change.hold_id, credit_amount=change.credit_amount)


def open_holds(account: Account, now: datetime, policy: Policy) -> OpenHolds:
    """Return the open holds of an account."""
    known = account.as_of(now, policy.rollover_cap)
    holds = sorted(known.holds(), key=lambda one: one.hold.expires_at)
    return OpenHolds(
        user_id=account.user_id,
        credits_held=sum(one.hold.credit_amount for one in holds),
        holds=[_open_hold(one, policy) for one in holds],
    )


def _open_hold(one: OpenHold, policy: Policy) -> OpenHoldRecord:
    hold, subscription = one.hold, one.subscription
    if subscription is None:
        begins = midnight(hold.date, policy.timezone)
    else:
        begins = subscription.midnight(hold.date)
    return OpenHoldRecord(
        hold_id=hold.hold_id,
        subscription_id=None if subscription is None else shown_id(subscription.subscription_id),
        credit_amount=hold.credit_amount,
        sources=sources_of(one.day_amount, begins, one.packs),
        made_at=hold.made_at,
        expires_at=hold.expires_at,
        date=begins,
        service_type=hold.service_type,
        **told_facts(hold),
    )
