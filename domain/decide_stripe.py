"""Decide what Stripe's news do to an account: paid periods, states, refunds."""

from datetime import UTC, date, datetime

from domain.account import Account
from domain.copies import replace
from domain.credit import Asking, add_grant, begin, name_implied, refuse_payment
from domain.decide_packs import refund
from domain.grants import Grant, split
from domain.local_days import ONE_DAY
from domain.messages import CreditsAdded, GrantFromStripe, Refusal, Rejection
from domain.stripe import (
    ENDED_LONG_AGO,
    STATUS_OF,
    ApplyStripeState,
    GrantsVoided,
    StripeLink,
    StripeStateApplied,
    VoidedGrant,
    VoidGrants,
    covers_until,
    ended,
    pays,
    shared,
    span_of,
    with_voids,
)
from domain.subscription import Subscription
from domain.values import Status, derive_object_id

NEVER = datetime.min.replace(tzinfo=UTC)


def grant_from_stripe(
    account: Account, command: GrantFromStripe, asking: Asking
) -> CreditsAdded | Refusal:
    """Add a paid period to the subscription that its Stripe subscription belongs to."""
    now, stripe_id = asking.now, command.stripe_subscription_id
    # One that Stripe has ended already, too: what is late ends as it would have in time.
    known = _holder(account, stripe_id, now) or account.current(now)
    refusal = refuse_payment(account, known, command.payment, command.amount)
    if refusal is not None:
        return refusal
    # After this point the credits must be added.
    timezone = asking.policy.timezone
    base = known or begin(account.user_id, f"stripe {stripe_id}", now, timezone)
    first, days = span_of(command.period_start, command.period_end, base.today(now), base.timezone)
    grant = Grant(
        derive_object_id(now, "grant", account.user_id, asking.key),
        command.amount,
        split(command.amount, asking.policy.system_portion_bps),
        first,
        days,
        command.payment.transaction_id,
        stripe_subscription_id=stripe_id,
    )
    return add_grant(account, known, base, grant, command.payment, asking)


def apply_stripe_state(
    account: Account, command: ApplyStripeState, asking: Asking
) -> StripeStateApplied | None:
    """Let a subscription follow what Stripe says of its own. What is old changes nothing."""
    now, link = asking.now, command.link
    known = _holder(account, link.subscription_id, now)
    timezone = asking.policy.timezone
    if known is None and not _begins(account, link, now, timezone):
        return None
    known = known or account.current(now)
    base = known or begin(account.user_id, f"stripe {link.subscription_id}", now, timezone)
    if _is_old(base.stripe, link):
        return None
    follows = _follows(base.stripe, link)
    tomorrow = base.today(now) + ONE_DAY
    taken = _taken_back(base, link, tomorrow) if link.is_ended else ()
    grants = with_voids(base.grants, taken)
    end = _end(base, grants, link if follows else None, tomorrow)
    extends_to = covers_until(link, base.timezone) if follows else None
    change = StripeStateApplied(
        base.subscription_id,
        replace(link, extends_to=extends_to) if follows else None,
        _status(base, grants, link, tomorrow) if follows else None,
        end,
        taken,
        name_implied(base.grants if end != base.end else (), now, account.user_id, asking.key),
        created=known is None,
        start=base.start,
        timezone=base.timezone,
    )
    return change if known is None or _changes(known, change) else None


def void_grants(
    account: Account, command: VoidGrants, now: datetime
) -> GrantsVoided | Refusal | None:
    """Take back a share of what a payment's grants and packs are still to give, or give it back.

    The account is the whole one, as of now. What is over stays as it is.
    """
    subscription = _paid_by(account, command.transaction_id)
    packs = [p for p in account.packs if pays(command.transaction_id, p.transaction_id)]
    voided = () if subscription is None else _shared(subscription, command, now)
    refunded = tuple(filter(None, (refund(pack, command, now) for pack in packs)))
    if voided or refunded:
        name = subscription.subscription_id if subscription and voided else None
        return GrantsVoided(name, voided, refunded)
    if (
        subscription
        or packs
        or any(pays(command.transaction_id, t) for t in account.past_transactions)
    ):
        return None
    return Refusal(Rejection.NO_SUCH_GRANT)


