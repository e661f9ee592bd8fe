"""The documents of the store in memory, as `domain.documents.recovery` reads them back."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from actors.mongo.documents.packs import changes_more
from actors.mongo.documents.usages import price_document
from domain.charges import UsageRecorded
from domain.corrections import CreditsAdjusted
from domain.documents.eras import era_documents
from domain.documents.holds import hold_document
from domain.documents.pack_views import PackView
from domain.documents.packs import lapsed_document
from domain.documents.views import AccountViews, DayView
from domain.events import event_id
from domain.grants import Grant
from domain.messages import CreditsAdded, Entry, SubscriptionChanged, charge_in
from domain.pack_messages import PackAdded
from domain.payments import Payment
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
        document["payment"] = asdict(payment)
    return document


def new_pack(entry: Entry) -> dict[str, Any]:
    """Return the document of a pack that an entry adds."""
    change = entry.change
    assert isinstance(change, PackAdded | CreditsAdjusted), "packs are added by these"
    pack = change.pack if isinstance(change, PackAdded) else change.added
    assert pack is not None, "the view names entries that add packs only"
    return {
        "_id": pack.pack_id,
        "user_id": entry.user_id,
        "amount": change.amount if isinstance(change, PackAdded) else pack.spendable,
        "system_portion": change.system_portion if isinstance(change, PackAdded) else 0,
        "spendable_credits": pack.spendable,
        "credits_used": 0,
        "credits_charged": 0,
        "credits_held": 0,
        "category": str(pack.category),
        "priority": pack.priority,
        "created_at": pack.created_at,
        "expires_at": pack.expires_at,
        "payment": asdict(change.payment) if isinstance(change, PackAdded) else None,
        "holds": [],
        "applied_seq": entry.seq,
        "revision": 1,
    }


def bring_pack_forward(document: dict[str, Any], view: PackView) -> None:
    """Bring a pack into its document, as the server does."""
    if not changes_more(view):
        return
    if document.get("spendable_credits") is None:
        taken = document.get("taken_back_credits", 0) + document.get("refunded_credits", 0)
        spendable = document["amount"] - document["system_portion"] - taken
        document["spendable_credits"] = max(0, spendable)
    document["credits_used"] = max(0, document.get("credits_used", 0) + view.used)
    document["credits_charged"] = document.get("credits_charged", 0) + view.used
    if less := view.taken_back + view.refunded:
        document["spendable_credits"] = max(0, document["spendable_credits"] - less)
    if view.taken_back:
        taken = document.get("taken_back_credits", 0)
        document["taken_back_credits"] = taken + view.taken_back
    if view.share_version is not None:
        document["refunded_credits"] = document.get("refunded_credits", 0) + view.refunded
        document["share_version"] = max(document.get("share_version", 0), view.share_version)
    if view.expired_at is not None:
        document["expired_at"] = view.expired_at
    document["applied_seq"] = view.applied_seq
    document["revision"] = document.get("revision", 0) + 1
    bring_holds_forward(document, view)
    expired_at = document.get("expired_at")
    if expired_at is not None and expired_at == document.get("expires_at"):
        left = document["spendable_credits"] - document["credits_used"]
        document["lapsed_credits"] = max(0, left - document.get("credits_held", 0))


def bring_holds_forward(document: dict[str, Any], view: DayView | PackView) -> None:
    """Bring the open holds of a day or a pack forward."""
    if not view.placed and not view.freed:
        return
    known = document.get("holds")
    known = known if isinstance(known, list) else []
    kept = [hold for hold in known if hold.get("hold_id") not in view.freed]
    document["holds"] = [*kept, *map(hold_document, view.placed)]
    document["credits_held"] = sum(h["credit_amount"] for h in document["holds"])
    document["holds_until"] = min((h["expires_at"] for h in document["holds"]), default=None)


def bring_lapsed_forward(documents: dict[str, dict[str, Any]], views: AccountViews) -> None:
    """Bring the holds forward that can be settled late, by their ids."""
    for hold_id, lapsed in views.lapsed.items():
        of_user = {"_id": hold_id, "user_id": views.user_id}
        documents[hold_id] = of_user | lapsed_document(lapsed)
    for hold_id in views.settled_late:
        if hold_id in documents:
            documents[hold_id]["is_closed"] = True


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
    opening = change.opening
    document = {
        "_id": change.usage_id,
        "user_id": entry.user_id,
        "subscription_id": None if opening is None else opening.subscription_id,
        "service_type": change.service_type,
        "credit_amount": change.credit_amount,
        "token_count": change.token_count,
        "model_used": change.model_used,
        "timestamp": change.timestamp,
        "session_id": change.session_id,
        "details": None if change.details is None else json.loads(change.details),
        "price": None if change.price is None else price_document(change.price),
        "date": None if opening is None else opening.starts_at,
        "seq": entry.seq,
        "sources": _sources(change),
    }
    if change.uncovered_credits:
        document["uncovered_credits"] = change.uncovered_credits
    if change.settles is not None:
        document["late"] = True
    if change.tokens is not None:
        document["tokens"] = asdict(change.tokens)
    return document


def _sources(change: UsageRecorded) -> list[dict[str, Any]]:
    of_packs = [{"source": "pack", **asdict(share)} for share in change.packs]
    if change.opening is None or not change.day_amount:
        return of_packs
    amount, starts_at = change.day_amount, change.opening.starts_at
    return [{"source": "day", "date": starts_at, "credit_amount": amount}, *of_packs]


def give_back(document: dict[str, Any], reversed_credits: int) -> None:
    """Have a usage record say what went back of it, of what was taken last first."""
    document["reversed_credits"] = left = reversed_credits
    sources: list[dict[str, Any]] = []
    for source in reversed(document.get("sources") or []):
        part = min(left, source["credit_amount"])
        left -= part
        sources.insert(0, source | {"reversed_credits": part} if part else source)
    if document.get("sources") is not None:
        document["sources"] = sources


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
