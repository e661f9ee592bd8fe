"""What operators are told of what was refused."""

from datetime import datetime

from pydantic import Field

from domain.api.answers import Answer
from domain.api.fields import Moment, ShownUserId
from domain.messages import CommandRefused, Entry, Limit, Rejection


class RefusalRecord(Answer):
    """A request that was refused, as the journal keeps it; null where credits were not the reason."""

    user_id: ShownUserId
    seq: int = Field(description="Counts the user's decisions.", examples=[7])
    at: Moment
    by: str | None = Field(description="Who asked for it.", examples=["key:1a2b3c4d"])
    idempotency_key: str = Field(examples=["job-18"])
    reason: Rejection = Field(examples=["insufficient_credits"])
    limit: Limit | None = Field(description="Which limit refused a charge.", examples=["daily"])
    required_credits: int | None = Field(examples=[80])
    remaining_credits: int | None = Field(description="Those that could be spent.", examples=[60])
    available_at: datetime | None = Field(
        description="When it would have passed; null: waiting alone does not help.",
        examples=["2026-03-11T00:00:00Z"],
    )


class RefusalPage(Answer):
    """A page of refused requests of all users, newest first."""

    items: list[RefusalRecord]
    next_cursor: str | None = Field(examples=[None])


def refusal_record(entry: Entry) -> RefusalRecord | None:
    """Return a refusal as a list shows it; None: the entry is none."""
    if not isinstance(entry.change, CommandRefused):
        return None
    refusal = entry.change.refusal
    short = refusal.shortfall
    return RefusalRecord(
        user_id=entry.user_id,
        seq=entry.seq,
        at=entry.at,
        by=entry.by,
        idempotency_key=entry.key,
        reason=refusal.reason,
        limit=None if short is None else short.limit,
        required_credits=None if short is None else short.required_credits,
        remaining_credits=None if short is None else short.remaining_credits,
        available_at=None if short is None else short.available_at,
    )
