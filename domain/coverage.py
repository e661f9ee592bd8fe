"""What a charge comes to, which sources cover it, and the day as a decision sees it."""

from datetime import datetime
from typing import NamedTuple

from domain.account import Account
from domain.availability import available_at
from domain.charges import OnInsufficient, Opening
from domain.holds import SettleHold
from domain.messages import Limit, RecordUsage, Refusal, Rejection, Shortfall
from domain.packs import Pack, credits_in, given_by, take_from
from domain.pricing import Price, PriceList
from domain.sources import PackShare, total_of
from domain.subscription import Day, Subscription
from domain.told import Told
from domain.values import CREDITS_MAX, NO_CREDITS, Credits, Policy


def opening_of(subscription: Subscription, day: Day, limit: Credits | None = None) -> Opening:
    """Return a day of a subscription as a change carries it; `limit`: the day's, where it is known."""
    return Opening(
        subscription.subscription_id,
        day.date,
        subscription.midnight(day.date),
        subscription.limit(day.date) if limit is None else limit,
        day.rolled_over,
        first_touch=subscription.day is None
        or subscription.day.date < day.date
        or Told.UNREAD in day.told,
    )


class Cost(NamedTuple):
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
    amount = price.cost(command.token_count, command.tokens)
    if amount > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    return Cost(Credits(amount), price)


class Funds(NamedTuple):
    """What an account has to spend at an instant, by source."""

    subscription: Subscription | None
    """The current one, be it paused."""
    day: Day | None
    """Today as it opens for it."""
    limit: Credits
    """The day's."""
    may_spend: bool
    """The day's credits may be spent."""
    day_left: Credits
    """What the day gives; less than 0: debt."""
    packs: tuple[Pack, ...]
    """The live ones, in order."""

    @property
    def remaining(self) -> Credits:
        if not self.packs:
            return self.day_left
        return Credits(self.day_left + sum(pack.left for pack in self.packs))

    @property
    def opening(self) -> Opening | None:
        """Return today as a change carries it; None: no subscription is current."""
        if self.subscription is None or self.day is None:
            return None
        return opening_of(self.subscription, self.day, self.limit)

    @property
    def are_none(self) -> bool:
        """Say whether there is neither a subscription that may spend nor a pack with anything."""
        return not self.may_spend and not any(pack.left > 0 for pack in self.packs)


def funds_of(
    account: Account,
    now: datetime,
    policy: Policy,
    subscription: Subscription | None = None,
    *,
    though_paused: bool = False,
) -> Funds:
    """Return what an account has to spend, of a `subscription` or the current one.

    Account and subscription are as of `now`. `though_paused`: as if the day could be spent.
    """
    current = subscription or account.current(now)
    packs = () if account.extra is None else tuple(p for p in account.packs if p.is_live(now))
    if current is None:
        return Funds(None, None, NO_CREDITS, False, NO_CREDITS, packs)  # noqa: FBT003 - may_spend
    day = current.day_at(current.today(now), policy.rollover_cap)
    limit = current.limit(day.date)
    may_spend = though_paused or current.may_spend(now)
    left = current.left_of(day, limit) if may_spend else NO_CREDITS
    return Funds(current, day, limit, may_spend, left, packs)


class Taken(NamedTuple):
    """What sources give of an amount."""

    day_amount: Credits
    packs: tuple[PackShare, ...]
    uncovered: Credits = NO_CREDITS
    """What nobody gives."""

    @property
    def amount(self) -> Credits:
        if not self.packs:
            return self.day_amount
        return Credits(self.day_amount + total_of(self.packs))


def take(
    funds: Funds,
    required: Credits,
    on_insufficient: OnInsufficient,
    now: datetime,
    policy: Policy,
    *,
    at_least: Credits | None = None,
) -> Taken | Refusal:
    """Return what the day, then packs, give of an amount, or why they give nothing.

    `at_least`: so much is enough.
    """
    used = funds.day.used if funds.day is not None else 0
    if funds.may_spend and required <= funds.day_left and used + required <= CREDITS_MAX:
        return Taken(required, ())  # Nearly always the day has it all.
    if funds.are_none:
        return nothing_to_spend(required)
    remaining = funds.remaining
    there = Credits(max(remaining, 0))
    is_part_enough = on_insufficient is OnInsufficient.CAP or (
        at_least is not None and at_least <= there
    )
    amount = Credits(min(required, there)) if is_part_enough else required
    if max(used + amount, amount - remaining) > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    is_debt_allowed = on_insufficient is OnInsufficient.RECORD and funds.may_spend
    if amount > remaining and not (is_part_enough or is_debt_allowed):
        least = required if at_least is None else at_least
        return _insufficient(funds, remaining, least, policy)
    if not funds.packs:
        return Taken(amount, (), Credits(required - amount))
    of_day = Credits(min(max(funds.day_left, 0), amount))
    shares, left = take_from(funds.packs, Credits(amount - of_day), now)
    # What no source gives is debt: it stays with the day.
    return Taken(Credits(of_day + left), shares, Credits(required - amount))


def nothing_to_spend(required: Credits) -> Refusal:
    """Return the refusal where no subscription may spend, and no pack has anything."""
    nothing = Shortfall(Limit.SUBSCRIPTION, Credits(0), required, None)
    return Refusal(Rejection.NO_ACTIVE_SUBSCRIPTION, nothing)


def _insufficient(funds: Funds, remaining: Credits, required: Credits, policy: Policy) -> Refusal:
    limit, at = Limit.CREDITS, None
    if funds.subscription is not None and funds.day is not None and funds.may_spend:
        at = available_at(funds.subscription, required, funds.day, policy.rollover_cap, funds.packs)
        limit = Limit.SUBSCRIPTION if at is None else Limit.DAILY
    shortfall = Shortfall(limit, remaining, required, at)
    return Refusal(Rejection.INSUFFICIENT_CREDITS, shortfall)


class PacksNow(NamedTuple):
    """What the live packs of an account come to that have anything left or set aside.

    Those that are used up count no longer: which of them are known is a matter of what RAM let go.
    """

    left: Credits
    given: Credits
    unused: Credits
    """What is left, and what holds have set aside."""
    are_there: bool


def packs_at(account: Account, now: datetime) -> PacksNow:
    """Return what the live packs of an account come to at an instant; holds that are over are not."""
    if account.extra is None:
        return NO_PACKS
    known = [pack.as_of(now) for pack in account.packs if pack.is_live(now)]
    live = [pack for pack in known if pack.left or pack.holds]
    left, given = credits_in(live, now), given_by(live, now)
    unused = Credits(left + sum(pack.held for pack in live))
    return PacksNow(left, given, unused, are_there=bool(live))


NO_PACKS = PacksNow(NO_CREDITS, NO_CREDITS, NO_CREDITS, are_there=False)


def remaining_at(account: Account, now: datetime, policy: Policy) -> Credits:
    """Return what an account has left at an instant, of its day and of packs."""
    current = account.current(now)
    left = packs_at(account, now).left
    if current is None:
        return left
    known = current.as_of(now, policy.rollover_cap)
    day = known.day_at(known.today(now), policy.rollover_cap)
    return Credits(left + known.remaining(day))
