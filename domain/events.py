"""The events: what the world is told, decided with the entry that causes it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from domain.values import UserId


class EventType(StrEnum):
    """Of several events of one entry, these come in this order."""

    CHANGED = "subscription.changed"
    RENEWED = "subscription.renewed"
    EXPIRED = "subscription.expired"
    LOW_CREDITS = "subscription.low_credits"
    SPIKE = "usage.spike"
    DEPLETED = "credits.depleted"
    PACK_EXPIRED = "pack.expired"
    REVERSED = "usage.reversed"
    ADJUSTED = "credits.adjusted"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an entry. User, number and instant are the entry's."""

    type: EventType
    subscription_id: str | None
    """None where it is about packs alone."""
    data: str
    """A JSON object as text."""


class EventRecord(BaseModel):
    """An event as everybody is told of it, the same at each try."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="The same at each delivery of this event.")
    type: EventType
    created: datetime
    user_id: str
    subscription_id: str | None = Field(description="Null where it is about packs alone.")
    data: dict[str, Any]


def event_id(user_id: UserId, seq: int, place: int) -> str:
    """Return the id of an entry's event at a place: fit for a header, whoever the user is."""
    digest = hashlib.blake2b(f"{user_id} {seq} {place}".encode(), digest_size=16)
    return f"evt_{digest.hexdigest()}"


def to_text(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON, the same text whenever they are the same."""
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)


def iso_text(moment: datetime) -> str:
    """Return an instant as events spell it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
