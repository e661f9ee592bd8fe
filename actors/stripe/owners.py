"""Whose a Stripe subscription or payment is, and what becomes of what is nobody's.

Every account of Stripe's holds what has nothing to do with Allotment: another product's
subscriptions, cards that are set up, guests' purchases. Their records are kept, so that whoever is
named later gets what was paid for; their events do not wait for ever, and cost no requests.
"""

import asyncio
from datetime import datetime

from actors.stripe.commands import CannotBeAppliedError
from actors.stripe.lookups import Lookups
from actors.stripe.records import StripeRecord, StripeStore
from domain.stripe import ENDED_LONG_AGO
from domain.values import UserId, parse_user_id


class UnknownUserError(Exception):
    """Nobody has said yet whose this is. `paid`: credits have been paid for."""

    def __init__(self, *, paid: bool) -> None:
        super().__init__()
        self.paid = paid


class Owners:
    """Finds users. Raises StripeError, StoreError, CannotBeAppliedError."""

    def __init__(self, store: StripeStore, lookups: Lookups) -> None:
        self._store = store
        self._lookups = lookups

    async def find(self, record: StripeRecord, *, ask: bool) -> UserId | None:
        """Return whose it is: first what the subscription says, then its customer, and so on.

        `ask`: Stripe is asked for the customer. Without it only what is here is looked at.
        """
        if record.user_id is not None:
            return record.user_id
        named = record.metadata_user
        if named is None and record.customer_id is not None and ask:
            customer = await self._lookups.customer(record.customer_id)
            named = None if customer is None else customer.user
        named = named or record.reference_user
        if named is not None:
            try:
                return parse_user_id(named)
            except ValueError as error:
                raise CannotBeAppliedError(f"the user id is not valid: {error}") from error
        if record.customer_id is None:
            return None
        return await asyncio.to_thread(self._store.user_of_customer, record.customer_id)


def has_credits(record: StripeRecord) -> bool:
    """Say whether anything was paid for that gives credits."""
    return any(record.payments.values())


def check_waits(record: StripeRecord, now: datetime) -> None:
    """Return where there is nothing to wait for. Raises UnknownUserError where a user may come.

    CannotBeAppliedError: credits were paid for, and nothing there can name a user any more.
    """
    state, paid = record.state, has_credits(record)
    if state is None and record.customer_id is None:
        if paid:
            raise CannotBeAppliedError("the checkout names no customer and no user")
        return
    if state is not None and state.is_ended:
        if state.ended_at is None or state.ended_at <= now - ENDED_LONG_AGO:
            return
    elif state is None and not paid:
        return
    raise UnknownUserError(paid=paid)
