"""Make a decision about a hold so. Nothing here can refuse."""

from dataclasses import replace

from domain.account import Account
from domain.charges import Opening
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.subscription import Day
from domain.values import Credits


def evolve_hold(account: Account, change: HoldPlaced | HoldSettled | HoldFreed) -> Account:
    """Return the account after a hold was made, settled, released, or has expired."""
    match change:
        case HoldPlaced():
            return _place(account, change)
        case HoldSettled(hold_id, usage, reopened):
            return _resolve(account, hold_id, usage.opening, usage.credit_amount, reopened)
        case HoldFreed(hold_id=hold_id, opening=opening, reopened=reopened):
            return _resolve(account, hold_id, opening, Credits(0), reopened)


def _place(account: Account, change: HoldPlaced) -> Account:
    opening, hold = change.opening, change.hold
    subscription = account.find(opening.subscription_id)
    if subscription is None:  # Another program has deleted it since.
        return account
    opened = subscription.opened(Day(opening.date, opening.rolled_over, Credits(0)))
    others = (other for other in opened.holds if other.hold_id != hold.hold_id)
    return account.with_subscription(opened.with_days(opened.touched, (*others, hold)))


def _resolve(
    account: Account,
    hold_id: str,
    opening: Opening,
    charged: Credits,
    reopened: tuple[Opening, ...],
) -> Account:
    subscription = account.find(opening.subscription_id)
    if subscription is None:
        return account
    opened = subscription.opened(Day(opening.date, opening.rolled_over, Credits(0)))
    inherited = {o.date: o.rolled_over for o in (opening, *reopened)}
    days = tuple(
        replace(
            day,
            rolled_over=inherited.get(day.date, day.rolled_over),
            used=Credits(day.used + (charged if day.date == opening.date else 0)),
        )
        for day in opened.touched
    )
    holds = (hold for hold in opened.holds if hold.hold_id != hold_id)
    return account.with_subscription(opened.with_days(days, holds))
