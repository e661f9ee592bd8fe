"""Holds one entry of the journal to the books: whether it may be, and what the books are after."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from tests.simulation.books import (
    CURRENT,
    SPENDING,
    Book,
    Grant,
    Rules,
    Subscription,
    differences,
    midnight,
    read_status,
    require,
    status,
)

Said = Mapping[str, Any]
"""What a client asked for: `does` and its arguments."""


def enter(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> Book:
    """Return the books after an entry. Raises where it does not follow from book and command."""
    after = book.copy()
    if entry.key.startswith("expire "):  # The janitor asks by itself.
        commands = [{"does": "expire", "subscription_id": entry.key.split()[1]}]
    after.seq = entry.seq
    kind = type(entry.change).__name__
    _RULES[kind](after, entry, commands, rules)
    return after


def is_of(entry: Any, said: Said) -> bool:
    """Say whether an entry may be what a client asked for. A refusal does not tell."""
    change, does = entry.change, said["does"]
    match type(change).__name__:
        case "CommandRefused":
            return True
        case "CreditsAdded":
            paid = change.grant.amount, change.payment.transaction_id
            return does == "add" and paid == (said["amount"], said["transaction"])
        case "UsageRecorded":
            return does == "use" and bool(change.credit_amount == said["amount"])
        case "DayOpened":
            return bool(does == "open")
        case _:
            return bool(does == "change")


def _command(commands: Sequence[Said], does: str, entry: Any, **fields: object) -> Said:
    """Return what the client said under the entry's key; it is what was entered."""
    wanted = {"does": does, **fields}
    found = [c for c in commands if wanted.items() <= dict(c).items()]
    require(found, "an entry is none of the client's commands", entry=entry, commands=commands)
    return found[0]


def _open(after: Subscription, entry: Any, rules: Rules) -> date:
    """Check what the entry says of today, and return today. The subscription is touched."""
    opening, today = entry.change.opening, after.today(entry.at)
    after.used.setdefault(today, 0)
    seen = (opening.date, opening.starts_at, opening.daily_credit_limit, opening.rolled_over)
    due = (
        today,
        midnight(today, after.zone),
        after.limit(today),
        after.rolled_over(today, rules.cap),
    )
    require(seen == due, "an entry opens another day than today", entry=entry, due=due)
    return today


