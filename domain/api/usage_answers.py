"""What lists and sums of usage show, the same over HTTP and from Python."""

from datetime import datetime
from operator import not_
from typing import Annotated

from pydantic import Field

from domain.api.answers import Answer, ChargeAnswer, Source, TokensByKind, UsageFactsAnswer
from domain.api.fields import Moment, ShownUserId


class KindRates(Answer):
    """What a unit of each kind of tokens costs: decimal numbers, exactly."""

    input: str = Field(examples=["20"])
    output: str = Field(examples=["50"])
    cache_read: str = Field(examples=["5"])
    cache_write: str = Field(examples=["20"])
    reasoning: str = Field(examples=["50"])


class PriceRecord(Answer):
    """The price that made an amount of its tokens."""

    service: str = Field(description="A pattern, as the price list has it.", examples=["chat"])
    model: str | None = Field(examples=["small-*"])
    credits_per_unit: str = Field(description="A decimal number, exactly.", examples=["25"])
    unit_size: int = Field(examples=[1000])
    effective_from: datetime | None
    effective_until: datetime | None
    by_kind: Annotated[
        KindRates | None,
        Field(exclude_if=not_, description="Only there where the price has rates by kind."),
    ] = None


class UsageRecord(UsageFactsAnswer, ChargeAnswer):
    """One usage record as a list shows it."""

    timestamp: Moment
    price: PriceRecord | None = Field(
        description="What made the amount of the tokens; null: the caller told the amount."
    )
    sources: list[Source] = Field(description="Where the credits came from, in order.")
    uncovered_credits: int = Field(examples=[0])
    late: bool = Field(examples=[False])
    reversed_credits: int = Field(
        description="What of `credit_amount` was given back.", examples=[0]
    )
    tokens: TokensByKind = None


class UsagePage(Answer):
    """A page of usage records, newest first."""

    items: list[UsageRecord]
    next_cursor: str | None


class UsageSums(Answer):
    """Sums over usage records."""

    records: int = Field(examples=[1])
    credit_amount: int = Field(description="Less what was reversed.", examples=[30])
    reversed_credits: int = Field(examples=[0])
    token_count: int = Field(examples=[1200])
    tokens: TokensByKind = None


class _OfUser(Answer):
    """Whose the sums are: of the bases of an answer, the last one's fields come first."""

    user_id: ShownUserId


class UserUsage(_OfUser):
    """Sums over one user's records: of all, and by service, model and day of the user's time zone."""

    records: int = Field(examples=[1])
    credit_amount: int = Field(description="Less what was reversed.", examples=[30])
    reversed_credits: int = Field(examples=[0])
    token_count: int = Field(examples=[1200])
    by_service: dict[str, UsageSums] = Field(examples=[{"chat": {}}])
    by_model: dict[str, UsageSums] = Field(examples=[{"small-2": {}}])
    by_day: dict[str, UsageSums] = Field(examples=[{"2026-03-10": {}}])
    tokens: TokensByKind = None


class _OfMonth(_OfUser):
    """Which month's the sums are."""

    month: str = Field(examples=["2026-03"])


class MonthlyUsage(UserUsage, _OfMonth):
    """One user's usage in one calendar month of the user's time zone, by `timestamp`."""


class _OfDays(_OfUser):
    """Which days' the sums are."""

    first_day: str = Field(examples=["2026-02-09"])
    last_day: str = Field(description="Today.", examples=["2026-03-10"])


class RecentUsage(UserUsage, _OfDays):
    """One user's usage in the last days of the user's time zone, by `timestamp`."""
