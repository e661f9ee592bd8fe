"""What a client is told of corrections and of sources, the same over HTTP and from Python."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import Field

from domain.api.answers import Answer, CreditStatusResponse, DaySource, PackSource, Source
from domain.api.fields import PackId, ShownUserId, UsageId
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.sources import PackShare
from domain.values import Credits


class ReversalResponse(Answer):
    """What went back of a charge."""

    reversal_id: str = Field(examples=["69aff0a2c3d4e5f60718293a"])
    usage_id: UsageId
    user_id: ShownUserId
    credit_amount: int = Field(examples=[10])
    returned_credits: int = Field(
        description="Of `credit_amount`, what can be spent again.", examples=[10]
    )
    lapsed_credits: int = Field(
        description="The rest: its source has ended or expired.", examples=[0]
    )
    reversed_credits: int = Field(description="Of the charge, by all reversals.", examples=[10])
    remaining_credits: int = Field(examples=[1070])
    low_credits: bool = Field(examples=[False])
    as_of: datetime = Field(examples=["2026-03-10T12:05:00Z"])


class AdjustmentResponse(Answer):
    """What an adjustment gave or took."""

    adjustment_id: str = Field(examples=["69aff0a3d4e5f60718293a4b"])
    user_id: ShownUserId
    credit_amount: int = Field(description="Less than 0: taken.", examples=[50])
    sources: list[Source] = Field(description="What was taken from where, in order.", examples=[[]])
    pack_id: PackId | None = Field(description="The pack that holds what was given.")
    remaining_credits: int = Field(examples=[1110])
    as_of: datetime = Field(examples=["2026-03-10T12:06:00Z"])


def sources_of(
    day_amount: Credits, day_starts_at: datetime | None, packs: Iterable[PackShare]
) -> list[Source]:
    """Return what a day and packs gave, in order; who gave nothing is not named."""
    return [
        DaySource(**fields) if "date" in fields else PackSource(**fields)
        for fields in source_fields(day_amount, day_starts_at, packs)
    ]


def source_fields(
    day_amount: Credits, day_starts_at: datetime | None, packs: Iterable[PackShare]
) -> list[dict[str, Any]]:
    """Return the same as plain fields: every charge comes through here."""
    fields: list[dict[str, Any]] = []
    if day_amount and day_starts_at is not None:
        fields.append({"source": "day", "date": day_starts_at, "credit_amount": day_amount})
    fields += [
        {"source": "pack", "pack_id": share.pack_id, "credit_amount": share.credit_amount}
        for share in packs
        if share.credit_amount
    ]
    return fields


def reversal_answer(change: UsageReversed, status: CreditStatusResponse) -> ReversalResponse:
    """Return the answer to a reversal, with the status after it."""
    return ReversalResponse(
        reversal_id=change.reversal_id,
        usage_id=change.usage_id,
        user_id=status.user_id,
        credit_amount=change.credit_amount,
        returned_credits=change.returned_credits,
        lapsed_credits=change.lapsed_credits,
        reversed_credits=change.reversed_credits,
        remaining_credits=status.remaining_credits,
        low_credits=status.low_credits,
        as_of=status.as_of,
    )


def adjustment_answer(change: CreditsAdjusted, status: CreditStatusResponse) -> AdjustmentResponse:
    """Return the answer to an adjustment, with the status after it."""
    starts_at = None if change.opening is None else change.opening.starts_at
    return AdjustmentResponse(
        adjustment_id=change.adjustment_id,
        user_id=status.user_id,
        credit_amount=change.credit_amount,
        sources=sources_of(change.day_amount, starts_at, change.packs),
        pack_id=None if change.added is None else change.added.pack_id,
        remaining_credits=status.remaining_credits,
        as_of=status.as_of,
    )
