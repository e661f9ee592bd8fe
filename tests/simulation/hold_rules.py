"""Holds one entry about a hold to the books: of all that may become of it, one thing does."""

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from tests.simulation.books import Book, Held, Rules, require
from tests.simulation.entry_checks import (
    Said,
    check_charge,
    check_given,
    given_in,
    note_charge,
    one_of,
    open_current,
)
from tests.simulation.funds import Given, funds_of, take
from tests.simulation.pack_books import added, left_in, shares_of
from tests.simulation.subscription_books import Hold, Subscription


def is_of_hold(entry: Any, said: Said) -> bool:
    """Say whether an entry about a hold may be what a client asked for."""
    change = entry.change
    match type(change).__name__, said["does"]:
        case "HoldPlaced", "hold":
            held, lasts = change.hold.credit_amount, change.hold.expires_at - entry.at
            whole = held == said["amount"] or said["rule"] == "cap"
            least = said["at_least"] is not None and said["at_least"] <= held < said["amount"]
            return lasts == timedelta(seconds=said["seconds"]) and (whole or least)
        case "HoldSettled", "settle":
            return change.hold_id == said["hold"] and is_cost(change.usage, said)
        case "UsageRecorded", "settle":
            return change.settles == said["hold"] and is_cost(change, said)
        case "HoldFreed", "release":
            return bool(change.hold_id == said["hold"])
        case _:
            return False


def is_cost(usage: Any, said: Said) -> bool:
    """Say whether a charge is all that was asked for, or what sources had of it under `cap`."""
    whole = usage.credit_amount + usage.uncovered_credits == said["amount"]
    return whole and (said["rule"] == "cap" or not usage.uncovered_credits)


