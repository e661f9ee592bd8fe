"""Decide what becomes of a hold. Nothing happens here: `domain.evolve_holds` makes it so."""

from datetime import datetime, timedelta

from domain.account import Account, OpenHold
from domain.carry_over import DaysAfter, days_after
from domain.charges import OnInsufficient, Opening, UsageRecorded
from domain.copies import replace
from domain.coverage import Cost, Funds, Taken, cost_of, funds_of, nothing_to_spend, take
from domain.holds import (
    ExpireHold,
    Hold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    LapsedHold,
    PlaceHold,
    ReleaseHold,
    SettleHold,
    make_hold_id,
)
from domain.local_days import day_of
from domain.messages import Refusal, Rejection
from domain.sources import PackShare, first_of, joined, total_of
from domain.usage_facts import facts_of, said_in
from domain.values import CREDITS_MAX, NO_CREDITS, Credits, Policy, derive_object_id

CLOSED = Refusal(Rejection.HOLD_CLOSED)
CLOSED_FOR = timedelta(days=1)
"""How long past its expiry a hold is known to be closed: a server deletes by its own clock."""


def place_hold(
    account: Account, command: PlaceHold, key: str, now: datetime, policy: Policy
) -> HoldPlaced | Refusal:
    """Return the hold, or why it is refused. The account is as of `now`."""
    funds = funds_of(account, now, policy)
    if funds.are_none:
        return nothing_to_spend(command.credit_amount)
    if account.holds_open >= policy.holds_per_account:
        return Refusal(Rejection.TOO_MANY_HOLDS)
    asked, least = command.credit_amount, command.at_least
    taken = take(funds, asked, command.on_insufficient, now, policy, at_least=least)
    if isinstance(taken, Refusal):
        return taken
    packs = taken.packs
    if funds.subscription is None and not packs:  # A hold of nothing is known by somebody, too.
        first = next(pack for pack in funds.packs if pack.left > 0)
        packs = (PackShare(first.pack_id, NO_CREDITS),)
    # After this point the hold must be made.
    hold = Hold(
        make_hold_id(now, account.user_id, key, command.service_type),
        day_of(now, policy.timezone) if funds.day is None else funds.day.date,
        taken.amount,
        now + timedelta(seconds=command.expires_in),
        command.service_type,
        command.timestamp or now,
        **facts_of(command),
    )
    return HoldPlaced(hold, funds.opening, packs)


def settle_hold(
    account: Account, command: SettleHold, key: str, now: datetime, policy: Policy
) -> HoldSettled | UsageRecorded | Refusal:
    """Return the charge to the hold's own sources, or why it is refused. The account is as of `now`.

    What was held is there, whatever else happened. Only what goes beyond it must be covered: by
    what remains today, so that nobody spends credits of a day that is over.
    """
    found = _find(account, command.hold_id)
    if found is None:
        return _settle_late(account, command, key, now, policy)
    hold = found.hold
    cost = _cost(command, hold, policy)
    if isinstance(cost, Refusal):
        return cost
    funds = funds_of(account, now, policy, found.subscription)
    more = _take_more(funds, Credits(cost.amount - hold.credit_amount), command, now, policy)
    if isinstance(more, Refusal):
        return more
    kept, shares = first_of(found.day_amount, found.packs, cost.amount)
    of_day = Credits(kept + more.day_amount)
    own = _free_day(found, now, policy, charged=of_day)
    if own is not None and own.used > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    # After this point the charge must succeed.
    usage = _usage(
        command,
        hold,
        cost,
        Taken(of_day, joined(shares, more.packs), more.uncovered),
        funds.opening if own is None else own.opening,
        derive_object_id(now, "usage", account.user_id, key),
    )
    reopened = () if own is None else own.reopened
    used, held = _today(funds, of_day) if own is None else (own.used, own.held)
    freed = tuple(share.pack_id for share in found.packs)
    return HoldSettled(hold.hold_id, usage, reopened, used, held, freed, _closed(found))


def _find(account: Account, hold_id: str) -> OpenHold | None:
    """Return a hold that nothing resolved. What is left of one that is closed is nobody's."""
    lapsed = account.find_lapsed_hold(hold_id)
    return None if lapsed is not None and lapsed.is_closed else account.find_hold(hold_id)


def _closed(found: OpenHold) -> LapsedHold | None:
    """Return what is known from now on of a hold that is resolved without all of its sources."""
    if found.is_whole:
        return None
    return LapsedHold(found.hold, found.hold.expires_at + CLOSED_FOR, is_closed=True)


def _cost(command: SettleHold, hold: Hold, policy: Policy) -> Cost | Refusal:
    # By the price of when the work began: what it costs is not changed by how long it takes.
    model, begun = command.model_used or hold.model_used, hold.made_at
    return cost_of(command, hold.service_type, model, begun, policy.prices)