def _add(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    change, at = entry.change, entry.at
    transaction = change.payment.transaction_id
    said = _command(commands, "add", entry, amount=change.grant.amount, transaction=transaction)
    require(transaction not in book.payments, "a payment was accepted twice", entry=entry)
    book.payments.add(transaction)
    shown, current = book.shown(at), book.current(at)
    require(change.created == (current is None), "created", entry=entry, current=current)
    renewed = current is None and shown is not None
    if current is None:
        zone = said["zone"] or rules.zone
        current = Subscription(change.opening.subscription_id, at, at, "active", zone)
        book.subscriptions.append(current)
        book.subscriptions.sort(key=lambda s: (s.start, s.id))
    grant = _granted(current, entry, said, rules)
    end = max(current.end, midnight(grant.first + timedelta(days=grant.days), current.zone))
    renewed = renewed or (not change.created and end > current.end)
    require(change.renewed == renewed, "renewed", entry=entry, due=renewed)
    current.end = end
    require(change.opening.subscription_id == current.id, "added elsewhere", entry=entry)
    _open(current, entry, rules)
    _check_addition(book, entry, grant, rules)


def _granted(current: Subscription, entry: Any, said: Said, rules: Rules) -> Grant:
    """Add the grant that was paid for, and return it."""
    amount, seen = said["amount"], entry.change.grant
    system = amount * rules.system_portion_bps // 10_000
    grant = Grant(amount, system, current.today(entry.at), said["days"])
    current.grants.append(grant)
    require(
        (seen.amount, seen.system_portion, seen.from_day, seen.days)
        == (grant.amount, grant.system, grant.first, grant.days),
        "a grant is not what was paid for",
        entry=entry,
        due=grant,
    )
    return grant


def _check_addition(book: Book, entry: Any, grant: Grant, rules: Rules) -> None:
    answer = json.loads(entry.answer)
    expected = status(book, entry.at, rules)
    wrong = differences(expected, read_status(answer["subscription"]))
    require(not wrong, "an addition's answer is not its effect", wrong=wrong, entry=entry)
    require(answer["amount"] == grant.amount and answer["days"] == grant.days, "grant", entry=entry)


def _use(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    change = entry.change
    said = _command(commands, "use", entry, amount=change.credit_amount)
    record = any(
        c["does"] == "use" and c["amount"] == said["amount"] and c["record"] for c in commands
    )
    current = book.current(entry.at)
    require(current is not None, "a charge without subscription", entry=entry)
    assert current is not None
    require(current.status in SPENDING, "a charge to what may not spend", entry=entry)
    require(change.opening.subscription_id == current.id, "charged elsewhere", entry=entry)
    today = _open(current, entry, rules)
    remaining = current.remaining(today, rules.cap)
    if not record:
        require(remaining >= said["amount"], "overspent", remaining=remaining, entry=entry)
    current.used[today] += said["amount"]
    _check_charge(current, today, entry, rules)


def _check_charge(current: Subscription, today: date, entry: Any, rules: Rules) -> None:
    limit, rolled = current.limit(today), current.rolled_over(today, rules.cap)
    remaining = current.remaining(today, rules.cap)
    expected = {
        "user_id": entry.user_id,
        "subscription_id": current.id,
        "usage_id": entry.change.usage_id,
        "credit_amount": entry.change.credit_amount,
        "daily_credit_limit": limit,
        "credits_used": current.used[today],
        "credits_held": 0,
        "remaining_credits": remaining,
        "low_credits": remaining * 100 <= rules.low_percent * (limit + rolled),
    }
    answer = json.loads(entry.answer)
    wrong = differences(expected, {name: answer[name] for name in expected})
    require(not wrong, "a charge's answer is not its effect", wrong=wrong, entry=entry)


def _open_day(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    _command(commands, "open", entry)
    current = book.current(entry.at)
    require(current is not None, "a day without subscription", entry=entry)
    assert current is not None
    fresh = current.today(entry.at) not in current.used
    require(entry.change.opening.first_touch == fresh, "a day is new once", entry=entry)
    _open(current, entry, rules)


def _change(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    change = entry.change
    asked = {"status": change.status, "end": change.end}
    said = _command(commands, "change", entry, subscription_id=change.subscription_id, **asked)
    subscription = book.find(change.subscription_id)
    require(subscription is not None, "a change of nothing", entry=entry)
    assert subscription is not None
    subscription.status = said["status"] or subscription.status
    subscription.end = said["end"] or subscription.end
    require(subscription.end > subscription.start, "an end before the start", entry=entry)


def _expire(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    subscription = book.find(entry.change.subscription_id)
    _command(commands, "expire", entry, subscription_id=entry.change.subscription_id)
    require(subscription is not None, "nothing to expire", entry=entry)
    assert subscription is not None
    ended = subscription.end <= entry.at and subscription.status in CURRENT
    require(ended, "expired too early or twice", entry=entry, subscription=subscription)
    subscription.status = "expired"


def _refuse(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check that the reason is true. A refusal changes nothing."""
    refusal = entry.change.refusal
    reason = str(refusal.reason)
    reasons = {reason: None for c in commands for reason in refusals(book, c, entry.at, rules)}
    require(reason in reasons, "refused without reason", entry=entry, book=book, due=reasons)
    if reason == "insufficient_credits":
        due = [shortfall(book, c, entry.at, rules) for c in commands if c["does"] == "use"]
        short = refusal.shortfall
        seen = (short.remaining_credits, short.required_credits, short.available_at)
        require(seen in due, "a refusal's numbers", entry=entry, due=due)


def refusals(book: Book, said: Said, at: datetime, rules: Rules) -> list[str]:
    """Return why a command must be refused."""
    current, due = book.current(at), ""
    match said["does"]:
        case "add" if said["transaction"] in book.payments:
            due = "duplicate_payment"
        case "use" if current is None or current.status not in SPENDING:
            due = "no_active_subscription"
        case "use" if not said["record"]:
            remaining = current.remaining(current.today(at), rules.cap)
            due = "insufficient_credits" if remaining < said["amount"] else ""
        case "open" if current is None:
            due = "no_active_subscription"
        case "change" | "expire":
            due = _refusal_of_a_change(book.find(said["subscription_id"]), said, at)
    return [due] if due else []


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
    current = book.current(at)
    if current is None:
        return None
    today, amount = current.today(at), said["amount"]
    later = current.covers_from(amount, today, rules.cap)
    return current.remaining(today, rules.cap), amount, later


_RULES = {
    "CreditsAdded": _add,
    "UsageRecorded": _use,
    "DayOpened": _open_day,
    "SubscriptionChanged": _change,
    "SubscriptionExpired": _expire,
    "CommandRefused": _refuse,
}
