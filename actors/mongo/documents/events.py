"""Events as documents: what other programs may read in `allotment_events`, and what is read back."""

import json
from collections.abc import Mapping
from typing import Any

from bson import Int64

from actors.events.records import OrderedEvent
from actors.mongo.ids import as_stored, shown, stored_id
from domain.events import EventRecord, event_id
from domain.messages import Entry

UNORDERED = Int64(0)


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


def read_event(document: Mapping[str, Any]) -> OrderedEvent:
    """Return the event a document holds."""
    subscription_id = document.get("subscription_id")
    record = EventRecord(
        id=document["_id"],
        type=document["type"],
        created=document["created"],
        user_id=str(document["user_id"]),
        subscription_id=None if subscription_id is None else shown(subscription_id),
        data=document["data"],
    )
    return OrderedEvent(int(document["order"]), int(document["seq"]), record)
