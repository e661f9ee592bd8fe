"""What lists show: usage, months, open holds, subscriptions, events."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from allotment_client.answers import PaymentRecord, Source, TokenCounts


@dataclass(frozen=True, slots=True)
class KindRates:
    """What a unit of each kind of tokens costs: decimal numbers, exactly."""

    input: str
    output: str
    cache_read: str
    cache_write: str
    reasoning: str


@dataclass(frozen=True, slots=True)
class PriceRecord:
    """The price that made an amount of its tokens."""

    service: str
    """A pattern, as the price list has it."""
    model: str | None
    credits_per_unit: str
    """A decimal number, exactly."""
    unit_size: int
    effective_from: datetime | None
    effective_until: datetime | None
    by_kind: KindRates | None = None
    """None: the price has no rates by kind."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One usage record as a list shows it."""

    usage_id: str
    user_id: str
    subscription_id: str | None
    service_type: str | None
    credit_amount: int
    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: dict[str, Any] | None
    timestamp: datetime
    price: PriceRecord | None
    """What made the amount of the tokens; None: the caller told the amount."""
    sources: list[Source]
    """Where the credits came from, in order."""
    uncovered_credits: int
    late: bool
    reversed_credits: int
    """What of `credit_amount` was given back."""
    tokens: TokenCounts | None = None
    """None: they were not told by kind."""


@dataclass(frozen=True, slots=True)
class UsagePage:
    """A page of usage records, newest first."""

    items: list[UsageRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UsageSums:
    """Sums over usage records."""

    records: int
    credit_amount: int
    """Less what was reversed."""
    reversed_credits: int
    token_count: int
    tokens: TokenCounts | None = None
    """Of the records that tell them by kind; None: none does."""


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """One user's usage in one calendar month of the user's time zone, by `timestamp`."""

    user_id: str
    month: str
    records: int
    credit_amount: int
    """Less what was reversed."""
    reversed_credits: int
    token_count: int
    by_service: dict[str, UsageSums]
    by_model: dict[str, UsageSums]
    by_day: dict[str, UsageSums]
    tokens: TokenCounts | None = None
    """Of the records that tell them by kind; None: none does."""


@dataclass(frozen=True, slots=True)
class RecentUsage:
    """One user's usage in the last days of the user's time zone, by `timestamp`."""

    user_id: str
    first_day: str
    last_day: str
    """Today."""
    records: int
    credit_amount: int
    """Less what was reversed."""
    reversed_credits: int
    token_count: int
    by_service: dict[str, UsageSums]
    by_model: dict[str, UsageSums]
    by_day: dict[str, UsageSums]
    tokens: TokenCounts | None = None
    """Of the records that tell them by kind; None: none does."""


@dataclass(frozen=True, slots=True)
class OpenHoldRecord:
    """One open hold."""

    hold_id: str
    subscription_id: str | None
    credit_amount: int
    sources: list[Source]
    made_at: datetime
    expires_at: datetime
    date: datetime
    service_type: str
    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """The open holds of one user, the one that expires first before the others."""

    user_id: str
    credits_held: int
    """Of all days; a status shows what counts against today."""
    holds: list[OpenHoldRecord]


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """Credits added by one payment, less what of them was voided."""

    grant_id: str | None
    amount: int
    system_portion: int
    spendable_credits: int
    voided_credits: int
    from_day: str
    days: int
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """One subscription of a user, as it stands."""

    subscription_id: str
    user_id: str
    status: str
    timezone: str
    start_date: datetime
    end_date: datetime
    total_credits: int
    system_portion: int
    spendable_credits: int
    grants: list[GrantRecord]
    stripe: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class PackRecord:
    """One pack of a user, as it stands."""

    pack_id: str
    user_id: str
    amount: int
    system_portion: int
    spendable_credits: int
    credits_used: int
    credits_held: int
    remaining_credits: int
    """What can be spent now."""
    lapsed_credits: int
    taken_back_credits: int
    """By refunds and adjustments."""
    category: Literal["promotional", "adjustment", "paid"]
    priority: int
    created_at: datetime
    expires_at: datetime | None
    """None: never."""
    payment: PaymentRecord | None


@dataclass(frozen=True, slots=True)
class UserSubscriptions:
    """All subscriptions of one user, the current one first, past ones after it; and all packs."""

    user_id: str
    subscriptions: list[SubscriptionRecord]
    packs: list[PackRecord]
    """In the order in which they are spent."""


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A token for one user's event stream, shown once."""

    token: str
    user_id: str
    expires_at: datetime
    """Until when a stream can be begun with it."""
    stream_seconds: int
    """How long the stream then goes on, at most."""
    after: str
    """To be sent along: the stream then begins when the token was made."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as everybody is told of it, the same at each try."""

    id: str
    """The same at each delivery of this event."""
    type: str
    created: datetime
    user_id: str
    subscription_id: str | None
    """None where it is about packs alone."""
    data: dict[str, Any]
