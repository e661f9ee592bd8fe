"""What lists show: subscriptions and the history of decisions, the same over HTTP and from Python."""

import json
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from domain.api.answers import (
    GrantRecord,
    PackRecord,
    PaymentRecord,
    SubscriptionRecord,
)
from domain.api.history_answers import HistoryEntry
from domain.documents.journal import SpoiltEntry, entry_document
from domain.documents.subscriptions import Document, whole
from domain.ids import shown_id
from domain.messages import Entry
from domain.packs import Pack
from domain.subscription import Subscription


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


def pack_record(user_id: str, pack: Pack, document: Document, now: datetime) -> PackRecord:
    """Return a pack as a list shows it; `document` is where it was read from."""
    taken_back = pack.refunded + pack.taken_back
    amount, system_portion = document.get("amount"), document.get("system_portion")
    if system_portion is None:
        system_portion = whole(amount, "amount") - pack.spendable - taken_back
    system_portion = whole(system_portion, "system_portion")
    if amount is None:
        amount = system_portion + pack.spendable + taken_back
    left = pack.as_of(now).left
    return PackRecord(
        pack_id=shown_id(pack.pack_id),
        user_id=user_id,
        amount=whole(amount, "amount"),
        system_portion=system_portion,
        spendable_credits=pack.spendable,
        credits_used=pack.used,
        credits_held=pack.as_of(now).held,
        remaining_credits=left if pack.is_live(now) else 0,
        lapsed_credits=0 if pack.is_live(now) else left,
        taken_back_credits=taken_back,
        category=pack.category.value,
        priority=pack.priority,
        created_at=pack.created_at,
        expires_at=pack.expires_at,
        payment=_payment(document.get("payment")),
    )


def _payment(value: object) -> PaymentRecord | None:
    """Return what was paid; another program's words are no payment."""
    try:
        return PaymentRecord.model_validate(value)
    except ValidationError:
        return None


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
