"""Answers from accounts: what a status shows, and what a command is told."""

import json
from datetime import datetime
from typing import Any

from domain.account import Account
from domain.answers import (
    Answer,
    CreditAdditionResponse,
    CreditStatusResponse,
    GrantRecord,
    HistoryEntry,
    PaymentRecord,
    SubscriptionRecord,
    UsageRecordResponse,
)
from domain.charges import UsageRecorded
from domain.codec import SpoiltEntry, entry_document
from domain.hold_answers import freed_answer, placed_answer
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.ids import shown_id
from domain.local_days import ONE_DAY, day_of, midnight
from domain.messages import (
    CreditsAdded,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.subscription import Subscription
from domain.values import Credits, Policy, Status


def is_low(remaining: Credits, day_credits: Credits, policy: Policy) -> bool:
    """Say whether so little is left of a day's credits that it is called low."""
    return remaining * 100 <= policy.low_credits_percent * day_credits


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
    remaining = Credits(limit + rolled_over - used - held)
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
        remaining_credits=remaining,
        low_credits=day is not None and is_low(remaining, Credits(limit + rolled_over), policy),
        resets_at=shown.begins(shown.following(today))
        if shown
        else midnight(today + ONE_DAY, timezone),
        as_of=now,
    )


def change_answer(account: Account, entry: Entry, policy: Policy) -> Answer:
    """Return the answer to an entry's command, from the account after it."""
    match entry.change:
        case CreditsAdded():
            return _addition_answer(account, entry.change, entry.at, policy)
        case UsageRecorded():
            return _charged_today(account, entry, entry.change, policy)
        case HoldPlaced() | HoldSettled() | HoldFreed():
            return _hold_answer(account, entry.change, entry.at, policy)
        case (
            SubscriptionChanged(subscription_id)
            | SubscriptionExpired(subscription_id)
            | StripeStateApplied(subscription_id)
            | GrantsVoided(subscription_id)
        ):
            subscription = account.find(subscription_id)
            assert subscription is not None, "it was found when this was decided"
            return subscription_record(account.user_id, subscription, None, entry.at)
        case _:
            return status_answer(account, entry.at, policy)


def _addition_answer(
    account: Account,
    change: CreditsAdded,
    now: datetime,
    policy: Policy,
) -> CreditAdditionResponse:
    payment = change.payment
    return CreditAdditionResponse(
        grant_id=change.grant.grant_id or "",
        created=change.created,
        renewed=change.renewed,
        amount=change.grant.amount,
        system_portion=change.grant.system_portion,
        spendable_credits=change.grant.spendable,
        days=change.grant.days,
        payment=PaymentRecord(
            method=payment.method,
            transaction_id=payment.transaction_id,
            amount=payment.amount,
            currency=payment.currency,
        ),
        subscription=status_answer(account, now, policy),
    )


def _hold_answer(
    account: Account, change: HoldPlaced | HoldSettled | HoldFreed, now: datetime, policy: Policy
) -> Answer:
    match change:
        case HoldPlaced():
            return placed_answer(account, change, now, policy)
        case HoldSettled(usage=usage, credits_used=used, credits_held=held):
            return _usage_answer(account.user_id, usage, used, held, policy)
        case HoldFreed():
            return freed_answer(change)


def _charged_today(
    account: Account, entry: Entry, change: UsageRecorded, policy: Policy
) -> UsageRecordResponse:
    subscription = account.find(change.opening.subscription_id)
    assert subscription is not None, "a charge has just been made to it"
    assert subscription.day is not None, "a charge has just touched this day"
    held = subscription.as_of(entry.at, policy.rollover_cap).held_on(subscription.day.date)
    return _usage_answer(account.user_id, change, subscription.day.used, held, policy)


def _usage_answer(
    user_id: str, change: UsageRecorded, used: Credits, held: Credits, policy: Policy
) -> UsageRecordResponse:
    """Return a charge with the day it was charged to, as that day is after it."""
    opening = change.opening
    day_credits = Credits(opening.daily_credit_limit + opening.rolled_over)
    remaining = Credits(day_credits - used - held)
    return UsageRecordResponse(
        usage_id=change.usage_id,
        user_id=user_id,
        subscription_id=shown_id(opening.subscription_id),
        service_type=change.service_type,
        credit_amount=change.credit_amount,
        token_count=change.token_count,
        model_used=change.model_used,
        session_id=change.session_id,
        details=json.loads(change.details) if change.details is not None else None,
        timestamp=change.timestamp,
        date=opening.starts_at,
        daily_credit_limit=opening.daily_credit_limit,
        credits_used=used,
        credits_held=held,
        remaining_credits=remaining,
        low_credits=is_low(remaining, day_credits, policy),
    )


def subscription_record(
    user_id: str,
    subscription: Subscription,
    stripe: dict[str, Any] | None,
    now: datetime,
) -> SubscriptionRecord:
    """Return a subscription as a list shows it."""
    return SubscriptionRecord(
        subscription_id=shown_id(subscription.subscription_id),
        user_id=user_id,
        status=subscription.status_at(now),
        timezone=subscription.timezone,
        start_date=subscription.start,
        end_date=subscription.end,
        total_credits=subscription.total,
        system_portion=subscription.system_portion,
        spendable_credits=subscription.spendable,
        grants=[
            GrantRecord(
                grant_id=grant.grant_id and shown_id(grant.grant_id),
                amount=grant.amount - grant.voided,
                system_portion=grant.system_portion,
                spendable_credits=grant.spendable,
                voided_credits=grant.voided,
                from_day=grant.from_day.isoformat(),
                days=grant.days,
                transaction_id=grant.transaction_id,
            )
            for grant in subscription.grants
        ],
        stripe=stripe,
    )


def history_entry(entry: Entry | SpoiltEntry) -> HistoryEntry:
    """Return an entry of the journal as operators read it."""
    if isinstance(entry, SpoiltEntry):
        return HistoryEntry(
            seq=entry.seq,
            at=entry.at,
            by=entry.by,
            kind=entry.kind or "unreadable",
            idempotency_key=entry.key or "",
            change=None,
            unreadable=entry.reason,
            answer=None if entry.answer is None else json.loads(entry.answer),
        )
    document = entry_document(entry)
    return HistoryEntry(
        seq=entry.seq,
        at=entry.at,
        by=entry.by,
        kind=document["kind"],
        idempotency_key=entry.key,
        change=json.loads(document["body"]),
        answer=None if entry.answer is None else json.loads(entry.answer),
    )
