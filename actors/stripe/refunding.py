"""What money that goes back takes with it: which payment it was for, and which share of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actors.stripe.lookups import Lookups
from actors.stripe.reading import (
    Payload,
    amount_of,
    id_of,
    is_thin,
    object_of,
    parse_object,
)
from actors.stripe.records import StripeEvent, StripeRecord

WHOLE = (1, 1)


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """Money of one payment that has gone back, in its currency's smallest unit."""

    payment: str
    subject: str
    """What the record of the payment is of."""
    paid: int
    """All that was paid for: by several charges, or a customer's balance, too."""
    returned: Mapping[str, int]
    """By charge: all of it so far, not what was added."""


class Refunds:
    """Reads events of charges. Raises StripeError, UnreadablePayloadError."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def read(self, events: Sequence[StripeEvent]) -> MoneyBack | None:
        """Return what the events of one charge come to; None: it is nothing of ours."""
        last = max(events, key=lambda event: (event.created, event.event_id))
        payload = parse_object(last.body)
        told = object_of(payload)
        charge_id = id_of(told)
        if charge_id is None:
            return None
        # What Stripe says now is what all events come to, whatever their order.
        charge = await self._lookups.charge(charge_id)
        if charge is None:
            charge = None if is_thin(payload) else told
        if charge is None:
            return None
        return await self._of_charge(charge_id, charge)

    async def _of_charge(self, charge_id: str, charge: Payload) -> MoneyBack | None:
        paid_for = await self._lookups.paid_by(charge)
        amount = amount_of(charge)
        if paid_for is None or amount <= 0:
            return None
        payment, subject, total = paid_for
        returned = {charge_id: amount_of(charge, "amount_refunded")}
        return MoneyBack(payment, subject, max(total, amount), returned)


def with_money_back(record: StripeRecord, back: MoneyBack) -> StripeRecord:
    """Return the record with the share of a payment that is kept: shares of charges add up."""
    known = record.returned.get(back.payment, {})
    returned = {**known, **{name: max(known.get(name, 0), n) for name, n in back.returned.items()}}
    kept, parts = max(back.paid - sum(returned.values()), 0), back.paid
    kept_before, parts_before = record.refunds.get(back.payment, WHOLE)
    if kept * parts_before >= kept_before * parts:
        return record
    return replace(
        record,
        refunds={**record.refunds, back.payment: (kept, parts)},
        returned={**record.returned, back.payment: returned},
    )
