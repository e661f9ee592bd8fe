"""Decide what a command does to an account. Nothing happens here: `evolve` makes it so."""

from datetime import datetime
from typing import assert_never

from domain.account import Account
from domain.charges import UsageRecorded
from domain.corrections import AdjustCredits, ReverseUsage
from domain.coverage import cost_of, funds_of, nothing_to_spend, opening_of, take
from domain.credit import Asking, add_grant, begin, refuse_payment
from domain.decide_change import change_subscription
from domain.decide_corrections import adjust_credits, reverse_usage
from domain.decide_holds import expire_hold, place_hold, release_hold, settle_hold
from domain.decide_packs import add_pack, expire_pack
from domain.decide_stripe import apply_stripe_state, grant_from_stripe, void_grants
from domain.grants import Grant, are_too_many, split
from domain.holds import (
    ExpireHold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    ReleaseHold,
    SettleHold,
)
from domain.messages import (
    AddCredit,
    Change,
    ChangeSubscription,
    Command,
    CreditsAdded,
    DayOpened,
    ExpireSubscription,
    GrantFromStripe,
    OpenDay,
    RecordUsage,
    Refusal,
    Rejection,
    SubscriptionExpired,
)
from domain.pack_messages import AddPack, ExpirePack
from domain.stripe import ApplyStripeState, VoidGrants
from domain.usage_facts import facts_of
from domain.values import CURRENT_STATUSES, Credits, Policy, derive_object_id

Decision = Change | Refusal | None
"""What changes, why nothing may change, or None where all is already as Stripe says."""


_Rest = (
    GrantFromStripe
    | ApplyStripeState
    | VoidGrants
    | AddPack
    | ExpirePack
    | ReverseUsage
    | AdjustCredits
)
HoldCommand = PlaceHold | SettleHold | ReleaseHold | ExpireHold


def decide(  # noqa: PLR0911 - one a kind of command
    account: Account, command: Command, key: str, now: datetime, policy: Policy
) -> Decision:
    """Return what the command changes, or why it changes nothing.

    `now` is in UTC and cut to milliseconds. `key` names what the command makes: the same
    command decided twice makes the same documents. A command that names a subscription needs
    the whole account: `recover(…, whole=True)`.
    """
    if isinstance(command, HoldCommand):
        return _decide_hold(account, command, key, now, policy)
    account = account.as_of(now, policy.rollover_cap)
    match command:
        case AddCredit():
            return _add_credit(account, command, key, now, policy)
        case RecordUsage():
            return _record_usage(account, command, key, now, policy)
        case OpenDay():
            return _open_day(account, now, policy)
        case ChangeSubscription():
            return change_subscription(account, command, key, now)
        case ExpireSubscription():
            return _expire_subscription(account, command, now)
        case _:
            return _decide_the_rest(account, command, Asking(key, now, policy))


def _decide_the_rest(  # noqa: PLR0911 - one a kind of command
    account: Account, command: _Rest, asking: Asking
) -> Decision:
    match command:
        case AddPack():
            return add_pack(account, command, asking)
        case ExpirePack():
            return expire_pack(account, command, asking.now)
        case ReverseUsage():
            return reverse_usage(account, command, asking)
        case AdjustCredits():
            return adjust_credits(account, command, asking)
        case GrantFromStripe():
            return grant_from_stripe(account, command, asking)
        case ApplyStripeState():
            return apply_stripe_state(account, command, asking)
        case VoidGrants():
            return void_grants(account, command, asking.now)
        case _:
            assert_never(command)


def _decide_hold(
    account: Account, command: HoldCommand, key: str, now: datetime, policy: Policy
) -> HoldPlaced | HoldSettled | HoldFreed | UsageRecorded | Refusal:
    if isinstance(command, ExpireHold):  # It speaks of what `as_of` leaves out.
        return expire_hold(account, command, now, policy)
    account = account.as_of(now, policy.rollover_cap)
    match command:
        case PlaceHold():
            return place_hold(account, command, key, now, policy)
        case SettleHold():
            return settle_hold(account, command, key, now, policy)
        case ReleaseHold():
            return release_hold(account, command, now, policy)
        case _:
            assert_never(command)


def _add_credit(
    account: Account,
    command: AddCredit,
    key: str,
    now: datetime,
    policy: Policy,
) -> CreditsAdded | Refusal:
    current = account.current(now)
    refusal = refuse_payment(account, current, command.payment, command.amount)
    if refusal is not None:
        return refusal
    if current is not None and not command.paid_to_stripe and are_too_many(current.grants):
        return Refusal(Rejection.TOO_MANY_GRANTS)
    # After this point the credits must be added.
    timezone = command.timezone or policy.timezone
    base = current or begin(account.user_id, key, now, timezone)
    grant = Grant(
        derive_object_id(now, "grant", account.user_id, key),
        command.amount,
        split(command.amount, policy.system_portion_bps),
        base.today(now),
        command.days,
        command.payment.transaction_id,
    )
    return add_grant(account, current, base, grant, command.payment, Asking(key, now, policy))


def _record_usage(
    account: Account,
    command: RecordUsage,
    key: str,
    now: datetime,
    policy: Policy,
) -> UsageRecorded | Refusal:
    cost = cost_of(command, command.service_type, command.model_used, now, policy.prices)
    if isinstance(cost, Refusal):
        return cost
    funds = funds_of(account, now, policy)
    taken = take(funds, cost.amount, command.on_insufficient, now, policy)
    if isinstance(taken, Refusal):
        return taken
    # After this point the charge must succeed.
    return UsageRecorded(
        usage_id=derive_object_id(now, "usage", account.user_id, key),
        opening=funds.opening,
        service_type=command.service_type,
        credit_amount=taken.amount,
        timestamp=command.timestamp or now,
        price=cost.price,
        packs=taken.packs,
        uncovered_credits=taken.uncovered,
        tokens=command.tokens,
        **facts_of(command),
    )


def _open_day(account: Account, now: datetime, policy: Policy) -> DayOpened | Refusal:
    current = account.current(now)
    if current is None:
        return nothing_to_spend(Credits(0))
    return DayOpened(opening_of(current, current.day_at(current.today(now), policy.rollover_cap)))


def _expire_subscription(
    account: Account, command: ExpireSubscription, now: datetime
) -> SubscriptionExpired | Refusal:
    subscription = account.find(command.subscription_id)
    if subscription is None:
        return Refusal(Rejection.NO_SUCH_SUBSCRIPTION)
    if now < subscription.end or subscription.status not in CURRENT_STATUSES:
        return Refusal(Rejection.NOT_ENDED)
    return SubscriptionExpired(command.subscription_id, subscription.end)
