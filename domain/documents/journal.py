"""Journal entries as plain documents and back. Ids are text here; the store makes them its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from domain.charges import UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
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
from domain.pack_messages import PackAdded, PackExpired
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
    "pack_added": TypeAdapter(PackAdded),
    "pack_expired": TypeAdapter(PackExpired),
    "usage_reversed": TypeAdapter(UsageReversed),
    "credits_adjusted": TypeAdapter(CreditsAdjusted),
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
    PackAdded: "pack_added",
    PackExpired: "pack_expired",
    UsageReversed: "usage_reversed",
    CreditsAdjusted: "credits_adjusted",
}

SEQ_DIGITS_MAX = 19  # MongoDB's numbers have no more.
_UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    RecursionError,  # It is nested deeper than can be read.
)


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


class UnreadableEntryError(ValueError):
    """A document of the journal does not say what was decided. The message says why."""


@dataclass(frozen=True, slots=True)
class SpoiltEntry:
    """What can be read of an entry that says no longer, or not to us, what was decided."""

    user_id: UserId
    seq: int
    command_id: str
    reason: str
    at: datetime | None = None
    kind: str | None = None
    by: str | None = None
    fingerprint: str | None = None
    answer: str | None = None
    """The first answer. It has a field of its own, so it outlives what it was an answer to."""

    @property
    def key(self) -> str | None:
        """The idempotency key; None: it is another user's, or none."""
        user, _, key = self.command_id.partition(" ")
        return key if user == self.user_id and key else None


def read_entry(document: Mapping[str, Any]) -> Entry:
    """Return the entry a document of the journal holds. UnreadableEntryError: nobody can say."""
    try:
        entry = _read_entry(document)
    except _UNREADABLE as error:
        raise UnreadableEntryError(f"{type(error).__name__}: {_line(error)}") from error
    if document.get("_id") != entry_id(entry.user_id, entry.seq):
        raise UnreadableEntryError("its user and number are not those of its id")
    if document.get("command_id") != command_id(entry.user_id, entry.key):
        raise UnreadableEntryError("its user and key are not those of its command's id")
    return entry


def read_or_name(document: Mapping[str, Any]) -> Entry | SpoiltEntry | None:
    """Return the entry, or what is left of it; None: not even whose it is."""
    try:
        return read_entry(document)
    except UnreadableEntryError as error:
        place = place_of(document)
        if place is None:
            return None
        at = document.get("at")
        return SpoiltEntry(
            *place,
            _text_or_none(document.get("command_id")) or "",
            str(error),
            at.astimezone(UTC) if isinstance(at, datetime) else None,
            _text_or_none(document.get("kind")),
            _text_or_none(document.get("by")),
            _text_or_none(document.get("fingerprint")),
            _read_answer(document),
        )


def place_of(document: Mapping[str, Any]) -> tuple[UserId, int] | None:
    """Return whose a document of the journal is, and its number, by the id that never changes."""
    name = document.get("_id")
    user, _, seq = name.rpartition(" ") if isinstance(name, str) else ("", "", "")
    is_number = seq.isascii() and seq.isdigit() and len(seq) <= SEQ_DIGITS_MAX
    return (UserId(user), int(seq)) if user and is_number else None


def _read_entry(document: Mapping[str, Any]) -> Entry:
    at, seq, key, fingerprint, by = (
        document.get(name) for name in ("at", "seq", "key", "fingerprint", "by")
    )
    if not isinstance(at, datetime):
        raise TypeError("`at` is no date")
    if isinstance(seq, bool) or not isinstance(seq, int):
        raise TypeError("`seq` is no whole number")
    if not (isinstance(key, str) and isinstance(fingerprint, str)):
        raise TypeError("`key` or `fingerprint` is no text")
    return Entry(
        UserId(str(document["user_id"])),
        int(seq),
        at.astimezone(UTC),
        key,
        fingerprint,
        _read_change(document["kind"], document["body"]),
        _read_answer(document),
        _text_or_none(by),
        tuple(_read_event(event) for event in document.get("events") or ()),
    )


def _read_change(kind: str, body: str | Mapping[str, Any]) -> Change:
    """Return what an entry's body says. Older entries hold an object in the place of its text."""
    if isinstance(body, str):
        return KINDS[kind].validate_json(body)
    return KINDS[kind].validate_python(body)


def _read_answer(document: Mapping[str, Any]) -> str | None:
    """Return the text of the first answer; None: there is none, or it is no answer."""
    answer = document.get("answer")
    try:
        return answer if isinstance(answer, str) and isinstance(json.loads(answer), dict) else None
    except (ValueError, RecursionError):
        return None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _line(error: Exception) -> str:
    """Return an error's text as one short line, for a log: where it lies, and nothing of a body."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False, include_input=False)
        text = "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in found)
    else:
        text = str(error)
    return " ".join(text.split())[:200]


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
