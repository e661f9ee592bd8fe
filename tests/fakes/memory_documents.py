"""The documents of the store in memory, as `domain.recovery` reads them back."""

import json
from datetime import datetime
from typing import Any

from domain.events import event_id
from domain.grants import Grant
from domain.messages import CreditsAdded, Entry, Payment, charge_in


def new_subscription(entry: Entry, change: CreditsAdded) -> dict[str, Any]:
    """Return a subscription that holds nothing yet: its first grant is added to it."""
    return {
        "_id": change.opening.subscription_id,
        "user_id": entry.user_id,
        "start_date": change.start,
        "end_date": change.end,
        "total_credits": 0,
        "system_portion": 0,
        "spendable_credits": 0,
        "status": "active",
        "timezone": change.timezone,
        "grants": [],
        "stripe": None,
    }


def grant_document(grant: Grant, payment: Payment | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "grant_id": grant.grant_id,
        "amount": grant.amount,
        "system_portion": grant.system_portion,
        "spendable_credits": grant.spendable,
        "from_day": grant.from_day.isoformat(),
        "days": grant.days,
    }
    if payment is not None:
        document["payment"] = {
            "method": payment.method,
            "transaction_id": payment.transaction_id,
            "amount": payment.amount,
            "currency": payment.currency,
        }
    return document


def usage_document(entry: Entry) -> dict[str, Any]:
    change = charge_in(entry.change)
    assert change is not None, "usages are entries that charge"
    return {
        "_id": change.usage_id,
        "user_id": entry.user_id,
        "subscription_id": change.opening.subscription_id,
        "service_type": change.service_type,
        "credit_amount": change.credit_amount,
        "token_count": change.token_count,
        "model_used": change.model_used,
        "timestamp": change.timestamp,
        "session_id": change.session_id,
        "details": None if change.details is None else json.loads(change.details),
    }


def day_key(subscription_id: str, starts_at: datetime) -> str:
    """Return what is unique on subscription and date."""
    return f"{subscription_id} {starts_at.isoformat()}"


def event_documents(entry: Entry) -> list[dict[str, Any]]:
    """Return the events of an entry, not in order yet."""
    return [
        {
            "_id": event_id(entry.user_id, entry.seq, place),
            "type": str(event.type),
            "created": entry.at,
            "user_id": entry.user_id,
            "subscription_id": event.subscription_id,
            "data": json.loads(event.data),
            "seq": entry.seq,
            "place": place,
            "order": 0,
        }
        for place, event in enumerate(entry.events)
    ]
