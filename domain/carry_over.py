"""What a change of a touched day, be it a past one, leaves to the touched days after it."""

from dataclasses import dataclass
from datetime import date, datetime

from domain.charges import Opening
from domain.copies import replace
from domain.coverage import opening_of
from domain.subscription import Subscription, held_on
from domain.values import Credits, Policy


@dataclass(frozen=True, slots=True)
class DaysAfter:
    """A touched day after a change, and what later touched days inherit."""

    opening: Opening
    reopened: tuple[Opening, ...]
    used: Credits
    """Of the changed day."""
    held: Credits


def days_after(
    subscription: Subscription,
    own: date,
    charged: Credits,
    now: datetime,
    policy: Policy,
    *,
    without_hold: str | None = None,
) -> DaysAfter | None:
    """Return a subscription's days after a charge to one of them; less than 0: given back.

    None: the day is none that is known here.
    """
    others = tuple(
        other
        for other in subscription.holds
        if other.hold_id != without_hold and subscription.is_open(other, now)
    )
    days = tuple(
        replace(day, used=Credits(day.used + charged)) if day.date == own else day
        for day in subscription.touched
    )
    if len(days) > 1:  # Most often there is one, and nothing is carried.
        days = subscription.carried(days, others, policy.rollover_cap)
    after = [day for day in days if day.date >= own]
    if not after or after[0].date != own:
        return None
    first, *rest = (opening_of(subscription, day) for day in after)
    return DaysAfter(first, tuple(rest), after[0].used, held_on(own, others))
