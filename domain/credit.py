"""How a grant joins a subscription, whoever pays for it."""

from datetime import datetime
from typing import NamedTuple

from domain.account import Account
from domain.copies import replace
from domain.coverage import opening_of
from domain.grant_sums import with_grants
from domain.grants import Grant
from domain.messages import CreditsAdded, Refusal, Rejection
from domain.payments import Payment
from domain.stripe import STATUS_OF
from domain.subscription import Subscription
from domain.values import (
    CREDITS_MAX,
    Credits,
    Policy,
    Status,
    UserId,
    derive_object_id,
    derive_owned_id,
)


class Asking(NamedTuple):
    """Under which key something is asked, when, and under which policy."""

    key: str
    now: datetime
    policy: Policy


def refuse_payment(
    account: Account, base: Subscription | None, payment: Payment, amount: Credits
) -> Refusal | None:
    """Return why a payment adds nothing; None where it must."""
    if account.has_payment(payment.transaction_id):
        return Refusal(Rejection.DUPLICATE_PAYMENT)
    if (base.total if base else 0) + amount > CREDITS_MAX:
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    return None


def begin(user_id: UserId, key: str, now: datetime, timezone: str) -> Subscription:
    """Return a subscription that begins now and holds nothing yet."""
    return Subscription(
        derive_owned_id(now, "subscription", user_id, key),
        start=now,
        end=now,
        status=Status.ACTIVE,
        timezone=timezone,
        system_portion=Credits(0),
        grants=(),
    )


def add_grant(
    account: Account,
    known: Subscription | None,
    base: Subscription,
    grant: Grant,
    payment: Payment,
    asking: Asking,
) -> CreditsAdded:
    """Return what adds a grant to `base`: a `known` subscription, or one that begins with it."""
    key, now, policy = asking
    today = base.today(now)
    end = max(base.end, base.begins(grant.ends_on))
    raised = replace(base, grants=with_grants(base.grants, (grant,)), end=end)
    return CreditsAdded(
        grant=grant,
        payment=payment,
        opening=opening_of(raised, base.day_at(today, policy.rollover_cap)),
        start=base.start,
        end=end,
        timezone=base.timezone,
        created=known is None,
        renewed=end > known.end if known else account.shown(now) is not None,
        made_explicit=name_implied(base.grants, now, account.user_id, key),
        system_portion_before=base.system_portion,
        spendable_before=base.spendable,
        status=Status.ACTIVE if known and _is_held_for_another(known, grant) else None,
    )


def _is_held_for_another(known: Subscription, grant: Grant) -> bool:
    """Say whether Stripe has paused a subscription, and the grant is none of Stripe's for it."""
    link = known.stripe
    return (
        link is not None
        and known.status is Status.PAUSED
        and STATUS_OF.get(link.status) is Status.PAUSED
        and grant.stripe_subscription_id != link.subscription_id
    )


def name_implied(
    grants: tuple[Grant, ...],
    now: datetime,
    user_id: UserId,
    key: str,
) -> tuple[Grant, ...]:
    """Return the implied grants with names, to be written out; one of nothing says nothing."""
    return tuple(
        replace(grant, grant_id=derive_object_id(now, f"implied {index}", user_id, key))
        for index, grant in enumerate(grants)
        if grant.grant_id is None and grant.amount
    )
