"""Documents as other programs read them: int64 amounts, UTC dates, ObjectIds."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Int64
from pymongo import InsertOne, UpdateOne

from actors.mongo.documents.amounts import ZERO, amount_or, is_amount
from actors.mongo.documents.holds import holds_stages
from actors.mongo.ids import as_stored, stored_id
from domain.documents.days import told_fields
from domain.documents.eras import era_documents
from domain.documents.views import DayView
from domain.grants import Grant
from domain.messages import (
    CreditsAdded,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.open_ends import OPEN_END
from domain.payments import Payment
from domain.values import NO_CREDITS, UserId, owned_id

Write = InsertOne[dict[str, Any]] | UpdateOne

ONE = Int64(1)


def grant_document(grant: Grant, at: datetime, payment: Payment | None) -> dict[str, Any]:
    """Return one grant as the subscription document holds it; an implied one has no payment."""
    document: dict[str, Any] = {
        "grant_id": as_stored(grant.grant_id or ""),
        "amount": Int64(grant.amount - grant.voided),
        "system_portion": Int64(grant.system_portion),
        "spendable_credits": Int64(grant.spendable),
        "from_day": grant.from_day.isoformat(),
        "days": grant.days,
        "added_at": at,
    }
    if grant.stripe_subscription_id is not None:
        document["stripe_subscription_id"] = grant.stripe_subscription_id
    if payment is not None:
        document["payment"] = payment_document(payment)
    return document


def payment_document(payment: Payment) -> dict[str, Any]:
    """Return what was paid as documents hold it."""
    return {
        "method": payment.method,
        "transaction_id": payment.transaction_id,
        "amount": Int64(payment.amount),
        "currency": payment.currency,
    }


def subscription_write(entry: Entry) -> Write:
    """Return the write that brings an entry into its subscription document."""
    match entry.change:
        case CreditsAdded(created=True):
            return _new_subscription(entry, entry.change)
        case CreditsAdded():
            return raised([(entry, entry.change)])
        case SubscriptionChanged():
            return _changed(entry, entry.change)
        case SubscriptionExpired():
            return _expired(entry, entry.change)
        case _:
            raise AssertionError("the view names entries that change subscriptions only")


def _changed(entry: Entry, change: SubscriptionChanged) -> Write:
    fields: dict[str, Any] = {
        "applied_seq": Int64(entry.seq),
        "revision": {"$add": [if_missing("revision", Int64(0)), Int64(1)]},
        "changed_at": entry.at,  # Of one that ended long ago, days are loaded still.
    }
    if change.status is not None:
        fields["status"] = str(change.status)
    if change.end is not None:
        fields["end_date"] = change.end
    if change.timezone is not None:
        fields["timezone"] = change.timezone
        fields["timezones"] = {"$literal": era_documents(change.eras)}
    if change.made_explicit:
        explicit = [grant_document(grant, entry.at, None) for grant in change.made_explicit]
        fields["grants"] = with_grants(explicit)
    return UpdateOne({"_id": as_stored(change.subscription_id)}, [{"$set": fields}])


def _expired(entry: Entry, change: SubscriptionExpired) -> Write:
    """Expire the subscription, unless another program has moved its end since."""
    is_over = {"$lte": [if_missing("end_date", OPEN_END), entry.at]}
    return UpdateOne(
        {"_id": as_stored(change.subscription_id)},
        [
            {
                "$set": {
                    "status": {"$cond": [is_over, "expired", "$status"]},
                    "applied_seq": Int64(entry.seq),
                    "revision": {"$add": [if_missing("revision", Int64(0)), Int64(1)]},
                }
            }
        ],
    )


def _new_subscription(entry: Entry, change: CreditsAdded) -> Write:
    return InsertOne(
        {
            "_id": as_stored(change.opening.subscription_id),
            "user_id": stored_id(entry.user_id),
            "start_date": change.start,
            "end_date": change.end,
            "total_credits": Int64(change.grant.amount),
            "system_portion": Int64(change.grant.system_portion),
            "spendable_credits": Int64(change.grant.spendable),
            "status": "active",
            "timezone": change.timezone,
            "grants": [grant_document(change.grant, entry.at, change.payment)],
            "stripe": None,
            "applied_seq": Int64(entry.seq),
            "revision": Int64(1),
        }
    )


def raised(added: Sequence[tuple[Entry, CreditsAdded]]) -> Write:
    """Return the one write that brings consecutive grants into a subscription document.

    One, because each rewrites the whole document: hundreds in a transaction would not fit into a
    database's cache. Totals rise relative to what the document says now, so another program's
    edit survives.
    """
    last, first = added[-1][0], added[0][1]
    grants: list[dict[str, Any]] = []
    for entry, change in added:
        grants += [grant_document(grant, entry.at, None) for grant in change.made_explicit]
        grants.append(grant_document(change.grant, entry.at, change.payment))
    new = [change.grant for _, change in added]
    system, spendable = first.system_portion_before, first.spendable_before
    total = sum(grant.amount for grant in new)
    resumed = [change.status for _, change in added if change.status is not None]
    return UpdateOne(
        {"_id": as_stored(first.opening.subscription_id)},
        [
            {
                "$set": {
                    "total_credits": plus("total_credits", system + spendable, total),
                    "system_portion": plus(
                        "system_portion", system, sum(grant.system_portion for grant in new)
                    ),
                    "spendable_credits": plus(
                        "spendable_credits", spendable, sum(grant.spendable for grant in new)
                    ),
                    "end_date": {"$max": ["$end_date", max(change.end for _, change in added)]},
                    "grants": with_grants(grants),
                    "applied_seq": Int64(last.seq),
                    "revision": plus("revision", 0, 1),
                    **({"status": str(resumed[-1])} if resumed else {}),
                }
            }
        ],
    )


def if_missing(field: str, default: object) -> dict[str, Any]:
    """Return a field's value, or a default where there is none."""
    return {"$ifNull": [f"${field}", default]}


