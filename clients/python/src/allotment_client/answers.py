"""What the service answers about users. Amounts are credits, times are aware and in UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """What was paid. `amount` is in the currency's minor unit."""

    method: str
    transaction_id: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class CreditStatusResponse:
    """What a user has today."""

    user_id: str
    subscription_id: str | None
    status: str
    """`none`, `active`, `past_due`, `paused`, `cancelled`, `expired`."""
    timezone: str
    start_date: datetime | None
    end_date: datetime | None
    days_remaining: int
    total_credits: int
    system_portion: int
    spendable_credits: int
    date: datetime
    """Today's local midnight, in the zone the day began in."""
    daily_credit_limit: int
    credits_rolled_over: int
    credits_used: int
    credits_held: int
    day_remaining_credits: int
    """What is left of today's credits."""
    pack_credits: int
    """What packs have left that can be spent now."""
    remaining_credits: int
    """Of today and of packs together."""
    low_credits: bool
    resets_at: datetime
    """When the next day begins: at the next local midnight."""
    as_of: datetime


@dataclass(frozen=True, slots=True)
class CreditAdditionResponse:
    """Credits that were added, spread over days or as a pack, and the status after it."""

    grant_id: str | None
    """None for a pack."""
    created: bool
    """The grant began a new subscription."""
    renewed: bool
    """The user had a subscription, and the end is later now."""
    amount: int
    system_portion: int
    spendable_credits: int
    days: int | None
    """None for a pack."""
    payment: PaymentRecord
    subscription: CreditStatusResponse
    kind: Literal["daily", "pack"]
    pack_id: str | None
    expires_at: datetime | None
    """When the pack lapses; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySource:
    """What a day gave to a charge."""

    source: Literal["day"] = "day"
    date: datetime
    """The day's local midnight."""
    credit_amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSource:
    """What a pack gave to a charge."""

    source: Literal["pack"] = "pack"
    pack_id: str
    credit_amount: int


Source = DaySource | PackSource


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens by kind, each counted under one kind alone."""

    input: int
    """Less what was cached."""
    output: int
    """Less reasoning."""
    cache_read: int
    cache_write: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class UsageRecordResponse:
    """One charge, and the day it was charged to."""

    usage_id: str
    user_id: str
    subscription_id: str | None
    """None where packs gave all."""
    service_type: str
    credit_amount: int
    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: dict[str, Any] | None
    timestamp: datetime
    date: datetime
    daily_credit_limit: int
    credits_used: int
    credits_held: int
    remaining_credits: int
    low_credits: bool
    sources: list[Source]
    """Where the credits came from, in order."""
    uncovered_credits: int
    """What it cost beyond what was charged."""
    late: bool
    """It settles a hold that had expired."""
    tokens: TokenCounts | None = None
    """None: they were not told by kind."""


@dataclass(frozen=True, slots=True)
class HoldResponse:
    """Credits that were set aside, and what is left beside them."""

    hold_id: str
    user_id: str
    credit_amount: int
    expires_at: datetime
    remaining_credits: int


@dataclass(frozen=True, slots=True)
class ReversalResponse:
    """What went back of a charge."""

    reversal_id: str
    usage_id: str
    user_id: str
    credit_amount: int
    returned_credits: int
    """Of `credit_amount`, what can be spent again."""
    lapsed_credits: int
    """The rest: its source has ended or expired."""
    reversed_credits: int
    """Of the charge, by all reversals."""
    remaining_credits: int
    low_credits: bool
    as_of: datetime


@dataclass(frozen=True, slots=True)
class AdjustmentResponse:
    """What an adjustment gave or took."""

    adjustment_id: str
    user_id: str
    credit_amount: int
    """Less than 0: taken."""
    sources: list[Source]
    """What was taken from where, in order."""
    pack_id: str | None
    """The pack that holds what was given."""
    remaining_credits: int
    as_of: datetime
