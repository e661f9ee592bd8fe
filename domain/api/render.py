"""Answers from accounts: what a status shows, and what a command is told."""

from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from domain.account import Account
from domain.api.answers import (
    Answer,
    CreditAdditionResponse,
    CreditStatusResponse,
    Fields,
    PaymentRecord,
    told_facts,
)
from domain.api.correction_answers import adjustment_answer, reversal_answer, source_fields
from domain.api.hold_answers import freed_answer, placed_answer
from domain.api.list_answers import subscription_record
from domain.charges import UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.coverage import packs_at
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.ids import shown_id
from domain.local_days import ONE_DAY, day_of, midnight
from domain.low_credits import is_low
from domain.messages import (
    CreditsAdded,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.pack_messages import PackAdded
from domain.payments import Payment
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.usage_facts import counts_of
from domain.values import NO_CREDITS, Credits, Policy, Status


def status_answer(account: Account, now: datetime, policy: Policy) -> CreditStatusResponse:
    """Return what the account shows at an instant (UTC, cut to milliseconds)."""
    shown = account.shown(now)
    if shown is not None:
        shown = shown.as_of(now, policy.rollover_cap)
    timezone = shown.timezone if shown else policy.timezone
    if shown is None:
        today, day = day_of(now, timezone), None
    else:
        today = shown.today(now)
        day = shown.day_at(today, policy.rollover_cap) if shown.is_current(now) else None
    limit = shown.limit(today) if shown and day else Credits(0)
    rolled_over = day.rolled_over if day else Credits(0)
    used = day.used if day else Credits(0)
    held = shown.held_on(today) if shown and shown.holds and day else Credits(0)
    of_day = Credits(limit + rolled_over - used - held)
    packs = packs_at(account, now)
    remaining = Credits(of_day + packs.left)
    given = Credits(limit + rolled_over + packs.given)
    return CreditStatusResponse(
        user_id=account.user_id,
        subscription_id=shown_id(shown.subscription_id) if shown else None,
        status=shown.status_at(now) if shown else Status.NONE,
        timezone=timezone,
        start_date=shown.start if shown else None,
        end_date=shown.end if shown else None,
        days_remaining=shown.days_remaining(today) if shown else 0,
        total_credits=shown.total if shown else 0,
        system_portion=shown.system_portion if shown else 0,
        spendable_credits=shown.spendable if shown else 0,
        date=shown.midnight(today) if shown else midnight(today, timezone),
        daily_credit_limit=limit,
        credits_rolled_over=rolled_over,
        credits_used=used,
        credits_held=held,
        day_remaining_credits=of_day,
        pack_credits=packs.left,
        remaining_credits=remaining,
        low_credits=(day is not None or packs.are_there) and is_low(remaining, given, policy),
        resets_at=shown.begins(shown.following(today))
        if shown
        else midnight(today + ONE_DAY, timezone),
        as_of=now,
    )


def answer_text(account: Account, entry: Entry, policy: Policy) -> str:
    """Return the answer to an entry's command as JSON, from the account after it."""
    return to_json(_change_answer(account, entry, policy)).decode()


def _change_answer(account: Account, entry: Entry, policy: Policy) -> Answer | Fields:
    match entry.change:
        case CreditsAdded() | PackAdded() | UsageReversed() | CreditsAdjusted():
            status = status_answer(account, entry.at, policy)
            return _answer_with_status(entry.change, status)
        case UsageRecorded():
            return _charged_today(account, entry, entry.change, policy)
        case HoldPlaced() | HoldSettled() | HoldFreed():
            return _hold_answer(account, entry.change, entry.at, policy)
        case (
            SubscriptionChanged(subscription_id)
            | SubscriptionExpired(subscription_id)
            | StripeStateApplied(subscription_id)
            | GrantsVoided(subscription_id)
        ) if subscription_id is not None:
            subscription = account.find(subscription_id)
            assert subscription is not None, "it was found when this was decided"
            return subscription_record(account.user_id, subscription, None, entry.at)
        case _:
            return status_answer(account, entry.at, policy)


def _answer_with_status(
    change: CreditsAdded | PackAdded | UsageReversed | CreditsAdjusted,
    status: CreditStatusResponse,
) -> Answer:
    match change:
        case CreditsAdded():
            return _addition_answer(change, status)
        case PackAdded():
            return _pack_answer(change, status)
        case UsageReversed():
            return reversal_answer(change, status)
        case CreditsAdjusted():
            return adjustment_answer(change, status)


def _addition_answer(change: CreditsAdded, status: CreditStatusResponse) -> CreditAdditionResponse:
    return CreditAdditionResponse(
        grant_id=change.grant.grant_id or "",
        created=change.created,
        renewed=change.renewed,
        amount=change.grant.amount,
        system_portion=change.grant.system_portion,
        spendable_credits=change.grant.spendable,
        days=change.grant.days,
        payment=payment_record(change.payment),
        subscription=status,
        kind="daily",
        pack_id=None,
        expires_at=None,
    )


def _pack_answer(change: PackAdded, status: CreditStatusResponse) -> CreditAdditionResponse:
    pack = change.pack
    return CreditAdditionResponse(
        grant_id=None,
        created=False,
        renewed=False,
        amount=change.amount,
        system_portion=change.system_portion,
        spendable_credits=pack.spendable,
        days=None,
        payment=payment_record(change.payment),
        subscription=status,
        kind="pack",
        pack_id=pack.pack_id,
        expires_at=pack.expires_at,
    )


def payment_record(payment: Payment) -> PaymentRecord:
    """Return a payment as answers name it."""
    return PaymentRecord(
        method=payment.method,
        transaction_id=payment.transaction_id,
        amount=payment.amount,
        currency=payment.currency,
    )


def _hold_answer(
    account: Account, change: HoldPlaced | HoldSettled | HoldFreed, now: datetime, policy: Policy
) -> Answer | Fields:
    match change:
        case HoldPlaced():
            return placed_answer(account, change, now, policy)
        case HoldSettled(usage=usage, credits_used=used, credits_held=held):
            return _usage_answer(account, usage, DayNow(used, held), now, policy)
        case HoldFreed():
            return freed_answer(change)


class DayNow(NamedTuple):
    """What was used and is held of a day."""

    used: Credits
    held: Credits


def _charged_today(account: Account, entry: Entry, change: UsageRecorded, policy: Policy) -> Fields:
    if change.opening is None:
        return _usage_answer(account, change, DayNow(NO_CREDITS, NO_CREDITS), entry.at, policy)
    subscription = account.find(change.opening.subscription_id)
    assert subscription is not None, "a charge has just been made to it"
    assert subscription.day is not None, "a charge has just touched this day"
    held = subscription.as_of(entry.at, policy.rollover_cap).held_on(subscription.day.date)
    day = DayNow(subscription.day.used, held)
    return _usage_answer(account, change, day, entry.at, policy)


def _usage_answer(
    account: Account, change: UsageRecorded, day: DayNow, now: datetime, policy: Policy
) -> Fields:
    """Return a `UsageRecordResponse`: a charge, and the day it was charged to as it is after it."""
    opening = change.opening
    limit = NO_CREDITS if opening is None else opening.daily_credit_limit
    rolled_over = NO_CREDITS if opening is None else opening.rolled_over
    packs = packs_at(account, now)
    remaining = Credits(limit + rolled_over - day.used - day.held + packs.left)
    given = Credits(limit + rolled_over + packs.given)
    if opening is None:
        begins = midnight(day_of(now, policy.timezone), policy.timezone)
    else:
        begins = opening.starts_at
    answer = {
        "usage_id": change.usage_id,
        "user_id": account.user_id,
        "subscription_id": None if opening is None else shown_id(opening.subscription_id),
        "service_type": change.service_type,
        "credit_amount": change.credit_amount,
        **told_facts(change),
        "timestamp": change.timestamp,
        "date": begins,
        "daily_credit_limit": limit,
        "credits_used": day.used,
        "credits_held": day.held,
        "remaining_credits": remaining,
        "low_credits": is_low(remaining, given, policy),
        "sources": source_fields(
            change.day_amount, None if opening is None else begins, change.packs
        ),
        "uncovered_credits": change.uncovered_credits,
        "late": change.settles is not None,
    }
    if change.tokens is not None:
        answer["tokens"] = counts_of(change.tokens)
    return answer
