"""Events as documents, their dead letters and their consumers' places: written and read back."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Int64

from actors.events.records import DeadLetter, OrderedEvent, Progress
from actors.mongo.ids import as_stored, shown, stored_id
from domain.events import EventRecord, event_id
from domain.messages import Entry

UNORDERED = Int64(0)
DEAD, AGAIN = "dead", "again"

logger = logging.getLogger(__name__)


def event_documents(entry: Entry) -> list[dict[str, Any]]:
    """Return the events of an entry. They have no place in the order of all yet."""
    return [
        {
            "_id": event_id(entry.user_id, entry.seq, place),
            "type": str(event.type),
            "created": entry.at,
            "user_id": stored_id(entry.user_id),
            "subscription_id": None
            if event.subscription_id is None
            else as_stored(event.subscription_id),
            "data": json.loads(event.data),
            "seq": Int64(entry.seq),
            "place": place,
            "order": UNORDERED,
        }
        for place, event in enumerate(entry.events)
    ]


class UnreadableEventError(ValueError):
    """A document of `allotment_events` does not say what happened. The message says why."""


def read_event(document: Mapping[str, Any]) -> OrderedEvent:
    """Return the event a document holds. UnreadableEventError: nobody can say."""
    try:
        return _read_event(document)
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise UnreadableEventError(type(error).__name__) from error


def _read_event(document: Mapping[str, Any]) -> OrderedEvent:
    subscription_id, created = document.get("subscription_id"), document["created"]
    if not isinstance(created, datetime):  # A text would be read, without a zone.
        raise TypeError("`created` is no date")
    record = EventRecord(
        id=document["_id"],
        type=document["type"],
        created=created,
        user_id=str(document["user_id"]),
        subscription_id=None if subscription_id is None else shown(subscription_id),
        data=document["data"],
    )
    return OrderedEvent(int(document["order"]), int(document["seq"]), record)


def is_older(document: Mapping[str, Any], instant: datetime) -> bool:
    """Say whether an event is of before an instant; one without an instant of its own is."""
    created = document.get("created")
    return not isinstance(created, datetime) or created < instant


def is_letter(document: Mapping[str, Any]) -> bool:
    """Say whether a dead letter can be read: what another program has made of one may be none."""
    has_texts = all(isinstance(document.get(name), str) for name in ("consumer", "event_id"))
    has_numbers = isinstance(document.get("attempts"), int)
    return has_texts and has_numbers and isinstance(document.get("at"), datetime)


def read_letter(document: Mapping[str, Any], event: OrderedEvent) -> DeadLetter:
    """Return the dead letter of an event."""
    return DeadLetter(
        document["consumer"],
        event,
        document["at"],
        int(document["attempts"]),
        str(document.get("error")),
        again=document.get("state") == AGAIN,
    )


def read_progress(document: Mapping[str, Any], consumer: str) -> Progress | None:
    """Return what a consumer is done with; None, and a line in the log: nobody can say.

    Where only the places beyond the first gap cannot be read, those are told once more.
    """
    try:
        until = int(document["done_until"])
    except (TypeError, ValueError, LookupError):
        logger.warning("the place of %s cannot be read: it begins with what is new", consumer)
        return None
    try:
        done = [(int(first), int(last)) for first, last in document["done"]]
    except (TypeError, ValueError, LookupError):
        logger.warning(
            "what %s is done with beyond %d cannot be read: it comes again", consumer, until
        )
        done = []
    return Progress(until, done)
