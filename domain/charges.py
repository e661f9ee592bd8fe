"""Charges: under which rule they are made, and what one leaves in the journal."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from domain.pricing import Price
from domain.values import Credits


class OnInsufficient(StrEnum):
    """What a charge does where the remaining credits do not cover it."""

    REJECT = "reject"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Opening:
    """A day as the decision saw it. It opens the day if nothing has touched it before."""

    subscription_id: str
    date: date
    starts_at: datetime
    """The day's local midnight."""
    daily_credit_limit: Credits
    """The limit after the change."""
    rolled_over: Credits
    first_touch: bool = True
    """Nothing had touched the day before: its document is still to be made, or to be put right."""


@dataclass(frozen=True, slots=True)
class UsageRecorded:
    """Credits were charged to a day."""

    usage_id: str
    opening: Opening
    service_type: str
    credit_amount: Credits
    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: str | None
    timestamp: datetime
    price: Price | None = None
    """What made the amount of the tokens; None: the caller told the amount."""
