"""What a client is told: the types of answers, the same over HTTP and from Python."""

import json
from datetime import datetime
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.api.fields import (
    GrantId,
    Midnight,
    Moment,
    PackId,
    ShownUserId,
    SubscriptionId,
    UsageId,
)
from domain.usage_facts import UsageFacts, facts_of
from domain.values import Status


class Answer(BaseModel):
    """Every field is always there; null where unknown. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Fields = dict[str, Any]
"""An answer that is written as it stands, in the order of its model's fields.

To check what was just worked out would cost as much as to decide it: tests hold it to its model.
"""


class PaymentRecord(Answer):
    """What was paid. `amount` is in the currency's minor unit."""

    method: str = Field(examples=["card"])
    transaction_id: str = Field(examples=["t-1"])
    amount: int = Field(examples=[2900])
    currency: str = Field(examples=["eur"])


class CreditStatusResponse(Answer):
    """What a user has today. All amounts are credits."""

    user_id: ShownUserId
    subscription_id: SubscriptionId | None
    status: Status = Field(examples=["active"])
    timezone: str = Field(examples=["UTC"])
    start_date: Moment | None
    end_date: datetime | None = Field(examples=["2026-04-09T00:00:00Z"])
    days_remaining: int = Field(examples=[30])
    total_credits: int = Field(examples=[3000])
    system_portion: int = Field(examples=[300])
    spendable_credits: int = Field(examples=[2700])
    date: Midnight = Field(description="Today's local midnight, in the zone the day began in.")
    daily_credit_limit: int = Field(examples=[90])
    credits_rolled_over: int = Field(examples=[0])
    credits_used: int = Field(examples=[30])
    credits_held: int = Field(examples=[0])
    day_remaining_credits: int = Field(
        description="What is left of today's credits.", examples=[60]
    )
    pack_credits: int = Field(
        description="What packs have left that can be spent now.", examples=[1000]
    )
    remaining_credits: int = Field(description="Of today and of packs together.", examples=[1060])
    low_credits: bool = Field(examples=[False])
    resets_at: datetime = Field(
        description="When the next day begins: at the next local midnight.",
        examples=["2026-03-11T00:00:00Z"],
    )
    as_of: Moment


class CreditAdditionResponse(Answer):
    """Credits that were added, spread over days or as a pack, and the status after it."""

    grant_id: GrantId | None = Field(description="Null for a pack.")
    created: bool = Field(description="The grant began a new subscription.", examples=[True])
    renewed: bool = Field(
        description="The user had a subscription, and the end is later now.", examples=[False]
    )
    amount: int = Field(examples=[3000])
    system_portion: int = Field(examples=[300])
    spendable_credits: int = Field(examples=[2700])
    days: int | None = Field(description="Null for a pack.", examples=[30])
    payment: PaymentRecord
    subscription: CreditStatusResponse = Field(
        examples=[
            {
                "credits_used": 0,
                "day_remaining_credits": 90,
                "pack_credits": 0,
                "remaining_credits": 90,
            }
        ]
    )
    kind: Literal["daily", "pack"] = Field(examples=["daily"])
    pack_id: str | None
    expires_at: datetime | None = Field(description="When the pack lapses; null: never.")


class DaySource(Answer):
    """What a day gave to a charge."""

    source: Literal["day"] = "day"
    date: Midnight = Field(description="The day's local midnight.")
    credit_amount: int = Field(examples=[30])


class PackSource(Answer):
    """What a pack gave to a charge."""

    source: Literal["pack"] = "pack"
    pack_id: str
    credit_amount: int


Source = DaySource | PackSource


class TokenCounts(Answer):
    """Tokens by kind, each counted under one kind alone."""

    input: int = Field(description="Less what was cached.", examples=[700])
    output: int = Field(description="Less reasoning.", examples=[300])
    cache_read: int = Field(examples=[200])
    cache_write: int = Field(examples=[0])
    reasoning: int = Field(examples=[0])


TokensByKind = Annotated[
    TokenCounts | None,
    Field(exclude_if=not_, description="Only there where tokens were told by kind."),
]