def place(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that was made, and note it."""
    change, hold, at = entry.change, entry.change.hold, entry.at
    asked = one_of(commands, entry, is_of_hold)
    require(book.holds_open(at) < rules.holds_max, "more holds than there may be", entry=entry)
    dues = [_held_from(book, c, at, rules) for c in asked]
    packs = shares_of(change.packs)
    seen = Given(hold.credit_amount - sum(packs.values()), packs)
    given = check_given(dues, seen, "overheld, or held elsewhere", entry)
    current = open_current(book, change.opening, entry, rules)
    left = _set_aside(book, current, given, entry, rules)
    answer = json.loads(entry.answer)
    told = answer["hold_id"], answer["credit_amount"], answer["remaining_credits"]
    expected = hold.hold_id, given.amount, left
    require(told == expected, "a hold's answer is not its effect", told=told, due=expected)


def _held_from(book: Book, said: Said, at: datetime, rules: Rules) -> Given:
    funds = funds_of(book, at, rules)
    due = take(funds, said["amount"], said["rule"], rules, said["at_least"])
    due.uncovered = 0  # What is not there is not set aside: nobody is told of it as uncovered.
    if not due.amount and funds.subscription is None:  # Somebody must know of it.
        due.packs = dict.fromkeys([pack.id for pack in funds.packs if pack.left(at) > 0][:1], 0)
    return due


def _set_aside(
    book: Book, current: Subscription | None, given: Given, entry: Any, rules: Rules
) -> int:
    """Set aside what sources give to a hold; return what they have left."""
    hold, at, left = entry.change.hold, entry.at, 0
    for name, amount in given.packs.items():
        book.packs[name].holds[hold.hold_id] = (amount, hold.expires_at)
    if current is not None:
        day = current.today(at)
        require(hold.date == day, "a hold of another day than today", entry=entry, due=day)
        if given.of_day or not given.packs:
            current.holds.append(Hold(hold.hold_id, day, given.of_day, hold.expires_at))
        left = current.remaining(day, at, rules.cap)
    return left + left_in(book.packs.values(), at)


def settle(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that became a charge: it was open, and what goes beyond it is covered."""
    usage, at = entry.change.usage, entry.at
    asked = one_of(commands, entry, is_of_hold)
    held = book.open_hold(entry.change.hold_id, at)
    require(held is not None, "settled what is over, or never was", entry=entry, book=book)
    assert held is not None
    dues = [settled_from(book, held, c, entry, rules) for c in asked]
    given = check_given(dues, given_in(usage), "overspent by a hold, or spent elsewhere", entry)
    _take_out(book, held, of_packs=True)
    if held.subscription is None or held.share is None:
        require(not entry.change.reopened, "no day is reopened", entry=entry)
        current = open_current(book, usage.opening, entry, rules)
        day = None if current is None else current.today(at)
        if current is not None and day is not None:
            current.used[day] += given.of_day
        note_charge(book, usage, day, given)
        check_charge(book, current, day, usage, entry, rules)
        return
    subscription, day = held.subscription, held.share.day
    subscription.used[day] = subscription.used.get(day, 0) + given.of_day
    note_charge(book, usage, day, given)
    check_days(subscription, day, (usage.opening, *entry.change.reopened), entry, rules)
    check_charge(book, subscription, day, usage, entry, rules)


def settled_from(book: Book, held: Held, said: Said, entry: Any, rules: Rules) -> Given:
    """Return what a settlement must take: of the hold what was taken first, then what is there."""
    cost, more = said["amount"], Given()
    beyond = cost - held.amount
    if beyond > 0:
        funds = funds_of(book, entry.at, rules, held.subscription)
        more = take(funds, beyond, said["rule"], rules)
        if more.refusal == "no_active_subscription" and said["rule"] == "cap":
            more = Given(uncovered=beyond)
    of_day = left = min(held.of_day, cost)
    left, packs = cost - of_day, dict[str, int]()
    for name, amount in held.packs.items():
        if part := min(amount, left):
            packs[name] = part
            left -= part
    packs = added(packs, more.packs)
    return Given(of_day + more.of_day, packs, more.uncovered, more.refusal, more.shortfall)


def settle_late(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a charge to today for a hold that has expired, once and for so long as it may be."""
    usage, at = entry.change, entry.at
    asked = one_of(commands, entry, is_of_hold)
    until = book.lapsed.pop(usage.settles, None)
    require(until is not None and at < until, "settled late twice, or too late", entry=entry)
    charge_today(book, entry, asked, rules)


def charge_today(book: Book, entry: Any, asked: Sequence[Said], rules: Rules) -> None:
    """Check a charge to today and to packs, and note it."""
    usage, funds = entry.change, funds_of(book, entry.at, rules)
    dues = [take(funds, c["amount"], c["rule"], rules) for c in asked]
    given = check_given(dues, given_in(usage), "overspent, or spent elsewhere", entry)
    current = open_current(book, usage.opening, entry, rules)
    day = None if current is None else current.today(entry.at)
    if current is not None and day is not None:
        current.used[day] += given.of_day
    note_charge(book, usage, day, given)
    check_charge(book, current, day, usage, entry, rules)


def free(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a hold that was given back: by its caller while it was open, else by the clock."""
    change, at = entry.change, entry.at
    held = book.find_hold(change.hold_id)
    require(held is not None, "a hold that is closed, or never was", entry=entry, book=book)
    assert held is not None
    if change.expired:
        named = commands[0]["does"] == "expire hold" and commands[0]["hold"] == held.id[:24]
        require(named, "another hold expired than was named", entry=entry, commands=commands)
    else:
        one_of(commands, entry, is_of_hold)
    _check_over(held, change, entry, rules)
    all_is_over = not change.expired or at >= held.expires_at
    freed = held.packs if all_is_over else {}
    seen = (change.credit_amount, shares_of(change.packs))
    due = (held.of_day + sum(freed.values()), freed)
    require(seen == due, "gave back what was not held", entry=entry, due=due)
    _take_out(book, held, of_packs=all_is_over)
    if change.lapsed is not None and not change.lapsed.is_closed:
        book.lapsed[held.id] = change.lapsed.until
    if held.subscription is None or held.share is None:
        require(change.opening is None, "no day holds credits", entry=entry)
        return
    check_days(held.subscription, held.share.day, (change.opening, *change.reopened), entry, rules)


def _check_over(held: Held, change: Any, entry: Any, rules: Rules) -> None:
    """Check that what expired is over, what was released is open, and what may be settled late."""
    at, subscription = entry.at, held.subscription
    day_ended = subscription is not None and not subscription.is_current(at)
    over = at >= held.expires_at
    is_due = (over or day_ended) if change.expired else not over and not day_ended
    require(is_due, "expired too early, or released too late", entry=entry, held=held)
    until = held.expires_at + timedelta(seconds=rules.late_seconds)
    last = held.expires_at - timedelta(milliseconds=1)
    ended = subscription is not None and not subscription.is_current(last) and not held.packs
    due = until if change.expired and over and at < until and not ended else None
    # One whose day's share had ended before it was released is kept as closed: nobody settles it.
    lapsed = change.lapsed
    seen = None if lapsed is None or lapsed.is_closed else lapsed.until
    require(seen == due, "until when a hold can be settled late", entry=entry, due=due)


def _take_out(book: Book, held: Held, *, of_packs: bool) -> None:
    if held.subscription is not None and held.share is not None:
        held.subscription.holds.remove(held.share)
    if of_packs:
        for name in held.packs:
            del book.packs[name].holds[held.id]


def check_days(
    subscription: Subscription, first: date, openings: Sequence[Any], entry: Any, rules: Rules
) -> None:
    """Check what a changed day and every later touched one are said to inherit."""
    days = sorted(day for day in subscription.used if day >= first)
    same = len(days) == len(openings) and all(
        opening.subscription_id == subscription.id for opening in openings
    )
    require(same, "other days are opened than were touched", entry=entry, due=days)
    for day, opening in zip(days, openings, strict=True):
        seen = (opening.date, opening.starts_at, opening.daily_credit_limit, opening.rolled_over)
        due = (
            day,
            subscription.midnight(day),
            subscription.limit(day),
            subscription.rolled_over(day, entry.at, rules.cap),
        )
        require(seen == due, "what later days inherit", entry=entry, due=due)
