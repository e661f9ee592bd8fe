"""Holds the documents of packs, charges and expired holds to the journal and to the books."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.simulation.books import Book, require
from tests.simulation.database import SimulatedStore, documents_of
from tests.simulation.pack_books import RANKS, Charged, Pack

Deltas = Mapping[tuple[str, Any], int | None]
"""What other programs added to the use of a day or pack; None: they deleted it."""


def audit_charges(
    store: SimulatedStore, user_id: str, entries: Sequence[Any], deltas: Deltas
) -> None:
    """Check that every charge is one usage record, and once in its sources' sums, net."""
    charges = {charge.usage_id: charge for charge in filter(None, map(_charge_of, entries))}
    reversals = [e.change for e in entries if type(e.change).__name__ == "UsageReversed"]
    back = dict.fromkeys(charges, 0)
    for reversal in reversals:
        back[reversal.usage_id] += reversal.credit_amount
    due = {name: (charge.credit_amount, back[name]) for name, charge in charges.items()}
    records = documents_of(store, "usages", user_id)
    seen = {d["_id"]: (d["credit_amount"], d.get("reversed_credits", 0)) for d in records}
    require(seen == due, "usage records are not the charges", user=user_id, seen=seen, due=due)
    minted = [name for name, (amount, gone) in due.items() if gone > amount]
    require(not minted, "more went back than was charged", user=user_id, charges=minted)
    _audit_use_of_days(store, user_id, list(charges.values()), reversals, deltas)
    _audit_use_of_packs(store, user_id, list(charges.values()), reversals, deltas)


def _audit_use_of_days(
    store: SimulatedStore,
    user_id: str,
    charges: Sequence[Any],
    reversals: Sequence[Any],
    deltas: Deltas,
) -> None:
    used: dict[tuple[str, datetime], int] = {}
    for change, sign in [*((c, 1) for c in charges), *((r, -1) for r in reversals)]:
        if change.opening is not None:
            day = change.opening.subscription_id, change.opening.starts_at
            used[day] = used.get(day, 0) + sign * change.day_amount
    found = documents_of(store, "dailycredits", user_id)
    days = {(d["subscription_id"], d["date"]): d for d in found}
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


def _audit_use_of_packs(
    store: SimulatedStore,
    user_id: str,
    charges: Sequence[Any],
    reversals: Sequence[Any],
    deltas: Deltas,
) -> None:
    used: dict[str, int] = {}
    for change, sign in [*((c, 1) for c in charges), *((r, -1) for r in reversals)]:
        for share in change.packs:
            used[share.pack_id] = used.get(share.pack_id, 0) + sign * share.credit_amount
    packs = {d["_id"]: d for d in documents_of(store, "packs", user_id)}
    for name, amount in used.items():
        if deltas.get(("pack", name), 0) is None:
            continue
        require(name in packs, "a charged pack has no document", user=user_id, pack=name)
        require(
            packs[name]["credits_used"] == amount,
            "a pack's use is not its charges",
            user=user_id,
            document=packs[name],
            charges=amount,
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


def audit_packs(store: SimulatedStore, book: Book) -> None:
    """Check the documents of packs, charges and expired holds of whom nobody else edits."""
    documents = {d["_id"]: d for d in documents_of(store, "packs", book.user_id)}
    require(documents.keys() == book.packs.keys(), "other packs than were added", book=book)
    for name, pack in book.packs.items():
        document = documents[name]
        seen, due = _said(document), _due(pack)
        require(seen == due, "a pack's document is not the books", seen=seen, due=due)
        _audit_sum(document, pack)
    records = {d["_id"]: _said_of_charge(d) for d in documents_of(store, "usages", book.user_id)}
    due_of = {name: _due_of_charge(charge) for name, charge in book.charges.items()}
    require(records == due_of, "usage records are not the books", seen=records, due=due_of)
    lapsed = documents_of(store, "allotment_lapsed_holds", book.user_id)
    until = {d["_id"]: d["until"] for d in lapsed if not d.get("is_closed")}
    require(until == book.lapsed, "expired holds are not the books", seen=until, due=book.lapsed)


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "amount": document["amount"],
        "spendable": document["spendable_credits"],
        "priority": document["priority"],
        "category": document["category"],
        "expires_at": document["expires_at"],
        "used": document["credits_used"],
        "held": document["credits_held"],
        "holds": {h["hold_id"]: (h["credit_amount"], h["expires_at"]) for h in document["holds"]},
        "taken_back": document.get("taken_back_credits", 0),
        "expired_at": document.get("expired_at"),
    }


def _due(pack: Pack) -> dict[str, Any]:
    return {
        "amount": pack.amount,
        "spendable": pack.spendable,
        "priority": pack.priority,
        "category": pack.category,
        "expires_at": pack.expires_at,
        "used": pack.used,
        "held": sum(amount for amount, _ in pack.holds.values()),
        "holds": pack.holds,
        "taken_back": pack.taken_back,
        "expired_at": pack.expired_at,
    }


def _audit_sum(document: Mapping[str, Any], pack: Pack) -> None:
    """Check that what was given is used, held, left, lapsed or taken back: each credit once."""
    given = document["amount"] - document["system_portion"]
    left = pack.spendable - pack.used - document["credits_held"]
    lapsed = document.get("lapsed_credits", 0)
    gone = document["credits_used"] + document["credits_held"] + pack.taken_back
    # What is over of a hold may be spent before it is written down that it is.
    require(given == gone + left, "credits of a pack are lost or doubled", pack=document)
    due = 0 if pack.expired_at is None else max(left, 0)
    require(lapsed == due, "what has lapsed of a pack", pack=document, due=due)


def _said_of_charge(document: Mapping[str, Any]) -> tuple[Any, ...]:
    sources = [
        (s.get("pack_id"), s["credit_amount"], s.get("reversed_credits", 0))
        for s in document["sources"]
    ]
    uncovered, late = document.get("uncovered_credits", 0), document.get("late", False)
    return sources, document.get("reversed_credits", 0), uncovered, late


def _due_of_charge(charge: Charged) -> tuple[Any, ...]:
    parts: list[tuple[str | None, int]] = [(None, charge.of_day)] if charge.of_day else []
    parts += list(charge.packs.items())
    left, sources = charge.reversed, list[tuple[str | None, int, int]]()
    for name, part in reversed(parts):
        sources.insert(0, (name, part, min(left, part)))
        left -= min(left, part)
    return sources, charge.reversed, charge.uncovered, charge.late


def read_pack(document: Mapping[str, Any]) -> Pack | None:
    """Read a pack by the contract's rules for documents of other programs; None: it is unreadable."""
    amount, system = document.get("amount"), document.get("system_portion")
    spendable, used = document.get("spendable_credits"), document.get("credits_used", 0)
    if spendable is None and amount is not None and system is not None:
        spendable = amount - system
    numbers = [n for n in (spendable, used, system) if n is not None]
    readable = all(isinstance(n, int) and n >= 0 for n in numbers)
    if spendable is None or not readable or document.get("category", "paid") not in RANKS:
        return None
    if used > spendable:
        return None
    return Pack(
        document["_id"],
        spendable,
        document.get("priority", 50),
        document.get("category", "paid"),
        document["created_at"],
        document.get("expires_at"),
        used=used,
        holds={
            h["hold_id"]: (h["credit_amount"], h["expires_at"]) for h in document.get("holds") or ()
        },
        expired_at=document.get("expired_at"),
    )
