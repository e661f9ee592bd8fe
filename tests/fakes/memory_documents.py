"""The documents of the store in memory, as `domain.recovery` reads them back."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from actors.mongo.usage_documents import price_document
from domain.events import event_id
from domain.grants import Grant
from domain.messages import CreditsAdded, Entry, SubscriptionChanged, charge_in
from domain.payments import Payment
from domain.stored_eras import era_documents
from domain.stripe import StripeLink, StripeStateApplied, VoidedGrant


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
        "amount": grant.amount - grant.voided,
        "system_portion": grant.system_portion,
        "spendable_credits": grant.spendable,
        "from_day": grant.from_day.isoformat(),
        "days": grant.days,
    }
    if grant.stripe_subscription_id is not None:
        document["stripe_subscription_id"] = grant.stripe_subscription_id
    if payment is not None:
        document["payment"] = {
            "method": payment.method,
            "transaction_id": payment.transaction_id,
            "amount": payment.amount,
            "currency": payment.currency,
        }
    return document


def link_document(link: StripeLink) -> dict[str, Any]:
    return asdict(link) | {"items": [asdict(item) for item in link.items]}


def take_back(document: dict[str, Any], voided: Iterable[VoidedGrant]) -> None:
    """Take from a subscription document what its grants lose."""
    for one in voided:
        lost = one.credits_before - one.credits_after
        document["total_credits"] -= lost
        document["spendable_credits"] -= lost
        for grant in document["grants"]:
            if grant["grant_id"] == one.grant_id:
                grant["amount"] -= lost
                grant["spendable_credits"] -= lost
                grant["voided_credits"] = grant.get("voided_credits", 0) + lost
                grant["voids"] = void_documents(one)
                grant["share_version"] = one.version


def void_documents(one: VoidedGrant) -> list[dict[str, Any]]:
    ends = [v.from_day.isoformat() if v.keeps_all else None for v in one.voids[1:]]
    return [
        {"from_day": v.from_day.isoformat(), "kept": v.kept, "parts": v.parts}
        | ({"until": end} if end else {})
        for v, end in zip(one.voids, [*ends, None], strict=False)
        if not v.keeps_all
    ]


def empty_subscription(entry: Entry, change: StripeStateApplied) -> dict[str, Any]:
    return {
        "_id": change.subscription_id,
        "user_id": entry.user_id,
        "start_date": change.start,
        "end_date": change.end,
        "total_credits": 0,
        "system_portion": 0,
        "spendable_credits": 0,
        "status": str(change.status or "active"),
        "timezone": change.timezone,
        "grants": [],
        "stripe": link_document(change.link) if change.link else None,
    }


def follow(document: dict[str, Any], change: StripeStateApplied) -> None:
    """Bring a subscription document in line with its Stripe subscription."""
    explicit = [grant_document(grant, None) for grant in change.made_explicit]
    document["grants"] = [*(document.get("grants") or []), *explicit]
    take_back(document, change.voided)
    document["end_date"] = change.end
    document["status"] = str(change.status or document["status"])
    if change.link is not None:
        document["stripe"] = (document.get("stripe") or {}) | link_document(change.link)


def set_zone(document: dict[str, Any], change: SubscriptionChanged) -> None:
    """Give a subscription document the zone of a change, if it names one."""
    if change.timezone is not None:
        document["timezone"] = change.timezone
        document["timezones"] = era_documents(change.eras)


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
        "price": None if change.price is None else price_document(change.price),
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
