"""`allotment_events` in their order, how far each consumer is, and the dead letters."""

import heapq
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Int64
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from actors.events.endpoints import CONSUMER, endpoint_id_of
from actors.events.marks import OwnPlace
from actors.events.records import DeadLetter, OrderedEvent, Progress, dead_name, in_order
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.events import (
    AGAIN,
    DEAD,
    UNORDERED,
    UnreadableEventError,
    is_letter,
    is_older,
    read_event,
    read_letter,
    read_progress,
)
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id
from domain.values import UserId

HEAD_ID = "head"
RELAY = "relay"  # Under this name the sessions of the relay are noted.
TRIM_BATCH = 1_000
NAMED_MAX = 1_000  # Events that the log names because they cannot be read.
logger = logging.getLogger(__name__)


class MongoEvents:
    """An `EventStore` on one database."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._events = database.allotment_events
        self._relay = database.allotment_relay
        self._dead = database.allotment_dead_letters
        self._endpoints = database.allotment_endpoints
        self._store = MongoStore(database)
        self._named: set[str] = set()

    def take_over(self) -> None:
        """End what an earlier relay that was killed left open: nobody could number before."""
        self._store.take_over(RELAY)

    def serve(self, consumers: Collection[str]) -> None:
        """Have these hold old events that they have not had, and no other whose place is kept."""
        served = [f"consumer {consumer}" for consumer in consumers]
        others = {"_id": {"$nin": served}, "done_until": {"$exists": True}}
        with unavailable_on_error():
            self._relay.update_many({"_id": {"$in": served}}, {"$unset": {"unserved": ""}})
            self._relay.update_many(others, {"$set": {"unserved": True}})

    # --- the order ----------------------------------------------------------------------

    def number(self, limit: int) -> Sequence[OrderedEvent]:
        """Give events their places. Of two who number at once, one is refused and tries again.

        Looked at without a transaction first: most often there is nothing to number.
        """
        numbered: list[OrderedEvent] = []

        def write(session: ClientSession) -> None:
            numbered[:] = self._number(limit, session)

        with unavailable_on_error():
            if self._events.find_one({"order": UNORDERED}, ["_id"]) is None:
                return []
            self._make_head()
            self._store.in_transaction(write)
        return numbered

    def _number(self, limit: int, session: ClientSession) -> Sequence[OrderedEvent]:
        place = [("order", 1), ("user_id", 1), ("seq", 1), ("place", 1)]
        found = self._events.find({"order": UNORDERED}, session=session).sort(place).limit(limit)
        documents = list(found)
        if not documents:
            return []
        events = in_order(self._readable(documents))
        readable = {event.record.id: event for event in events}
        spoilt = [d["_id"] for d in documents if d["_id"] not in readable]
        head = self._relay.find_one({"_id": HEAD_ID}, session=session) or {}
        first = int(head["order"]) + 1  # Those that cannot be read have places, too: they are done.
        places = {name: first + index for index, name in enumerate([*spoilt, *readable])}
        self._relay.update_one(  # Whoever else numbers now writes this document, too.
            {"_id": HEAD_ID}, {"$set": {"order": Int64(max(places.values()))}}, session=session
        )
        self._events.bulk_write(
            [
                UpdateOne({"_id": name}, {"$set": {"order": Int64(order)}})
                for name, order in places.items()
            ],
            ordered=False,
            session=session,
        )
        return [event._replace(order=places[event.record.id]) for event in events]

    def _readable(self, documents: Iterable[Mapping[str, Any]]) -> Iterator[OrderedEvent]:
        """Yield the events of documents that can be read; the log names each other one once."""
        for document in documents:
            try:
                yield read_event(document)
            except UnreadableEventError as error:
                name = str(document["_id"])
                if name not in self._named and len(self._named) < NAMED_MAX:
                    self._named.add(name)
                    logger.warning(
                        "the event %s cannot be read and is told to nobody: %s", name, error
                    )

    def _make_head(self) -> None:
        if self._relay.find_one({"_id": HEAD_ID}) is None:
            try:
                self._relay.insert_one({"_id": HEAD_ID, "order": UNORDERED})
            except DuplicateKeyError:
                return

    def head(self) -> int:
        """Return the last place that was given."""
        with unavailable_on_error():
            document = self._relay.find_one({"_id": HEAD_ID}) or {}
        return int(document.get("order", 0))

    def after(self, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return the next events after a place. Old ones may have been removed in between."""
        with unavailable_on_error():
            while not (found := self._at(order, limit)):
                first = self._first_after(order)
                if first is None:
                    return []
                order = max(first - 1, order + limit)  # None of those in between can be read.
        return found

    def _at(self, order: int, limit: int) -> list[OrderedEvent]:
        """Return what is at the places after one. Bounded: some servers read all of a range."""
        places = {"$gt": Int64(order), "$lte": Int64(order + limit)}
        return list(self._readable(self._events.find({"order": places}).sort("order", 1)))

    def _first_after(self, order: int) -> int | None:
        where = {"order": {"$gt": Int64(order)}}
        for document in self._events.find(where, ["order"]).sort("order", 1).limit(1):
            return int(document["order"])
        return None

    def of_user(self, user_id: UserId, order: int, limit: int) -> Sequence[OrderedEvent]:
        """Return the next events of one user after a place."""
        theirs, last = {"user_id": stored_id(user_id)}, max(order, 0)
        found: list[OrderedEvent] = []
        with unavailable_on_error():
            while len(found) < limit:
                wanted = limit - len(found)
                where = theirs | {"order": {"$gt": Int64(last)}}
                page = list(self._events.find(where).sort("order", 1).limit(wanted))
                found += self._readable(page)
                if len(page) < wanted:
                    break
                last = int(page[-1]["order"])
        return found

    def last_own(self, user_id: UserId, order: int) -> OwnPlace | None:
        """Return which of a user's events is the last up to a place; None: there is none."""
        places = {"$gt": UNORDERED, "$lte": Int64(order)}
        where = {"user_id": stored_id(user_id), "order": places}
        with unavailable_on_error():
            for document in self._events.find(where, ["seq", "place"]).sort("order", -1).limit(1):
                return OwnPlace(int(document["seq"]), int(document["place"]))
        return None

    def find(self, event_id: str) -> OrderedEvent | None:
        """Return one event."""
        with unavailable_on_error():
            document = self._events.find_one({"_id": event_id})
        return next(self._readable([document] if document else []), None)

    # --- consumers ----------------------------------------------------------------------

    def progress(self, consumer: str) -> Progress | None:
        """Return what a consumer is done with; None: it is new."""
        endpoint_id = endpoint_id_of(consumer)
        with unavailable_on_error():
            if endpoint_id is None:
                document = self._relay.find_one({"_id": f"consumer {consumer}"})
            else:
                document = self._endpoints.find_one({"_id": endpoint_id}, ["done_until", "done"])
        return None if document is None else read_progress(document, consumer)

    def keep(self, consumer: str, progress: Progress) -> None:
        """Keep what a consumer is done with; of an endpoint that was removed nothing."""
        fields = {
            "done_until": Int64(progress.done_until),
            "done": [[Int64(first), Int64(last)] for first, last in progress.done],
        }
        endpoint_id = endpoint_id_of(consumer)
        with unavailable_on_error():
            if endpoint_id is not None:
                self._endpoints.update_one({"_id": endpoint_id}, {"$set": fields})
                return
            self._relay.update_one({"_id": f"consumer {consumer}"}, {"$set": fields}, upsert=True)

    # --- dead letters -------------------------------------------------------------------

    def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""
        record = letter.event.record
        fields = {
            "consumer": letter.consumer,
            "event_id": record.id,
            "type": str(record.type),
            "user_id": stored_id(record.user_id),
            "at": letter.at,
            "attempts": letter.attempts,
            "error": letter.error,
            "state": AGAIN if letter.again else DEAD,
        }
        with unavailable_on_error():
            if self._events.find_one({"_id": record.id}, ["_id"]) is None:
                return  # Its user was made anonymous: it has another id now.
            self._dead.update_one({"_id": letter.name}, {"$set": fields}, upsert=True)

    def unbury(self, consumer: str, event_id: str) -> None:
        """Remove a dead letter."""
        with unavailable_on_error():
            self._dead.delete_one({"_id": dead_name(consumer, event_id)})

    def dead(
        self, limit: int, *, again: bool | None = None, event_id: str | None = None
    ) -> Sequence[DeadLetter]:
        """Return the newest dead letters whose events are there."""
        wheres = [{"state": AGAIN}, {"state": DEAD}]  # There is an index of each state's instants.
        if event_id is not None:
            wheres = [{"event_id": event_id}]
        elif again is not None:
            wheres = wheres[:1] if again else wheres[1:]
        with unavailable_on_error():
            read = [self._dead.find(where).sort("at", -1).limit(limit) for where in wheres]
            letters = filter(is_letter, itertools.chain(*read))
            found = heapq.nlargest(limit, letters, key=lambda d: d["at"])
            ids = [document["event_id"] for document in found]
            read_events = self._readable(self._events.find({"_id": {"$in": ids}}))
            events = {event.record.id: event for event in read_events}
        return [read_letter(d, events[d["event_id"]]) for d in found if d["event_id"] in events]

    def count_dead(self) -> int:
        """Return how many dead letters nobody has asked to deliver again."""
        with unavailable_on_error():
            return self._dead.count_documents({"state": DEAD})

    # --- old events ---------------------------------------------------------------------

    def trim(self, before: datetime) -> int:
        """Remove events made before an instant that all who are served have had.

        Who is switched off, or no longer set, holds none: what is there of them they get later.
        """
        with unavailable_on_error():
            self._remove_strangers_letters()
            consumers = [
                *self._relay.find({"done_until": {"$exists": True}, "unserved": {"$ne": True}}),
                *self._endpoints.find({"enabled": True}, ["done_until"]),
            ]
            known = (consumer.get("done_until") for consumer in consumers)
            until = min((p for p in known if isinstance(p, int)), default=self.head())
            buried = {d.get("event_id") for d in self._dead.find({}, ["event_id"])}
            removed = 0
            order = self._first_after(0)
            while order is not None and order <= until:
                last = min(order + TRIM_BATCH - 1, until)
                places = {"$gte": Int64(order), "$lte": Int64(last)}
                page = list(self._events.find({"order": places}, ["created", "order"]))
                old = [d["_id"] for d in page if is_older(d, before)]
                if not old:
                    break
                old = [name for name in old if name not in buried]
                removed += self._events.delete_many({"_id": {"$in": old}}).deleted_count
                order = self._first_after(last)  # What is kept of before leaves gaps behind it.
            return removed

    def _remove_strangers_letters(self) -> None:
        """Remove the dead letters of endpoints that are gone: one may be written at its removal."""
        letters = {str(letter.get("consumer")) for letter in self._dead.find({}, ["consumer"])}
        for name in (consumer for consumer in letters if consumer.startswith(CONSUMER)):
            if self._endpoints.find_one({"_id": endpoint_id_of(name)}, ["_id"]) is None:
                self._dead.delete_many({"consumer": name})
