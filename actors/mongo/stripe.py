"""The documents for Stripe: `allotment_stripe_events`, `_records` and `_state`.

An event's `_id` is Stripe's own, so it is kept once however often it is delivered. A record is
replaced only if it is still the one that was read.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bson import Int64
from pydantic import TypeAdapter
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.stripe.records import (
    EventState,
    ReconcilePlace,
    StripeEvent,
    StripeRecord,
    Urgency,
    Waiting,
)
from domain.stripe import ENDED
from domain.values import UserId

RECORD: TypeAdapter[StripeRecord] = TypeAdapter(StripeRecord)
WAITING: dict[str, Any] = {"state": str(EventState.RECEIVED)}
FRESH = str(Urgency.FRESH)
BEHIND = {"$in": [str(Urgency.FOUND), str(Urgency.PARKED), None]}
"""Events that were kept before `lane` was stored have none."""
PARKED = {"parked": True, "lane": str(Urgency.PARKED)}
ERROR_LENGTH_MAX = 300
RECONCILE = "reconcile"


class MongoStripe:
    """Keeps events and records."""

    def __init__(self, database: Documents) -> None:
        self._events = database.allotment_stripe_events
        self._records = database.allotment_stripe_records
        self._state = database.allotment_stripe_state
        self._subscriptions = database.subscriptions

    def keep(self, event: StripeEvent) -> bool:
        """Keep an event. False: it was there. One that was not applied is tried again at once."""
        document = {
            "_id": event.event_id,
            "type": event.type,
            "created": Int64(event.created),
            "livemode": event.livemode,
            "subject": event.subject,
            "customer_id": event.customer_id,
            "body": event.body,
            "received_at": event.received_at,
            "state": str(event.state),
            "attempts": 0,
            "lane": str(event.urgency),
            "parked": False,
            "last_error": None,
            "next_attempt_at": event.received_at,
        }
        with unavailable_on_error():
            try:
                self._events.insert_one(document)
            except DuplicateKeyError:
                again = {"next_attempt_at": event.received_at, "lane": str(event.urgency)} | WAITING
                unapplied = {"_id": event.event_id, "state": {"$ne": str(EventState.APPLIED)}}
                self._events.update_one(unapplied, {"$set": again})
                return False
        return True

    def due(self, now: datetime, limit: int, *, fresh: bool, newest: bool = False) -> list[str]:
        """Return subjects of some events to be tried by now, those that waited longest first.

        `fresh`: of the urgency of that name, else of the two others. `newest`: the last come first.
        """
        where = WAITING | {"lane": FRESH if fresh else BEHIND, "next_attempt_at": {"$lte": now}}
        with unavailable_on_error():
            found = self._events.find(where, ["subject"])
            order = DESCENDING if newest else ASCENDING
            waiting = list(found.sort("next_attempt_at", order).limit(limit))
        return list(dict.fromkeys(str(document["subject"]) for document in waiting))

    def pending(self, subject: str) -> list[StripeEvent]:
        """Return all events of a subject that are to be applied, by their time."""
        with unavailable_on_error():
            found = [_event(d) for d in self._events.find({"subject": subject} | WAITING)]
        return sorted(found, key=lambda event: (event.created, event.event_id))

    def applied(self, event_ids: Sequence[str], at: datetime, outcome: str) -> None:
        """Note that events are applied."""
        self._set(
            event_ids,
            {
                "state": str(EventState.APPLIED),
                "applied_at": at,
                "outcome": outcome,
                "parked": False,
                "last_error": None,
            },
        )

    def postpone(
        self, event_ids: Sequence[str], until: datetime, error: str, *, parked: bool = False
    ) -> None:
        """Note that events were tried, and when to try them again."""
        fields = {"next_attempt_at": until, "last_error": error[:ERROR_LENGTH_MAX]}
        self._set(event_ids, fields | (PARKED if parked else {}))

    def rest(self, event_ids: Sequence[str], until: datetime) -> None:
        """Note when to try events, without counting an attempt."""
        with unavailable_on_error():
            self._events.update_many(
                {"_id": {"$in": list(event_ids)}}, {"$set": {"next_attempt_at": until}}
            )

    def fail(self, event_ids: Sequence[str], error: str) -> None:
        """Note that events cannot be applied."""
        state = str(EventState.FAILED)
        self._set(event_ids, {"state": state, "last_error": error[:ERROR_LENGTH_MAX]})

    def wake(self, customer_id: str, now: datetime) -> None:
        """Have the parked events of a customer tried again, as fresh ones, dead letters too."""
        where = {"customer_id": customer_id, "parked": True}
        fields = {"next_attempt_at": now, "lane": FRESH} | WAITING
        with unavailable_on_error():
            self._events.update_many(where, {"$set": fields})

    def record(self, subject: str) -> StripeRecord | None:
        """Return what is known of a subject."""
        with unavailable_on_error():
            document = self._records.find_one({"_id": subject})
        if document is None:
            return None
        return RECORD.validate_python(document["record"])

    def save(self, record: StripeRecord) -> bool:
        """Put a record in the place of its predecessor. False: somebody else was faster."""
        document = {
            "revision": Int64(record.revision),
            "customer_id": record.customer_id,
            "user_id": record.user_id,
            "record": RECORD.dump_python(record, mode="json"),
        }
        with unavailable_on_error():
            if record.revision == 1:
                try:
                    self._records.insert_one({"_id": record.subject} | document)
                except DuplicateKeyError:
                    return False
                return True
            where = {"_id": record.subject, "revision": record.revision - 1}
            return self._records.update_one(where, {"$set": document}).matched_count == 1

    def note_listed(self, subjects: Sequence[str], at: datetime) -> None:
        """Note that Stripe has these subjects, of which there may be records."""
        with unavailable_on_error():
            self._records.update_many({"_id": {"$in": list(subjects)}}, {"$set": {"listed_at": at}})

    def unlisted(self, since: datetime, after: str, limit: int) -> list[str]:
        """Return the next subjects in order that live, and were not listed at or after `since`."""
        found: list[str] = []
        with unavailable_on_error():
            records = self._records.find({"_id": {"$gt": after}}, ["listed_at", "record.state"])
            for document in records.sort("_id", ASCENDING):  # Nearly all were listed.
                listed_at = document.get("listed_at")
                if _lives(document) and (listed_at is None or listed_at < since):
                    found.append(str(document["_id"]))
                if len(found) == limit:
                    break
        return found

    def user_of_customer(self, customer_id: str) -> UserId | None:
        """Return the user of a subscription that names this Stripe customer."""
        with unavailable_on_error():
            where = {"stripe.customer_id": customer_id}
            document = self._subscriptions.find_one(where, ["user_id"])
        return user_of(document) if document else None

    def ownerless(self, customer_id: str) -> list[str]:
        """Return the subjects of a Stripe customer's records that name no user, or owe payments."""
        with unavailable_on_error():
            found = list(
                self._records.find({"customer_id": customer_id}, ["user_id", "record.owed"])
            )
        return [
            str(document["_id"])
            for document in found
            if document["user_id"] is None or document["record"].get("owed")
        ]

    def living(self, user_id: UserId) -> list[StripeRecord]:
        """Return a user's records whose Stripe subscriptions have not ended."""
        with unavailable_on_error():
            found = list(self._records.find({"user_id": user_id}, ["record"]))
        return [RECORD.validate_python(one["record"]) for one in found if _lives(one)]

    def waiting(self) -> Waiting:
        """Count what is not applied."""
        with unavailable_on_error():
            count = self._events.count_documents
            counts = {one: count(WAITING | {"lane": str(one)}) for one in Urgency}
            dead = count({"state": str(EventState.FAILED)})
        return Waiting(counts[Urgency.FRESH], counts[Urgency.FOUND], counts[Urgency.PARKED], dead)

    def unapplied(self, limit: int) -> list[StripeEvent]:
        """Return dead letters first, then parked and waiting events, without their bodies."""
        found: list[dict[str, Any]] = []
        with unavailable_on_error():
            for state in (EventState.FAILED, EventState.RECEIVED):
                cursor = self._events.find({"state": str(state)}, {"body": 0})
                found += cursor.limit(limit - len(found)) if len(found) < limit else []
        return [_event(document) for document in found]

    def known_events(self, event_ids: Sequence[str]) -> set[str]:
        """Return which of these events are kept already and are no dead letters."""
        with unavailable_on_error():
            found = self._events.find({"_id": {"$in": list(event_ids)}}, ["state"])
            dead = str(EventState.FAILED)
            return {str(document["_id"]) for document in found if document["state"] != dead}

    def trim(self, before: datetime) -> int:
        """Remove events received before an instant, and count them.

        Those that were applied, and dead letters whose user nobody has named.
        """
        old = {"received_at": {"$lt": before}}
        applied = {"state": str(EventState.APPLIED)} | old
        nobodys = {"state": str(EventState.FAILED), "parked": True} | old
        with unavailable_on_error():
            return sum(self._events.delete_many(w).deleted_count for w in (applied, nobodys))

    def place(self) -> ReconcilePlace | None:
        """Return how far the reconciliation that is under way has come."""
        with unavailable_on_error():
            document = self._state.find_one({"_id": RECONCILE})
        found = document and document.get("place")
        return ReconcilePlace(**found) if found else None

    def note_place(self, place: ReconcilePlace | None) -> None:
        """Note how far it has come; None: to the end."""
        fields = {"place": None if place is None else asdict(place)}
        with unavailable_on_error():
            self._state.update_one({"_id": RECONCILE}, {"$set": fields}, upsert=True)

    def _set(self, event_ids: Sequence[str], fields: dict[str, Any]) -> None:
        with unavailable_on_error():
            self._events.update_many(
                {"_id": {"$in": list(event_ids)}}, {"$set": fields, "$inc": {"attempts": 1}}
            )


def _lives(document: dict[str, Any]) -> bool:
    state = document["record"].get("state")
    return state is not None and state["status"] not in ENDED


def _urgency(document: dict[str, Any]) -> Urgency:
    lane = document.get("lane")
    if lane is None:
        return Urgency.PARKED if document["parked"] else Urgency.FOUND
    return Urgency(lane)


def _event(document: dict[str, Any]) -> StripeEvent:
    return StripeEvent(
        str(document["_id"]),
        document["type"],
        int(document["created"]),
        document["livemode"],
        document["subject"],
        document["customer_id"],
        document.get("body", ""),
        document["received_at"],
        EventState(document["state"]),
        int(document["attempts"]),
        _urgency(document),
        document["last_error"],
    )
