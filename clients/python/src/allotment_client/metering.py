"""Holds around model calls, from placing them to settling what was used."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from allotment_client.answers import HoldResponse
from allotment_client.async_client import AsyncAllotment
from allotment_client.client import Allotment
from allotment_client.errors import AllotmentError, HoldClosedError, InvalidRequestError
from allotment_client.tokens import Cost, Usage, settlement

EXPIRES_SECONDS = 900  # Longer than a model takes; a hold that nobody settles is free again then.

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How calls are held and settled."""

    credit_amount: int
    """What a call may cost at most; the least that a user needs for it."""
    service_type: str = "chat"
    cost: Cost | None = None
    """What a usage costs; None: what the service's price list says."""
    expires_in: int = EXPIRES_SECONDS

    def hold(self, user_id: str, model: str | None) -> dict[str, Any]:
        """Return the arguments of a hold."""
        return {
            "user_id": user_id,
            "service_type": self.service_type,
            "credit_amount": self.credit_amount,
            "model_used": model,
            "expires_in": self.expires_in,
        }


def in_full(hold: HoldResponse, cost: Mapping[str, Any], error: AllotmentError) -> dict[str, Any]:
    """Return a settlement of all that was held: no price applies, and work is never free."""
    logger.warning(
        "hold %s is charged in full, since what it cost is not known (%s): set a price list, or cost",
        hold.hold_id,
        error,
    )
    return {**cost, "credit_amount": hold.credit_amount}


def as_usage(hold: HoldResponse, terms: Terms, cost: Mapping[str, Any]) -> dict[str, Any]:
    """Return the charge of a call whose hold is closed: it was released, or is long over."""
    return {
        "user_id": hold.user_id,
        "service_type": terms.service_type,
        "on_insufficient": "cap",
        "key": f"after {hold.hold_id}",
        **cost,
    }


def unsettled(hold: HoldResponse, cost: Mapping[str, Any], error: AllotmentError) -> None:
    """Say what was not charged. The hold can be settled still, for a day after it has expired."""
    logger.error("hold %s was not settled (%r): %s", hold.hold_id, error, dict(cost))


def settle(allotment: Allotment, hold: HoldResponse, terms: Terms, usage: Usage) -> None:
    """Charge what was used. What fails is logged: the answer is not lost for it."""
    cost = settlement(usage, terms.cost)
    try:
        try:
            allotment.settle(hold.hold_id, **cost)
        except InvalidRequestError as error:
            cost = in_full(hold, cost, error)
            allotment.settle(hold.hold_id, **cost)
    except HoldClosedError:
        _charge_closed(allotment, hold, terms, cost)
    except AllotmentError as error:
        unsettled(hold, cost, error)


def _charge_closed(
    allotment: Allotment, hold: HoldResponse, terms: Terms, cost: Mapping[str, Any]
) -> None:
    try:
        allotment.record_usage(**as_usage(hold, terms, cost))
    except AllotmentError as error:
        unsettled(hold, cost, error)


def release(allotment: Allotment, hold: HoldResponse) -> None:
    """Give a hold back; else it expires by itself."""
    with contextlib.suppress(AllotmentError):
        allotment.release(hold.hold_id)


async def settle_async(
    allotment: AsyncAllotment, hold: HoldResponse, terms: Terms, usage: Usage
) -> None:
    """Charge what was used. What fails is logged: the answer is not lost for it."""
    cost = settlement(usage, terms.cost)
    try:
        try:
            await allotment.settle(hold.hold_id, **cost)
        except InvalidRequestError as error:
            cost = in_full(hold, cost, error)
            await allotment.settle(hold.hold_id, **cost)
    except HoldClosedError:
        await _charge_closed_async(allotment, hold, terms, cost)
    except AllotmentError as error:
        unsettled(hold, cost, error)


async def _charge_closed_async(
    allotment: AsyncAllotment, hold: HoldResponse, terms: Terms, cost: Mapping[str, Any]
) -> None:
    try:
        await allotment.record_usage(**as_usage(hold, terms, cost))
    except AllotmentError as error:
        unsettled(hold, cost, error)


async def release_async(allotment: AsyncAllotment, hold: HoldResponse) -> None:
    """Give a hold back; else it expires by itself."""
    with contextlib.suppress(AllotmentError):
        await allotment.release(hold.hold_id)