def _paid_by(account: Account, payment: str) -> Subscription | None:
    """Return the newest subscription to which a payment has added grants."""
    for subscription in reversed(account.subscriptions):
        if any(pays(payment, grant.transaction_id) for grant in subscription.grants):
            return subscription
    return None


def _shared(
    subscription: Subscription, command: VoidGrants, now: datetime
) -> tuple[VoidedGrant, ...]:
    if subscription.end <= now:
        return ()
    paid = (g for g in subscription.grants if pays(command.transaction_id, g.transaction_id))
    tomorrow = subscription.today(now) + ONE_DAY
    return tuple(filter(None, (shared(grant, tomorrow, command) for grant in paid)))


def _holder(account: Account, stripe_id: str, now: datetime) -> Subscription | None:
    """Return the newest subscription that has to do with a Stripe subscription and goes on."""
    for subscription in reversed(account.subscriptions):
        if subscription.start <= now < subscription.end and subscription.belongs_to_stripe(
            stripe_id
        ):
            return subscription
    return None


def _begins(account: Account, link: StripeLink, now: datetime, timezone: str) -> bool:
    """Say whether a Stripe subscription that no subscription knows is to be seen at all."""
    if STATUS_OF.get(link.status) is None:
        return False
    if not link.is_ended:  # A period that was over before is not told as a beginning.
        until = covers_until(link, timezone)
        return until is None or until > now
    known = any(s.belongs_to_stripe(link.subscription_id) for s in account.subscriptions)
    return not known and (link.ended_at is None or link.ended_at > now - ENDED_LONG_AGO)


def _is_old(known: StripeLink | None, link: StripeLink) -> bool:
    same = known is not None and known.subscription_id == link.subscription_id
    return same and known is not None and link.version <= known.version


def _follows(known: StripeLink | None, link: StripeLink) -> bool:
    """Say which of two Stripe subscriptions is followed: one that lives, then the newer one."""
    if known is None or known.subscription_id == link.subscription_id:
        return True
    if known.is_ended != link.is_ended:
        return known.is_ended
    theirs = (known.created or NEVER, known.subscription_id)
    return (link.created or NEVER, link.subscription_id) > theirs


def _taken_back(base: Subscription, link: StripeLink, tomorrow: date) -> tuple[VoidedGrant, ...]:
    own = [g for g in base.grants if g.stripe_subscription_id == link.subscription_id]
    return tuple(filter(None, (ended(grant, tomorrow) for grant in own)))


def _status(
    base: Subscription, grants: tuple[Grant, ...], link: StripeLink, tomorrow: date
) -> Status | None:
    """Return the status that Stripe gives; None: it has given it before, or says nothing."""
    wanted = STATUS_OF.get(link.status)
    before = base.stripe and STATUS_OF.get(base.stripe.status)
    others = any(
        grant.spendable > 0 and grant.gives_until >= tomorrow
        for grant in grants
        if grant.stripe_subscription_id != link.subscription_id
    )
    if wanted in (None, before):
        return None
    if others and wanted in (Status.CANCELLED, Status.PAUSED):
        return Status.ACTIVE  # What others have paid for may be spent.
    return wanted


def _end(
    base: Subscription, grants: tuple[Grant, ...], link: StripeLink | None, tomorrow: date
) -> datetime:
    """Return the end: Stripe moves what Stripe has given, and nobody else's."""
    theirs = [base.latest_midnight(g.ends_on) for g in base.grants if g.stripe_subscription_id]
    extended = base.stripe.extends_to if base.stripe else None
    given_by_stripe = max(filter(None, (extended, *theirs)), default=base.start)
    ends = [base.begins(g.gives_until) for g in grants if g.grant_id is not None]
    if base.end > given_by_stripe:
        ends.append(base.end)
    covers = extended if link is None else covers_until(link, base.timezone)
    if covers is not None:
        ends.append(covers)
    return max([*ends, base.begins(tomorrow)])


def _changes(known: Subscription, change: StripeStateApplied) -> bool:
    """Say whether anything but the version of what is known is new."""
    if change.voided or change.end != known.end or change.status not in (None, known.status):
        return True
    if change.link is None or known.stripe is None:
        return change.link is not None
    return replace(change.link, version=known.stripe.version) != known.stripe
