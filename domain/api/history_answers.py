"""What operators are told of the decisions about a user."""

from typing import Any

from pydantic import Field

from domain.api.answers import Answer
from domain.api.fields import HOLD_ID, Moment, ShownUserId


class HistoryEntry(Answer):
    """One decision about a user, as the journal keeps it."""

    seq: int = Field(description="Counts the user's decisions: 1, 2, 3 …", examples=[2])
    at: Moment | None = Field(description="Null where it cannot be read.")
    by: str | None = Field(
        description="Who asked for it: `key:` and a key's id, `python`, `janitor` …; null: unknown.",
        examples=["key:1a2b3c4d"],
    )
    kind: str = Field(examples=["hold_freed"])
    idempotency_key: str = Field(examples=["job-17"])
    change: dict[str, Any] | None = Field(
        description="What was decided; null where it cannot be read.",
        examples=[{"hold_id": HOLD_ID, "credit_amount": 40, "expired": False}],
    )
    unreadable: str | None = Field(
        default=None, description="Why this entry cannot be read; null: it can.", examples=[None]
    )
    answer: dict[str, Any] | None = Field(
        description="The first answer; null for a refusal.",
        examples=[{"hold_id": HOLD_ID, "credit_amount": 40}],
    )


class HistoryPage(Answer):
    """A page of a user's journal, newest first. It reaches back as far as the journal is kept."""

    user_id: ShownUserId
    items: list[HistoryEntry]
    next_cursor: str | None = Field(examples=["2"])
