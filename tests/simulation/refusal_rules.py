"""Why a command must be refused, by the books; a refusal that is entered is held to that."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.simulation.books import CURRENT, SPENDING, Book, Rules, Subscription, require
from tests.simulation.entry_checks import Said


def refuse(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check that the reason is true. A refusal changes nothing."""
    refusal = entry.change.refusal
    reason = str(refusal.reason)
    reasons = {reason: None for c in commands for reason in refusals(book, c, entry.at, rules)}
    require(reason in reasons, "refused without reason", entry=entry, book=book, due=reasons)
    if reason == "insufficient_credits":
        due = [shortfall(book, c, entry.at, rules) for c in commands]
        short = refusal.shortfall
        seen = (short.remaining_credits, short.required_credits, short.available_at)
        require(seen in due, "a refusal's numbers", entry=entry, due=due)


def refusals(book: Book, said: Said, at: datetime, rules: Rules) -> list[str]:
    """Return why a command must be refused."""
    current, due = book.current(at), ""
    match said["does"]:
        case "add" if said["transaction"] in book.payments:
            due = "duplicate_payment"
        case "settle" | "release" if not _is_open(book, said["hold"], at):
            due = "hold_closed"
        case "use" | "hold" | "settle":
            due = _refusal_of_a_charge(book, said, at, rules)
        case "open" if current is None:
            due = "no_active_subscription"
        case "change" | "expire":
            due = _refusal_of_a_change(book.find(said["subscription_id"]), said, at)
    return [due] if due else []


def _is_open(book: Book, hold_id: str, at: datetime) -> bool:
    found = book.find_hold(hold_id)
    return found is not None and found[0].is_open(found[1], at)


def _refusal_of_a_charge(book: Book, said: Said, at: datetime, rules: Rules) -> str:
    taken_from, amount = _asked_of(book, said, at)
    if amount is None:  # A settlement that needs no more than was held.
        return ""
    if taken_from is None or taken_from.status not in SPENDING:
        return "no_active_subscription"
    held = sum(len(s.open_holds(at)) for s in book.subscriptions)
    if said["does"] == "hold" and held >= rules.holds_max:
        return "too_many_holds"
    remaining = taken_from.remaining(taken_from.today(at), at, rules.cap)
    return "insufficient_credits" if remaining < amount and not said["record"] else ""


def _asked_of(book: Book, said: Said, at: datetime) -> tuple[Subscription | None, int | None]:
    """Return what a command takes credits of today from, and how many; None: it takes none."""
    if said["does"] in ("use", "hold"):
        return book.current(at), said["amount"]
    found = book.find_hold(said["hold"]) if said["does"] == "settle" else None
    if found is None or said["amount"] <= found[1].amount:
        return None, None
    return found[0], said["amount"] - found[1].amount


def _refusal_of_a_change(subscription: Subscription | None, said: Said, at: datetime) -> str:
    if subscription is None:
        return "no_such_subscription"
    if said["does"] == "expire":
        over = subscription.end <= at and subscription.status in CURRENT
        return "" if over else "not_ended"
    early = said["end"] is not None and said["end"] <= subscription.start
    return "end_not_after_start" if early else ""


def shortfall(
    book: Book, said: Said, at: datetime, rules: Rules
) -> tuple[int, int, datetime | None] | None:
    """Return (remaining, required, when it would be covered)."""
    taken_from, amount = _asked_of(book, said, at)
    if taken_from is None or amount is None:
        return None
    today = taken_from.today(at)
    later = taken_from.covers_from(amount, today, rules.cap)
    return taken_from.remaining(today, at, rules.cap), amount, later
