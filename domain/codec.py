"""Journal entries as plain documents and back. Ids are text here; the store makes them its own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from domain.charges import UsageRecorded
from domain.events import Event, EventType, event_id, to_text
from domain.holds import HoldFreed, HoldPlaced, HoldSettled
from domain.messages import (
    Change,
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.values import UserId

KINDS: dict[str, TypeAdapter[Change]] = {
    "credits_added": TypeAdapter(CreditsAdded),
    "usage_recorded": TypeAdapter(UsageRecorded),
    "day_opened": TypeAdapter(DayOpened),
    "command_refused": TypeAdapter(CommandRefused),
    "subscription_changed": TypeAdapter(SubscriptionChanged),
    "subscription_expired": TypeAdapter(SubscriptionExpired),
    "stripe_state_applied": TypeAdapter(StripeStateApplied),
    "grants_voided": TypeAdapter(GrantsVoided),
    "hold_placed": TypeAdapter(HoldPlaced),
    "hold_settled": TypeAdapter(HoldSettled),
    "hold_freed": TypeAdapter(HoldFreed),
}
_KIND_OF = {
    CreditsAdded: "credits_added",
    UsageRecorded: "usage_recorded",
    DayOpened: "day_opened",
    CommandRefused: "command_refused",
    SubscriptionChanged: "subscription_changed",
    SubscriptionExpired: "subscription_expired",
    StripeStateApplied: "stripe_state_applied",
    GrantsVoided: "grants_voided",
    HoldPlaced: "hold_placed",
    HoldSettled: "hold_settled",
    HoldFreed: "hold_freed",
}


def entry_id(user_id: UserId, seq: int) -> str:
    """Return the `_id` of an entry: unique on user and number, and known before it is read."""
    return f"{user_id} {seq}"


def command_id(user_id: UserId, key: str) -> str:
    """Return what is unique on user and idempotency key (user ids have no spaces)."""
    return f"{user_id} {key}"


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return the entry as a document; `user_id` is text."""
    kind = _KIND_OF[type(entry.change)]
    return {
        "_id": entry_id(entry.user_id, entry.seq),
        "command_id": command_id(entry.user_id, entry.key),
        "user_id": entry.user_id,
        "seq": entry.seq,
        "kind": kind,
        "at": entry.at,
        "key": entry.key,
        "fingerprint": entry.fingerprint,
        # One text: change streams read every entry again, and nested fields cost them a tenth more.
        "body": KINDS[kind].dump_json(entry.change).decode(),
        "answer": entry.answer,
        "by": entry.by,
        "events": [_event_document(entry, place) for place in range(len(entry.events))],
    }


def read_entry(document: Mapping[str, Any]) -> Entry:
    """Return the entry a document of the journal holds."""
    at: datetime = document["at"]
    return Entry(
        UserId(str(document["user_id"])),
        int(document["seq"]),
        at.astimezone(UTC),
        document["key"],
        document["fingerprint"],
        _read_change(document["kind"], document["body"]),
        document["answer"],
        document.get("by"),
        tuple(_read_event(event) for event in document.get("events", ())),
    )


def _read_change(kind: str, body: str | Mapping[str, Any]) -> Change:
    """Return what an entry's body says. Older entries hold an object in the place of its text."""
    if isinstance(body, str):
        return KINDS[kind].validate_json(body)
    return KINDS[kind].validate_python(body)


def _event_document(entry: Entry, place: int) -> dict[str, Any]:
    event = entry.events[place]
    return {
        "id": event_id(entry.user_id, entry.seq, place),
        "type": str(event.type),
        "subscription_id": event.subscription_id,
        "data": json.loads(event.data),
    }


def _read_event(document: Mapping[str, Any]) -> Event:
    data = to_text(document["data"])
    return Event(EventType(document["type"]), document["subscription_id"], data)