class UsageFactsAnswer(Answer):
    """What is said of the work that is charged."""

    token_count: int | None = Field(examples=[1200])
    model_used: str | None = Field(examples=["small-2"])
    session_id: str | None = Field(examples=["s-9"])
    details: dict[str, Any] | None = Field(examples=[{"prompt": "greeting"}])


def told_facts(told: UsageFacts) -> dict[str, Any]:
    """Return the facts as answers tell them: details as an object."""
    facts = facts_of(told)
    if told.details is not None:
        facts["details"] = json.loads(told.details)
    return facts


class ChargeAnswer(Answer):
    """How a charge begins in answers: of several bases, the last one's fields come first."""

    usage_id: UsageId
    user_id: ShownUserId
    subscription_id: SubscriptionId | None
    service_type: str | None = Field(examples=["chat"])
    credit_amount: int = Field(examples=[30])


class UsageRecordResponse(UsageFactsAnswer, ChargeAnswer):
    """One charge, and the day it was charged to."""

    subscription_id: SubscriptionId | None = Field(description="Null where packs gave all.")
    service_type: str = Field(examples=["chat"])
    timestamp: Moment
    date: Midnight
    daily_credit_limit: int = Field(examples=[90])
    credits_used: int = Field(examples=[30])
    credits_held: int = Field(examples=[0])
    remaining_credits: int = Field(examples=[1060])
    low_credits: bool = Field(examples=[False])
    sources: list[Source] = Field(description="Where the credits came from, in order.")
    uncovered_credits: int = Field(
        description="What it cost beyond what was charged.", examples=[0]
    )
    late: bool = Field(description="It settles a hold that had expired.", examples=[False])
    tokens: TokensByKind = None


class GrantRecord(Answer):
    """Credits added by one payment, less what of them was voided."""

    grant_id: GrantId | None
    amount: int = Field(examples=[3000])
    system_portion: int = Field(examples=[300])
    spendable_credits: int = Field(examples=[2700])
    # Answers of before there were voids are read, too.
    voided_credits: int = Field(default=0, examples=[0])
    from_day: str = Field(examples=["2026-03-10"])
    days: int = Field(examples=[30])
    transaction_id: str | None = Field(examples=["t-1"])


class SubscriptionRecord(Answer):
    """One subscription of a user, as it stands."""

    subscription_id: SubscriptionId
    user_id: ShownUserId
    status: Status = Field(examples=["active"])
    timezone: str = Field(examples=["UTC"])
    start_date: Moment
    end_date: datetime = Field(examples=["2026-04-09T00:00:00Z"])
    total_credits: int = Field(examples=[3000])
    system_portion: int = Field(examples=[300])
    spendable_credits: int = Field(examples=[2700])
    grants: list[GrantRecord]
    stripe: dict[str, Any] | None


class PackRecord(Answer):
    """One pack of a user, as it stands."""

    pack_id: PackId
    user_id: ShownUserId
    amount: int = Field(examples=[1111])
    system_portion: int = Field(examples=[111])
    spendable_credits: int = Field(examples=[1000])
    credits_used: int = Field(examples=[0])
    credits_held: int = Field(examples=[0])
    remaining_credits: int = Field(description="What can be spent now.", examples=[1000])
    lapsed_credits: int = Field(examples=[0])
    taken_back_credits: int = Field(description="By refunds and adjustments.", examples=[0])
    category: Literal["promotional", "adjustment", "paid"] = Field(examples=["paid"])
    priority: int = Field(examples=[50])
    created_at: Moment
    expires_at: datetime | None = Field(description="Null: never.")
    payment: PaymentRecord | None = Field(examples=[{"transaction_id": "t-2"}])


class UserSubscriptions(Answer):
    """All subscriptions of one user, the current one first, past ones after it; and all packs."""

    user_id: ShownUserId
    subscriptions: list[SubscriptionRecord]
    packs: list[PackRecord] = Field(description="In the order in which they are spent.")


class SubscriptionPage(Answer):
    """A page of the subscriptions of all users, in the order of their ids."""

    items: list[SubscriptionRecord]
    next_cursor: str | None
