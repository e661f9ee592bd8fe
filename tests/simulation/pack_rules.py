"""Holds one entry about a pack, a reversal or an adjustment to the books."""

import json
from collections.abc import Sequence
from typing import Any

from tests.simulation.books import Book, Rules, differences, read_status, require, status
from tests.simulation.entry_checks import Said, check_given, one_of, open_current
from tests.simulation.funds import Funds, Given, funds_of, take
from tests.simulation.hold_rules import check_days
from tests.simulation.pack_books import Charged, Pack, shares_of
from tests.simulation.subscription_books import Subscription


def is_of_pack(entry: Any, said: Said) -> bool:
    """Say whether an entry about packs or corrections may be what a client asked for."""
    change = entry.change
    match type(change).__name__, said["does"]:
        case "PackAdded", "add pack":
            paid = change.amount, change.payment.transaction_id, change.pack.expires_at
            return paid == (said["amount"], said["transaction"], said["expires_at"])
        case "UsageReversed", "reverse":
            part = said["amount"] in (None, change.credit_amount)
            return bool(change.usage_id == said["usage"] and part)
        case "CreditsAdjusted", "adjust":
            return said["amount"] in (None, change.credit_amount)
        case _:
            return False


def add_pack(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check a pack that was bought or given, and note it."""
    said, seen, at = one_of(commands, entry, is_of_pack)[0], entry.change.pack, entry.at
    require(said["transaction"] not in book.payments, "a payment was accepted twice", entry=entry)
    book.payments.add(said["transaction"])
    ends = said["expires_at"]
    require(ends is None or ends > at, "a pack is over before it begins", entry=entry)
    spendable = said["amount"] - said["amount"] * rules.system_portion_bps // 10_000
    _add(book, seen, Pack(seen.pack_id, spendable, said["priority"], said["category"], at, ends))
    book.packs[seen.pack_id].amount = said["amount"]
    answer = json.loads(entry.answer)
    wrong = differences(status(book, at, rules), read_status(answer["subscription"]))
    require(not wrong, "an addition's answer is not its effect", wrong=wrong, entry=entry)
    told = answer["pack_id"], answer["amount"], answer["spendable_credits"]
    require(told == (seen.pack_id, said["amount"], spendable), "a pack's answer", entry=entry)


def _add(book: Book, seen: Any, due: Pack) -> None:
    require(due.id not in book.packs, "a pack was added twice", pack=seen)
    found = (
        seen.spendable,
        seen.priority,
        str(seen.category),
        seen.created_at,
        seen.expires_at,
        seen.used,
        seen.holds,
    )
    wanted = (due.spendable, due.priority, due.category, due.created_at, due.expires_at, 0, ())
    require(found == wanted, "a pack is not what was asked for", seen=found, due=wanted)
    book.packs[due.id] = due


def expire_pack(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check that the coming of an expiry is written down once, with what has lapsed."""
    change, at = entry.change, entry.at
    require(commands[0]["does"] == "expire pack", "nobody asked", entry=entry)
    pack = book.packs.get(change.pack_id)
    require(pack is not None, "nothing to expire", entry=entry)
    assert pack is not None
    due = pack.expires_at is not None and at >= pack.expires_at and pack.expired_at is None
    require(due, "a pack expired too early or twice", entry=entry, pack=pack)
    seen = (change.expires_at, change.lapsed_credits)
    require(seen == (pack.expires_at, pack.left(at)), "what has lapsed", entry=entry, pack=pack)
    pack.expired_at = pack.expires_at


def reverse(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check that what goes back was charged, is not back yet, and goes where it came from."""
    change, at = entry.change, entry.at
    asked = one_of(commands, entry, is_of_pack)
    charged = book.charges.get(change.usage_id)
    require(charged is not None, "a reversal of nothing", entry=entry)
    assert charged is not None
    left = charged.amount - charged.reversed
    amounts = {left if c["amount"] is None else c["amount"] for c in asked}
    amount = change.credit_amount
    require(amount in amounts and 0 <= amount <= left, "minted", entry=entry, left=left)
    of_day, packs = charged.last_taken(amount)
    seen = (change.day_amount, shares_of(change.packs))
    require(seen == (of_day, packs), "reversed elsewhere", entry=entry, due=(of_day, packs))
    for name, part in packs.items():
        book.packs[name].used -= part
    returned = sum(part for name, part in packs.items() if book.packs[name].is_live(at))
    returned += _give_back(book, charged, of_day, entry, rules)
    charged.reversed += amount
    _check_reversal(book, entry, charged, returned, rules)


def _give_back(book: Book, charged: Charged, of_day: int, entry: Any, rules: Rules) -> int:
    """Give a charge's day its part back; return how much more today has of it."""
    if not of_day:
        require(entry.change.opening is None, "a day gets nothing back", entry=entry)
        return 0
    before, subscription = _today(book, charged, entry, rules)
    assert subscription is not None, "a day gave of it"
    assert charged.day is not None, "a day gave of it"
    subscription.used[charged.day] -= of_day
    openings = (entry.change.opening, *entry.change.reopened)
    check_days(subscription, charged.day, openings, entry, rules)
    return _today(book, charged, entry, rules)[0] - before


def _today(
    book: Book, charged: Charged, entry: Any, rules: Rules
) -> tuple[int, Subscription | None]:
    """Return what today has left of the subscription of a charge: nothing where it has ended."""
    subscription = book.find(charged.subscription_id or "")
    if subscription is None or not subscription.is_current(entry.at):
        return 0, subscription
    today = subscription.today(entry.at)
    return subscription.remaining(today, entry.at, rules.cap), subscription


def _check_reversal(book: Book, entry: Any, charged: Charged, returned: int, rules: Rules) -> None:
    amount, answer = entry.change.credit_amount, json.loads(entry.answer)
    after = status(book, entry.at, rules)
    due = {
        "usage_id": charged.id,
        "credit_amount": amount,
        "returned_credits": returned,
        "lapsed_credits": amount - returned,
        "reversed_credits": charged.reversed,
        "remaining_credits": after["remaining_credits"],
        "low_credits": after["low_credits"],
    }
    wrong = differences(due, {name: answer[name] for name in due})
    require(not wrong, "a reversal's answer is not its effect", wrong=wrong, entry=entry)


def adjust(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check what an operator gave or took: exactly what was asked for at this instant."""
    change, at = entry.change, entry.at
    asked = one_of(commands, entry, is_of_pack)
    funds = funds_of(book, at, rules, though_paused=True)
    fitting = [c for c in asked if wanted_by(c, funds) == change.credit_amount]
    require(fitting, "adjusted by another amount", entry=entry, asked=asked, left=funds.remaining)
    if change.credit_amount >= 0:
        _give(book, entry, fitting[0])
    else:
        _take(book, entry, [taken_by(c, funds, rules) for c in fitting], rules)
    after, answer = status(book, at, rules), json.loads(entry.answer)
    due = {"credit_amount": change.credit_amount, "remaining_credits": after["remaining_credits"]}
    wrong = differences(due, {name: answer[name] for name in due})
    require(not wrong, "an adjustment's answer is not its effect", wrong=wrong, entry=entry)
    for said in fitting:
        exact = said["remaining"] in (None, after["remaining_credits"])
        require(exact, "set to another number than was asked for", entry=entry, said=said)


def wanted_by(said: Said, funds: Funds) -> int:
    """Return what an adjustment gives; less than 0: takes."""
    if said["amount"] is not None:
        return int(said["amount"])
    return int(said["remaining"] - funds.remaining)


def taken_by(said: Said, funds: Funds, rules: Rules) -> Given:
    """Return what sources give of what an adjustment takes."""
    rule = "record" if said["allow_debt"] else "reject"
    return take(funds, -wanted_by(said, funds), rule, rules)


def _give(book: Book, entry: Any, said: Said) -> None:
    change, at = entry.change, entry.at
    require(change.opening is None and not change.packs, "it takes as it gives", entry=entry)
    if not change.credit_amount:
        require(change.added is None, "a pack of nothing", entry=entry)
        return
    ends, seen = said["expires_at"], change.added
    require(ends is None or ends > at, "a pack is over before it begins", entry=entry)
    due = Pack(seen.pack_id, change.credit_amount, 50, "adjustment", at, ends)
    due.amount = due.spendable
    _add(book, seen, due)


def _take(book: Book, entry: Any, dues: Sequence[Given], rules: Rules) -> None:
    change, at = entry.change, entry.at
    seen = Given(change.day_amount, shares_of(change.packs))
    given = check_given(dues, seen, "adjusted elsewhere", entry)
    require(change.added is None, "it gives as it takes", entry=entry)
    for name, amount in given.packs.items():
        book.packs[name].spendable -= amount
        book.packs[name].taken_back += amount
    if not given.of_day:
        require(change.opening is None, "nothing is taken of a day", entry=entry)
        return
    current = book.current(at)
    assert current is not None, "a day gave"
    today = current.today(at)
    current.adjusted[today] = current.adjusted.get(today, 0) + given.of_day
    open_current(book, change.opening, entry, rules)