def _take_more(
    funds: Funds, beyond: Credits, command: SettleHold, now: datetime, policy: Policy
) -> Taken | Refusal:
    """Return what sources give beyond a hold."""
    if beyond <= 0:
        return Taken(NO_CREDITS, ())
    if funds.are_none and command.on_insufficient is OnInsufficient.CAP:
        return Taken(NO_CREDITS, (), beyond)
    return take(funds, beyond, command.on_insufficient, now, policy)


def _today(funds: Funds, of_day: Credits) -> tuple[Credits, Credits]:
    """Return (used, held) of today after a charge; nothing where no subscription is current."""
    if funds.subscription is None or funds.day is None:
        return NO_CREDITS, NO_CREDITS
    used = Credits(funds.day.used + of_day)
    return used, funds.subscription.held_on(funds.day.date)


def _settle_late(
    account: Account, command: SettleHold, key: str, now: datetime, policy: Policy
) -> UsageRecorded | Refusal:
    """Return a charge to today for a hold that has expired, for as long as that is possible."""
    lapsed = account.find_lapsed_hold(command.hold_id)
    if lapsed is None or lapsed.is_closed or now >= lapsed.until:
        return CLOSED
    cost = _cost(command, lapsed.hold, policy)
    if isinstance(cost, Refusal):
        return cost
    funds = funds_of(account, now, policy)
    taken = take(funds, cost.amount, command.on_insufficient, now, policy)
    if isinstance(taken, Refusal):
        return taken
    # After this point the charge must succeed.
    usage_id = derive_object_id(now, "usage", account.user_id, key)
    usage = _usage(command, lapsed.hold, cost, taken, funds.opening, usage_id)
    return replace(usage, settles=command.hold_id)


def _usage(
    command: SettleHold,
    hold: Hold,
    cost: Cost,
    taken: Taken,
    opening: Opening | None,
    usage_id: str,
) -> UsageRecorded:
    return UsageRecorded(
        usage_id,
        opening,
        hold.service_type,
        taken.amount,
        hold.timestamp,
        cost.price,
        taken.packs,
        taken.uncovered,
        tokens=command.tokens,
        **facts_of(hold) | said_in(command),
    )


def release_hold(
    account: Account, command: ReleaseHold, now: datetime, policy: Policy
) -> HoldFreed | Refusal:
    """Return what a release gives back. The account is as of `now`."""
    found = _find(account, command.hold_id)
    if found is None:
        return CLOSED
    own = _free_day(found, now, policy)
    freed = _freed(found, own, found.packs, expired=False)
    return replace(freed, lapsed=_closed(found), reason=command.reason)


def expire_hold(
    account: Account, command: ExpireHold, now: datetime, policy: Policy
) -> HoldFreed | Refusal:
    """Return what a hold gives back whose shares are over. The account is with those that are.

    What was not read before, or has ended with its subscription, may be over at another time.
    """
    found = account.find_hold(command.hold_id)
    if found is None:
        return CLOSED
    if now < found.over_at(now):
        return Refusal(Rejection.NOT_ENDED)
    own = _free_day(found, now, policy)
    if now < found.hold.expires_at:  # The day's share ends with its subscription, packs' do not.
        return _freed(found, own, (), expired=True)
    freed = _freed(found, own, found.packs, expired=True)
    is_known = account.find_lapsed_hold(command.hold_id) is not None
    if is_known or not _was_held_to_the_last(found):
        return freed
    until = found.hold.expires_at + timedelta(seconds=policy.late_settle_seconds)
    return replace(freed, lapsed=LapsedHold(found.hold, until)) if now < until else freed


def _was_held_to_the_last(found: OpenHold) -> bool:
    """Say whether a hold came to its own expiry: a day's share may have ended with its subscription."""
    last = found.hold.expires_at - timedelta(milliseconds=1)
    return bool(found.packs) or found.subscription is None or found.subscription.is_current(last)


def _free_day(
    found: OpenHold, now: datetime, policy: Policy, charged: Credits = NO_CREDITS
) -> DaysAfter | None:
    """Return the days after the one on which credits were held; None: packs alone held some."""
    if found.subscription is None:
        return None
    hold = found.hold
    own = days_after(found.subscription, hold.date, charged, now, policy, without_hold=hold.hold_id)
    assert own is not None, "a subscription keeps the days of its holds"
    return own


def _freed(
    found: OpenHold, own: DaysAfter | None, packs: tuple[PackShare, ...], *, expired: bool
) -> HoldFreed:
    of_day = NO_CREDITS if own is None else found.day_amount
    opening: Opening | None = None if own is None else own.opening
    reopened = () if own is None else own.reopened
    amount = Credits(of_day + total_of(packs))
    return HoldFreed(found.hold.hold_id, amount, opening, reopened, expired, packs)
