"""Holds one entry of the journal to the books: whether it may be, and what the books are after."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.simulation.books import (
    CURRENT,
    Book,
    Grant,
    Rules,
    Subscription,
    differences,
    read_status,
    require,
    status,
)
from tests.simulation.entry_checks import Said, check_charge, command_of, open_today, spend
from tests.simulation.hold_rules import free, is_of_hold, place, settle
from tests.simulation.refusal_rules import refuse


def enter(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> Book:
    """Return the books after an entry. Raises where it does not follow from book and command."""
    after = book.copy()
    if entry.key.startswith(
        "§expire hold "
    ):  # The shard's timer and the janitor ask by themselves.
        commands = [{"does": "expire hold", "hold": entry.key.split()[2]}]
    elif entry.key.startswith("§expire "):
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
        case "HoldPlaced" | "HoldSettled" | "HoldFreed":
            return is_of_hold(entry, said)
        case _:
            return bool(does == "change")


def _add(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    change, at = entry.change, entry.at
    transaction = change.payment.transaction_id
    said = command_of(commands, "add", entry, amount=change.grant.amount, transaction=transaction)
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
    end = max(current.end, current.begins(grant.first + timedelta(days=grant.days)))
    renewed = renewed or (not change.created and end > current.end)
    require(change.renewed == renewed, "renewed", entry=entry, due=renewed)
    current.end = end
    require(change.opening.subscription_id == current.id, "added elsewhere", entry=entry)
    open_today(current, entry, rules)
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
    said = command_of(commands, "use", entry, amount=change.credit_amount)
    record = any(
        c["does"] == "use" and c["amount"] == said["amount"] and c["record"] for c in commands
    )
    current, today = spend(book, entry, rules)
    remaining = current.remaining(today, entry.at, rules.cap)
    if not record:
        require(remaining >= said["amount"], "overspent", remaining=remaining, entry=entry)
    current.used[today] += said["amount"]
    check_charge(current, today, change, entry, rules)


def _open_day(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    command_of(commands, "open", entry)
    current = book.current(entry.at)
    require(current is not None, "a day without subscription", entry=entry)
    assert current is not None
    fresh = current.today(entry.at) not in current.used
    require(entry.change.opening.first_touch == fresh, "a day is new once", entry=entry)
    open_today(current, entry, rules)


def _change(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    change = entry.change
    asked = {"status": change.status, "end": change.end, "zone": change.timezone}
    said = command_of(commands, "change", entry, subscription_id=change.subscription_id, **asked)
    subscription = book.find(change.subscription_id)
    require(subscription is not None, "a change of nothing", entry=entry)
    assert subscription is not None
    if said["zone"]:
        subscription.move(said["zone"], entry.at)
    subscription.status = said["status"] or subscription.status
    subscription.end = said["end"] or subscription.end
    require(subscription.end > subscription.start, "an end before the start", entry=entry)


def _expire(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    subscription = book.find(entry.change.subscription_id)
    command_of(commands, "expire", entry, subscription_id=entry.change.subscription_id)
    require(subscription is not None, "nothing to expire", entry=entry)
    assert subscription is not None
    ended = subscription.end <= entry.at and subscription.status in CURRENT
    require(ended, "expired too early or twice", entry=entry, subscription=subscription)
    subscription.status = "expired"


_RULES = {
    "CreditsAdded": _add,
    "UsageRecorded": _use,
    "DayOpened": _open_day,
    "SubscriptionChanged": _change,
    "SubscriptionExpired": _expire,
    "CommandRefused": refuse,
    "HoldPlaced": place,
    "HoldSettled": settle,
    "HoldFreed": free,
}
