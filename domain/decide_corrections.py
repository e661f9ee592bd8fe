"""Decide what corrections do: charges that are reversed, balances that operators adjust."""

from collections.abc import Iterable
from datetime import date

from domain.account import Account
from domain.carry_over import DaysAfter, days_after
from domain.charges import Charge, OnInsufficient
from domain.copies import replace
from domain.corrections import AdjustCredits, CreditsAdjusted, ReverseUsage, UsageReversed
from domain.coverage import funds_of, take
from domain.credit import Asking
from domain.messages import Refusal, Rejection
from domain.packs import PRIORITY_DEFAULT, Category, Pack
from domain.sources import PackShare, first_of, minus
from domain.subscription import Subscription
from domain.values import NO_CREDITS, Credits, derive_object_id, derive_owned_id


def reverse_usage(
    account: Account, command: ReverseUsage, asking: Asking
) -> UsageReversed | Refusal:
    """Return what goes back of a charge, or why nothing does. The charge was recalled."""
    charge = account.find_charge(command.usage_id)
    if charge is None:
        return Refusal(Rejection.NO_SUCH_USAGE)
    if charge.left <= 0:
        return Refusal(Rejection.ALREADY_REVERSED)
    amount = charge.left if command.credit_amount is None else command.credit_amount
    if amount > charge.left:
        return Refusal(Rejection.MORE_THAN_CHARGED)
    subscription = account.find(charge.subscription_id or "")
    of_day, shares = _last_taken(charge, amount)
    of_day = min(of_day, _used_on(subscription, charge.date))
    shares = _still_used(account, shares)
    own = None
    if subscription is not None and charge.date is not None and of_day:
        less = Credits(-of_day)
        own = days_after(subscription, charge.date, less, asking.now, asking.policy)
    spendable: int = sum(
        share.credit_amount for share in shares if _is_live(account, share, asking)
    )
    if subscription is not None and own is not None:
        spendable += _returned(subscription, own, asking)
    return UsageReversed(
        derive_object_id(asking.now, "reversal", account.user_id, asking.key),
        command.usage_id,
        amount,
        command.reason,
        charge.subscription_id,
        None if own is None else own.opening,
        () if own is None else own.reopened,
        shares,
        of_day,
        Credits(amount - spendable),
        Credits(charge.reversed_credits + amount),
    )


def _last_taken(charge: Charge, amount: Credits) -> tuple[Credits, tuple[PackShare, ...]]:
    """Return the day's and the packs' part of an amount, of what was taken last and is not back."""
    before = first_of(charge.day_amount, charge.packs, charge.left)
    after = first_of(charge.day_amount, charge.packs, Credits(charge.left - amount))
    return Credits(before[0] - after[0]), minus(before[1], after[1])


def _used_on(subscription: Subscription | None, day: date | None) -> Credits:
    """Return what a day counts as used: other programs may have lowered it since the charge."""
    touched = () if subscription is None else subscription.touched
    return next((known.used for known in touched if known.date == day), NO_CREDITS)


def _still_used(account: Account, shares: Iterable[PackShare]) -> tuple[PackShare, ...]:
    """Return shares as far as their packs count them as used: other programs may lower that, too."""
    used = {pack.pack_id: pack.used for pack in account.packs}
    counted = (
        replace(share, credit_amount=min(share.credit_amount, used.get(share.pack_id, NO_CREDITS)))
        for share in shares
    )
    return tuple(share for share in counted if share.credit_amount)


def _is_live(account: Account, share: PackShare, asking: Asking) -> bool:
    pack = account.find_pack(share.pack_id)
    return pack is not None and pack.is_live(asking.now)


def _returned(subscription: Subscription, own: DaysAfter, asking: Asking) -> int:
    """Return how much more the day has today: what rolls over of it, or is of today."""
    if not subscription.is_current(asking.now):
        return 0
    today, cap = subscription.today(asking.now), asking.policy.rollover_cap
    before = subscription.day
    assert before is not None, "the charge has touched a day"
    newest = (own.opening, *own.reopened)[-1]
    used = before.used if own.reopened else own.used
    day = replace(before, rolled_over=newest.rolled_over, used=used)
    after = replace(subscription, day=day)
    return after.remaining(after.day_at(today, cap)) - subscription.remaining(
        subscription.day_at(today, cap)
    )


def adjust_credits(
    account: Account, command: AdjustCredits, asking: Asking
) -> CreditsAdjusted | Refusal:
    """Return what is given or taken, or why it is refused. The account is as of now."""
    now, policy = asking.now, asking.policy
    funds = funds_of(account, now, policy, though_paused=True)
    if command.expires_at is not None and command.expires_at <= now:
        return Refusal(Rejection.EXPIRY_NOT_IN_FUTURE)
    wanted = command.credit_amount
    if wanted is None:
        assert command.remaining_credits is not None, "one of the two is told"
        wanted = Credits(command.remaining_credits - funds.remaining)
    adjustment_id = derive_object_id(now, "adjustment", account.user_id, asking.key)
    if wanted >= 0:
        added = _adjusting_pack(account, command, wanted, asking)
        if isinstance(added, Refusal):
            return added
        return CreditsAdjusted(adjustment_id, wanted, command.reason, added, None, NO_CREDITS, ())
    rule = OnInsufficient.RECORD if command.allow_debt else OnInsufficient.REJECT
    taken = take(funds, Credits(-wanted), rule, now, policy)
    if isinstance(taken, Refusal):
        return taken
    opening = funds.opening if taken.day_amount else None
    if opening is not None:
        inherited = Credits(opening.rolled_over - taken.day_amount)
        opening = replace(opening, rolled_over=inherited)
    return CreditsAdjusted(
        adjustment_id, wanted, command.reason, None, opening, taken.day_amount, taken.packs
    )


def _adjusting_pack(
    account: Account, command: AdjustCredits, amount: Credits, asking: Asking
) -> Pack | Refusal | None:
    """Return the pack that gives an amount; None: it is nothing."""
    if not amount:
        return None
    if not account.has_room_for(amount):
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    return Pack(
        derive_owned_id(asking.now, "adjustment", account.user_id, asking.key),
        amount,
        PRIORITY_DEFAULT,
        Category.ADJUSTMENT,
        asking.now,
        command.expires_at,
    )
