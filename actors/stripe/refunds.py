"""Money that goes back takes its share of what was paid for with it, and brings it when it returns.

Refunds and lost disputes alike. What Stripe says of the charge now is what all its events come to,
whatever their order: none of them is more than a reason to look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actors.stripe.lookups import Lookups
from actors.stripe.objects import Charge, Movement, Notice
from actors.stripe.payloads import DISPUTE_EVENTS
from actors.stripe.records import StripeRecord

LOST = "lost"
"""The one status of a dispute in which its money is gone: an open one changes nothing."""
WHOLE = (1, 1)


@dataclass(frozen=True, slots=True)
class PaidBy:
    """A charge of ours of which there is news, and what it paid for."""

    charge_id: str
    told: Charge | None
    """The charge as an event told it; None where none did."""
    disputed: bool
    """Whether an event speaks of a dispute."""
    payment: str
    subject: str
    """What the record of the payment is of."""
    total: int
    """The whole amount of the payment: by several charges, or a customer's balance, too."""


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """Money of one payment that has gone back, in its currency's smallest unit."""

    payment: str
    paid: int
    """All that was paid for: by several charges, or a customer's balance, too."""
    returned: Mapping[str, int]
    """By charge: all that is away now."""
    is_sure: bool = True
    """Stripe says so. Else an event of any age does, and more may have gone back since."""


class Refunds:
    """Reads events of charges, refunds and disputes. Raises StripeError, UnreadablePayloadError."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def find(self, events: Sequence[Notice]) -> PaidBy | None:
        """Return what the events of one charge speak of; None: it is nothing of ours."""
        last = max(events, key=lambda event: (event.kept.created, event.kept.event_id))
        about = await self._lookups.whole(last)
        if not isinstance(about, Movement) or about.charge_id is None:
            return None
        told, charge_id = about if isinstance(about, Charge) else None, about.charge_id
        if about.intent_id is None and about.invoice_id is None:
            about = await self._lookups.charge(charge_id) or about
        paid_for = await self._lookups.paid_by(about)
        disputed = any(event.kind in DISPUTE_EVENTS for event in events)
        return None if paid_for is None else PaidBy(charge_id, told, disputed, *paid_for)

    async def read(self, of: PaidBy) -> MoneyBack | None:
        """Return how much of a charge is away; None: nobody can say."""
        now = await self._lookups.charge(of.charge_id)
        charge = of.told if now is None else now
        if charge is None or charge.amount <= 0:
            return None
        amount, away = charge.amount, charge.amount_refunded
        if now is not None and (of.disputed or charge.may_be_disputed):
            disputes = await self._lookups.disputes(of.charge_id)
            away += sum(_lost(dispute, charge) for dispute in disputes)
        returned = {of.charge_id: min(away, amount)}
        return MoneyBack(of.payment, max(of.total, amount), returned, is_sure=now is not None)


def _lost(dispute: Movement, charge: Charge) -> int:
    """Return what a dispute has taken of its charge, in the charge's currency."""
    if dispute.status != LOST:
        return 0
    if dispute.currency != charge.currency:  # Mostly all of it, at another rate.
        return charge.amount
    return dispute.amount


def with_money_back(record: StripeRecord, back: MoneyBack) -> StripeRecord:
    """Return the record with the share of a payment that is kept: what charges lack adds up."""
    known = record.returned.get(back.payment, {})
    returned = {**known, **back.returned}
    if not back.is_sure:
        returned |= {name: max(known.get(name, 0), n) for name, n in back.returned.items()}
    share = max(back.paid - sum(returned.values()), 0), back.paid
    before = record.refunds.get(back.payment, WHOLE)
    # A record of before charges were told apart does not say of which one its share is.
    is_less = share[0] * before[1] < before[0] * share[1]
    counts = returned != known and (known or back.payment not in record.refunds or is_less)
    if not counts or not (known or any(returned.values())):
        return record
    return replace(
        record,
        refunds={**record.refunds, back.payment: share},
        returned={**record.returned, back.payment: returned},
        shared_at={**record.shared_at, back.payment: record.revision + 1},
    )
