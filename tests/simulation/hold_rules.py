"""Holds one entry about a hold to the books: of all that may become of it, one thing does."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from tests.simulation.books import SPENDING, Book, Hold, Rules, Subscription, require
from tests.simulation.entry_checks import Said, check_charge, command_of, spend


def is_of_hold(entry: Any, said: Said) -> bool:
    """Say whether an entry about a hold may be what a client asked for."""
    change = entry.change
    match type(change).__name__, said["does"]:
        case "HoldPlaced", "hold":
            asked = said["amount"], timedelta(seconds=said["seconds"])
            return asked == (change.hold.credit_amount, change.hold.expires_at - entry.at)
        case "HoldSettled", "settle":
            settled = change.hold_id, change.usage.credit_amount
            return settled == (said["hold"], said["amount"])
        case "HoldFreed", "release":
            return bool(change.hold_id == said["hold"])
        case _:
            return False


def place(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that was made, and note it."""
    hold, at = entry.change.hold, entry.at
    asked = [c for c in commands if c["does"] == "hold" and is_of_hold(entry, c)]
    require(asked, "a hold is not what was asked for", entry=entry, commands=commands)
    amount, record = asked[0]["amount"], any(c["record"] for c in asked)
    held = sum(len(s.open_holds(at)) for s in book.subscriptions)
    require(held < rules.holds_max, "more holds than there may be", entry=entry)
    current, today = spend(book, entry, rules)
    remaining = current.remaining(today, at, rules.cap)
    require(record or remaining >= amount, "overheld", left=remaining, entry=entry)
    require(hold.date == today, "a hold of another day than today", entry=entry, due=today)
    current.holds.append(Hold(hold.hold_id, today, amount, hold.expires_at))
    answer = json.loads(entry.answer)
    told = answer["hold_id"], answer["credit_amount"], answer["remaining_credits"]
    expected = hold.hold_id, amount, remaining - amount
    require(told == expected, "a hold's answer is not its effect", told=told, due=expected)


def settle(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that became a charge: it was open, and what goes beyond it is covered."""
    usage, at = entry.change.usage, entry.at
    amount, name = usage.credit_amount, entry.change.hold_id
    command_of(commands, "settle", entry, hold=name, amount=amount)
    record = any(c["does"] == "settle" and c["amount"] == amount and c["record"] for c in commands)
    subscription, hold = _unresolved(book, entry)
    require(subscription.is_open(hold, at), "settled what is over", entry=entry, hold=hold)
    beyond = amount - hold.amount
    if beyond > 0:
        require(subscription.status in SPENDING, "a charge to what may not spend", entry=entry)
        left = subscription.remaining(subscription.today(at), at, rules.cap)
        require(record or left >= beyond, "overspent by a hold", left=left, entry=entry)
    subscription.holds.remove(hold)
    subscription.used[hold.day] = subscription.used.get(hold.day, 0) + amount
    openings = (usage.opening, *entry.change.reopened)
    _check_days(subscription, hold.day, openings, entry, rules)
    check_charge(subscription, hold.day, usage, entry, rules)


def free(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that was given back: by its caller while it was open, else by the clock."""
    change = entry.change
    command_of(commands, "expire hold" if change.expired else "release", entry)
    named = commands[0]["hold"] == change.hold_id[:24] if change.expired else True
    require(named, "another hold expired than was named", entry=entry, commands=commands)
    subscription, hold = _unresolved(book, entry)
    is_open = subscription.is_open(hold, entry.at)
    require(is_open != change.expired, "expired too early, or released too late", entry=entry)
    require(change.credit_amount == hold.amount, "gave back what was not held", entry=entry)
    subscription.holds.remove(hold)
    openings = (change.opening, *change.reopened)
    _check_days(subscription, hold.day, openings, entry, rules)


def _unresolved(book: Book, entry: Any) -> tuple[Subscription, Hold]:
    found = book.find_hold(entry.change.hold_id)
    require(found is not None, "a hold that is closed, or never was", entry=entry, book=book)
    assert found is not None
    return found


def _check_days(
    subscription: Subscription, first: date, openings: Sequence[Any], entry: Any, rules: Rules
) -> None:
    """Check what the hold's own day and every later touched one are said to inherit."""
    days = sorted(day for day in subscription.used if day >= first)
    due = [
        (
            subscription.id,
            day,
            subscription.midnight(day),
            subscription.limit(day),
            subscription.rolled_over(day, entry.at, rules.cap),
        )
        for day in days
    ]
    seen = [
        (o.subscription_id, o.date, o.starts_at, o.daily_credit_limit, o.rolled_over)
        for o in openings
    ]
    require(seen == due, "what later days inherit of a hold", entry=entry, due=due)
