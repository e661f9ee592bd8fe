"""Packs as documents: one is made by its entry, and brought forward by what the server has of it.

What another program has put in the place of an amount gives way, as in days: use to what we have
charged (`credits_charged`), what a pack gives to what its other amounts tell.
"""

from collections.abc import Iterator
from typing import Any

from bson import Int64
from pymongo import InsertOne, UpdateOne

from actors.mongo.documents.amounts import ZERO, amount_or, is_amount
from actors.mongo.documents.holds import holds_stages
from actors.mongo.documents.subscriptions import Write, payment_document
from actors.mongo.ids import as_stored, stored_id
from domain.corrections import CreditsAdjusted
from domain.documents.pack_views import PackView
from domain.messages import Entry
from domain.pack_messages import PackAdded
from domain.packs import Pack


def pack_writes(view: PackView) -> Iterator[Write]:
    """Yield the writes that bring a pack into its document, in order.

    A document that another program has deleted is not made again.
    """
    if view.added is not None:
        yield InsertOne(new_pack(view.added))
    if changes_more(view):
        yield UpdateOne({"_id": as_stored(view.pack_id)}, _stages(view))


def new_pack(entry: Entry) -> dict[str, Any]:
    """Return the document of a pack that an entry adds."""
    match entry.change:
        case PackAdded(pack=pack, amount=amount, system_portion=system, payment=payment):
            document = _document(entry, pack, amount, system)
            return document | {"payment": payment_document(payment)}
        case CreditsAdjusted(added=Pack() as pack):
            return _document(entry, pack, pack.spendable, 0) | {"payment": None}
        case _:
            raise AssertionError("the view names entries that add packs only")


def _document(entry: Entry, pack: Pack, amount: int, system: int) -> dict[str, Any]:
    return {
        "_id": as_stored(pack.pack_id),
        "user_id": stored_id(entry.user_id),
        "amount": Int64(amount),
        "system_portion": Int64(system),
        "spendable_credits": Int64(pack.spendable),
        "credits_used": ZERO,
        "credits_charged": ZERO,
        "credits_held": ZERO,
        "category": str(pack.category),
        "priority": Int64(pack.priority),
        "created_at": pack.created_at,
        "expires_at": pack.expires_at,
        "holds": [],
        "applied_seq": Int64(entry.seq),
        "revision": Int64(1),
    }


def changes_more(view: PackView) -> bool:
    """Say whether there is anything beside the document that is made."""
    return view.added is None or bool(
        view.used
        or view.taken_back
        or view.share_version is not None
        or view.expired_at
        or view.placed
        or view.freed
    )


def _stages(view: PackView) -> list[dict[str, Any]]:
    charged = amount_or("$credits_charged", ZERO)
    used = {"$add": [amount_or("$credits_used", charged), Int64(view.used)]}
    fields: dict[str, Any] = {
        "credits_used": {"$max": [ZERO, used]},  # Another program may have lowered it.
        # What other programs edit of `credits_used` is not in this sum of ours.
        "credits_charged": {"$add": [charged, Int64(view.used)]},
        "credits_used_unread": {
            "$cond": [
                is_amount("$credits_used"),
                "$credits_used_unread",
                "$credits_used",
            ]
        },
        "applied_seq": Int64(view.applied_seq),
        "revision": {"$add": [amount_or("$revision", ZERO), Int64(1)]},
    }
    if view.taken_back or view.refunded:
        less = Int64(view.taken_back + view.refunded)
        # Another program may have lowered it.
        fields["spendable_credits"] = {"$max": [ZERO, {"$subtract": [SPENDABLE, less]}]}
    if view.taken_back:
        fields["taken_back_credits"] = _plus_amount("$taken_back_credits", view.taken_back)
    if view.share_version is not None:
        fields["refunded_credits"] = _plus_amount("$refunded_credits", view.refunded)
        known = amount_or("$share_version", ZERO)
        fields["share_version"] = {"$max": [known, Int64(view.share_version)]}
    if view.expired_at is not None:
        fields["expired_at"] = view.expired_at
    return [{"$set": fields}, *holds_stages(view), LAPSED]


def _plus_amount(field: str, amount: int) -> dict[str, Any]:
    return {"$add": [amount_or(field, ZERO), Int64(amount)]}


_LESS = ("$system_portion", "$taken_back_credits", "$refunded_credits")
SPENDABLE = amount_or(
    "$spendable_credits",
    {
        "$max": [
            ZERO,
            {
                "$subtract": [
                    amount_or("$amount", ZERO),
                    {"$add": [amount_or(field, ZERO) for field in _LESS]},
                ]
            },
        ]
    },
)
"""What a pack gives; where it does not say so, what its other amounts leave."""

LAPSED = {
    "$set": {
        "lapsed_credits": {
            "$cond": [
                {
                    "$and": [
                        {"$eq": [{"$type": "$expired_at"}, "date"]},
                        {"$eq": ["$expired_at", "$expires_at"]},
                    ]
                },
                {
                    "$max": [
                        ZERO,
                        {
                            "$subtract": [
                                SPENDABLE,
                                {"$add": ["$credits_used", amount_or("$credits_held", ZERO)]},
                            ]
                        },
                    ]
                },
                "$lapsed_credits",
            ]
        }
    }
}
"""What nobody can spend any more, once the coming of its expiry is written down."""