def with_grants(grants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the grants of the document, and these."""
    return {"$concatArrays": [if_missing("grants", []), [{"$literal": grant} for grant in grants]]}


def plus(field: str, default: int, amount: int) -> dict[str, Any]:
    """Return a field's value and an amount more."""
    return {"$add": [if_missing(field, Int64(default)), Int64(amount)]}


def needs_care(view: DayView) -> bool:
    """Say whether a day is more than charged: then `day_raise` is not enough for it."""
    return bool(view.is_new or view.placed or view.freed or view.adjusted or view.used < NO_CREDITS)


def day_raise(view: DayView) -> Write:
    """Return the write that brings a day document forward that is there, as days of ours are.

    Not for one that `needs_care`.
    """
    opening, used = view.opening, Int64(view.used)
    return UpdateOne(
        {"subscription_id": as_stored(opening.subscription_id), "date": opening.starts_at},
        {
            "$inc": {"credits_used": used, "credits_charged": used, "revision": ONE},
            "$set": {
                "daily_credit_limit": Int64(opening.daily_credit_limit),
                "credits_rolled_over": Int64(opening.rolled_over),
                "applied_seq": Int64(view.applied_seq),
                **told_fields(view.told),
            },
        },
    )


def day_write(view: DayView, user_id: UserId) -> Write:
    """Return the write that brings any day document forward; the day is made if it is new.

    It costs twice as much as `day_raise`. A pipeline, because only there a document that is made
    can be given an `_id` and one that is found can keep its own. The new `_id` is one that nobody
    has had: another program may have kept a former one and made it another day's.

    What another program has put in the place of an amount gives way to what we have charged.
    """
    opening, used = view.opening, Int64(view.used)
    charged = amount_or("$credits_charged", ZERO)
    new_id = owned_id(opening.starts_at, user_id, secrets.token_hex(4))
    return UpdateOne(
        {"subscription_id": as_stored(opening.subscription_id), "date": opening.starts_at},
        [
            {
                "$set": {
                    "_id": if_missing("_id", stored_id(new_id)),
                    "user_id": {  # Another program's day without one stays so.
                        "$cond": [
                            {"$eq": [if_missing("credits_used", None), None]},
                            {"$literal": stored_id(user_id)},
                            "$user_id",
                        ]
                    },
                    "credits_used": _raised_use(amount_or("$credits_used", charged), view),
                    # What other programs edit of `credits_used` is not in this sum of ours.
                    "credits_charged": {"$add": [charged, used]},
                    "credits_used_unread": {
                        "$cond": [
                            is_amount("$credits_used"),
                            "$credits_used_unread",
                            "$credits_used",
                        ]
                    },
                    "credits_held": if_missing("credits_held", Int64(0)),
                    "revision": plus("revision", 0, 1),
                    "daily_credit_limit": Int64(opening.daily_credit_limit),
                    "credits_rolled_over": Int64(opening.rolled_over),
                    "applied_seq": Int64(view.applied_seq),
                    # Another program may have deleted the day: earlier charges are not in this one.
                    "since_seq": {
                        "$cond": [
                            {"$eq": [if_missing("_id", None), None]},
                            Int64(view.first_seq),
                            "$since_seq",
                        ]
                    },
                    **told_fields(view.told),
                    **_adjusted(view),
                }
            },
            *holds_stages(view),
        ],
        upsert=True,
    )


def _raised_use(known: dict[str, Any], view: DayView) -> dict[str, Any]:
    raised = {"$add": [known, Int64(view.used)]}
    # What is reversed may be more than another program has left of it.
    return raised if view.used >= NO_CREDITS else {"$max": [ZERO, raised]}


def _adjusted(view: DayView) -> dict[str, Any]:
    if not view.adjusted:
        return {}
    known = amount_or("$credits_adjusted", ZERO)
    return {"credits_adjusted": {"$add": [known, Int64(view.adjusted)]}}
