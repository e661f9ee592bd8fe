"""Holds the documents that other programs read to the journal and to the books."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.simulation.books import Book, Grant, Hold, Rules, Subscription, require
from tests.simulation.database import SimulatedStore

STATUSES = ("active", "past_due", "paused", "cancelled", "expired")


def _documents(store: SimulatedStore, collection: str, user_id: str) -> list[dict[str, Any]]:
    return [d for d in store.collections[collection].values() if d.get("user_id") == user_id]


def audit_charges(
    store: SimulatedStore,
    user_id: str,
    entries: Sequence[Any],
    deltas: Mapping[tuple[str, Any], int | None],
) -> None:
    """Check that every charge is one usage record, and once in its day's sum."""
    charges = [charge for charge in map(_charge_of, entries) if charge is not None]
    due = {charge.usage_id: charge.credit_amount for charge in charges}
    seen = {d["_id"]: d["credit_amount"] for d in _documents(store, "usages", user_id)}
    require(seen == due, "usage records are not the charges", user=user_id, seen=seen, due=due)
    used: dict[tuple[str, datetime], int] = {}
    for charge in charges:
        day = charge.opening.subscription_id, charge.opening.starts_at
        used[day] = used.get(day, 0) + charge.credit_amount
    days = {
        (d["subscription_id"], d["date"]): d for d in _documents(store, "dailycredits", user_id)
    }
    for day, amount in used.items():
        delta = deltas.get(day, 0)
        if delta is None:  # Another program deleted this day, and what was in it.
            continue
        require(day in days, "a charged day has no document", user=user_id, day=day)
        require(
            days[day]["credits_used"] == amount + delta,
            "a day's use is not its charges",
            user=user_id,
            document=days[day],
            charges=amount,
            others=delta,
        )


def _charge_of(entry: Any) -> Any:
    """Return the charge of an entry, be it out of a hold; None: it makes none."""
    match type(entry.change).__name__:
        case "UsageRecorded":
            return entry.change
        case "HoldSettled":
            return entry.change.usage
        case _:
            return None


def audit_views(store: SimulatedStore, book: Book, entries: Sequence[Any]) -> None:
    """Check that the documents of a user whom nobody else edits are the books."""
    documents = {d["_id"]: d for d in _documents(store, "subscriptions", book.user_id)}
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
    _audit_days(store, book)


def _audit_days(store: SimulatedStore, book: Book) -> None:
    seen = {
        (d["subscription_id"], d["date"]): (
            d["credits_used"],
            d["daily_credit_limit"],
            d["credits_held"],
            {hold["hold_id"]: hold["expires_at"] for hold in d.get("holds") or ()},
        )
        for d in _documents(store, "dailycredits", book.user_id)
    }
    due = {
        (s.id, s.midnight(day)): (
            used,
            s.limit(day),
            sum(hold.amount for hold in s.holds if hold.day == day),
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
    for document in _documents(store, "subscriptions", user_id):
        if document["status"] in STATUSES and document["end_date"] >= document["start_date"]:
            book.subscriptions.append(_subscription(store, document, at, rules))
    book.subscriptions.sort(key=lambda s: (s.start, s.id))
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
