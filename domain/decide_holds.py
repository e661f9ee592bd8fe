"""Decide what becomes of a hold. Nothing happens here: `domain.evolve_holds` makes it so."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.account import Account
from domain.charges import Opening, UsageRecorded
from domain.covering import nothing_to_spend, opening_of, why_not_covered
from domain.holds import (
    ExpireHold,
    Hold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    ReleaseHold,
    SettleHold,
    make_hold_id,
)
from domain.messages import Refusal, Rejection
from domain.subscription import Subscription
from domain.values import CREDITS_MAX, Credits, Policy, derive_object_id

CLOSED = Refusal(Rejection.HOLD_CLOSED)


def place_hold(
    account: Account, command: PlaceHold, key: str, now: datetime, policy: Policy
) -> HoldPlaced | Refusal:
    """Return the hold, or why it is refused. The account is as of `now`."""
    current = account.current(now)
    if current is None or not current.may_spend(now):
        return nothing_to_spend(command.credit_amount)
    if len(account.holds()) >= policy.holds_per_account:
        return Refusal(Rejection.TOO_MANY_HOLDS)
    day = current.day_at(current.today(now), policy.rollover_cap)
    refusal = why_not_covered(current, day, command.credit_amount, command.on_insufficient, policy)
    if refusal:
        return refusal
    # After this point the hold must be made.
    hold = Hold(
        make_hold_id(now, account.user_id, key),
        day.date,
        command.credit_amount,
        now + timedelta(seconds=command.expires_in),
        command.service_type,
        command.token_count,
        command.model_used,
        command.session_id,
        command.details,
        command.timestamp or now,
    )
    return HoldPlaced(hold, opening_of(current, day))


def settle_hold(
    account: Account, command: SettleHold, key: str, now: datetime, policy: Policy
) -> HoldSettled | Refusal:
    """Return the charge to the hold's own day, or why it is refused. The account is as of `now`.

    What was held is there, whatever else happened. Only what goes beyond it must be covered: by
    what remains today, so that nobody spends credits of a day that is over.
    """
    found = account.find_hold(command.hold_id)
    if found is None:
        return CLOSED
    subscription, hold = found
    beyond = Credits(command.credit_amount - hold.credit_amount)
    if beyond > 0:
        if not subscription.may_spend(now):
            return nothing_to_spend(beyond)
        today = subscription.day_at(subscription.today(now), policy.rollover_cap)
        refusal = why_not_covered(subscription, today, beyond, command.on_insufficient, policy)
        if refusal:
            return refusal
    resolved = _resolve(subscription, hold, command.credit_amount, now, policy)
    if resolved.used > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    # After this point the charge must succeed.
    return HoldSettled(
        hold.hold_id,
        _usage(
            command, hold, resolved.opening, derive_object_id(now, "usage", account.user_id, key)
        ),
        resolved.reopened,
        resolved.used,
        resolved.held,
    )


def _usage(command: SettleHold, hold: Hold, opening: Opening, usage_id: str) -> UsageRecorded:
    return UsageRecorded(
        usage_id,
        opening,
        hold.service_type,
        command.credit_amount,
        hold.token_count if command.token_count is None else command.token_count,
        command.model_used or hold.model_used,
        hold.session_id,
        command.details or hold.details,
        hold.timestamp,
    )


def release_hold(
    account: Account, command: ReleaseHold, now: datetime, policy: Policy
) -> HoldFreed | Refusal:
    """Return what a release gives back. The account is as of `now`."""
    found = account.find_hold(command.hold_id)
    return CLOSED if found is None else _free(*found, now, policy, expired=False)


def expire_hold(
    account: Account, command: ExpireHold, now: datetime, policy: Policy
) -> HoldFreed | Refusal:
    """Return what a hold gives back that is over. The account is with those that are."""
    found = account.find_hold(command.hold_id)
    if found is None:
        return CLOSED
    if found[0].is_open(found[1], now):
        return Refusal(Rejection.NOT_ENDED)
    return _free(*found, now, policy, expired=True)


def _free(
    subscription: Subscription, hold: Hold, now: datetime, policy: Policy, *, expired: bool
) -> HoldFreed:
    resolved = _resolve(subscription, hold, Credits(0), now, policy)
    return HoldFreed(hold.hold_id, hold.credit_amount, resolved.opening, resolved.reopened, expired)


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A hold's own day after the hold, and what later days inherit."""

    opening: Opening
    reopened: tuple[Opening, ...]
    used: Credits
    held: Credits


def _resolve(
    subscription: Subscription, hold: Hold, charged: Credits, now: datetime, policy: Policy
) -> _Resolved:
    others = tuple(
        other
        for other in subscription.holds
        if other.hold_id != hold.hold_id and subscription.is_open(other, now)
    )
    days = tuple(
        replace(day, used=Credits(day.used + charged)) if day.date == hold.date else day
        for day in subscription.touched
    )
    own, *later = (
        day
        for day in subscription.carried(days, others, policy.rollover_cap)
        if day.date >= hold.date
    )
    assert own.date == hold.date, "a subscription keeps the days of its holds"
    held = replace(subscription, holds=others).held_on(own.date)
    first, *rest = (opening_of(subscription, day) for day in (own, *later))
    return _Resolved(first, tuple(rest), own.used, held)
