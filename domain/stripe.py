"""What Stripe says, in our words: the state of one Stripe subscription, and grants to be voided.

Stripe's statuses become ours here, and nowhere else. Source: docs/stripe.md.
"""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from domain.copies import replace
from domain.grants import Grant, Void, share_from
from domain.local_days import ONE_DAY, day_of, midnight
from domain.pack_messages import RefundedPack
from domain.values import Status, UserId

ENDED = frozenset({"canceled", "incomplete_expired"})
"""Stripe's final statuses: a subscription that has one never leaves it."""

NOT_BEGUN = frozenset({"incomplete"})
"""The first payment is still to come: nothing is to be seen of it."""

STATUS_OF = {
    "incomplete": None,
    "incomplete_expired": Status.CANCELLED,
    "trialing": Status.ACTIVE,
    "active": Status.ACTIVE,
    "past_due": Status.PAST_DUE,
    "unpaid": Status.PAUSED,
    "paused": Status.PAUSED,
    "canceled": Status.CANCELLED,
}
"""Every status that Stripe knows. A new one of theirs changes nothing here."""

RENEWAL_GRACE = timedelta(days=1)
"""How long after a period's end Stripe may take to tell of the next one."""

ENDED_LONG_AGO = timedelta(days=1)
"""An end older than this makes no subscription for a user who has none of it."""


Instant = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""Spelled the same after it was kept and read: a key is held to how its command is spelled."""


@dataclass(frozen=True, slots=True)
class StripeItem:
    """One price of a Stripe subscription."""

    price_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class StripeLink:
    """The Stripe subscription that a subscription follows: its `stripe` block."""

    subscription_id: str
    customer_id: str | None
    status: str
    """As Stripe calls it."""
    created: Instant | None
    period_end: Instant | None
    cancel_at: Instant | None
    """When it is to end, by either kind of scheduled cancellation."""
    ended_at: Instant | None
    items: tuple[StripeItem, ...]
    version: int
    """Counts what was applied of this Stripe subscription."""
    extends_to: Instant | None = None
    """The end that the subscription has because of Stripe: Stripe may move it again."""

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class ApplyStripeState:
    """Bring a user's subscription in line with a Stripe subscription."""

    user_id: UserId
    link: StripeLink


@dataclass(frozen=True, slots=True)
class VoidGrants:
    """Keep `kept` of `parts` of what a payment has bought: less than before, or more again.

    Of grants that is what they give from tomorrow on, of packs all that is not used and not held.
    """

    user_id: UserId
    transaction_id: str
    """The payment's, or what transactions of its parts begin with, before a space."""
    kept: int
    parts: int
    version: int = 0
    """Counts what was told of this payment: what is older changes nothing."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what an actor of the version before has sent, which knows no `version`."""
        for field, value in zip(fields(self), [*state, 0], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class VoidedGrant:
    """A grant whose share has changed, as it is from then on."""

    grant_id: str
    voids: tuple[Void, ...]
    credits_before: int
    credits_after: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class StripeStateApplied:
    """A subscription follows what Stripe says of its own."""

    subscription_id: str
    link: StripeLink | None
    """None where the subscription follows another, newer one of Stripe's."""
    status: Status | None
    end: datetime
    voided: tuple[VoidedGrant, ...]
    made_explicit: tuple[Grant, ...]
    """Where the end moves: implied grants, written out so that they keep their days."""
    created: bool
    start: datetime
    timezone: str


@dataclass(frozen=True, slots=True)
class GrantsVoided:
    """Grants and packs keep another share: of refunds, lost disputes, or what of them came back."""

    subscription_id: str | None
    """Whose grants; None: only packs change."""
    voided: tuple[VoidedGrant, ...]
    packs: tuple[RefundedPack, ...] = ()


def pays(payment: str, transaction_id: str | None) -> bool:
    """Say whether a transaction is this payment, or one of its parts."""
    return transaction_id is not None and transaction_id.partition(" ")[0] == payment


def ended(grant: Grant, from_day: date) -> VoidedGrant | None:
    """Return what a named grant becomes with its end; None where that changes nothing."""
    return _changed(grant, grant.ended(from_day))


def shared(grant: Grant, from_day: date, command: VoidGrants) -> VoidedGrant | None:
    """Return what a share makes of a named grant; None where it changes nothing."""
    share = share_from(from_day, command.kept, command.parts)
    return _changed(grant, grant.with_share(share, command.version))


def _changed(grant: Grant, after: Grant) -> VoidedGrant | None:
    if after is grant or grant.grant_id is None:
        return None
    return VoidedGrant(
        grant.grant_id, after.voids, grant.spendable, after.spendable, after.share_version
    )


def covers_until(link: StripeLink, timezone: str) -> datetime | None:
    """Return until when a subscription is current because Stripe's goes on; None: no longer.

    A cancellation that is scheduled for later than its period ends nothing before, and covers no
    more: each renewal until then does.
    """
    if link.is_ended:
        return None
    if link.period_end is None:
        return link.cancel_at
    renewed = midnight(day_of(link.period_end + RENEWAL_GRACE, timezone) + ONE_DAY, timezone)
    return renewed if link.cancel_at is None else min(renewed, link.cancel_at)


def span_of(start: datetime, end: datetime, today: date, timezone: str) -> tuple[date, int]:
    """Return (first day, days) of a paid period, as far as it is not past.

    What was paid for past days is given in the days that are left: a day that has been
    allocated stays as it was.
    """
    first = max(day_of(start, timezone), today)
    return first, max((day_of(end, timezone) - first).days, 1)


def with_voids(grants: tuple[Grant, ...], taken: tuple[VoidedGrant, ...]) -> tuple[Grant, ...]:
    """Return the grants after the shares of some have changed."""
    by_id = {one.grant_id: one for one in taken}
    return tuple(_with_void(grant, by_id.get(grant.grant_id or "")) for grant in grants)


def _with_void(grant: Grant, one: VoidedGrant | None) -> Grant:
    if one is None:
        return grant
    return replace(grant, voids=one.voids, share_version=max(one.version, grant.share_version))
