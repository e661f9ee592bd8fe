"""Holds the documents that other programs read to the journal and to the books."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.simulation.books import Book, Rules, require
from tests.simulation.database import SimulatedStore, documents_of
from tests.simulation.packs_audit import audit_packs, read_pack
from tests.simulation.subscription_books import Grant, Hold, Subscription

STATUSES = ("active", "past_due", "paused", "cancelled", "expired")


def audit_views(store: SimulatedStore, book: Book) -> None:
    """Check that the documents of a user whom nobody else edits are the books."""
    _audit_subscriptions(store, book)
    _audit_days(store, book)
    audit_packs(store, book)


def _audit_subscriptions(store: SimulatedStore, book: Book) -> None:
    documents = {d["_id"]: d for d in documents_of(store, "subscriptions", book.user_id)}
    require(
        documents.keys() == {s.id for s in book.subscriptions},
        "other subscriptions than were bought",
        seen=documents,
        due=book,
    )
    for subscription in book.subscriptions:
        document = documents[subscription.id]
        seen = (
            document["start_date"],
            document["end_date"],
            document["status"],
            document["timezone"],
            [(part["timezone"], part["until"]) for part in document.get("timezones") or ()],
            document["total_credits"],
            document["system_portion"],
            document["spendable_credits"],
            len(document["grants"]),
        )
        due = (
            subscription.start,
            subscription.end,
            subscription.status,
            subscription.zone,
            [(zone, until.isoformat()) for zone, until in subscription.past],
            sum(g.amount for g in subscription.grants),
            sum(g.system for g in subscription.grants),
            sum(g.spendable for g in subscription.grants),
            len(subscription.grants),
        )
        require(seen == due, "a subscription's document is not the books", seen=seen, due=due)


def _audit_days(store: SimulatedStore, book: Book) -> None:
    seen = {
        (d["subscription_id"], d["date"]): (
            d["credits_used"],
            d["daily_credit_limit"],
            d["credits_held"],
            d.get("credits_adjusted", 0),
            {hold["hold_id"]: hold["expires_at"] for hold in d.get("holds") or ()},
        )
        for d in documents_of(store, "dailycredits", book.user_id)
    }
    due = {
        (s.id, s.midnight(day)): (
            used,
            s.limit(day),
            sum(hold.amount for hold in s.holds if hold.day == day),
            s.adjusted.get(day, 0),
            {hold.id: hold.expires_at for hold in s.holds if hold.day == day},
        )
        for s in book.subscriptions
        for day, used in s.used.items()
    }
    require(seen == due, "day documents are not the books", seen=seen, due=due)


# --- what documents say, whoever wrote them ---------------------------------------------


def book_of_documents(store: SimulatedStore, user_id: str, at: datetime, rules: Rules) -> Book:
    """Read a user's documents by the contract's rules for documents of other programs."""
    book = Book(user_id)
    for document in documents_of(store, "subscriptions", user_id):
        if document["status"] in STATUSES and document["end_date"] >= document["start_date"]:
            book.subscriptions.append(_subscription(store, document, at, rules))
    book.subscriptions.sort(key=lambda s: (s.start, s.id))
    for document in documents_of(store, "packs", user_id):
        pack = read_pack(document)
        if pack is not None:
            book.packs[pack.id] = pack
    return book


def _subscription(
    store: SimulatedStore, document: Mapping[str, Any], at: datetime, rules: Rules
) -> Subscription:
    subscription = Subscription(
        document["_id"],
        document["start_date"].astimezone(UTC),
        document["end_date"].astimezone(UTC),
        document["status"],
        document.get("timezone") or rules.zone,
        past=[
            (part["timezone"], date.fromisoformat(part["until"]))
            for part in document.get("timezones") or ()
        ],
    )
    for item in document.get("grants") or ():
        first, days = date.fromisoformat(item["from_day"]), item["days"]
        grant = Grant(item["amount"], item.get("system_portion", 0), first, days)
        subscription.grants.append(grant)
    _imply(subscription, document)
    first_day = subscription.day_of(subscription.start)
    today = subscription.day_of(at)
    for day in store.collections["dailycredits"].values():
        on = subscription.named(day["date"])
        counts = first_day <= on and (on <= today or "applied_seq" in day)
        if day["subscription_id"] == subscription.id and counts:
            subscription.used[on] = subscription.used.get(on, 0) + day.get("credits_used", 0)
            taken = day.get("credits_adjusted", 0)
            subscription.adjusted[on] = subscription.adjusted.get(on, 0) + taken
            subscription.holds += [_hold(item, on) for item in day.get("holds") or ()]
    return subscription


def _hold(item: Mapping[str, Any], day: date) -> Hold:
    return Hold(item["hold_id"], day, item["credit_amount"], item["expires_at"])


def _imply(subscription: Subscription, document: Mapping[str, Any]) -> None:
    """Add what the totals say beyond the grants: one more grant from start to end."""
    grants = subscription.grants
    spendable = document["spendable_credits"] - sum(g.spendable for g in grants)
    system = document["system_portion"] - sum(g.system for g in grants)
    if spendable or system or not grants:
        first = subscription.day_of(subscription.start)
        days = max((subscription.day_of(subscription.end) - first) // timedelta(days=1), 1)
        grants.append(Grant(spendable + system, system, first, days))
