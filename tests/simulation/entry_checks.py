"""What the checks of several kinds of entry share: whose command it is, the day and the sources."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tests.simulation.books import Book, Rules, differences, require
from tests.simulation.funds import Given
from tests.simulation.pack_books import Charged, given_by, left_in, shares_of
from tests.simulation.subscription_books import Subscription

Said = Mapping[str, Any]
"""What a client asked for: `does` and its arguments."""


def command_of(commands: Sequence[Said], does: str, entry: Any, **fields: object) -> Said:
    """Return what the client said under the entry's key; it is what was entered."""
    wanted = {"does": does, **fields}
    found = [c for c in commands if wanted.items() <= dict(c).items()]
    require(found, "an entry is none of the client's commands", entry=entry, commands=commands)
    return found[0]


def one_of(commands: Sequence[Said], entry: Any, is_asked: Any) -> list[Said]:
    """Return the client's commands that an entry may be; there is one at least."""
    found = [c for c in commands if is_asked(entry, c)]
    require(found, "an entry is none of the client's commands", entry=entry, commands=commands)
    return found


def open_today(after: Subscription, entry: Any, rules: Rules) -> date:
    """Check what the entry says of today, and return today. The subscription is touched."""
    opening, today = entry.change.opening, after.today(entry.at)
    after.used.setdefault(today, 0)
    check_opening(after, today, opening, entry, rules)
    return today


def check_opening(after: Subscription, day: date, opening: Any, entry: Any, rules: Rules) -> None:
    """Check what an entry says of a day."""
    seen = (opening.date, opening.starts_at, opening.daily_credit_limit, opening.rolled_over)
    due = (
        day,
        after.midnight(day),
        after.limit(day),
        after.rolled_over(day, entry.at, rules.cap),
    )
    require(seen == due, "an entry opens another day than today", entry=entry, due=due)


def open_current(book: Book, opening: Any, entry: Any, rules: Rules) -> Subscription | None:
    """Check that an entry opens today of the current subscription, where there is one; return it."""
    current = book.current(entry.at)
    seen = None if opening is None else opening.subscription_id
    due = None if current is None else current.id
    require(seen == due, "an entry opens another subscription's day", entry=entry, due=due)
    if current is not None:
        today = current.today(entry.at)
        current.used.setdefault(today, 0)
        check_opening(current, today, opening, entry, rules)
    return current


def check_given(dues: Sequence[Given], seen: Given, what: str, entry: Any) -> Given:
    """Check that sources gave what they must, in their order; return what they gave."""
    for due in dues:
        same = (due.of_day, list(due.packs.items()), due.uncovered)
        if not due.refusal and same == (seen.of_day, list(seen.packs.items()), seen.uncovered):
            return due
    require(False, what, seen=seen, due=dues, entry=entry)
    raise AssertionError("it was required")


def given_in(usage: Any) -> Given:
    """Return what sources gave to a charge, as an entry says it."""
    packs = shares_of(usage.packs)
    of_day = usage.credit_amount - sum(packs.values())
    return Given(of_day, packs, usage.uncovered_credits)


def note_charge(book: Book, usage: Any, day: date | None, given: Given) -> Charged:
    """Take what a charge takes from packs, and note it, to be reversed. Its day is its caller's."""
    opening = usage.opening
    subscription_id = None if opening is None else opening.subscription_id
    late = usage.settles is not None
    charged = Charged(
        usage.usage_id, subscription_id, day, given.of_day, given.packs, given.uncovered, late
    )
    book.charges[charged.id] = charged
    for name, amount in given.packs.items():
        book.packs[name].used += amount
    return charged


def check_charge(
    book: Book,
    charged: Subscription | None,
    day: date | None,
    usage: Any,
    entry: Any,
    rules: Rules,
) -> None:
    """Check that a charge is answered with its sources, and the day as that is after it."""
    limit = rolled = used = held = 0
    if charged is not None and day is not None:
        limit, rolled = charged.limit(day), charged.rolled_over(day, entry.at, rules.cap)
        used, held = charged.used[day], charged.held_on(day, entry.at)
    packs = book.packs.values()
    remaining = limit + rolled - used - held + left_in(packs, entry.at)
    given = limit + rolled + given_by(packs, entry.at)
    noted = book.charges[usage.usage_id]
    expected = {
        "user_id": entry.user_id,
        "subscription_id": None if charged is None else charged.id,
        "usage_id": usage.usage_id,
        "credit_amount": noted.amount,
        "daily_credit_limit": limit,
        "credits_used": used,
        "credits_held": held,
        "remaining_credits": remaining,
        "low_credits": remaining * 100 <= rules.low_percent * given,
        "uncovered_credits": noted.uncovered,
        "late": noted.late,
    }
    answer = json.loads(entry.answer)
    wrong = differences(expected, {name: answer[name] for name in expected})
    require(not wrong, "a charge's answer is not its effect", wrong=wrong, entry=entry)
    told = [(source.get("pack_id"), source["credit_amount"]) for source in answer["sources"]]
    due: list[tuple[str | None, int]] = [(None, noted.of_day)] if noted.of_day else []
    due += list(noted.packs.items())
    require(told == due, "an answer names other sources", told=told, due=due, entry=entry)
