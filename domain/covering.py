"""What a charge comes to, whether a subscription covers it today, and the day as a decision sees it."""

from dataclasses import dataclass
from datetime import datetime

from domain.charges import OnInsufficient, Opening
from domain.holds import SettleHold
from domain.messages import Limit, RecordUsage, Refusal, Rejection, Shortfall
from domain.pricing import Price, PriceList
from domain.subscription import Day, Subscription, Told
from domain.values import CREDITS_MAX, Credits, Policy


def opening_of(subscription: Subscription, day: Day) -> Opening:
    """Return a day of a subscription as a change carries it."""
    return Opening(
        subscription.subscription_id,
        day.date,
        subscription.midnight(day.date),
        subscription.limit(day.date),
        day.rolled_over,
        first_touch=subscription.day is None
        or subscription.day.date < day.date
        or bool(day.told & Told.UNREAD),
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What is to be charged, and the price that made it; None: the caller told the amount."""

    amount: Credits
    price: Price | None = None


def cost_of(
    command: RecordUsage | SettleHold,
    service: str,
    model: str | None,
    at: datetime,
    prices: PriceList,
) -> Cost | Refusal:
    """Return the amount a command tells, else what its tokens cost by the price of an instant."""
    if command.credit_amount is not None:
        return Cost(command.credit_amount)
    price = prices.find(service, model, at)
    if price is None or command.token_count is None:
        return Refusal(Rejection.NO_PRICE)
    amount = price.cost(command.token_count)
    if amount > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    return Cost(Credits(amount), price)


def nothing_to_spend(required: Credits) -> Refusal:
    """Return the refusal where no subscription may spend."""
    nothing = Shortfall(Limit.SUBSCRIPTION, Credits(0), required, None)
    return Refusal(Rejection.NO_ACTIVE_SUBSCRIPTION, nothing)


def why_not_covered(
    subscription: Subscription,
    day: Day,
    required: Credits,
    on_insufficient: OnInsufficient,
    policy: Policy,
) -> Refusal | None:
    """Return why an amount may not be taken from a day; None: it may."""
    remaining = subscription.remaining(day)
    if max(day.used + required, required - remaining) > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    if required <= remaining or on_insufficient is OnInsufficient.RECORD:
        return None
    available_at = subscription.available_at(required, day, policy.rollover_cap)
    limit = Limit.SUBSCRIPTION if available_at is None else Limit.DAILY
    shortfall = Shortfall(limit, remaining, required, available_at)
    return Refusal(Rejection.INSUFFICIENT_CREDITS, shortfall)
