"""What lists show: subscriptions and the history of decisions, the same over HTTP and from Python."""

import json
from datetime import datetime
from typing import Any

from domain.answers import GrantRecord, HistoryEntry, SubscriptionRecord
from domain.codec import SpoiltEntry, entry_document
from domain.ids import shown_id
from domain.messages import Entry
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
