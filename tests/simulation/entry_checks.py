"""What the checks of several kinds of entry share: whose command it is, and the day it is of."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tests.simulation.books import (
    SPENDING,
    Book,
    Rules,
    Subscription,
    differences,
    require,
)

Said = Mapping[str, Any]
"""What a client asked for: `does` and its arguments."""


def command_of(commands: Sequence[Said], does: str, entry: Any, **fields: object) -> Said:
    """Return what the client said under the entry's key; it is what was entered."""
    wanted = {"does": does, **fields}
    found = [c for c in commands if wanted.items() <= dict(c).items()]
    require(found, "an entry is none of the client's commands", entry=entry, commands=commands)
    return found[0]


def open_today(after: Subscription, entry: Any, rules: Rules) -> date:
    """Check what the entry says of today, and return today. The subscription is touched."""
    opening, today = entry.change.opening, after.today(entry.at)
    after.used.setdefault(today, 0)
    seen = (opening.date, opening.starts_at, opening.daily_credit_limit, opening.rolled_over)
    due = (
        today,
        after.midnight(today),
        after.limit(today),
        after.rolled_over(today, entry.at, rules.cap),
    )
    require(seen == due, "an entry opens another day than today", entry=entry, due=due)
    return today


def spend(book: Book, entry: Any, rules: Rules) -> tuple[Subscription, date]:
    """Check that an entry may take from today, and return what it takes it from."""
    current = book.current(entry.at)
    require(current is not None, "a charge without subscription", entry=entry)
    assert current is not None
    require(current.status in SPENDING, "a charge to what may not spend", entry=entry)
    require(entry.change.opening.subscription_id == current.id, "charged elsewhere", entry=entry)
    return current, open_today(current, entry, rules)


def check_charge(charged: Subscription, day: date, usage: Any, entry: Any, rules: Rules) -> None:
    """Check that a charge is answered with the day it was charged to, as that is after it."""
    limit, rolled = charged.limit(day), charged.rolled_over(day, entry.at, rules.cap)
    remaining = charged.remaining(day, entry.at, rules.cap)
    expected = {
        "user_id": entry.user_id,
        "subscription_id": charged.id,
        "usage_id": usage.usage_id,
        "credit_amount": usage.credit_amount,
        "daily_credit_limit": limit,
        "credits_used": charged.used[day],
        "credits_held": charged.held_on(day, entry.at),
        "remaining_credits": remaining,
        "low_credits": remaining * 100 <= rules.low_percent * (limit + rolled),
    }
    answer = json.loads(entry.answer)
    wrong = differences(expected, {name: answer[name] for name in expected})
    require(not wrong, "a charge's answer is not its effect", wrong=wrong, entry=entry)
