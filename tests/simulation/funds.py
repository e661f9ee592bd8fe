"""What an account has to spend by the books, and what each source must give of an amount."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tests.simulation.books import SPENDING, Book, Rules
from tests.simulation.pack_books import Pack, in_order
from tests.simulation.subscription_books import DAY, Subscription


@dataclass
class Given:
    """What sources give, or why they give nothing."""

    of_day: int = 0
    packs: dict[str, int] = field(default_factory=dict)
    uncovered: int = 0
    refusal: str = ""
    shortfall: tuple[Any, ...] | None = None
    """(limit, remaining, required, when it would be covered)."""

    @property
    def amount(self) -> int:
        return self.of_day + sum(self.packs.values())


@dataclass
class Funds:
    """What there is at an instant."""

    subscription: Subscription | None
    today: date | None
    may_spend: bool
    of_day: int
    packs: list[Pack]
    at: datetime

    @property
    def remaining(self) -> int:
        return self.of_day + sum(pack.left(self.at) for pack in self.packs)

    @property
    def are_none(self) -> bool:
        return not self.may_spend and not any(pack.left(self.at) > 0 for pack in self.packs)


def funds_of(
    book: Book,
    at: datetime,
    rules: Rules,
    subscription: Subscription | None = None,
    *,
    though_paused: bool = False,
) -> Funds:
    """Return what there is, of a subscription or the current one."""
    packs = in_order(pack for pack in book.packs.values() if pack.is_live(at))
    current = subscription or book.current(at)
    if current is None:
        return Funds(None, None, False, 0, packs, at)
    today = current.today(at)
    may_spend = though_paused or current.status in SPENDING
    of_day = current.remaining(today, at, rules.cap) if may_spend else 0
    return Funds(current, today, may_spend, of_day, packs, at)


def take(
    funds: Funds, required: int, rule: str, rules: Rules, at_least: int | None = None
) -> Given:
    """Return what must be given of an amount under a rule: `reject`, `record` or `cap`."""
    if funds.are_none:
        short = ("subscription", 0, required, None)
        return Given(refusal="no_active_subscription", shortfall=short)
    there, amount = max(funds.remaining, 0), required
    if funds.remaining < required:
        if rule == "cap" or (at_least is not None and at_least <= there):
            amount = there
        elif rule == "reject" or not funds.may_spend:
            return _refused(funds, required if at_least is None else at_least, rules)
    of_day = left = min(max(funds.of_day, 0), amount)
    left, packs = amount - of_day, dict[str, int]()
    for pack in funds.packs:
        part = min(pack.left(funds.at), left)
        if part:
            packs[pack.id] = part
            left -= part
    return Given(of_day + left, packs, required - amount)


def _refused(funds: Funds, required: int, rules: Rules) -> Given:
    later = covered_from(funds, required, rules) if funds.may_spend else None
    limit = "credits" if not funds.may_spend else "subscription" if later is None else "daily"
    short = (limit, funds.remaining, required, later)
    return Given(refusal="insufficient_credits", shortfall=short)


def covered_from(funds: Funds, required: int, rules: Rules) -> datetime | None:
    """Return the first midnight from which day and packs cover an amount, if nothing else is spent."""
    subscription, today = funds.subscription, funds.today
    assert subscription is not None, "it may spend"
    assert today is not None, "it has a day"
    day = today + DAY
    while (begins := subscription.begins(day)) < subscription.end:
        packs = sum(pack.left(begins) for pack in funds.packs if pack.is_live(begins))
        if subscription.remaining(day, begins, rules.cap) + packs >= required:
            return begins
        day += DAY
    return None
