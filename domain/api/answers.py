"""What a client is told: the types of answers, the same over HTTP and from Python."""

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.usage_facts import UsageFacts, facts_of
from domain.values import Status


class Answer(BaseModel):
    """Every field is always there; null where unknown. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PaymentRecord(Answer):
    """What was paid. `amount` is in the currency's minor unit."""

    method: str
    transaction_id: str
    amount: int
    currency: str


class CreditStatusResponse(Answer):
    """What a user has today. All amounts are credits."""

    user_id: str
    subscription_id: str | None
    status: Status
    timezone: str
    start_date: datetime | None
    end_date: datetime | None
    days_remaining: int
    total_credits: int
    system_portion: int
    spendable_credits: int
    date: datetime = Field(description="Today's local midnight, in the zone the day began in.")
    daily_credit_limit: int
    credits_rolled_over: int
    credits_used: int
    credits_held: int
    day_remaining_credits: int = Field(description="What is left of today's credits.")
    pack_credits: int = Field(description="What packs have left that can be spent now.")
    remaining_credits: int = Field(description="Of today and of packs together.")
    low_credits: bool
    resets_at: datetime = Field(description="When the next day begins: at the next local midnight.")
    as_of: datetime


class CreditAdditionResponse(Answer):
    """Credits that were added, spread over days or as a pack, and the status after it."""

    grant_id: str | None = Field(description="Null for a pack.")
    created: bool = Field(description="The grant began a new subscription.")
    renewed: bool = Field(description="The user had a subscription, and the end is later now.")
    amount: int
    system_portion: int
    spendable_credits: int
    days: int | None = Field(description="Null for a pack.")
    payment: PaymentRecord
    subscription: CreditStatusResponse
    kind: Literal["daily", "pack"]
    pack_id: str | None
    expires_at: datetime | None = Field(description="When the pack lapses; null: never.")


class DaySource(Answer):
    """What a day gave to a charge."""

    source: Literal["day"] = "day"
    date: datetime = Field(description="The day's local midnight.")
    credit_amount: int


class PackSource(Answer):
    """What a pack gave to a charge."""

    source: Literal["pack"] = "pack"
    pack_id: str
    credit_amount: int


Source = DaySource | PackSource


class UsageFactsAnswer(Answer):
    """What is said of the work that is charged."""

    token_count: int | None
    model_used: str | None
    session_id: str | None
    details: dict[str, Any] | None


def told_facts(told: UsageFacts) -> dict[str, Any]:
    """Return the facts as answers tell them: details as an object."""
    facts = facts_of(told)
    if told.details is not None:
        facts["details"] = json.loads(told.details)
    return facts


class _Charge(Answer):
    """How a charge begins in answers: of several bases, the last one's fields come first."""

    usage_id: str
    user_id: str
    subscription_id: str | None
    service_type: str | None
    credit_amount: int


class UsageRecordResponse(UsageFactsAnswer, _Charge):
    """One charge, and the day it was charged to."""

    subscription_id: str | None = Field(description="Null where packs gave all.")
    service_type: str
    timestamp: datetime
    date: datetime
    daily_credit_limit: int
    credits_used: int
    credits_held: int
    remaining_credits: int
    low_credits: bool
    sources: list[Source] = Field(description="Where the credits came from, in order.")
    uncovered_credits: int = Field(description="What it cost beyond what was charged.")
    late: bool = Field(description="It settles a hold that had expired.")


class PriceRecord(Answer):
    """The price that made an amount of its tokens."""

    service: str = Field(description="A pattern, as the price list has it.")
    model: str | None
    credits_per_unit: str = Field(description="A decimal number, exactly.")
    unit_size: int
    effective_from: datetime | None
    effective_until: datetime | None


class UsageRecord(UsageFactsAnswer, _Charge):
    """One usage record as a list shows it."""

    timestamp: datetime
    price: PriceRecord | None = Field(
        description="What made the amount of the tokens; null: the caller told the amount."
    )
    sources: list[Source] = Field(description="Where the credits came from, in order.")
    uncovered_credits: int
    late: bool
    reversed_credits: int = Field(description="What of `credit_amount` was given back.")


class UsagePage(Answer):
    """A page of usage records, newest first."""

    items: list[UsageRecord]
    next_cursor: str | None


class UsageSums(Answer):
    """Sums over usage records."""

    records: int
    credit_amount: int = Field(description="Less what was reversed.")
    reversed_credits: int
    token_count: int


class MonthlyUsage(Answer):
    """One user's usage in one calendar month of the user's time zone, by `timestamp`."""

    user_id: str
    month: str
    records: int
    credit_amount: int = Field(description="Less what was reversed.")
    reversed_credits: int
    token_count: int
    by_service: dict[str, UsageSums]
    by_model: dict[str, UsageSums]
    by_day: dict[str, UsageSums]


class GrantRecord(Answer):
    """Credits added by one payment, less what of them was voided."""

    grant_id: str | None
    amount: int
    system_portion: int
    spendable_credits: int
    voided_credits: int = 0  # Answers of before there were voids are read, too.
    from_day: str
    days: int
    transaction_id: str | None


class SubscriptionRecord(Answer):
    """One subscription of a user, as it stands."""

    subscription_id: str
    user_id: str
    status: Status
    timezone: str
    start_date: datetime
    end_date: datetime
    total_credits: int
    system_portion: int
    spendable_credits: int
    grants: list[GrantRecord]
    stripe: dict[str, Any] | None


class PackRecord(Answer):
    """One pack of a user, as it stands."""

    pack_id: str
    user_id: str
    amount: int
    system_portion: int
    spendable_credits: int
    credits_used: int
    credits_held: int
    remaining_credits: int = Field(description="What can be spent now.")
    lapsed_credits: int
    taken_back_credits: int = Field(description="By refunds and adjustments.")
    category: Literal["promotional", "adjustment", "paid"]
    priority: int
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    payment: PaymentRecord | None


class UserSubscriptions(Answer):
    """All subscriptions of one user, the current one first, past ones after it; and all packs."""

    user_id: str
    subscriptions: list[SubscriptionRecord]
    packs: list[PackRecord] = Field(description="In the order in which they are spent.")


class HistoryEntry(Answer):
    """One decision about a user, as the journal keeps it."""

    seq: int = Field(description="Counts the user's decisions: 1, 2, 3 …")
    at: datetime | None = Field(description="Null where it cannot be read.")
    by: str | None = Field(
        description="Who asked for it: `key:` and a key's id, `python`, `janitor` …; null: unknown."
    )
    kind: str
    idempotency_key: str
    change: dict[str, Any] | None = Field(
        description="What was decided; null where it cannot be read."
    )
    unreadable: str | None = Field(
        default=None, description="Why this entry cannot be read; null: it can."
    )
    answer: dict[str, Any] | None = Field(description="The first answer; null for a refusal.")


class HistoryPage(Answer):
    """A page of a user's journal, newest first. It reaches back as far as the journal is kept."""

    user_id: str
    items: list[HistoryEntry]
    next_cursor: str | None


class SubscriptionPage(Answer):
    """A page of the subscriptions of all users, in the order of their ids."""

    items: list[SubscriptionRecord]
    next_cursor: str | None
