"""What Stripe's news change in subscription documents, beside what everything else changes."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from bson import Int64
from pymongo import InsertOne, UpdateOne

from actors.mongo.documents.subscriptions import (
    Write,
    grant_document,
    if_missing,
    plus,
    raised,
    subscription_write,
    with_grants,
)
from actors.mongo.ids import as_stored, stored_id
from domain.grants import Void
from domain.messages import CreditsAdded, Entry
from domain.stripe import GrantsVoided, StripeLink, StripeStateApplied, VoidedGrant


def view_writes(entries: Sequence[Entry]) -> Iterator[Write]:
    """Yield the writes that bring entries of one account into its subscription documents."""
    for subscription_id, group in groupby(entries, key=_raised_subscription):
        if subscription_id is None:
            yield from map(_view_write, group)
        else:
            yield raised([(e, e.change) for e in group if isinstance(e.change, CreditsAdded)])


def _raised_subscription(entry: Entry) -> str | None:
    """Return which subscription's grants an entry adds to; None where it does anything else."""
    match entry.change:
        case CreditsAdded(created=False, opening=opening):
            return opening.subscription_id
        case _:
            return None


def _view_write(entry: Entry) -> Write:
    """Return the write that brings an entry into its subscription document."""
    match entry.change:
        case StripeStateApplied(created=True):
            return _new_subscription(entry, entry.change)
        case StripeStateApplied():
            return _followed(entry, entry.change)
        case GrantsVoided(str(subscription_id), voided):
            fields = _numbered(entry) | _voided(voided, with_grants([]))
            return UpdateOne({"_id": as_stored(subscription_id)}, [{"$set": fields}])
        case _:
            return subscription_write(entry)


def link_document(link: StripeLink) -> dict[str, Any]:
    """Return the `stripe` block of a subscription document."""
    return {
        "subscription_id": link.subscription_id,
        "customer_id": link.customer_id,
        "status": link.status,
        "created": link.created,
        "period_end": link.period_end,
        "cancel_at": link.cancel_at,
        "ended_at": link.ended_at,
        "items": [
            {"price_id": item.price_id, "quantity": Int64(item.quantity)} for item in link.items
        ],
        "version": Int64(link.version),
        "extends_to": link.extends_to,
    }


def void_documents(voids: Sequence[Void]) -> list[dict[str, Any]]:
    """Return voids as their grant holds them: what keeps all is the end of the one before it."""
    documents: list[dict[str, Any]] = []
    for void in voids:
        if void.keeps_all:
            documents[-1]["until"] = void.from_day.isoformat()
            continue
        documents.append(
            {
                "from_day": void.from_day.isoformat(),
                "kept": Int64(void.kept),
                "parts": Int64(void.parts),
            }
        )
    return documents


def _new_subscription(entry: Entry, change: StripeStateApplied) -> Write:
    return InsertOne(
        {
            "_id": as_stored(change.subscription_id),
            "user_id": stored_id(entry.user_id),
            "start_date": change.start,
            "end_date": change.end,
            "total_credits": Int64(0),
            "system_portion": Int64(0),
            "spendable_credits": Int64(0),
            "status": str(change.status or "active"),
            "timezone": change.timezone,
            "grants": [],
            "stripe": None if change.link is None else link_document(change.link),
            "applied_seq": Int64(entry.seq),
            "revision": Int64(1),
        }
    )


def _followed(entry: Entry, change: StripeStateApplied) -> Write:
    explicit = [grant_document(grant, entry.at, None) for grant in change.made_explicit]
    fields: dict[str, Any] = {"end_date": change.end} | _numbered(entry)
    if change.status is not None:
        fields["status"] = str(change.status)
    if change.link is not None:
        # What another program keeps in the block stays there.
        kept = {"$cond": [{"$eq": [{"$type": "$stripe"}, "object"]}, "$stripe", {}]}
        link = {"$literal": link_document(change.link)}
        fields["stripe"] = {"$mergeObjects": [kept, link]}
    if change.voided or explicit:
        fields |= _voided(change.voided, with_grants(explicit))
    return UpdateOne({"_id": as_stored(change.subscription_id)}, [{"$set": fields}])


def _numbered(entry: Entry) -> dict[str, Any]:
    return {
        "applied_seq": Int64(entry.seq),
        "revision": {"$add": [if_missing("revision", Int64(0)), Int64(1)]},
    }


def _voided(voided: Sequence[VoidedGrant], grants: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that lose what grants lose, relative to what the document says."""
    lost = sum(one.credits_before - one.credits_after for one in voided)
    for one in voided:
        grants = _with_void(grants, one)
    return {
        "total_credits": plus("total_credits", 0, -lost),
        "spendable_credits": plus("spendable_credits", 0, -lost),
        "grants": grants,
    }


def _with_void(grants: dict[str, Any], one: VoidedGrant) -> dict[str, Any]:
    lost = Int64(one.credits_before - one.credits_after)
    changed = {
        "amount": {"$subtract": ["$$grant.amount", lost]},
        "spendable_credits": {"$subtract": ["$$grant.spendable_credits", lost]},
        "voided_credits": {"$add": [{"$ifNull": ["$$grant.voided_credits", Int64(0)]}, lost]},
        "voids": {"$literal": void_documents(one.voids)},
        "share_version": Int64(one.version),
    }
    grant_id = {"$ifNull": ["$$grant.grant_id", "$$grant._id"]}  # Mongoose gives parts an `_id`.
    is_it = {"$eq": [grant_id, {"$literal": as_stored(one.grant_id)}]}
    replaced = {"$cond": [is_it, {"$mergeObjects": ["$$grant", changed]}, "$$grant"]}
    return {"$map": {"input": grants, "as": "grant", "in": replaced}}
